//! Netlink sockets: one that asks and waits for the answer, one that listens.
//!
//! A socket belongs to the network namespace of the thread that opens it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::{
    socket::{setsockopt, sockopt},
    time::TimeVal,
};

use super::{event::messages, request_error::RequestError};

/// The kernel answers at once; it waits only for a lock that a slow driver
/// operation (a firmware command, say) may hold.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A dump that changes while it is read is read again this often.
const DUMP_ATTEMPTS: u32 = 5;
/// Room for bursts of events, such as a routing daemon that loads a full table.
const EVENT_BUFFER: usize = 8 << 20;

/// Asks and waits for the answer.
pub struct RequestSocket {
    socket: Socket,
    sequence: u32,
}

impl RequestSocket {
    pub fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let timeout = TimeVal::new(ANSWER_TIMEOUT.as_secs() as i64, 0);
        setsockopt(&socket, sockopt::ReceiveTimeout, &timeout)?;
        // With a refusal comes why, in words, and not the whole request again.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Asks for one object.
    pub fn get<T>(&mut self, query: T) -> Result<T, RequestError>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        let answer = self.exchange(query, 0)?;
        let missing = || io::Error::new(io::ErrorKind::InvalidData, "the kernel sent no object");
        answer.objects.into_iter().next().ok_or_else(|| missing().into())
    }

    /// Orders a change.
    pub fn set<T>(&mut self, order: T, flags: u16) -> Result<(), RequestError>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        self.exchange(order, flags | NLM_F_ACK).map(drop)
    }

    /// Asks for all objects of a kind.
    pub fn dump<T>(&mut self, query: T) -> Result<Vec<T>, RequestError>
    where
        T: NetlinkSerializable + NetlinkDeserializable + Clone,
    {
        for _ in 1..DUMP_ATTEMPTS {
            let answer = self.exchange(query.clone(), NLM_F_DUMP)?;
            if !answer.interrupted {
                return Ok(answer.objects);
            }
        }
        // Changes that this last one misses arrive as events.
        self.exchange(query, NLM_F_DUMP).map(|answer| answer.objects)
    }

    fn exchange<T>(&mut self, query: T, flags: u16) -> Result<Answer<T>, RequestError>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(query));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answer = Answer { objects: Vec::new(), interrupted: false };
        let several = flags & (NLM_F_DUMP | NLM_F_ACK) != 0;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            for message in messages(&datagram) {
                if self.take(message, &mut answer)? || (!several && !answer.objects.is_empty()) {
                    return Ok(answer);
                }
            }
        }
    }

    /// Takes one message of an answer. True if it was the last.
    fn take<T: NetlinkDeserializable>(
        &self,
        message: &[u8],
        answer: &mut Answer<T>,
    ) -> Result<bool, RequestError> {
        let message = match NetlinkMessage::<T>::deserialize(message) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!("skipped an object in a netlink answer: {error}");
                return Ok(false);
            }
        };
        // An answer that came too late for the request before.
        if message.header.sequence_number != self.sequence {
            return Ok(false);
        }
        answer.interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
        match message.payload {
            NetlinkPayload::InnerMessage(object) => answer.objects.push(object),
            NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.into()),
            NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(true),
            _ => {}
        }
        Ok(false)
    }
}

struct Answer<T> {
    objects: Vec<T>,
    interrupted: bool,
}

/// Multicast groups of events that matter (`enum rtnetlink_groups`).
const GROUPS: [u32; 9] = [
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_NEIGH,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV4_RULE,
    libc::RTNLGRP_IPV6_IFADDR,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_IPV6_RULE,
    libc::RTNLGRP_NEXTHOP,
];

/// Hears what changes.
pub struct EventSocket(Socket);

/// What a reading of the event socket gave.
pub enum Received {
    Datagram(Vec<u8>),
    Nothing,
    /// The kernel had to drop events: everything must be listed again.
    Overflow,
}

impl EventSocket {
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        // Beyond net.core.rmem_max only with CAP_NET_ADMIN; a small buffer
        // only means more frequent listings.
        if setsockopt(&socket, sockopt::RcvBufForce, &EVENT_BUFFER).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &EVENT_BUFFER)?;
        }
        socket.bind_auto()?;
        for group in GROUPS {
            match socket.add_membership(group) {
                // Next-hop objects came with kernel 5.3.
                Err(_) if group == libc::RTNLGRP_NEXTHOP => {}
                result => result?,
            }
        }
        Ok(Self(socket))
    }

    pub fn receive(&self) -> io::Result<Received> {
        match self.0.recv_from_full() {
            Ok((datagram, _)) => Ok(Received::Datagram(datagram)),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => Ok(Received::Nothing),
                Some(libc::ENOBUFS) => Ok(Received::Overflow),
                _ => Err(error),
            },
        }
    }
}

impl AsFd for EventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
