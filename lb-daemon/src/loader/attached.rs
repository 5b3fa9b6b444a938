//! Which XDP program an interface has, and how it is attached: asked of the
//! kernel, since a link does not tell the mode.

use std::io;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::Mode;

/// The XDP program of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attached {
    pub program_id: u32,
    /// `None`: in some other way (offloaded to hardware, or in several modes).
    pub mode: Option<Mode>,
}

/// What is attached to the interface, if anything. Fails with ENODEV where
/// there is no such interface.
pub fn attached(ifindex: u32) -> io::Result<Option<Attached>> {
    Ok(find(&ask(ifindex)?.attributes))
}

fn ask(ifindex: u32) -> io::Result<LinkMessage> {
    let mut link = LinkMessage::default();
    link.header.index = ifindex;
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(link));
    request.header.flags = NLM_F_REQUEST;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);

    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    match message.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(link),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        other => {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("unexpected answer {other:?}")))
        }
    }
}

fn find(attributes: &[LinkAttribute]) -> Option<Attached> {
    let xdp = attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Xdp(xdp) => Some(xdp),
        _ => None,
    })?;
    let (mut mode, mut ids) = (None, [None; 3]);
    for attribute in xdp {
        match attribute {
            LinkXdp::Attached(XdpAttached::None) => return None,
            LinkXdp::Attached(XdpAttached::Driver) => mode = Some(Mode::Native),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => mode = Some(Mode::Generic),
            LinkXdp::ProgId(id) => ids[0] = Some(*id),
            LinkXdp::DrvProgId(id) => ids[1] = Some(*id),
            LinkXdp::SkbProgId(id) => ids[2] = Some(*id),
            _ => {}
        }
    }
    let program_id = ids.into_iter().flatten().find(|id| *id != 0)?;
    Some(Attached { program_id, mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_and_program_are_read_from_the_attributes() {
        let native = [LinkAttribute::Xdp(vec![
            LinkXdp::Attached(XdpAttached::Driver),
            LinkXdp::ProgId(7),
            LinkXdp::DrvProgId(7),
        ])];
        assert_eq!(find(&native), Some(Attached { program_id: 7, mode: Some(Mode::Native) }));
        let none = [LinkAttribute::Xdp(vec![LinkXdp::Attached(XdpAttached::None)])];
        assert_eq!(find(&none), None);
        let both = [LinkAttribute::Xdp(vec![
            LinkXdp::Attached(XdpAttached::Multiple),
            LinkXdp::DrvProgId(3),
            LinkXdp::SkbProgId(4),
        ])];
        assert_eq!(find(&both), Some(Attached { program_id: 3, mode: None }));
        assert_eq!(find(&[]), None);
    }
}
