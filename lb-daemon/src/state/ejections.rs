//! Who was taken out for what the traffic shows, and until when. It soon passes by
//! itself: a file that is a moment old, or missing, costs another look at the
//! traffic, and is not worth an fsync.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::passive::Ejection;

/// By the number of the backend.
pub type Ejections = BTreeMap<u16, Ejection>;

/// The file beside an instance's [`StateFile`](super::StateFile).
#[derive(Clone, Debug)]
pub struct EjectionsFile(PathBuf);

impl EjectionsFile {
    pub fn beside(state_file: &Path) -> Self {
        Self(state_file.with_file_name("ejections.json"))
    }

    /// Nothing, if there is no file or it cannot be understood.
    pub fn read(&self) -> Ejections {
        let text = fs::read(&self.0).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub fn write(&self, ejections: &Ejections) -> io::Result<()> {
        let next = self.0.with_extension("json.next");
        fs::write(&next, serde_json::to_vec(ejections)?)?;
        fs::rename(next, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = EjectionsFile::beside(&dir.path().join("state.json"));
        assert!(file.read().is_empty());
        let out = Ejection { until: 1_700_000_030, times: 2, reason: "10 of 12".into() };
        let ejections = Ejections::from([(7, out)]);
        file.write(&ejections).unwrap();
        assert_eq!(file.read(), ejections);
        fs::write(dir.path().join("ejections.json"), "[").unwrap();
        assert!(file.read().is_empty());
    }
}
