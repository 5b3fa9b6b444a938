//! Programs on the sockets of this host: a connection to a VIP is made to a
//! backend instead, and looks to its owner as if it were to the VIP.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::bpf_sock_addr;
use aya_ebpf::helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie};
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use lb_common::abi::{Peer, Peers};
use lb_common::datapath::local_client::{Place, Socket, backend_for};
use lb_common::hash::{v4_mapped, v4_of};

use crate::maps::SOCKET_PEERS;
use crate::tables::Maps;

/// The network namespace whose sockets these programs are for, by its cookie.
/// The daemon fills in its own.
#[unsafe(no_mangle)]
static NETWORK_NAMESPACE: u64 = 0;

/// Goes on with the system call.
const GO_ON: i32 = 1;

#[cgroup_sock_addr(connect4)]
pub fn lb_connect4(ctx: SockAddrContext) -> i32 {
    to_backend(&ctx, true, false)
}

#[cgroup_sock_addr(connect6)]
pub fn lb_connect6(ctx: SockAddrContext) -> i32 {
    to_backend(&ctx, true, true)
}

#[cgroup_sock_addr(sendmsg4)]
pub fn lb_sendmsg4(ctx: SockAddrContext) -> i32 {
    to_backend(&ctx, true, false)
}

/// The kernel does not take a v4-mapped address in place of an IPv6 one here.
#[cgroup_sock_addr(sendmsg6)]
pub fn lb_sendmsg6(ctx: SockAddrContext) -> i32 {
    to_backend(&ctx, false, true)
}

#[cgroup_sock_addr(recvmsg4)]
pub fn lb_recvmsg4(ctx: SockAddrContext) -> i32 {
    to_vip(&ctx, false)
}

#[cgroup_sock_addr(recvmsg6)]
pub fn lb_recvmsg6(ctx: SockAddrContext) -> i32 {
    to_vip(&ctx, true)
}

#[cgroup_sock_addr(getpeername4)]
pub fn lb_peername4(ctx: SockAddrContext) -> i32 {
    to_vip(&ctx, false)
}

#[cgroup_sock_addr(getpeername6)]
pub fn lb_peername6(ctx: SockAddrContext) -> i32 {
    to_vip(&ctx, true)
}

/// The target that a system call names becomes a backend, if it is a VIP.
#[inline(always)]
fn to_backend(ctx: &SockAddrContext, v4: bool, v6: bool) -> i32 {
    if !is_ours(ctx) {
        return GO_ON;
    }
    let target = Target(ctx.sock_addr);
    let Some(protocol) = target.protocol() else { return GO_ON };
    // SAFETY: the context is the one the kernel passed.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let vip = target.place(v6);
    let Some(backend) = backend_for(&Maps {}, &Socket { cookie, protocol, v4, v6 }, &vip) else {
        return GO_ON;
    };
    let peer = Peer {
        backend: backend.address,
        vip: vip.address,
        backend_port: backend.port,
        vip_port: vip.port,
        reserved: 0,
    };
    // SAFETY: the context is the one the kernel passed.
    let peers: *mut Peers = unsafe { SOCKET_PEERS.get_or_insert_ptr_mut(ctx, None) };
    // SAFETY: null, or the socket's own, which its owner's thread changes.
    if let Some(peers) = unsafe { peers.as_mut() } {
        peers.note(&peer);
    }
    target.set(v6, &backend);
    GO_ON
}

/// A backend's address that a system call is about to tell becomes the VIP's.
#[inline(always)]
fn to_vip(ctx: &SockAddrContext, v6: bool) -> i32 {
    if !is_ours(ctx) {
        return GO_ON;
    }
    // SAFETY: the context is the one the kernel passed.
    let peers: *mut Peers = unsafe { SOCKET_PEERS.get_ptr_mut(ctx) };
    // SAFETY: null, or the socket's own.
    let Some(peers) = (unsafe { peers.as_ref() }) else { return GO_ON };
    let target = Target(ctx.sock_addr);
    let backend = target.place(v6);
    if let Some(peer) = peers.find(backend.address, backend.port) {
        target.set(v6, &Place { address: peer.vip, port: peer.vip_port });
    }
    GO_ON
}

#[inline(always)]
fn is_ours(ctx: &SockAddrContext) -> bool {
    // SAFETY: a static; volatile, since the daemon fills it in at load.
    let ours = unsafe { (&raw const NETWORK_NAMESPACE).read_volatile() };
    // SAFETY: the context is the one the kernel passed.
    let its = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
    its == ours
}

/// The address in a system call. Accesses are volatile: the kernel takes each
/// field as one word and no other way.
struct Target(*mut bpf_sock_addr);

impl Target {
    /// TCP or UDP.
    #[inline(always)]
    fn protocol(&self) -> Option<u8> {
        const TCP: u32 = 6;
        const UDP: u32 = 17;
        // SAFETY: the kernel passed a valid context.
        match unsafe { (&raw const (*self.0).protocol).read_volatile() } {
            protocol @ (TCP | UDP) => Some(protocol as u8),
            _ => None,
        }
    }

    #[inline(always)]
    fn place(&self, v6: bool) -> Place {
        // SAFETY: the kernel passed a valid context.
        let port = unsafe { (&raw const (*self.0).user_port).read_volatile() } as u16;
        let port = u16::from_be(port);
        if v6 {
            let word = |i: usize| {
                // SAFETY: as above; there are four words.
                unsafe { (&raw const (*self.0).user_ip6[i]).read_volatile() as u64 }
            };
            let address = [word(0) | word(1) << 32, word(2) | word(3) << 32];
            return Place { address, port };
        }
        // SAFETY: as above.
        let address = unsafe { (&raw const (*self.0).user_ip4).read_volatile() };
        Place { address: v4_mapped(address.to_ne_bytes()), port }
    }

    #[inline(always)]
    fn set(&self, v6: bool, place: &Place) {
        let [a, b] = place.address;
        // SAFETY: the kernel passed a valid context, whose fields these are.
        unsafe {
            (&raw mut (*self.0).user_port).write_volatile(place.port.to_be() as u32);
            if v6 {
                (&raw mut (*self.0).user_ip6[0]).write_volatile(a as u32);
                (&raw mut (*self.0).user_ip6[1]).write_volatile((a >> 32) as u32);
                (&raw mut (*self.0).user_ip6[2]).write_volatile(b as u32);
                (&raw mut (*self.0).user_ip6[3]).write_volatile((b >> 32) as u32);
            } else {
                let v4 = u32::from_ne_bytes(v4_of(place.address));
                (&raw mut (*self.0).user_ip4).write_volatile(v4);
            }
        }
    }
}
