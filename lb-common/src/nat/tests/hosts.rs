//! The hosts at both ends: who talks to whom, and for how long the balancer
//! has to know. They see nothing but the packets that arrive.

use std::collections::BTreeMap;

use super::balancer::{Outcome, Packet, Rules};
use crate::hash::FlowWords;
use crate::transition::PacketKind::{self, Data, Fin, Rst};

/// Of a connection, as far as hosts can tell from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Opening,
    Answered,
    Open,
    /// FIN from one end, the backend's (true) or the client's.
    Closing(bool),
    /// FIN from both, that end's first.
    Closed(bool),
    Reset,
    Unanswered,
    Talking,
    Done,
}
use Phase::*;

impl Phase {
    fn is_fresh(self) -> bool {
        matches!(self, Opening | Unanswered)
    }

    fn is_over(self) -> bool {
        matches!(self, Closed(_) | Reset | Done)
    }

    fn is_confirmed(self) -> bool {
        matches!(self, Open | Closing(_) | Talking)
    }

    fn after(self, kind: PacketKind, reverse: bool) -> Self {
        match (self, kind) {
            (Unanswered, _) if reverse => Talking,
            (Unanswered | Talking | Done | Closed(_), _) => self,
            (_, Rst) => Reset,
            (Opening, _) => {
                if reverse {
                    Answered
                } else {
                    Opening
                }
            }
            (Answered, Data) if !reverse => Open,
            (Answered | Open | Reset, Fin) => Closing(reverse),
            (Closing(first), Fin) if first != reverse => Closed(first),
            (Reset, Data) => Open,
            _ => self,
        }
    }

    /// Ticks for which the balancer keeps it at least after a packet.
    fn kept(self, rules: &Rules) -> u64 {
        let renewed = |life: u32| u64::from(life - life.div_ceil(8));
        let Rules { service, settings, .. } = rules;
        match self {
            Opening | Answered | Unanswered => 0,
            Open => renewed(service.tcp_idle),
            Closing(_) => renewed(service.closing),
            Closed(true) => u64::from(settings.rest_backend),
            Closed(false) => u64::from(settings.rest_client),
            // Packets after it prolong it now and then.
            Reset => renewed(settings.rest_client),
            Talking => renewed(service.udp_idle),
            Done => u64::from(settings.rest_udp),
        }
    }
}

/// Ticks by which CPUs may differ about the time.
const SKEW: u64 = 1;

/// What a backend holds at a tuple.
#[derive(Clone, Copy, Debug)]
struct Connection {
    client: FlowWords,
    phase: Phase,
    /// Nobody else gets the tuple until then.
    kept_until: u64,
    answers: u32,
    /// Packets of both ends crossed in the balancer: any of them may have been
    /// the first, and of a FIN and a segment one may have left no trace.
    crossed: bool,
    /// They did so before both ends had confirmed it: it may be taken for
    /// half-open still.
    unsure: bool,
}

/// By the key of the backend's packets.
#[derive(Default)]
pub struct Hosts {
    connections: BTreeMap<Key, Connection>,
    /// Where each client's packets went last.
    tuples: BTreeMap<Key, FlowWords>,
    pub coverage: BTreeMap<&'static str, u64>,
}

/// A flow's words in an order.
type Key = ([u64; 2], [u64; 2], u64);

fn order(key: &FlowWords) -> Key {
    (key.source, key.destination, key.ports)
}

impl Hosts {
    /// A key of which a backend might send a packet: `choice` picks.
    pub fn some_backend_key(&self, choice: usize) -> Option<FlowWords> {
        let count = self.connections.len();
        let key = self.connections.keys().nth(choice.checked_rem(count)?)?;
        Some(FlowWords { source: key.0, destination: key.1, ports: key.2 })
    }

    /// What came of packets that were in the balancer at the same time.
    pub fn arrived(&mut self, rules: &Rules, batch: &[(Packet, Outcome)]) {
        let before: BTreeMap<_, _> = self.connections.iter().map(|(k, c)| (*k, *c)).collect();
        let tuples_before = self.tuples.clone();
        // What begins a flow comes first.
        let mut in_order = batch.to_vec();
        in_order.sort_by_key(|(packet, _)| !begins(packet.kind));
        for (packet, outcome) in &in_order {
            match outcome {
                Outcome::ToBackend(to) => {
                    self.at_backend(rules, packet, &to.reversed(), batch.len() > 1);
                }
                Outcome::ToClient(to) => self.at_client(rules, packet, to, &before, batch),
                Outcome::NoFlow => {
                    self.cover("no flow");
                }
                Outcome::NotOpened(why) => self.cover(match why {
                    crate::nat::flow::Opened::Busy => "busy",
                    crate::nat::flow::Opened::Exhausted => "exhausted",
                    _ => "full",
                }),
            }
        }
        for (packet, outcome) in batch {
            if *outcome == Outcome::NoFlow {
                check_not_lost(&before, &tuples_before, packet, batch);
            }
        }
        if batch.len() > 1 {
            self.mark_crossed(rules, batch, &before);
        }
    }

    fn cover(&mut self, what: &'static str) {
        *self.coverage.entry(what).or_default() += 1;
    }

    /// A client's packet reaches a backend, from the tuple that answers to `key`.
    fn at_backend(&mut self, rules: &Rules, packet: &Packet, key: &FlowWords, crossing: bool) {
        let begins = begins(packet.kind);
        let new = Connection {
            client: packet.key,
            phase: if packet.kind == PacketKind::Udp { Unanswered } else { Opening },
            kept_until: 0,
            answers: 0,
            crossed: crossing,
            unsure: false,
        };
        let guard = u64::from(rules.settings.guard);
        let last_tuple = self.tuples.insert(order(&packet.key), *key);
        if let Some(last) = last_tuple
            && last != *key
            && let Some(old) = self.connections.get(&order(&last))
            && old.client == packet.key
            && old.phase.is_confirmed()
            && !(crossing || old.crossed)
        {
            assert!(
                old.kept_until < packet.now + SKEW,
                "{packet:?} of a flow that lives got another tuple: {old:?}"
            );
        }
        let at = packet.now;
        let old = self.connections.get_mut(&order(key));
        let again = begins && old.as_ref().is_some_and(|old| old.phase.is_over());
        match old {
            None => {
                assert!(begins, "{packet:?} begins a flow");
                self.connections.insert(order(key), new);
                self.cover("opened");
            }
            Some(old) if old.client == packet.key && (!again || crossing || old.crossed) => {
                if begins && old.phase == Answered {
                    // As well it may have given way and be opened again.
                    (old.crossed, old.unsure) = (true, true);
                } else if begins && (old.phase.is_fresh() || old.kept_until < at) {
                    let crossed = crossing || old.crossed;
                    *old = Connection { crossed, unsure: old.unsure, ..new };
                    return;
                }
                old.saw(rules, packet, false);
                if old.phase == Open {
                    self.cover("open");
                }
            }
            Some(old) => {
                assert!(begins, "{packet:?} came to the connection of {old:?}");
                let kept = old.kept_until + guard;
                assert!(
                    old.kept_until == 0 || kept < at + SKEW,
                    "{packet:?} got a tuple that is not free until {kept}: {old:?}"
                );
                *old = new;
                self.cover("tuple used again");
            }
        }
    }

    /// A backend's packet reaches a client, with these ends.
    fn at_client(
        &mut self,
        rules: &Rules,
        packet: &Packet,
        to: &FlowWords,
        before: &BTreeMap<Key, Connection>,
        batch: &[(Packet, Outcome)],
    ) {
        let client = to.reversed();
        let was = before.get(&order(&packet.key)).is_some_and(|c| c.client == client);
        // It may have been put out or begun meanwhile.
        let begun = batch.iter().any(|(p, o)| {
            p.key == client && matches!(o, Outcome::ToBackend(to) if to.reversed() == packet.key)
        });
        assert!(was || begun, "{packet:?} went to {client:?}, which has no such connection");
        let Some(connection) = self.connections.get_mut(&order(&packet.key)) else { return };
        if connection.client == client {
            connection.saw(rules, packet, true);
        }
    }

    /// Connections of which several packets were there at once.
    fn mark_crossed(
        &mut self,
        rules: &Rules,
        batch: &[(Packet, Outcome)],
        before: &BTreeMap<Key, Connection>,
    ) {
        let keys: Vec<_> = batch.iter().map(|(p, o)| tuple_of(p, o, &self.tuples)).collect();
        for (index, key) in keys.iter().enumerate() {
            let Some(key) = key else { continue };
            if keys.iter().enumerate().all(|(other, k)| other == index || k.as_ref() != Some(key)) {
                continue;
            }
            let Some(connection) = self.connections.get_mut(&order(key)) else { continue };
            let only_data = batch
                .iter()
                .zip(&keys)
                .all(|((p, _), k)| k.as_ref() != Some(key) || p.kind == Data);
            let was_open = before.get(&order(key)).is_some_and(|c| c.phase.is_confirmed());
            connection.crossed |= !(only_data && was_open);
            connection.unsure |= !was_open;
            connection.limit(rules, batch[index].0.now);
            self.cover("crossed");
        }
    }
}

fn begins(kind: PacketKind) -> bool {
    matches!(kind, PacketKind::Syn | PacketKind::Udp)
}

fn tuple_of(
    packet: &Packet,
    outcome: &Outcome,
    tuples: &BTreeMap<Key, FlowWords>,
) -> Option<FlowWords> {
    match outcome {
        Outcome::ToBackend(to) => Some(to.reversed()),
        Outcome::ToClient(_) => Some(packet.key),
        _ => tuples.get(&order(&packet.key)).copied().or(Some(packet.key)),
    }
}

impl Connection {
    fn saw(&mut self, rules: &Rules, packet: &Packet, reverse: bool) {
        let old = self.phase;
        self.phase = old.after(packet.kind, reverse);
        if reverse && matches!(self.phase, Talking) {
            self.answers += 1;
            let enough = rules.service.udp_responses;
            if enough != 0 && self.answers >= enough {
                self.phase = Done;
            }
        }
        let kept = packet.now + self.phase.kept(rules);
        self.kept_until = if self.phase.kept(rules) == 0 {
            0
        } else if self.phase.is_over() && self.phase == old {
            self.kept_until
        } else {
            kept
        };
        self.limit(rules, packet.now);
    }

    /// Of a connection whose phase the balancer may see otherwise, only the
    /// shortest rest is sure.
    fn limit(&mut self, rules: &Rules, now: u64) {
        if !self.crossed || self.kept_until == 0 {
            return;
        }
        let shortest = [Open, Closing(true), Closed(true), Closed(false), Reset]
            .map(|phase| phase.kept(rules))
            .into_iter()
            .min();
        let is_udp = matches!(self.phase, Unanswered | Talking | Done);
        self.kept_until = if is_udp || self.unsure {
            0
        } else {
            self.kept_until.min(now + shortest.unwrap_or(0))
        };
    }
}

/// A packet that found no flow is not of one that lives.
fn check_not_lost(
    before: &BTreeMap<Key, Connection>,
    tuples: &BTreeMap<Key, FlowWords>,
    packet: &Packet,
    batch: &[(Packet, Outcome)],
) {
    let (key, reverse) = match tuples.get(&order(&packet.key)) {
        Some(tuple) => (*tuple, false),
        None => (packet.key, true),
    };
    let Some(connection) = before.get(&order(&key)) else { return };
    let ended = batch.iter().any(|(other, _)| {
        (other.key == key || other.key == connection.client) && other.kind != Data
    });
    let its_own = reverse || connection.client == packet.key;
    if its_own && connection.phase.is_confirmed() && !connection.crossed && !ended {
        assert!(
            connection.kept_until < packet.now + SKEW,
            "{packet:?} found no flow, but it lives: {connection:?}"
        );
    }
}
