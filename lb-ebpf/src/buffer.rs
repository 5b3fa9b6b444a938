//! A packet that the kernel has made, on its way out: perhaps many segments in
//! one, and its checksum perhaps still to be made by the NIC. It is read by
//! copying, since its bytes need not be in one place, and changed only through
//! helpers that know about its checksum.

use aya_ebpf::bindings::{__sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR};
use aya_ebpf::helpers::generated::{
    bpf_csum_diff, bpf_l3_csum_replace, bpf_l4_csum_replace, bpf_skb_load_bytes,
    bpf_skb_store_bytes,
};
use aya_ebpf::programs::TcContext;
use lb_common::datapath::Packet;

pub struct Buffer {
    context: *mut __sk_buff,
}

/// `None`: a helper refused.
fn done(result: i64) -> Option<()> {
    if result == 0 { Some(()) } else { None }
}

impl Buffer {
    #[inline(always)]
    pub fn new(ctx: &TcContext) -> Self {
        Self { context: ctx.skb.skb }
    }

    /// Replaces four bytes of an IPv4 header, and its checksum at `checksum`.
    #[inline(always)]
    pub fn replace_in_ipv4(&mut self, at: usize, checksum: usize, to: [u8; 4]) -> Option<()> {
        let [from, new] = [self.read::<4>(at)?, to].map(|b| u32::from_ne_bytes(b) as u64);
        // SAFETY: a valid context; the helper checks the bounds itself.
        done(unsafe { bpf_l3_csum_replace(self.context, checksum as u32, from, new, 4) })?;
        self.write(at, to)
    }

    /// Brings the upper layer's checksum up to date with four bytes of its own,
    /// or, `outside`, of the addresses that it covers.
    #[inline(always)]
    pub fn update_checksum(
        &mut self,
        checksum: &Checksum,
        change: [[u8; 4]; 2],
        outside: bool,
    ) -> Option<()> {
        let [from, to] = change.map(|b| u32::from_ne_bytes(b) as u64);
        let flags = 4 | checksum.flags(outside);
        // SAFETY: as above.
        done(unsafe { bpf_l4_csum_replace(self.context, checksum.at, from, to, flags) })
    }

    /// The same for an IPv6 address.
    #[inline(always)]
    pub fn update_checksum_v6(
        &mut self,
        checksum: &Checksum,
        mut change: [[u8; 16]; 2],
    ) -> Option<()> {
        let [from, to] = &mut change;
        // SAFETY: both are locals of sixteen bytes.
        let difference =
            unsafe { bpf_csum_diff(from.as_mut_ptr().cast(), 16, to.as_mut_ptr().cast(), 16, 0) };
        let flags = checksum.flags(true);
        // SAFETY: as above.
        done(unsafe { bpf_l4_csum_replace(self.context, checksum.at, 0, difference as u64, flags) })
    }
}

/// Where the upper layer's checksum is.
pub struct Checksum {
    pub at: u32,
    /// Over UDP, 0 stands for none, and a sum of 0 is written otherwise.
    pub udp: bool,
}

impl Checksum {
    #[inline(always)]
    const fn flags(&self, outside: bool) -> u64 {
        let zero = if self.udp { BPF_F_MARK_MANGLED_0 as u64 } else { 0 };
        if outside { zero | BPF_F_PSEUDO_HDR as u64 } else { zero }
    }
}

impl Packet for Buffer {
    #[inline(always)]
    fn length(&self) -> usize {
        // SAFETY: the kernel passed a valid context.
        unsafe { (&raw const (*self.context).len).read_volatile() as usize }
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = [0_u8; N];
        let to = bytes.as_mut_ptr().cast();
        // SAFETY: the local has N bytes; the helper checks the offset itself.
        done(unsafe { bpf_skb_load_bytes(self.context.cast(), offset as u32, to, N as u32) })?;
        Some(bytes)
    }

    #[inline(always)]
    fn write<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()> {
        let from = bytes.as_ptr().cast();
        // SAFETY: as in `read`.
        done(unsafe { bpf_skb_store_bytes(self.context, offset as u32, from, N as u32, 0) })
    }

    /// The way out has no use for what follows.
    #[inline(always)]
    fn grow_front(&mut self, _bytes: usize) -> Option<()> {
        None
    }

    #[inline(always)]
    fn set_length(&mut self, _length: usize) -> Option<()> {
        None
    }

    #[inline(always)]
    fn shrink_front(&mut self, _bytes: usize) -> Option<()> {
        None
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        0
    }

    #[inline(always)]
    fn mtu_of(&self, _interface: u32) -> u32 {
        u32::MAX
    }
}
