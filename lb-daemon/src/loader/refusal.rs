//! Why the kernel refuses an attachment, in its own words.
//!
//! A link that is refused has an errno and nothing else. The same attachment
//! asked for over netlink is refused for the same reason, and with a sentence.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp},
};
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::netlink::socket::RequestSocket;

/// `XDP_FLAGS_UPDATE_IF_NOEXIST`: nobody else's program is replaced.
const IF_NONE: u32 = 1 << 0;
const NO_PROGRAM: RawFd = -1;

/// To be asked for an attachment that was just refused. `mode`: a flag of
/// `XDP_FLAGS_DRV_MODE` and `XDP_FLAGS_SKB_MODE`.
pub fn words(program: BorrowedFd<'_>, ifindex: u32, mode: u32) -> Option<String> {
    let mut socket = RequestSocket::open(NETLINK_ROUTE).ok()?;
    match socket.set(attach(ifindex, program.as_raw_fd(), mode | IF_NONE), 0) {
        Err(refused) => refused.words().map(str::to_owned),
        Ok(()) => {
            // What stood in the way is gone; the next attempt makes a link.
            let _ = socket.set(attach(ifindex, NO_PROGRAM, mode), 0);
            None
        }
    }
}

fn attach(ifindex: u32, program: RawFd, flags: u32) -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = ifindex;
    let xdp = vec![LinkXdp::Fd(program), LinkXdp::Flags(flags)];
    link.attributes.push(LinkAttribute::Xdp(xdp));
    RouteNetlinkMessage::SetLink(link)
}
