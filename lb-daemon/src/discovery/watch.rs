//! Notices that files are replaced: by inotify on every directory in which a
//! rename can put another file in a file's place.
//!
//! The file may be a link, and so may directories on the way to what it links
//! to; Kubernetes changes such a link (`..data`) when it updates a volume. So
//! the directory of each link on the way is watched, too.

use std::{
    collections::BTreeSet,
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::io::{Interest, unix::AsyncFd};

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

pub struct Watch {
    inotify: AsyncFd<Descriptor>,
    directories: BTreeSet<PathBuf>,
    /// Every directory is watched.
    whole: bool,
}

struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watch {
    /// Of directories that are not there nothing is heard.
    pub fn new(directories: BTreeSet<PathBuf>) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let events = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE;
        let mut whole = true;
        for directory in &directories {
            whole &= inotify.add_watch(directory, events).is_ok();
        }
        // SAFETY: the descriptor is owned by what is registered, which neither
        // replaces nor closes it, and is dropped after its registration.
        let inotify =
            unsafe { AsyncFd::register_with_interest(Descriptor(inotify), Interest::READABLE) };
        Ok(Self { inotify: inotify.map_err(|error| error.into_parts().1)?, directories, whole })
    }

    pub fn is_of(&self, directories: &BTreeSet<PathBuf>) -> bool {
        self.directories == *directories
    }

    /// Whether all of them are there, and are those that were there.
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// Waits until something has happened in a directory.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.inotify.readable().await?;
            let read = ready.try_io(|inotify| Ok(inotify.get_ref().0.read_events()?));
            match read {
                Ok(events) => {
                    let gone =
                        |event: &InotifyEvent| event.mask.contains(AddWatchFlags::IN_IGNORED);
                    self.whole &= !events?.iter().any(gone);
                    return Ok(());
                }
                Err(_would_block) => {}
            }
        }
    }
}

/// Where a rename can replace what `path` leads to.
pub fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Some(link) = first_link(&path, &mut found) else { break };
        path = link;
    }
    found
}

/// Adds the directory of `path` and of the first link on the way to it;
/// returns where that leads, if there is one.
fn first_link(path: &Path, found: &mut BTreeSet<PathBuf>) -> Option<PathBuf> {
    let directory_of = |path: &Path| match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    found.insert(directory_of(path));
    let mut ancestors: Vec<&Path> = path.ancestors().collect();
    ancestors.pop();
    for part in ancestors.into_iter().rev() {
        if let Ok(target) = fs::read_link(part) {
            found.insert(directory_of(part));
            let rest = path.strip_prefix(part).unwrap_or(Path::new(""));
            let target = directory_of(part).join(target);
            // Joining nothing would put a slash behind a file's name.
            return Some(if rest == Path::new("") { target } else { target.join(rest) });
        }
    }
    None
}

/// What tells one file from another, and one state of it from the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// `None`: there is no such file, or it cannot be reached.
pub fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let found = fs::metadata(path).ok()?;
    Some(Fingerprint {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_watched() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("volume/..1")).unwrap();
        fs::create_dir(root.join("lb")).unwrap();
        fs::write(root.join("volume/..1/web.yaml"), "[]").unwrap();
        symlink("..1", root.join("volume/..data")).unwrap();
        symlink("..data/web.yaml", root.join("volume/web.yaml")).unwrap();
        symlink("../volume/web.yaml", root.join("lb/web.yaml")).unwrap();
        let found = directories(&root.join("lb/web.yaml"));
        let canonical: BTreeSet<_> =
            found.iter().map(|one| fs::canonicalize(one).unwrap()).collect();
        let expected = ["lb", "volume", "volume/..1"].map(|one| root.join(one));
        assert_eq!(canonical, expected.into());
    }

    #[test]
    fn a_circle_of_links_and_nothing_at_all_end() {
        let dir = tempfile::tempdir().unwrap();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        assert!(!directories(&dir.path().join("a")).is_empty());
        assert!(!directories(&dir.path().join("none/none.yaml")).is_empty());
        assert_eq!(directories(Path::new("web.yaml")), [PathBuf::from(".")].into());
    }
}
