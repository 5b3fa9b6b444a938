//! The program onto interfaces.
//!
//! Attached by link, and the link is pinned: it holds while nobody runs. (A
//! program attached through netlink, as aya does when the kernel refuses a
//! link, could not be pinned, and would not be found again.) Where a pinned
//! link is there, the program is swapped in it: detaching resets some NICs for
//! seconds.

use std::{
    fmt, fs, io,
    os::fd::{AsFd, OwnedFd},
};

use aya::programs::loaded_programs;

use super::{Attached, PinDir, attached, refusal};
use crate::sys;

/// How the program is really attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Called by the driver, before the kernel makes a packet of the frame.
    Native,
    /// Called by the kernel's stack.
    Generic,
}

impl Mode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    /// `XDP_FLAGS_DRV_MODE` or `XDP_FLAGS_SKB_MODE`.
    pub(super) const fn flags(self) -> u32 {
        match self {
            Self::Native => 1 << 2,
            Self::Generic => 1 << 1,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    Only(Mode),
    /// Native where the driver can, else generic.
    Auto,
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attachment {
    pub mode: Mode,
    /// The program was swapped in a link that was there.
    pub swapped: bool,
    /// What an operator should know, such as why native mode was not possible.
    pub remark: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("there is no interface {interface}")]
    NoInterface { interface: String },
    #[error(
        "{interface} already has an XDP program, {program} (id {id}), which lb-daemon does not \
         replace; see `bpftool net show dev {interface}`, and detach it with `ip link set dev \
         {interface} xdp off` if it is no longer wanted"
    )]
    Occupied { interface: String, program: String, id: u32 },
    #[error(
        "{interface}: cannot attach in {mode} mode: {source}{}",
        explanation(source, *mode, words.as_deref())
    )]
    Refused { interface: String, mode: Mode, source: io::Error, words: Option<String> },
    #[error("{interface}: {what}: {source}")]
    Io { interface: String, what: &'static str, source: io::Error },
}

/// The kernel's own words, where it has some, and what helps.
fn explanation(error: &io::Error, mode: Mode, words: Option<&str>) -> String {
    let hint = hint(error, mode);
    match (words, error.raw_os_error()) {
        (None, _) => hint.to_owned(),
        // The hint would only guess.
        (Some(words), Some(libc::EINVAL | libc::ERANGE | libc::EMSGSIZE)) => {
            format!(" (the kernel says: {words})")
        }
        (Some(words), _) => format!(" (the kernel says: {words}){hint}"),
    }
}

/// What the errno of a refused attachment usually means.
fn hint(error: &io::Error, mode: Mode) -> &'static str {
    match (error.raw_os_error(), mode) {
        (Some(libc::EOPNOTSUPP), Mode::Native) => {
            "; its driver has no XDP: set `xdp: generic` (slower) or use another NIC"
        }
        (Some(libc::EOPNOTSUPP), Mode::Generic) => {
            "; is large receive offload on? `ethtool -K DEV lro off`"
        }
        (Some(libc::EINVAL | libc::ERANGE | libc::EMSGSIZE), Mode::Native) => {
            "; the driver refuses its present settings, most often the MTU (try 1500), large \
             receive offload (`ethtool -K DEV lro off`) or too few queues (`ethtool -l DEV`); the \
             kernel's log (dmesg) may say which"
        }
        (Some(libc::ENOSPC | libc::ENOMEM), Mode::Native) => {
            "; the driver lacks queues or memory for XDP: fewer channels help (`ethtool -L DEV \
             combined N`)"
        }
        (Some(libc::EBUSY), _) => "; another XDP program was attached in the same moment",
        _ => "",
    }
}

/// Attaches the loaded program.
#[derive(Debug)]
pub struct Attacher {
    program: OwnedFd,
    pins: PinDir,
}

impl Attacher {
    pub(super) fn new(program: OwnedFd, pins: PinDir) -> Self {
        Self { program, pins }
    }

    pub fn pins(&self) -> &PinDir {
        &self.pins
    }

    /// Attaches to the interface, or swaps the program in the link it has.
    pub fn attach(
        &self,
        interface: &str,
        ifindex: u32,
        request: Request,
    ) -> Result<Attachment, AttachError> {
        let present = present(interface, ifindex)?;
        if let Some(link) = self.pinned_link(interface, ifindex)? {
            let mode = present.and_then(|present| present.mode);
            match mode {
                Some(mode) if request == Request::Auto || request == Request::Only(mode) => {
                    return self.swap(interface, &link, mode);
                }
                // The mode of a link cannot be changed.
                _ => self.remove(interface, ifindex, &link)?,
            }
        } else if let Some(present) = present {
            let program = program_name(present.program_id);
            let interface = interface.to_owned();
            return Err(AttachError::Occupied { interface, program, id: present.program_id });
        }
        self.attach_new(interface, ifindex, request)
    }

    /// Detaches from an interface, if attached.
    pub fn detach(&self, interface: &str, ifindex: u32) -> Result<(), AttachError> {
        match self.pinned_link(interface, ifindex)? {
            Some(link) => self.remove(interface, ifindex, &link),
            None => Ok(()),
        }
    }

    fn attach_new(
        &self,
        interface: &str,
        ifindex: u32,
        request: Request,
    ) -> Result<Attachment, AttachError> {
        let (first, fall_back) = match request {
            Request::Only(mode) => (mode, None),
            Request::Auto => (Mode::Native, Some(Mode::Generic)),
        };
        match (self.create(interface, ifindex, first), fall_back) {
            (Ok(()), _) => Ok(Attachment { mode: first, swapped: false, remark: None }),
            (Err(refused @ AttachError::Refused { .. }), Some(mode)) => {
                self.create(interface, ifindex, mode)?;
                let remark = Some(format!("attached in {mode} mode, slower: {refused}"));
                Ok(Attachment { mode, swapped: false, remark })
            }
            (Err(error), _) => Err(error),
        }
    }

    fn create(&self, interface: &str, ifindex: u32, mode: Mode) -> Result<(), AttachError> {
        let link = sys::link_create(self.program.as_fd(), ifindex, sys::Hook::Xdp, mode.flags())
            .map_err(|source| match source.raw_os_error() {
                Some(libc::ENODEV) => AttachError::NoInterface { interface: interface.to_owned() },
                _ => {
                    let words = refusal::words(self.program.as_fd(), ifindex, mode.flags());
                    AttachError::Refused { interface: interface.to_owned(), mode, source, words }
                }
            })?;
        sys::pin(link.as_fd(), &self.pins.link(ifindex))
            .map_err(io_error(interface, "cannot pin the link"))
    }

    fn swap(&self, interface: &str, link: &OwnedFd, mode: Mode) -> Result<Attachment, AttachError> {
        sys::link_update(link.as_fd(), self.program.as_fd())
            .map_err(io_error(interface, "cannot swap the program in its link"))?;
        Ok(Attachment { mode, swapped: true, remark: None })
    }

    /// The link of this interface, unless it is the rest of one that is gone.
    fn pinned_link(&self, interface: &str, ifindex: u32) -> Result<Option<OwnedFd>, AttachError> {
        let path = self.pins.link(ifindex);
        let link = match sys::open_pin(&path) {
            Ok(link) => link,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(interface, "cannot open the pinned link")(error)),
        };
        let info = sys::link_info(link.as_fd())
            .map_err(io_error(interface, "cannot ask for the pinned link"))?;
        if info.ifindex == ifindex {
            return Ok(Some(link));
        }
        fs::remove_file(path).map_err(io_error(interface, "cannot remove a stale link"))?;
        Ok(None)
    }

    fn remove(&self, interface: &str, ifindex: u32, link: &OwnedFd) -> Result<(), AttachError> {
        sys::link_detach(link.as_fd()).map_err(io_error(interface, "cannot detach"))?;
        fs::remove_file(self.pins.link(ifindex))
            .map_err(io_error(interface, "cannot remove the pinned link"))
    }
}

fn present(interface: &str, ifindex: u32) -> Result<Option<Attached>, AttachError> {
    attached(ifindex).map_err(|source| match source.raw_os_error() {
        Some(libc::ENODEV) => AttachError::NoInterface { interface: interface.to_owned() },
        _ => io_error(interface, "cannot ask for its XDP program")(source),
    })
}

fn io_error(interface: &str, what: &'static str) -> impl Fn(io::Error) -> AttachError {
    move |source| AttachError::Io { interface: interface.to_owned(), what, source }
}

/// In words. Only with CAP_SYS_ADMIN does the kernel tell of others' programs.
fn program_name(id: u32) -> String {
    let found = loaded_programs().find(|program| match program {
        Ok(program) => program.id() == id,
        Err(_) => true,
    });
    match found {
        Some(Ok(program)) => match program.name_as_str() {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => "without a name".to_owned(),
        },
        Some(Err(_)) => "whose name the kernel tells only with CAP_SYS_ADMIN".to_owned(),
        None => "gone meanwhile".to_owned(),
    }
}
