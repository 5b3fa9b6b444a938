//! Clients, and the frames they send. Every packet goes through the data path
//! and is held against the truth.

use std::net::IpAddr;

use lb_common::transition::PacketKind;
use lb_test_support::{
    host::Host,
    kernel::action,
    packet::{Packet, flag, tcp, udp},
    random::Random,
};

use super::{
    operator::{SERVERS, SERVICES, vip},
    tell,
    truth::{Client, Flow, Truth},
};

/// Of each service.
const FLOWS: u16 = 12;
/// The first of those who never come back, and how many there are.
const STRANGERS: u16 = 2000;
const MANY: u64 = 1000;
/// The last byte of the MAC address of server 0.
const FIRST_SERVER: u8 = 1;
const SERVERS_MAC: [u8; 5] = [2, 0, 0, 0, 0xbb];

pub fn mac(server: u8) -> [u8; 6] {
    let [a, b, c, d, e] = SERVERS_MAC;
    [a, b, c, d, e, FIRST_SERVER + server]
}

const KINDS: [PacketKind; 5] =
    [PacketKind::Syn, PacketKind::Data, PacketKind::Fin, PacketKind::Rst, PacketKind::Udp];

fn packet(service: u8, port: u16, kind: PacketKind) -> Packet {
    let upper = match kind {
        PacketKind::Syn => tcp(80, flag::SYN),
        PacketKind::Data => tcp(80, flag::ACK),
        PacketKind::Fin => tcp(80, flag::FIN | flag::ACK),
        PacketKind::Rst => tcp(80, flag::RST | flag::ACK),
        PacketKind::Udp => udp(80, 9),
    };
    Packet::new(IpAddr::from([198, 51, 100, 7]), vip(service), upper.from_port(port))
}

pub struct Traffic {
    random: Random,
    pub truth: Truth,
    /// By flow and kind.
    frames: Vec<[Vec<u8>; KINDS.len()]>,
    /// Copies of SYNs come; or else servers fail, but not both.
    pub copies: bool,
    /// What went wrong first.
    pub broken: Option<String>,
}

impl Traffic {
    pub fn new(seed: u64, copies: bool, now: u64) -> Self {
        let (mut flows, mut frames) = (Vec::new(), Vec::new());
        for service in 0..SERVICES.len() as u8 {
            for number in 0..FLOWS {
                let is_udp = number % 4 == 3;
                flows.push(Flow { service, is_udp, client: Client::Quiet });
                frames.push(KINDS.map(|kind| packet(service, 1000 + number, kind).frame()));
            }
        }
        let (random, truth) = (Random::new(seed), Truth::new(flows, now));
        Self { random, truth, frames, copies, broken: None }
    }

    /// Between two writes of the daemon.
    pub fn meanwhile(&mut self, host: &mut Host) {
        if self.random.below(24) == 0 {
            self.one_sends(host);
        }
    }

    pub fn one_sends(&mut self, host: &mut Host) {
        let flow = self.random.below(self.frames.len() as u64) as usize;
        self.sends(flow, host);
    }

    fn sends(&mut self, flow: usize, host: &mut Host) {
        let (kind, opens) = self.next_of(flow);
        self.send(flow, (kind, opens), host);
    }

    /// What a client sends next; and whether that begins a flow.
    fn next_of(&mut self, flow: usize) -> (PacketKind, bool) {
        let Flow { is_udp, client, .. } = self.truth.flows[flow];
        let now = self.truth.now;
        let first = if is_udp { PacketKind::Udp } else { PacketKind::Syn };
        match client {
            Client::Quiet => (first, true),
            Client::Lost if self.random.below(4) == 0 => {
                self.truth.flows[flow].client = Client::Quiet;
                (first, true)
            }
            Client::Lost if is_udp => (PacketKind::Udp, false),
            Client::Lost => (PacketKind::Data, false),
            Client::Opening { .. }
                if self.copies && client.may_copy(now) && self.random.below(3) == 0 =>
            {
                (PacketKind::Syn, false)
            }
            Client::Opening { reached, .. } => {
                let answers: Vec<u8> = (0..SERVERS).filter(|one| reached & 1 << one != 0).collect();
                let server = answers[self.random.below(answers.len() as u64) as usize];
                self.truth.flows[flow].client = Client::Open { server, last: now, closing: false };
                (PacketKind::Data, false)
            }
            Client::Open { .. } if is_udp => (PacketKind::Udp, false),
            Client::Open { .. } => match self.random.below(24) {
                0 => (PacketKind::Rst, false),
                1 | 2 => (PacketKind::Fin, false),
                3 if self.random.below(4) == 0 => (PacketKind::Syn, true),
                _ => (PacketKind::Data, false),
            },
        }
    }

    fn send(&mut self, flow: usize, (kind, opens): (PacketKind, bool), host: &mut Host) {
        let frame = &self.frames[flow][KINDS.iter().position(|one| *one == kind).unwrap()];
        let to = reached(host, frame, self.truth.now);
        tell(|| format!("{} {kind:?} of flow {flow} to {to:?}", self.truth.now));
        if let Err(why) = self.truth.went(flow, (kind, opens), to) {
            self.broken.get_or_insert(why);
        }
    }

    /// A flood: packets of flows that do not exist.
    pub fn stranger_sends(&mut self, host: &mut Host) {
        let kind = [PacketKind::Syn, PacketKind::Data][self.random.below(2) as usize];
        let port = STRANGERS + self.random.below(MANY) as u16;
        reached(host, &packet(0, port, kind).frame(), self.truth.now);
    }

    /// All flows that are open go on.
    pub fn all_go_on(&mut self, host: &mut Host) {
        for flow in 0..self.frames.len() {
            if let Flow { is_udp, client: Client::Open { .. }, .. } = self.truth.flows[flow] {
                let kind = if is_udp { PacketKind::Udp } else { PacketKind::Data };
                self.send(flow, (kind, false), host);
            }
        }
    }

    /// Where a new flow of a service would go.
    pub fn newcomer(&mut self, service: u8, host: &mut Host) -> Option<u8> {
        let port = STRANGERS + self.random.below(MANY) as u16;
        reached(host, &packet(service, port, PacketKind::Syn).frame(), self.truth.now)
    }
}

/// The server that the data path sends a frame to.
fn reached(host: &mut Host, frame: &[u8], now: u64) -> Option<u8> {
    let outcome = host.run(frame, now);
    let to = outcome.packet.strip_prefix(&SERVERS_MAC)?;
    (outcome.action == action::TX).then(|| to[0] - FIRST_SERVER)
}
