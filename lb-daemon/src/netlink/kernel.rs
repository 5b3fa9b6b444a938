//! Everything that is asked of the kernel, and ordered from it, through
//! rtnetlink.

use std::{collections::BTreeMap, io, net::IpAddr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    RouteNetlinkMessage, address::AddressMessage, link::LinkMessage, neighbour::NeighbourMessage,
};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::{
    LinkStatistics,
    event::{self, Event},
    neighbour::{self, NeighbourKey, Sighting},
    request_error::RequestError,
    route::{self, Lookup, RouteError},
    socket::RequestSocket,
};

pub struct Kernel(RequestSocket);

impl Kernel {
    pub fn open() -> io::Result<Self> {
        RequestSocket::open(NETLINK_ROUTE).map(Self)
    }

    /// All interfaces, addresses and neighbours.
    pub fn list(&mut self) -> io::Result<Vec<Event>> {
        let queries = [
            RouteNetlinkMessage::GetLink(LinkMessage::default()),
            RouteNetlinkMessage::GetAddress(AddressMessage::default()),
            RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()),
        ];
        let mut listing = Vec::new();
        for query in queries {
            listing.extend(self.0.dump(query)?.iter().filter_map(event::decode));
        }
        Ok(listing)
    }

    /// All interfaces, and what each has counted.
    pub fn links_and_statistics(
        &mut self,
    ) -> io::Result<(Vec<Event>, BTreeMap<u32, LinkStatistics>)> {
        let messages = self.0.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        let links = messages.iter().filter_map(event::decode).collect();
        let statistics = messages.iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => {
                Some((link.header.index, LinkStatistics::decode(link)?))
            }
            _ => None,
        });
        Ok((links, statistics.collect()))
    }

    pub fn look_up(&mut self, target: IpAddr) -> Lookup {
        match self.0.get(route::query(target)) {
            Ok(RouteNetlinkMessage::NewRoute(message)) => route::decode(&message),
            Ok(_) => Err(RouteError::Other("the kernel's answer is no route".into())),
            // Routes answer with an errno alone; words are about the question.
            Err(error) => Err(match (error.raw_os_error(), error.words()) {
                (Some(errno), None) => RouteError::from_errno(errno),
                _ => RouteError::Other(error.to_string()),
            }),
        }
    }

    /// None if there is no such neighbour.
    pub fn neighbour(&mut self, key: NeighbourKey) -> Option<Sighting> {
        let message = self.0.get(neighbour::query(key)).ok()?;
        match event::decode(&message)? {
            Event::Neighbour(_, sighting) => Some(sighting),
            _ => None,
        }
    }

    /// Has a neighbour resolved and kept fresh.
    pub fn manage(&mut self, key: NeighbourKey) -> Result<(), RequestError> {
        self.0.set(neighbour::manage(key), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Has a neighbour resolved, or confirmed.
    pub fn resolve(&mut self, key: NeighbourKey) -> Result<(), RequestError> {
        self.0.set(neighbour::resolve(key), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Has a neighbour no longer kept fresh.
    pub fn release(&mut self, key: NeighbourKey) {
        // If this fails, the neighbour is gone already.
        let _ = self.0.set(neighbour::resolve(key), NLM_F_REPLACE);
    }
}
