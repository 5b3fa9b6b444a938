//! The names of what is pinned.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// An instance's directory in the BPF file system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PinDir(PathBuf);

/// A link's file name starts so; the interface's index follows. (Not its name:
/// that may change, and may hold dots, which the BPF file system refuses.)
const LINK: &str = "link-";
/// The same for the program on the way out, by the way it is attached.
const EGRESS: [&str; 2] = ["egress-", "egress-filter-"];
/// Links of programs on sockets; the program's name follows.
const SOCKETS: &str = "sockets-";

impl PinDir {
    /// Where the BPF file system belongs.
    pub const BPFFS: &str = "/sys/fs/bpf";

    pub fn of_instance(name: &str) -> Self {
        Self(Path::new(Self::BPFFS).join("lb-daemon").join(name))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn map(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn program(&self) -> PathBuf {
        self.0.join("program")
    }

    /// Where a program waits until it takes [`Self::program`]'s name.
    pub(super) fn next_program(&self) -> PathBuf {
        self.0.join("program-next")
    }

    pub fn link(&self, ifindex: u32) -> PathBuf {
        self.0.join(format!("{LINK}{ifindex}"))
    }

    /// The link of the program on the way out.
    pub(super) fn egress(&self, ifindex: u32) -> PathBuf {
        self.0.join(format!("{}{ifindex}", EGRESS[0]))
    }

    /// That program, where a filter and no link holds it.
    pub(super) fn egress_filter(&self, ifindex: u32) -> PathBuf {
        self.0.join(format!("{}{ifindex}", EGRESS[1]))
    }

    pub(super) fn sockets(&self, program: &str) -> PathBuf {
        self.0.join(format!("{SOCKETS}{program}"))
    }

    /// Indexes of the interfaces that have the program on the way out.
    pub fn egress_interfaces(&self) -> io::Result<BTreeSet<u32>> {
        let index = |name: &String| EGRESS.iter().find_map(|e| name.strip_prefix(e)?.parse().ok());
        Ok(self.entries()?.iter().filter_map(index).collect())
    }

    /// Pinned links of programs on sockets.
    pub(super) fn socket_links(&self) -> io::Result<Vec<PathBuf>> {
        let entries = self.entries()?;
        let links = entries.iter().filter(|name| name.starts_with(SOCKETS));
        Ok(links.map(|name| self.0.join(name)).collect())
    }

    /// Only root may look: maps show who talks to whom.
    pub(super) fn create(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }

    pub fn exists(&self) -> bool {
        self.0.exists()
    }

    /// Indexes of the interfaces that have a link pinned, in order.
    pub fn linked_interfaces(&self) -> io::Result<Vec<u32>> {
        let mut found: Vec<_> = self
            .entries()?
            .iter()
            .filter_map(|name| name.strip_prefix(LINK)?.parse().ok())
            .collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Names of everything pinned.
    pub(super) fn entries(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }
}
