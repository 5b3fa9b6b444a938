//! Where the sockets and locks of running instances are.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::{fs::DirBuilderExt, net::UnixStream},
    path::{Path, PathBuf},
};

use super::Instance;

#[derive(Clone, Debug)]
pub struct RuntimeDir(PathBuf);

impl Default for RuntimeDir {
    fn default() -> Self {
        Self("/run/lb-daemon".into())
    }
}

impl RuntimeDir {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn socket(&self, instance: &Instance) -> PathBuf {
        self.0.join(format!("{instance}.sock"))
    }

    pub(super) fn lock(&self, instance: &Instance) -> PathBuf {
        self.0.join(format!("{instance}.lock"))
    }

    /// Others may look into it: the sockets have modes of their own.
    pub(super) fn create(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(&self.0)
    }

    /// Names of the instances whose daemons listen, sorted.
    pub fn running(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.0) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.filter_map(|entry| listening(&entry.ok()?.path())).collect();
        names.sort();
        names
    }
}

/// The instance whose socket `path` is, if a daemon listens on it.
fn listening(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(".sock")?;
    let answers = match UnixStream::connect(path) {
        Ok(_) => true,
        // Somebody listens, though not to us.
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    answers.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_sockets_that_somebody_listens_on_are_running() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = RuntimeDir::new(dir.path());
        let _edge = UnixListener::bind(dir.path().join("edge.sock")).unwrap();
        let _core = UnixListener::bind(dir.path().join("core.sock")).unwrap();
        drop(UnixListener::bind(dir.path().join("stale.sock")).unwrap());
        fs::write(dir.path().join("main.lock"), "").unwrap();
        assert_eq!(runtime.running(), ["core", "edge"]);
    }

    #[test]
    fn a_missing_directory_means_nothing_runs() {
        assert!(RuntimeDir::new("/nonexistent").running().is_empty());
    }
}
