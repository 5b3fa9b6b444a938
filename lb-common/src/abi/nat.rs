//! The tables of translated flows: memory-mapped arrays of buckets, each of
//! seven lines. A flow has two lines, one under the key of the client's packets
//! (forward) and one under the key of the backend's (reverse).
//!
//! A line is a word, `meta`, and a body. The words of a bucket stand together
//! in one cache line, so that looking for a key reads one, and another for the
//! body only where the key is. A line is claimed, changed and given up by
//! compare-and-swap on its word alone; see `nat::table`.

use crate::hash::FlowWords;
use crate::nat::Shared;

/// Lines per bucket.
pub const NAT_WAYS: usize = 7;
/// Addresses of one family in a pool.
pub const POOL_ADDRESSES: usize = 16;
/// Pools: one for each service at most.
pub const MAX_POOLS: u32 = super::MAX_SERVICES;

/// What a line is, or is about to be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum NatState {
    Free = 0,
    /// Claimed: somebody is writing it.
    Busy = 1,
    /// The client's SYN went to the backend.
    Opening = 2,
    /// The backend answered it.
    Answered = 3,
    /// The client answered that: both ends speak from where they say.
    Established = 4,
    /// FIN from the client first.
    ClientClosing = 5,
    /// FIN from the backend first.
    BackendClosing = 6,
    /// FIN from both, the client's first: the tuple rests.
    Closed = 7,
    /// FIN from both, the backend's first: it keeps the tuple in TIME-WAIT.
    BackendClosed = 8,
    /// RST; data after it opens the flow again.
    Reset = 9,
    /// A UDP flow that had no answer yet.
    UdpNew = 10,
    Udp = 11,
    /// As many answers as asked for: the tuple rests.
    UdpDone = 12,
}

impl NatState {
    #[inline(always)]
    pub const fn of(number: u8) -> Self {
        match number {
            0 => Self::Free,
            1 => Self::Busy,
            2 => Self::Opening,
            3 => Self::Answered,
            4 => Self::Established,
            5 => Self::ClientClosing,
            6 => Self::BackendClosing,
            7 => Self::Closed,
            8 => Self::BackendClosed,
            9 => Self::Reset,
            10 => Self::UdpNew,
            11 => Self::Udp,
            _ => Self::UdpDone,
        }
    }

    /// Word in `flows` and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Busy => "busy",
            Self::Opening => "opening",
            Self::Answered => "answered",
            Self::Established => "established",
            Self::ClientClosing => "client_closing",
            Self::BackendClosing => "backend_closing",
            Self::Closed => "closed",
            Self::BackendClosed => "backend_closed",
            Self::Reset => "reset",
            Self::UdpNew => "udp_new",
            Self::Udp => "udp",
            Self::UdpDone => "udp_done",
        }
    }

    /// Half-open TCP and unanswered UDP: gives way to a newer flow when there
    /// is no other room.
    #[inline(always)]
    pub const fn is_evictable(self) -> bool {
        matches!(self, Self::Opening | Self::Answered | Self::UdpNew)
    }

    /// Over: only its tuple still rests.
    #[inline(always)]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::BackendClosed | Self::Reset | Self::UdpDone)
    }
}

/// When the line expires, in ticks (bits 0..40) | [`NatState`] (40..44) |
/// generation (44..48), raised whenever the line is claimed | tag (48..64), a
/// part of the key's hash. 0: free since ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct NatMeta(pub u64);

impl NatMeta {
    const TICKS: u64 = (1 << 40) - 1;
    const GENERATION: u64 = 0xf << 44;

    #[inline(always)]
    pub const fn state(self) -> NatState {
        NatState::of((self.0 >> 40) as u8 & 0xf)
    }

    #[inline(always)]
    pub const fn expires(self) -> u64 {
        self.0 & Self::TICKS
    }

    #[inline(always)]
    pub const fn tag(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Holds a flow's line, expired or not.
    #[inline(always)]
    pub const fn in_use(self) -> bool {
        (self.0 >> 40) & 0xf >= NatState::Opening as u64
    }

    #[inline(always)]
    pub const fn is_busy(self) -> bool {
        (self.0 >> 40) & 0xf == NatState::Busy as u64
    }

    #[inline(always)]
    pub const fn is_free(self) -> bool {
        (self.0 >> 40) & 0xf == NatState::Free as u64
    }

    /// Whether a line that was as `other` says still holds the same flow.
    #[inline(always)]
    pub const fn is_same_use(self, other: Self) -> bool {
        self.in_use() && (self.0 ^ other.0) >> 44 == 0
    }

    /// Claimed for a key with this tag.
    #[inline(always)]
    pub const fn claimed(self, tag: u16) -> Self {
        let generation = (self.0 & Self::GENERATION).wrapping_add(1 << 44) & Self::GENERATION;
        Self((NatState::Busy as u64) << 40 | generation | (tag as u64) << 48)
    }

    /// Given up. Keeps its generation.
    #[inline(always)]
    pub const fn freed(self) -> Self {
        Self(self.0 & Self::GENERATION)
    }

    /// The same line in another state or with another time.
    #[inline(always)]
    pub const fn with(self, state: NatState, expires: u64) -> Self {
        let kept = self.0 & !Self::TICKS & !(0xf << 40);
        Self(kept | (state as u64) << 40 | expires & Self::TICKS)
    }
}

/// What a line says of its flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct NatEntry {
    /// The packet's ends after translation.
    pub to: FlowWords,
    /// Of a forward line: when the flow began, in ticks.
    pub began: u64,
    /// Of a reverse line: where the client's packets come from.
    pub hop: NatHop,
    pub backend: u16,
    pub service: u16,
    /// Of a line that was found: packets that it had counted, and the
    /// [`NatState`] that it was in.
    pub packets: u16,
    pub state: u8,
    pub reserved: u8,
}

/// The way back to a client, learned from its packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct NatHop {
    /// MAC addresses of the frame, see [`mac_word`].
    pub destination: u64,
    pub source: u64,
    pub ifindex: u64,
}

const MAC_BITS: u64 = (1 << 48) - 1;

/// A MAC address in the low 48 bits.
#[inline(always)]
pub const fn mac_word(address: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = address;
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

/// The MAC address in the low 48 bits.
#[inline(always)]
pub const fn mac_of(word: u64) -> [u8; 6] {
    let [a, b, c, d, e, f, ..] = word.to_le_bytes();
    [a, b, c, d, e, f]
}

/// The words that both kinds of bodies end with.
#[derive(Default)]
#[repr(C)]
pub struct NatRest {
    /// Ports after translation (0..32) | interface (32..64).
    pub to_ports: Shared,
    /// Forward: begin (0..48). Reverse: destination MAC. Both: service (48..64).
    pub hop_or_begin: Shared,
    /// Reverse: source MAC. Bit 63: this is the reverse line.
    pub hop_source: Shared,
    /// Frame bytes (0..48) | packets (48..64, wraps).
    pub traffic: Shared,
}

impl NatRest {
    const REVERSE: u64 = 1 << 63;

    #[inline(always)]
    fn write(&self, entry: &NatEntry, reverse: bool) {
        let first = if reverse { entry.hop.destination } else { entry.began & MAC_BITS };
        let flag = if reverse { Self::REVERSE } else { 0 };
        self.to_ports.store(entry.to.ports & 0xffff_ffff | entry.hop.ifindex << 32);
        self.hop_or_begin.store(first | (entry.service as u64) << 48);
        self.hop_source.store(entry.hop.source | flag);
        self.traffic.store(0);
    }

    #[inline(always)]
    fn copy(&self, other: &Self) {
        self.to_ports.store(other.to_ports.load());
        self.hop_or_begin.store(other.hop_or_begin.load());
        self.hop_source.store(other.hop_source.load());
        self.traffic.store(other.traffic.load());
    }

    /// Writes where the client's packets come from, if they came from elsewhere.
    #[inline(always)]
    pub fn set_hop(&self, hop: &NatHop) {
        let first = self.to_ports.load();
        let second = self.hop_or_begin.load();
        let third = Self::REVERSE | hop.source;
        let moved = first >> 32 != hop.ifindex
            || second & MAC_BITS != hop.destination
            || self.hop_source.load() != third;
        if moved {
            self.to_ports.store(first & 0xffff_ffff | hop.ifindex << 32);
            self.hop_or_begin.store(second & !MAC_BITS | hop.destination);
            self.hop_source.store(third);
        }
    }

    /// Counts a frame. Not in one step, which would have the processor wait for
    /// the line: of frames of one direction that two CPUs have at the same
    /// moment, one may not be counted.
    #[inline(always)]
    pub fn count(&self, bytes: usize) {
        self.traffic.store(self.traffic.load().wrapping_add(1 << 48 | bytes as u64));
    }

    /// Frames since the flow began; wraps.
    #[inline(always)]
    pub fn packets(&self) -> u16 {
        (self.traffic.load() >> 48) as u16
    }

    #[inline(always)]
    pub fn bytes(&self) -> u64 {
        self.traffic.load() & MAC_BITS
    }

    #[inline(always)]
    pub fn is_reverse(&self) -> bool {
        self.hop_source.load() & Self::REVERSE != 0
    }
}

/// What a line says of its flow, in shared memory: one of two kinds.
pub trait NatBody {
    fn rest(&self) -> &NatRest;
    /// Whether this is the line of `key`.
    fn is(&self, key: &FlowWords) -> bool;
    fn key(&self) -> FlowWords;
    fn to(&self) -> FlowWords;
    fn backend(&self) -> u16;
    /// Whether packets of this line leave between these ends, in reverse.
    fn answers(&self, key: &FlowWords) -> bool;
    fn write_ends(&self, key: &FlowWords, to: &FlowWords, backend: u16);
    fn copy(&self, other: &Self);

    #[inline(always)]
    fn write(&self, key: &FlowWords, entry: &NatEntry, reverse: bool) {
        self.write_ends(key, &entry.to, entry.backend);
        self.rest().write(entry, reverse);
    }

    #[inline(always)]
    fn service(&self) -> u16 {
        (self.rest().hop_or_begin.load() >> 48) as u16
    }

    #[inline(always)]
    fn hop(&self) -> NatHop {
        let rest = self.rest();
        NatHop {
            destination: rest.hop_or_begin.load() & MAC_BITS,
            source: rest.hop_source.load() & MAC_BITS,
            ifindex: rest.to_ports.load() >> 32,
        }
    }

    #[inline(always)]
    fn began(&self) -> u64 {
        self.rest().hop_or_begin.load() & MAC_BITS
    }

    #[inline(always)]
    fn entry(&self) -> NatEntry {
        let reverse = self.rest().is_reverse();
        NatEntry {
            to: self.to(),
            backend: self.backend(),
            service: self.service(),
            hop: if reverse { self.hop() } else { NatHop::default() },
            began: if reverse { 0 } else { self.began() },
            packets: 0,
            state: 0,
            reserved: 0,
        }
    }
}

/// Ports and protocol of a key.
const KEY_PORTS: u64 = (1 << 40) - 1;

/// A bucket: the lines' words, then their bodies.
#[derive(Default)]
#[repr(C, align(64))]
pub struct NatBucket<B> {
    /// See [`NatMeta`]; the only words that are exchanged.
    pub metas: [Shared; NAT_WAYS],
    reserved: u64,
    pub bodies: [B; NAT_WAYS],
}

/// One line of a bucket.
pub struct NatLine<'a, B> {
    /// See [`NatMeta`].
    pub meta: &'a Shared,
    pub body: &'a B,
}

impl<B> Clone for NatLine<'_, B> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for NatLine<'_, B> {}

/// The body of a line whose four addresses are all IPv4. 64 bytes.
#[derive(Default)]
#[repr(C, align(64))]
pub struct NarrowBody {
    /// Source (0..32) and destination (32..64).
    addresses: Shared,
    /// [`FlowWords::ports`] (0..40) | backend (48..64).
    ports: Shared,
    to_addresses: Shared,
    rest: NatRest,
    reserved: u64,
}

/// The body of a line with an IPv6 address among its four; IPv4 is v4-mapped.
/// 128 bytes.
#[derive(Default)]
#[repr(C, align(64))]
pub struct WideBody {
    source: [Shared; 2],
    destination: [Shared; 2],
    ports: Shared,
    to_source: [Shared; 2],
    to_destination: [Shared; 2],
    rest: NatRest,
    reserved: [u64; 3],
}

pub type NarrowBucket = NatBucket<NarrowBody>;
pub type WideBucket = NatBucket<WideBody>;

const _: () = assert!(size_of::<NarrowBucket>() == 512);
const _: () = assert!(size_of::<WideBucket>() == 960);

#[inline(always)]
const fn pack(source: [u64; 2], destination: [u64; 2]) -> u64 {
    source[1] >> 32 | destination[1] & 0xffff_ffff_0000_0000
}

#[inline(always)]
const fn unpack(addresses: u64) -> ([u64; 2], [u64; 2]) {
    const MAPPED: u64 = 0xffff_0000;
    ([0, MAPPED | addresses << 32], [0, MAPPED | addresses & 0xffff_ffff_0000_0000])
}

impl NatBody for NarrowBody {
    #[inline(always)]
    fn rest(&self) -> &NatRest {
        &self.rest
    }

    #[inline(always)]
    fn is(&self, key: &FlowWords) -> bool {
        self.addresses.load() == pack(key.source, key.destination)
            && self.ports.load() & KEY_PORTS == key.ports
    }

    #[inline(always)]
    fn key(&self) -> FlowWords {
        let (source, destination) = unpack(self.addresses.load());
        FlowWords { source, destination, ports: self.ports.load() & KEY_PORTS }
    }

    #[inline(always)]
    fn to(&self) -> FlowWords {
        let (source, destination) = unpack(self.to_addresses.load());
        let protocol = self.ports.load() & KEY_PORTS & !0xffff_ffff;
        let ports = self.rest.to_ports.load() & 0xffff_ffff | protocol;
        FlowWords { source, destination, ports }
    }

    #[inline(always)]
    fn backend(&self) -> u16 {
        (self.ports.load() >> 48) as u16
    }

    #[inline(always)]
    fn answers(&self, key: &FlowWords) -> bool {
        self.to_addresses.load() == pack(key.destination, key.source)
            && self.rest.to_ports.load() as u32 == (key.ports as u32).rotate_left(16)
    }

    #[inline(always)]
    fn copy(&self, other: &Self) {
        self.addresses.store(other.addresses.load());
        self.ports.store(other.ports.load());
        self.to_addresses.store(other.to_addresses.load());
        self.rest.copy(&other.rest);
    }

    #[inline(always)]
    fn write_ends(&self, key: &FlowWords, to: &FlowWords, backend: u16) {
        self.addresses.store(pack(key.source, key.destination));
        self.ports.store(key.ports | (backend as u64) << 48);
        self.to_addresses.store(pack(to.source, to.destination));
    }
}

#[inline(always)]
fn load_both(words: &[Shared; 2]) -> [u64; 2] {
    [words[0].load(), words[1].load()]
}

#[inline(always)]
fn copy_both(to: &[Shared; 2], from: &[Shared; 2]) {
    store_both(to, load_both(from));
}

#[inline(always)]
fn store_both(words: &[Shared; 2], value: [u64; 2]) {
    words[0].store(value[0]);
    words[1].store(value[1]);
}

impl NatBody for WideBody {
    #[inline(always)]
    fn rest(&self) -> &NatRest {
        &self.rest
    }

    #[inline(always)]
    fn is(&self, key: &FlowWords) -> bool {
        self.ports.load() & KEY_PORTS == key.ports
            && load_both(&self.source) == key.source
            && load_both(&self.destination) == key.destination
    }

    #[inline(always)]
    fn key(&self) -> FlowWords {
        FlowWords {
            source: load_both(&self.source),
            destination: load_both(&self.destination),
            ports: self.ports.load() & KEY_PORTS,
        }
    }

    #[inline(always)]
    fn to(&self) -> FlowWords {
        let protocol = self.ports.load() & KEY_PORTS & !0xffff_ffff;
        FlowWords {
            source: load_both(&self.to_source),
            destination: load_both(&self.to_destination),
            ports: self.rest.to_ports.load() & 0xffff_ffff | protocol,
        }
    }

    #[inline(always)]
    fn backend(&self) -> u16 {
        (self.ports.load() >> 48) as u16
    }

    #[inline(always)]
    fn answers(&self, key: &FlowWords) -> bool {
        self.rest.to_ports.load() as u32 == (key.ports as u32).rotate_left(16)
            && load_both(&self.to_source) == key.destination
            && load_both(&self.to_destination) == key.source
    }

    #[inline(always)]
    fn copy(&self, other: &Self) {
        copy_both(&self.source, &other.source);
        copy_both(&self.destination, &other.destination);
        self.ports.store(other.ports.load());
        copy_both(&self.to_source, &other.to_source);
        copy_both(&self.to_destination, &other.to_destination);
        self.rest.copy(&other.rest);
    }

    #[inline(always)]
    fn write_ends(&self, key: &FlowWords, to: &FlowWords, backend: u16) {
        store_both(&self.source, key.source);
        store_both(&self.destination, key.destination);
        self.ports.store(key.ports | (backend as u64) << 48);
        store_both(&self.to_source, to.source);
        store_both(&self.to_destination, to.destination);
    }
}

/// Addresses and ports that a service's flows leave from. 400 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Pool {
    /// Addresses in use, by family. 0: the backend entry's `outer_source`.
    pub v4_count: u32,
    pub v6_count: u32,
    /// Host order.
    pub first_port: u16,
    /// Ports from `first_port` on.
    pub ports: u16,
    pub reserved: u32,
    /// IPv4 addresses in the last words of their v4-mapped form.
    pub v4: [u64; POOL_ADDRESSES],
    pub v6: [[u64; 2]; POOL_ADDRESSES],
}

const _: () = assert!(size_of::<Pool>() == 16 + 24 * POOL_ADDRESSES);

/// What holds for all translated flows. 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct NatSettings {
    /// Of the tables' hash.
    pub key: [u64; 2],
    /// Buckets of each table.
    pub narrow: u32,
    pub wide: u32,
    pub narrow_new: u32,
    pub wide_new: u32,
    /// How long a closed tuple rests, in ticks: after the client's FIN or a
    /// RST, after the backend's FIN, after the last answer over UDP.
    pub rest_client: u32,
    pub rest_backend: u32,
    pub rest_udp: u32,
    /// An expired line is taken over only after so many ticks more.
    pub guard: u32,
    /// 1: some flow has IPv4 on one side and IPv6 on the other.
    pub mixed: u32,
    /// The least MTU of all interfaces; longer answers are checked.
    pub least_mtu: u32,
    /// 1: flows that begin are told to the daemon, see [`NatBegin`].
    pub log: u32,
    pub reserved: u32,
}

const _: () = assert!(size_of::<NatSettings>() == 64);

/// A flow that began, for the log. 96 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct NatBegin {
    /// The client's packet as it came, and as it leaves.
    pub outside: FlowWords,
    pub inside: FlowWords,
    /// In ticks.
    pub at: u64,
    pub service: u16,
    pub backend: u16,
    pub reserved: u32,
}

const _: () = assert!(size_of::<NatBegin>() == 96);

/// Size of the ring buffer that they go through.
pub const NAT_EVENT_BYTES: u32 = 1 << 20;

/// A flow that is being opened or moved. In a map: it would not fit the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Draft {
    pub forward: NatEntry,
    pub reverse: NatEntry,
    pub reverse_key: FlowWords,
}

/// A packet on its way between programs: what the first found out. One per CPU.
/// 296 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Handoff {
    pub source: [u64; 2],
    pub destination: [u64; 2],
    /// The VIP table's entry.
    pub vip: u64,
    /// The flow that the packet belongs to or speaks of.
    pub flow: FlowWords,
    /// Of the packet, from its IP header on, in bytes.
    pub length: u32,
    /// Frame offset of the upper layer.
    pub upper: u32,
    /// `u16::MAX`: none has the port.
    pub service: u16,
    pub protocol: u8,
    pub v6: u8,
    /// Of the packet, as a number; 5: a message about the flow.
    pub kind: u8,
    /// 1: the first fragment of a packet.
    pub is_fragment: u8,
    /// 1: the flow was found under the key of its backend's packets.
    pub is_answer: u8,
    /// 1: a flow that is being opened keeps the client's address.
    pub keeps_client: u8,
    pub draft: Draft,
}

const _: () = assert!(size_of::<Handoff>() == 296);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{split, v4_mapped};

    fn check<B: NatBody + Default>(source: [u64; 2], destination: [u64; 2]) {
        let ports = |p| FlowWords::pack_ports(p, 6);
        let key = FlowWords { source, destination, ports: ports([1, 2, 3, 4]) };
        let to = FlowWords { source: destination, destination: source, ports: ports([5, 6, 7, 8]) };
        let hop = NatHop {
            destination: mac_word([1, 2, 3, 4, 5, 6]),
            source: mac_word([6, 5, 4, 3, 2, 1]),
            ifindex: 77,
        };
        let reverse = NatEntry { to, backend: 0xabcd, service: 0x1234, hop, ..NatEntry::default() };
        let body = B::default();
        body.write(&key, &reverse, true);
        assert_eq!((body.key(), body.entry()), (key, reverse));
        assert!(body.is(&key) && !body.is(&to) && body.rest().is_reverse());
        let forward = NatEntry { hop: NatHop::default(), began: 0x1234_5678_9abc, ..reverse };
        body.write(&key, &forward, false);
        assert_eq!((body.key(), body.entry()), (key, forward));
    }

    #[test]
    fn bodies_give_back_what_was_written() {
        check::<NarrowBody>(v4_mapped([10, 1, 2, 3]), v4_mapped([192, 0, 2, 250]));
        check::<WideBody>(split([0x20; 16]), split([0xfe; 16]));
        check::<WideBody>(v4_mapped([10, 1, 2, 3]), split([0xfe; 16]));
    }

    #[test]
    fn a_claim_raises_the_generation_and_nothing_else() {
        let meta = NatMeta(0).claimed(0xffff).with(NatState::Udp, u64::MAX >> 24);
        assert_eq!((meta.state(), meta.tag()), (NatState::Udp, 0xffff));
        assert_eq!(meta.expires(), u64::MAX >> 24);
        assert_ne!(meta.freed().claimed(1), NatMeta(0).claimed(1));
        assert!(meta.freed().is_free() && meta.in_use() && !meta.is_busy());
        let mut round = meta;
        for _ in 0..16 {
            round = round.claimed(0xffff);
        }
        assert_eq!(round.with(NatState::Udp, meta.expires()), meta, "sixteen generations");
    }
}
