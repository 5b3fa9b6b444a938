//! Since when backends are what they are, and why: for people. What a
//! backend is stands in the maps; where the two differ, this is not believed.
//! Beside it, since when backends start slowly: without it they have started.
//!
//! So the file may be a second old, or missing, and is not worth an fsync.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::health::State;

/// By the number of the backend.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthMemory {
    pub states: BTreeMap<u16, Remembered>,
    /// Since when those have been starting that start slowly, in Unix seconds.
    pub starting: BTreeMap<u16, u64>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Remembered {
    pub state: State,
    pub reason: String,
    /// Unix seconds.
    pub since: u64,
}

/// The file beside an instance's [`StateFile`](super::StateFile).
#[derive(Clone, Debug)]
pub struct HealthFile(PathBuf);

impl HealthFile {
    pub fn beside(state_file: &Path) -> Self {
        Self(state_file.with_file_name("health.json"))
    }

    /// Nothing, if there is no file or it cannot be understood.
    pub fn read(&self) -> HealthMemory {
        let text = fs::read(&self.0).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub fn write(&self, memory: &HealthMemory) -> io::Result<()> {
        let next = self.0.with_extension("json.next");
        fs::write(&next, serde_json::to_vec(memory)?)?;
        fs::rename(next, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_nothing_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let file = HealthFile::beside(&dir.path().join("state.json"));
        assert_eq!(file.read(), HealthMemory::default());
        let dead =
            Remembered { state: State::Dead, reason: "refused".into(), since: 1_700_000_000 };
        let (states, starting) = ([(7, dead)].into(), [(8, 1_700_000_000)].into());
        let memory = HealthMemory { states, starting };
        file.write(&memory).unwrap();
        assert_eq!(file.read(), memory);
        fs::write(dir.path().join("health.json"), "{").unwrap();
        assert_eq!(file.read(), HealthMemory::default());
    }
}
