//! The truth: what clients do, which server each flow is on, and until when it
//! must stay there. It knows of servers what a client would, and of orders what
//! the operator was promised; nothing of slots, words or tables.

use std::collections::BTreeMap;

use lb_common::transition::PacketKind;

use super::operator::{Place, SERVERS, SERVICES};

/// Milliseconds. Clients keep these; the file has them too.
pub const IDLE: u64 = 20_000;
pub const UDP_IDLE: u64 = 5_000;
pub const CLOSING: u64 = 10_000;
/// Less than what is left of it when the flow table is nearly full.
const HALF_OPEN: u64 = 4_000;
/// Copies of a SYN come within the arming time.
const COPIES: u64 = 3_000;

/// One client's addresses and ports, used by one flow after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Quiet,
    /// Servers (as bits) that got a copy of the SYN, and when the last came.
    Opening {
        reached: u32,
        last: u64,
    },
    Open {
        server: u8,
        last: u64,
        closing: bool,
    },
    /// The flow is lost, and the client has not heard of it.
    Lost,
}

impl Client {
    /// The server that the next packet must reach.
    pub fn server(self) -> Option<u8> {
        if let Self::Open { server, .. } = self { Some(server) } else { None }
    }

    pub fn may_copy(self, now: u64) -> bool {
        matches!(self, Self::Opening { last, .. } if now - last < COPIES)
    }

    /// Silent for longer than a flow is promised to be remembered.
    fn is_over(self, is_udp: bool, now: u64) -> bool {
        let (last, limit) = match self {
            Self::Quiet | Self::Lost => return false,
            Self::Opening { last, .. } => (last, HALF_OPEN),
            Self::Open { last, closing: true, .. } => (last, CLOSING),
            Self::Open { last, .. } => (last, if is_udp { UDP_IDLE } else { IDLE }),
        };
        now - last > limit
    }

    /// Without what was on a server that lost its flows.
    fn without(self, lost: u8) -> Self {
        match self {
            Self::Open { server, .. } if server == lost => Self::Lost,
            Self::Opening { reached, last } => match reached & !(1 << lost) {
                0 => Self::Lost,
                reached => Self::Opening { reached, last },
            },
            _ => self,
        }
    }

    /// A packet reached a server that keeps the flow, or none.
    fn after(self, kind: PacketKind, opens: bool, reached: Option<u8>, now: u64) -> Self {
        match (kind, reached, self) {
            (PacketKind::Rst, ..) => Self::Quiet,
            (PacketKind::Syn, Some(to), _) if opens => {
                Self::Opening { reached: 1 << to, last: now }
            }
            (PacketKind::Syn, Some(to), Self::Opening { reached, .. }) => {
                Self::Opening { reached: reached | 1 << to, last: now }
            }
            (PacketKind::Syn, None, Self::Opening { .. }) => self,
            (PacketKind::Udp, Some(server), _) => Self::Open { server, last: now, closing: false },
            (PacketKind::Data | PacketKind::Fin, _, Self::Open { server, closing, .. }) => {
                Self::Open { server, last: now, closing: closing || kind == PacketKind::Fin }
            }
            _ => Self::Quiet,
        }
    }
}

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Works,
    /// Its flows go on, but it answers no probe in time.
    Slow,
    Dead,
}

/// When flows of a service on a server may be cut off, in Unix seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cut {
    pub drain: Option<u64>,
    pub removal: Option<u64>,
}

pub struct Flow {
    pub service: u8,
    pub is_udp: bool,
    pub client: Client,
}

pub struct Truth {
    pub flows: Vec<Flow>,
    pub servers: [Server; SERVERS as usize],
    /// The last probe that was told of said so: what it has is not promised
    /// anything, until one says otherwise.
    pub told_dead: [bool; SERVERS as usize],
    /// Services that are removed, or are about to be.
    gone: [bool; SERVICES.len()],
    cuts: BTreeMap<Place, Cut>,
    pub now: u64,
}

impl Truth {
    pub fn new(flows: Vec<Flow>, now: u64) -> Self {
        Self {
            flows,
            servers: [Server::Works; _],
            told_dead: [false; _],
            gone: [false; _],
            cuts: BTreeMap::new(),
            now,
        }
    }

    pub fn seconds(&self) -> u64 {
        self.now / 1000
    }

    pub fn time_passes(&mut self, by: u64) {
        self.now += by;
        for flow in &mut self.flows {
            if flow.client.is_over(flow.is_udp, self.now) {
                flow.client = Client::Quiet;
            }
        }
        self.cut_what_is_due();
    }

    fn cut_what_is_due(&mut self) {
        let cut = self.cuts.keys().filter(|place| self.is_cut(**place));
        for place in cut.copied().collect::<Vec<_>>() {
            self.lose(place);
        }
    }

    fn is_cut(&self, place: Place) -> bool {
        let is_due = |at: Option<u64>| at.is_some_and(|at| at <= self.seconds());
        self.cuts.get(&place).is_some_and(|cut| is_due(cut.drain) || is_due(cut.removal))
    }

    /// Changes what may be cut off when.
    pub fn cut(&mut self, place: Place, change: impl FnOnce(&mut Cut)) {
        change(self.cuts.entry(place).or_default());
        self.cut_what_is_due();
    }

    pub fn serves(&mut self, service: u8) {
        self.gone[service as usize] = false;
    }

    /// A service is no more: nothing of it is promised.
    pub fn forget(&mut self, service: u8) {
        self.gone[service as usize] = true;
        self.cuts.retain(|place, _| place.0 != service);
        for flow in self.flows.iter_mut().filter(|flow| flow.service == service) {
            flow.client = Client::Quiet;
        }
    }

    /// The flows of a service on a server are lost.
    fn lose(&mut self, (service, server): Place) {
        for flow in self.flows.iter_mut().filter(|flow| flow.service == service) {
            flow.client = flow.client.without(server);
        }
    }

    pub fn die(&mut self, server: u8) {
        self.servers[server as usize] = Server::Dead;
        for service in 0..2 {
            self.lose((service, server));
        }
    }

    /// What a flow that begins there may rely on.
    fn keeps(&self, place: Place) -> bool {
        let (service, server) = (place.0 as usize, place.1 as usize);
        let lives = self.servers[server] != Server::Dead && !self.told_dead[server];
        lives && !self.gone[service] && !self.is_cut(place)
    }

    /// A packet of a flow went to a server, or to nobody. An error: to the
    /// wrong one.
    pub fn went(
        &mut self,
        flow: usize,
        (kind, opens): (PacketKind, bool),
        to: Option<u8>,
    ) -> Result<(), String> {
        let Flow { service, client, .. } = self.flows[flow];
        if client == Client::Lost {
            return Ok(());
        }
        if let Some(server) = client.server()
            && !opens
            && kind != PacketKind::Rst
            && to != Some(server)
        {
            return Err(format!("{kind:?} of flow {flow} on server {server} went to {to:?}"));
        }
        let lives = to.filter(|to| self.servers[*to as usize] != Server::Dead);
        let keeps = lives.is_none_or(|to| self.keeps((service, to)));
        let next = client.after(kind, opens, lives, self.now);
        let begins = opens || kind == PacketKind::Syn;
        self.flows[flow].client = if begins && !keeps { Client::Lost } else { next };
        Ok(())
    }

    /// Flows that a service has on a server.
    pub fn flows_on(&self, (service, server): Place) -> usize {
        let flows = self.flows.iter().filter(|flow| flow.service == service);
        flows.filter(|flow| flow.client.server() == Some(server)).count()
    }
}
