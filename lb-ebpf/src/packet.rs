//! An XDP frame. Every access checks the frame's end anew: helpers may move
//! the frame, and the verifier wants the check beside the access.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::{bpf_check_mtu, bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use lb_common::datapath::Packet;

pub struct Frame {
    context: *mut xdp_md,
}

impl Frame {
    #[inline(always)]
    pub fn new(ctx: &XdpContext) -> Self {
        Self { context: ctx.ctx }
    }

    #[inline(always)]
    fn start(&self) -> usize {
        // SAFETY: the kernel passed a valid context. Volatile, so that every
        // check has pointers of its own: the compiler would widen a kept one
        // from 32 bits again, and the verifier takes that for arithmetic.
        unsafe { (&raw const (*self.context).data).read_volatile() as usize }
    }

    #[inline(always)]
    fn end(&self) -> usize {
        // SAFETY: as above.
        unsafe { (&raw const (*self.context).data_end).read_volatile() as usize }
    }

    /// Address of `bytes` bytes at `offset`, if the frame has them.
    #[inline(always)]
    fn at(&self, offset: usize, bytes: usize) -> Option<usize> {
        let start = self.start();
        // In this form: the verifier does not follow the subtraction.
        if start + offset + bytes > self.end() {
            return None;
        }
        Some(start + offset)
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn length(&self) -> usize {
        self.end() - self.start()
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let address = self.at(offset, N)?;
        // SAFETY: `at` checked that the N bytes lie in the frame.
        Some(unsafe { (address as *const [u8; N]).read_unaligned() })
    }

    #[inline(always)]
    fn write<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()> {
        let address = self.at(offset, N)?;
        // SAFETY: `at` checked that the N bytes lie in the frame.
        unsafe { (address as *mut [u8; N]).write_unaligned(bytes) };
        Some(())
    }

    #[inline(always)]
    fn grow_front(&mut self, bytes: usize) -> Option<()> {
        // SAFETY: the helper checks the headroom itself.
        let failed = unsafe { bpf_xdp_adjust_head(self.context, -(bytes as i32)) };
        if failed == 0 { Some(()) } else { None }
    }

    #[inline(always)]
    fn set_length(&mut self, length: usize) -> Option<()> {
        let current = self.length();
        // SAFETY: a local. Volatile, so that the compiler does not narrow the
        // subtraction of frame pointers to 32 bits, which the verifier refuses.
        let current = unsafe { (&raw const current).read_volatile() };
        let change = length as i64 - current as i64;
        // SAFETY: the helper checks the bounds itself.
        let failed = unsafe { bpf_xdp_adjust_tail(self.context, change as i32) };
        if failed == 0 { Some(()) } else { None }
    }

    #[inline(always)]
    fn shrink_front(&mut self, bytes: usize) -> Option<()> {
        // SAFETY: the helper checks the bounds itself.
        let failed = unsafe { bpf_xdp_adjust_head(self.context, bytes as i32) };
        if failed == 0 { Some(()) } else { None }
    }

    #[inline(never)]
    fn mtu_of(&self, interface: u32) -> u32 {
        let mut mtu = 0_u32;
        // SAFETY: a valid context, and a local for the answer, which the helper
        // gives whether or not the frame fits.
        unsafe { bpf_check_mtu(self.context.cast(), interface, &raw mut mtu, 0, 0) };
        mtu
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: the kernel passed a valid context.
        unsafe { (*self.context).ingress_ifindex }
    }
}
