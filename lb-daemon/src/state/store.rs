//! The state directory: written whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Identity, seed::random_key};

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{path}: {source}; lb-daemon keeps its state there and needs to write it")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{path} cannot be understood ({what}). It holds who has which number in the maps: restore \
         it, or run `lb-daemon unload`, remove the file and start again (every flow is then \
         assigned anew)"
    )]
    NotUnderstood { path: PathBuf, what: String },
    #[error(
        "{path} cannot be understood ({what}). It holds which backends are drained and whose weight \
         an operator set: restore it, or remove the file and start again (all backends are then as \
         the configuration says)"
    )]
    OverridesNotUnderstood { path: PathBuf, what: String },
}

/// Raised when an older daemon could not read the file.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    #[serde(flatten)]
    identity: Identity,
}

/// The file that holds an instance's [`Identity`].
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    pub fn of_instance(name: &str) -> Self {
        Self::in_directory(&Path::new("/var/lib/lb-daemon").join(name))
    }

    pub fn in_directory(directory: &Path) -> Self {
        Self { path: directory.join("state.json") }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `None` if there is no file.
    pub fn read(&self) -> Result<Option<Identity>, StateError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(error)),
        };
        let not_understood =
            |what: String| StateError::NotUnderstood { path: self.path.clone(), what };
        let document: Document =
            serde_json::from_str(&text).map_err(|error| not_understood(error.to_string()))?;
        if document.version != VERSION {
            let what = format!("its version is {}, not {VERSION}", document.version);
            return Err(not_understood(what));
        }
        Ok(Some(document.identity))
    }

    /// A new identity, with a key of its own.
    pub fn fresh(&self) -> Result<Identity, StateError> {
        Ok(Identity::new(random_key().map_err(|source| self.io(source))?))
    }

    /// Writes the file; it has the old or the new contents at any time. Only
    /// root may read it: it holds a secret.
    pub fn write(&self, identity: &Identity) -> Result<(), StateError> {
        let document = Document { version: VERSION, identity: identity.clone() };
        let text = serde_json::to_vec_pretty(&document)
            .map_err(|error| self.io(io::Error::other(error)))?;
        replace(&self.path, &text).map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> StateError {
        StateError::Io { path: self.path.clone(), source }
    }
}

/// Whole or not at all, and on disk when it returns.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let next = path.with_extension("json.next");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_written_is_read_again_and_only_by_root() {
        let dir = tempfile::tempdir().unwrap();
        let file = StateFile::in_directory(&dir.path().join("main"));
        assert_eq!(file.read().unwrap(), None);
        let mut identity = file.fresh().unwrap();
        identity.vips.insert("2001:db8::1".parse().unwrap(), 7);
        identity.leaving.insert(3);
        file.write(&identity).unwrap();
        assert_eq!(file.read().unwrap(), Some(identity));
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_damaged_or_newer_is_refused_with_the_next_step() {
        let dir = tempfile::tempdir().unwrap();
        let file = StateFile::in_directory(dir.path());
        file.write(&Identity::new([1, 2])).unwrap();
        let newer =
            fs::read_to_string(file.path()).unwrap().replace("\"version\": 1", "\"version\": 2");
        for text in ["{", newer.as_str()] {
            fs::write(file.path(), text).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains("lb-daemon unload"), "{error}");
        }
    }
}
