//! The file behind the log: found again when it was moved away, and complained
//! about once a minute when it cannot be written.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tracing::{info, warn};

/// Between two looks at whether the path still names the open file.
const LOOK: Duration = Duration::from_secs(1);
/// Between two complaints, and two tries to open what cannot be opened.
const COMPLAIN: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Sink {
    path: PathBuf,
    file: Option<File>,
    /// The last write was cut off within a line.
    torn: bool,
    looked: Option<Instant>,
    complained: Option<Instant>,
}

impl Sink {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, torn: false, looked: None, complained: None }
    }

    /// Appends whole lines, all of them or not all.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let done = self.look().and_then(|()| self.append(lines));
        if let Err(error) = &done {
            self.complain(error);
        }
        done
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let Some(file) = &mut self.file else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it is not open"));
        };
        if self.torn {
            file.write_all(b"\n")?;
            self.torn = false;
        }
        let before = file.metadata()?.len();
        let done = file.write_all(lines);
        if done.is_err() {
            // Half a line is no record.
            self.torn = file.set_len(before).is_err();
        } else if self.complained.take().is_some() {
            info!("nat_log: {} is written again", self.path.display());
        }
        done
    }

    /// Opens the file where it is not the one that the path names.
    fn look(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let every = if self.file.is_some() { LOOK } else { RETRY };
        if self.looked.is_some_and(|at| now.duration_since(at) < every) {
            return Ok(());
        }
        self.looked = Some(now);
        let same = |file: &File| {
            let (open, named) = (file.metadata(), self.path.metadata());
            let place = |it: &std::fs::Metadata| (it.dev(), it.ino());
            open.ok().zip(named.ok()).is_some_and(|(open, named)| place(&open) == place(&named))
        };
        if !self.file.as_ref().is_some_and(same) {
            self.file = None;
            // It tells who talked to whom.
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
            self.file = Some(file);
            self.torn = false;
        }
        Ok(())
    }

    fn complain(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self.complained.is_none_or(|at| now.duration_since(at) >= COMPLAIN) {
            self.complained = Some(now);
            warn!(
                "nat_log: {} cannot be written: {error}; records are lost until it can (see \
                 `lb-daemon stats`)",
                self.path.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nat.jsonl");
        let mut sink = Sink::new(&path);
        sink.write(b"a\n").unwrap();
        let old = dir.path().join("nat.jsonl.1");
        std::fs::rename(&path, &old).unwrap();
        sink.looked = None;
        sink.write(b"b\n").unwrap();
        assert_eq!(std::fs::read(old).unwrap(), b"a\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"b\n");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_full_disk_is_an_error_and_not_the_end() {
        let mut sink = Sink::new(Path::new("/dev/full"));
        assert!(sink.write(b"a\n").is_err());
        assert!(sink.complained.is_some());
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("not-yet/nat.jsonl");
        let mut sink = Sink::new(&missing);
        assert!(sink.write(b"a\n").is_err());
        std::fs::create_dir(missing.parent().unwrap()).unwrap();
        sink.looked = None;
        sink.write(b"b\n").unwrap();
        assert_eq!(std::fs::read(missing).unwrap(), b"b\n");
    }
}
