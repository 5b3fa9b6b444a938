//! A frame in a vector, with the headroom that a test run of the kernel gives.

use lb_common::datapath::Packet;

/// Loopback.
const INGRESS: u32 = 1;
const ETHERNET: usize = 14;

pub struct Frame(Vec<u8>);

impl Frame {
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl Packet for Frame {
    fn length(&self) -> usize {
        self.0.len()
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.0.get(offset..offset + N)?.try_into().ok()
    }

    fn write<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()> {
        self.0.get_mut(offset..offset + N)?.copy_from_slice(&bytes);
        Some(())
    }

    fn grow_front(&mut self, bytes: usize) -> Option<()> {
        self.0.splice(0..0, std::iter::repeat_n(0, bytes));
        Some(())
    }

    fn set_length(&mut self, length: usize) -> Option<()> {
        if length < ETHERNET {
            return None;
        }
        self.0.resize(length, 0);
        Some(())
    }

    fn shrink_front(&mut self, bytes: usize) -> Option<()> {
        if self.0.len() < bytes + ETHERNET {
            return None;
        }
        self.0.drain(..bytes);
        Some(())
    }

    /// Loopback's; the tests' other interface does not exist.
    fn mtu_of(&self, interface: u32) -> u32 {
        if interface == INGRESS { 65536 } else { 0 }
    }

    fn ingress(&self) -> u32 {
        INGRESS
    }
}
