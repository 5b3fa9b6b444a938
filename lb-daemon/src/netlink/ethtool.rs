//! What a driver counts and what it does to packets on its own, through the
//! `SIOCETHTOOL` ioctl.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

const GET_DRIVER: u32 = 0x03;
const SET_TX_CHECKSUM: u32 = 0x17;
const GET_STRINGS: u32 = 0x1b;
const GET_STATISTICS: u32 = 0x1d;
const SET_TSO: u32 = 0x1f;
const SET_GSO: u32 = 0x24;
const SET_GRO: u32 = 0x2c;
const GET_SET_SIZES: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const GET_CHANNELS: u32 = 0x3c;

/// String sets (`enum ethtool_stringset`).
const STATISTICS: u32 = 1;
const FEATURES: u32 = 4;

const STRING_BYTES: usize = 32;
/// The kernel writes as many items as the driver has at that moment, however
/// many were announced: queues may have been added meanwhile.
const SPARE_ITEMS: usize = 4096;

/// Queues in use and at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Channels {
    pub combined: u32,
    pub max_combined: u32,
}

/// Asks drivers, and tells them a little. Belongs to the network namespace of the thread that opens it.
pub struct Ethtool(OwnedFd);

impl Ethtool {
    pub fn open() -> io::Result<Self> {
        let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        Ok(Self(socket))
    }

    /// The driver's own counters, as `ethtool -S` shows them. Empty for a
    /// driver that has none.
    pub fn counters(&self, interface: &str) -> io::Result<BTreeMap<String, u64>> {
        let names = self.strings(interface, STATISTICS)?;
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut words = vec![0; 2 + 2 * (names.len() + SPARE_ITEMS)];
        words[0] = GET_STATISTICS;
        words[1] = names.len() as u32;
        self.call(interface, &mut words)?;
        if words[1] as usize != names.len() {
            return Err(changed_meanwhile());
        }
        let values = words[2..].chunks_exact(2).map(|pair| two_words(pair[0], pair[1]));
        Ok(names.into_iter().zip(values).collect())
    }

    /// Names of the offloads that are on, as in `ethtool -k` of the kernel's
    /// own spelling (`rx-lro`, `rx-vlan-hw-parse`, …).
    pub fn features(&self, interface: &str) -> io::Result<BTreeSet<String>> {
        let names = self.strings(interface, FEATURES)?;
        let blocks = names.len().div_ceil(32);
        let mut words = vec![0; 2 + 4 * blocks];
        words[0] = GET_FEATURES;
        words[1] = blocks as u32;
        self.call(interface, &mut words)?;
        let active = |index: usize| {
            // A block is: available, requested, active, never changed.
            words[2 + 4 * (index / 32) + 2] & (1 << (index % 32)) != 0
        };
        let on = names.into_iter().enumerate().filter(|(index, _)| active(*index));
        Ok(on.map(|(_, name)| name).collect())
    }

    /// Name of the driver.
    pub fn driver(&self, interface: &str) -> io::Result<String> {
        // struct ethtool_drvinfo: cmd, then the name in 32 bytes, then more.
        let mut words = vec![0; 49];
        words[0] = GET_DRIVER;
        self.call(interface, &mut words)?;
        Ok(text(bytes(&words[1..9])))
    }

    /// None where the driver has no channels to configure.
    pub fn channels(&self, interface: &str) -> io::Result<Option<Channels>> {
        // struct ethtool_channels: cmd, four maxima, four counts.
        let mut words = vec![0; 9];
        words[0] = GET_CHANNELS;
        match self.call(interface, &mut words) {
            Ok(()) => Ok(Some(Channels { max_combined: words[4], combined: words[8] })),
            Err(error) if unsupported(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has segments cut and checksums finished before frames leave.
    pub fn send_plain_frames(&self, interface: &str) -> io::Result<()> {
        for command in [SET_TX_CHECKSUM, SET_TSO, SET_GSO] {
            self.call(interface, &mut [command, 0])?;
        }
        Ok(())
    }

    /// Has received segments merged, or not.
    pub fn set_gro(&self, interface: &str, on: bool) -> io::Result<()> {
        self.call(interface, &mut [SET_GRO, on.into()])
    }

    fn strings(&self, interface: &str, set: u32) -> io::Result<Vec<String>> {
        let count = self.set_size(interface, set)?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut words = vec![0; 3 + (count + SPARE_ITEMS) * STRING_BYTES / 4];
        words[..3].copy_from_slice(&[GET_STRINGS, set, count as u32]);
        self.call(interface, &mut words)?;
        if words[2] as usize != count {
            return Err(changed_meanwhile());
        }
        let bytes = bytes(&words[3..]);
        Ok(bytes.chunks_exact(STRING_BYTES).take(count).map(text).collect())
    }

    fn set_size(&self, interface: &str, set: u32) -> io::Result<usize> {
        // struct ethtool_sset_info: cmd, reserved, mask of sets (64 bits), sizes.
        let mut words = vec![0; 5];
        words[0] = GET_SET_SIZES;
        let mask = (1u64 << set).to_ne_bytes();
        words[2] = u32::from_ne_bytes([mask[0], mask[1], mask[2], mask[3]]);
        words[3] = u32::from_ne_bytes([mask[4], mask[5], mask[6], mask[7]]);
        match self.call(interface, &mut words) {
            // A set that is not supported is cleared from the mask.
            Ok(()) if words[2] | words[3] == 0 => Ok(0),
            Ok(()) => Ok(words[4] as usize),
            Err(error) if unsupported(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// `words` holds the command with room for all that the kernel writes.
    fn call(&self, interface: &str, words: &mut [u32]) -> io::Result<()> {
        // SAFETY: an all-zero ifreq is a valid one.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if interface.len() >= request.ifr_name.len() {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        // SAFETY: the descriptor is open, the name is terminated, and
        // `ifru_data` points to a buffer that is exclusively borrowed and
        // sized by the callers for their command, with items to spare where
        // the kernel decides how many it writes.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SIOCETHTOOL as _, &request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

fn unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EOPNOTSUPP)
}

fn changed_meanwhile() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "the driver's counters changed while they were read")
}

fn two_words(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Up to the first NUL.
fn text(bytes: impl AsRef<[u8]>) -> String {
    let text = bytes.as_ref().split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
