//! Hashes: the keyed hash that gives a flow its slot, and the plain one of the
//! lookup tables.
//!
//! Both are chains of multiply and xor-shift (the finaliser of MurmurHash3 and
//! its relatives). A flow's hash is keyed with 128 secret bits mixed in before
//! and between the rounds, so that a client that does not know the key cannot
//! choose its slot; what a client can observe is only which backend answers.

use crate::abi::FlowKey;

const M1: u64 = 0xff51_afd7_ed55_8ccd;
const M2: u64 = 0xc4ce_b9fe_1a85_ec53;
const M3: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn round(state: u64, word: u64, multiplier: u64) -> u64 {
    let product = (state ^ word).wrapping_mul(multiplier);
    product ^ (product >> 32)
}

/// A flow as five words, its bytes taken as little-endian; see [`FlowHash::of`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct FlowWords {
    pub source: [u64; 2],
    pub destination: [u64; 2],
    /// Source port (bits 0..16) and destination port (16..32), as read from
    /// the packet, and the protocol (32..40).
    pub ports: u64,
}

impl FlowWords {
    /// The four bytes that hold both ports, as they stand in the packet.
    #[inline(always)]
    pub const fn pack_ports(ports: [u8; 4], protocol: u8) -> u64 {
        u32::from_le_bytes(ports) as u64 | (protocol as u64) << 32
    }

    /// The same flow seen from its other end.
    #[inline(always)]
    pub const fn reversed(&self) -> Self {
        let ports = self.ports & !0xffff_ffff | (self.ports as u32).rotate_left(16) as u64;
        Self { source: self.destination, destination: self.source, ports }
    }

    /// Tag of the flow's table entry. Apart from any table's key: an entry made
    /// under one table must be found under the next.
    #[inline(always)]
    pub fn tag(&self) -> u32 {
        FlowHash::of(self, [M1, M2]).bits()
    }

    #[inline(always)]
    pub const fn key(&self) -> FlowKey {
        // The rest of the last word, which is 0: the compiler then stores one
        // word, where zeros of their own would be a call of memset.
        let [s0, s1, d0, d1, protocol, reserved @ ..] = self.ports.to_le_bytes();
        FlowKey {
            source: join(self.source),
            destination: join(self.destination),
            source_port: [s0, s1],
            destination_port: [d0, d1],
            protocol,
            reserved,
        }
    }
}

impl From<&FlowKey> for FlowWords {
    fn from(key: &FlowKey) -> Self {
        let [s0, s1] = key.source_port;
        let [d0, d1] = key.destination_port;
        Self {
            source: split(key.source),
            destination: split(key.destination),
            ports: Self::pack_ports([s0, s1, d0, d1], key.protocol),
        }
    }
}

/// An address's 16 bytes as two words.
#[inline(always)]
pub const fn split(bytes: [u8; 16]) -> [u64; 2] {
    let whole = u128::from_le_bytes(bytes);
    [whole as u64, (whole >> 64) as u64]
}

#[inline(always)]
pub const fn join(words: [u64; 2]) -> [u8; 16] {
    (words[0] as u128 | (words[1] as u128) << 64).to_le_bytes()
}

/// The v4-mapped form of an IPv4 address, as [`split`] gives it.
#[inline(always)]
pub const fn v4_mapped(address: [u8; 4]) -> [u64; 2] {
    [0, 0xffff_0000 | (u32::from_le_bytes(address) as u64) << 32]
}

/// Whether an address is v4-mapped.
#[inline(always)]
pub const fn is_v4(words: [u64; 2]) -> bool {
    words[0] == 0 && words[1] as u32 == 0xffff_0000
}

/// The IPv4 address in its v4-mapped form.
#[inline(always)]
pub const fn v4_of(words: [u64; 2]) -> [u8; 4] {
    ((words[1] >> 32) as u32).to_le_bytes()
}

/// The first word of a v4-mapped address is 0 and half of the second is
/// constant: the hash takes both words of IPv6 addresses and one of IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowHash(pub u64);

impl FlowHash {
    /// The hash of `flow` under `key`. An IPv6 flow takes two rounds more.
    #[inline(always)]
    pub fn of(flow: &FlowWords, key: [u64; 2]) -> Self {
        let mut state = key[0];
        if flow.source[0] | flow.destination[0] != 0 {
            state = round(state, flow.source[0], M3);
            state = round(state, flow.destination[0], M2) ^ key[1];
        }
        state = round(state, flow.source[1] ^ flow.ports, M1);
        state = round(state ^ key[1], flow.destination[1].rotate_left(32) ^ (flow.ports << 24), M2);
        Self(round(state, key[0] >> 32, M3))
    }

    /// The slot in a table of `count`: multiply and shift, no division.
    #[inline(always)]
    pub const fn slot(self, count: u32) -> u32 {
        (((self.0 >> 32) * count as u64) >> 32) as u32
    }

    /// Entropy for an outer header: bits the slot does not use.
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }
}

/// The two buckets, out of `buckets` (a power of two), where `words` may be.
/// Neighbouring IPv4 addresses differ in the topmost bits alone, and products
/// carry nothing down: those bits are folded into the lower half first.
#[inline(always)]
pub fn two_buckets(words: [u64; 2], buckets: u32) -> [u32; 2] {
    let both = round(M3, words[0], M1) ^ words[1];
    let hash = round(round(both, both >> 32, M2), 0, M1);
    [hash as u32 & (buckets - 1), (hash >> 32) as u32 & (buckets - 1)]
}
