//! The other end of a veth, in whatever network namespace it is.
//!
//! What XDP sends back through a veth is taken in by the peer's own XDP
//! program. GRO on the peer makes the kernel believe that it would be taken,
//! and nothing ever fetches it, nor counts the loss (`veth_xdp_flush` wakes only
//! a peer that has a program).

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage},
};

use super::{Link, XdpMode, socket::RequestSocket};

/// Whether the peer of a veth runs an XDP program in its driver. None for other
/// kinds, and where the peer cannot be seen.
pub fn runs_xdp(routing: &mut RequestSocket, link: &Link) -> Option<bool> {
    if link.kind != "veth" {
        return None;
    }
    let mut question = LinkMessage::default();
    match (link.lower, link.elsewhere) {
        (Some(index), _) => question.header.index = index,
        (None, Some(elsewhere)) => {
            question.header.index = elsewhere.index;
            question.attributes.push(LinkAttribute::IfNetnsId(elsewhere.namespace));
        }
        (None, None) => return None,
    }
    match routing.get(RouteNetlinkMessage::GetLink(question)).ok()? {
        RouteNetlinkMessage::NewLink(peer) => {
            let mode = Link::decode(&peer)?.xdp.map(|xdp| xdp.mode);
            Some(matches!(mode, Some(XdpMode::Native | XdpMode::Several)))
        }
        _ => None,
    }
}
