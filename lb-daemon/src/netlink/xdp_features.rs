//! What a driver can do with XDP, from the kernel's `netdev` generic netlink
//! family (Linux 6.3, d3d854fd6a1d; bits in `enum netdev_xdp_act`).

use std::io;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable,
    NlasIterator,
};
use netlink_sys::protocols::NETLINK_GENERIC;

use super::socket::RequestSocket;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct XdpFeatures(pub u64);

impl XdpFeatures {
    const BASIC: u64 = 1 << 0;
    const REDIRECT: u64 = 1 << 1;
    const NDO_XMIT: u64 = 1 << 2;
    const RX_SG: u64 = 1 << 5;
    const NDO_XMIT_SG: u64 = 1 << 6;

    /// Runs a program and carries out PASS, DROP, ABORTED and TX.
    pub fn basic(self) -> bool {
        self.0 & Self::BASIC != 0
    }

    /// Carries out REDIRECT.
    pub fn redirects(self) -> bool {
        self.0 & Self::REDIRECT != 0
    }

    /// Transmits packets that are redirected to it.
    pub fn takes_redirected(self) -> bool {
        self.0 & Self::NDO_XMIT != 0
    }

    /// Gives the program packets in several buffers.
    pub fn receives_fragments(self) -> bool {
        self.0 & Self::RX_SG != 0
    }

    /// Transmits redirected packets in several buffers.
    pub fn takes_redirected_fragments(self) -> bool {
        self.0 & Self::NDO_XMIT_SG != 0
    }
}

/// Asks the kernel. Belongs to the network namespace of the thread that opens it.
pub struct XdpFeatureReader {
    socket: RequestSocket,
    family: u16,
}

/// The controller, which knows the other families' numbers.
const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

const DEVICE_GET: u8 = 1;
const DEVICE_IFINDEX: u16 = 1;
const DEVICE_XDP_FEATURES: u16 = 3;

impl XdpFeatureReader {
    /// None if the kernel does not tell.
    pub fn open() -> io::Result<Option<Self>> {
        let mut socket = RequestSocket::open(NETLINK_GENERIC)?;
        let name = (FAMILY_NAME, b"netdev\0".to_vec());
        let query =
            GenericMessage { family: CONTROLLER, command: GET_FAMILY, attributes: vec![name] };
        let answer = match socket.get(query) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            answer => answer?,
        };
        let id = answer.attribute(FAMILY_ID).and_then(|value| value.try_into().ok());
        let family = u16::from_ne_bytes(id.ok_or_else(|| incomplete("the family's number"))?);
        Ok(Some(Self { socket, family }))
    }

    pub fn read(&mut self, ifindex: u32) -> io::Result<XdpFeatures> {
        let index = (DEVICE_IFINDEX, ifindex.to_ne_bytes().to_vec());
        let query =
            GenericMessage { family: self.family, command: DEVICE_GET, attributes: vec![index] };
        let answer = self.socket.get(query)?;
        let bits = answer.attribute(DEVICE_XDP_FEATURES).and_then(|value| value.try_into().ok());
        Ok(XdpFeatures(u64::from_ne_bytes(bits.ok_or_else(|| incomplete("XDP features"))?)))
    }
}

fn incomplete(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the kernel's answer lacks {what}"))
}

/// A generic netlink message: command, version, two reserved bytes, attributes.
struct GenericMessage {
    family: u16,
    command: u8,
    attributes: Vec<(u16, Vec<u8>)>,
}

const HEADER: usize = 4;
const VERSION: u8 = 1;

impl GenericMessage {
    fn attribute(&self, wanted: u16) -> Option<&[u8]> {
        let found = self.attributes.iter().find(|(kind, _)| *kind == wanted);
        found.map(|(_, value)| value.as_slice())
    }

    fn nlas(&self) -> Vec<DefaultNla> {
        let attributes = self.attributes.iter();
        attributes.map(|(kind, value)| DefaultNla::new(*kind, value.clone())).collect()
    }
}

impl NetlinkSerializable for GenericMessage {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        HEADER + self.nlas().as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[..HEADER].copy_from_slice(&[self.command, VERSION, 0, 0]);
        self.nlas().as_slice().emit(&mut buffer[HEADER..]);
    }
}

impl NetlinkDeserializable for GenericMessage {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let [command, _, _, _, attributes @ ..] = payload else {
            return Err(DecodeError::from("a generic netlink message without its header"));
        };
        let attributes = NlasIterator::new(attributes)
            .map(|nla| nla.map(|nla| (nla.kind(), nla.value().to_vec())))
            .collect::<Result<_, _>>()?;
        Ok(Self { family: header.message_type, command: *command, attributes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_encoding() {
        let message = GenericMessage {
            family: 30,
            command: DEVICE_GET,
            attributes: vec![(1, vec![1, 2, 3]), (3, 0x7f_u64.to_ne_bytes().to_vec())],
        };
        let mut bytes = vec![0xff; message.buffer_len()];
        message.serialize(&mut bytes);
        assert_eq!(bytes.len(), 4 + 8 + 12);
        let mut header = NetlinkHeader::default();
        header.message_type = 30;
        let decoded = GenericMessage::deserialize(&header, &bytes).unwrap();
        assert_eq!((decoded.family, decoded.command), (30, DEVICE_GET));
        assert_eq!(decoded.attribute(1), Some(&[1, 2, 3][..]));
        assert_eq!(decoded.attribute(3), Some(&0x7f_u64.to_ne_bytes()[..]));
        assert_eq!(decoded.attribute(2), None);
    }

    #[test]
    fn cut_short_messages_are_errors() {
        let header = NetlinkHeader::default();
        for bytes in [&[1, 1, 0][..], &[1, 1, 0, 0, 9, 0, 1, 0, 5]] {
            assert!(GenericMessage::deserialize(&header, bytes).is_err(), "{bytes:?}");
        }
    }
}
