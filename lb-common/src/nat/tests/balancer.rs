//! A balancer without packets: what the data path does with the tables.

use std::fmt;

use super::memory::Memory;
use crate::abi::{Draft, NatSettings, NatState, Pool, Service};
use crate::hash::{FlowWords, v4_mapped, v4_of};
use crate::nat::flow::{self, End, Found, LOOKS, NewFlow, Opened, Renewed, Source, Tables};
use crate::nat::sweep::{Fate, Swept, sweep};
use crate::nat::table::Table;
use crate::transition::PacketKind;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

/// What holds while the tables live: the daemon may write it anew at any time.
#[derive(Clone, Copy)]
pub struct Rules {
    pub settings: NatSettings,
    pub service: Service,
    pub pool: Pool,
    /// `dnat`: clients keep their addresses, and their ports where they can.
    pub keep: bool,
}

impl Rules {
    /// With `addresses` times `ports` tuples towards each backend.
    pub fn new(addresses: u8, ports: u16) -> Self {
        let mut pool =
            Pool { v4_count: addresses as u32, first_port: 20_000, ports, ..Pool::default() };
        for address in 0..addresses {
            pool.v4[address as usize] = v4_mapped([192, 0, 2, address])[1];
        }
        let settings = NatSettings {
            key: [0x0f1e_2d3c_4b5a_6978, 0x8796_a5b4_c3d2_e1f0],
            rest_client: 30,
            rest_backend: 90,
            rest_udp: 16,
            guard: 10,
            ..NatSettings::default()
        };
        let service = Service {
            tcp_idle: 400,
            half_open: 48,
            closing: 80,
            udp_idle: 120,
            ..Service::default()
        };
        Self { settings, service, pool, keep: false }
    }
}

/// Source and destination, for people.
pub fn ends(key: &FlowWords) -> String {
    let address = |words| std::net::Ipv4Addr::from(v4_of(words));
    let [a, b, c, d, protocol, ..] = key.ports.to_le_bytes();
    let ports = [[a, b], [c, d]].map(u16::from_be_bytes);
    let (source, destination) = (address(key.source), address(key.destination));
    format!("{source}:{} > {destination}:{} ({protocol})", ports[0], ports[1])
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} at {}", self.kind, ends(&self.key), self.now)
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToBackend(to) | Self::ToClient(to) => write!(f, "leaves as {}", ends(to)),
            Self::NoFlow => write!(f, "no flow"),
            Self::NotOpened(why) => write!(f, "not opened: {why:?}"),
        }
    }
}

/// A packet as it comes.
#[derive(Clone, Copy)]
pub struct Packet {
    pub key: FlowWords,
    pub kind: PacketKind,
    pub now: u64,
}

/// What became of it, with its ends as it leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    ToBackend(FlowWords),
    ToClient(FlowWords),
    NoFlow,
    NotOpened(Opened),
}

pub struct Balancer {
    pub main: Memory,
    pub new: Memory,
}

type Flows<'a> = Tables<'a, Memory, Memory>;

impl Balancer {
    pub fn new(main: u32, new: u32) -> Self {
        Self { main: Memory::new(main), new: Memory::new(new) }
    }

    fn flows<'a>(&'a self, rules: &'a Rules, now: u64) -> Flows<'a> {
        Tables { main: &self.main, new: &self.new, settings: &rules.settings, now }
    }

    pub fn process(&self, rules: &Rules, packet: &Packet) -> Outcome {
        use crate::abi::NatBody;
        let flows = self.flows(rules, packet.now);
        let Packet { key, kind, .. } = packet;
        let hash = flows.hash(key);
        for look in 1..=LOOKS {
            let Some(found) = flows.find(key, hash) else { break };
            if look == 1 {
                found.line.body.rest().count(100);
            }
            match existing(&flows, rules, packet, &found) {
                (Renewed::Gone, _) => break,
                (Renewed::Late, _) if look < LOOKS => {}
                (_, outcome) => return outcome,
            }
        }
        match kind {
            PacketKind::Syn | PacketKind::Udp if is_to_vip(key) => open(&flows, rules, packet),
            _ => Outcome::NoFlow,
        }
    }

    /// A pass of the daemon.
    pub fn sweep(&self, rules: &Rules, now: u64) -> Swept {
        let guard = rules.settings.guard as u64;
        let mut swept = sweep(&self.new, 0..self.new.buckets(), now, guard, |_| Fate::Stays);
        swept.add(&sweep(&self.main, 0..self.main.buckets(), now, guard, |_| Fate::Stays));
        swept
    }
}

const VIP: [u64; 2] = v4_mapped([198, 51, 100, 1]);

/// Port of a service, in host order.
pub fn client_key(client: u8, protocol: u8) -> FlowWords {
    let ports = FlowWords::pack_ports([0x80, client, 0, 80], protocol);
    FlowWords { source: v4_mapped([10, 0, 0, client / 4]), destination: VIP, ports }
}

fn is_to_vip(key: &FlowWords) -> bool {
    key.destination == VIP
}

/// The packet leaves with these ends.
fn leaves<'a>(found: &Found<'a, <Memory as Table>::Body>) -> FlowWords {
    use crate::abi::NatBody;
    found.line.body.to()
}

fn existing(
    flows: &Flows<'_>,
    rules: &Rules,
    packet: &Packet,
    found: &Found<'_, <Memory as Table>::Body>,
) -> (Renewed, Outcome) {
    use crate::abi::NatBody;
    let Packet { key, kind, .. } = packet;
    let reverse = found.line.body.rest().is_reverse();
    let to = leaves(found);
    let mut draft = Draft::default();
    let end = End { key, hash: flows.hash(key) };
    if !reverse && found.meta.state().is_over() && matches!(kind, PacketKind::Syn | PacketKind::Udp)
    {
        flow::free(found.line, found.meta);
        return (Renewed::Gone, Outcome::NoFlow);
    }
    let responses = rules.service.udp_responses;
    let answers = u32::from(found.line.body.rest().packets());
    let mut renewed = Renewed::Lives;
    if reverse && *kind == PacketKind::Udp && responses != 0 && answers >= responses {
        flows.end(found, NatState::UdpDone, &mut draft);
    } else {
        renewed = flows.renew(found, &end, *kind, &rules.service, &mut draft);
    }
    (renewed, if reverse { Outcome::ToClient(to) } else { Outcome::ToBackend(to) })
}

fn open(flows: &Flows<'_>, rules: &Rules, packet: &Packet) -> Outcome {
    let Packet { key, kind, now } = packet;
    let mut draft = Draft::default();
    draft.forward.to = FlowWords {
        source: [0; 2],
        // Two backends, by the client's port.
        destination: v4_mapped([172, 16, 0, (key.ports >> 8) as u8 & 1]),
        ports: key.ports,
    };
    let udp = *kind == PacketKind::Udp;
    let life = if udp { rules.service.udp_idle } else { rules.service.half_open };
    let mut new = NewFlow {
        key,
        hash: flows.hash(key),
        draft: &mut draft,
        state: if udp { NatState::UdpNew } else { NatState::Opening },
        expires: now + u64::from(life),
        source: Source { pool: &rules.pool, keep: rules.keep, v6: false },
    };
    match flows.open(&mut new) {
        Opened::Done => Outcome::ToBackend(draft.forward.to),
        failed => Outcome::NotOpened(failed),
    }
}
