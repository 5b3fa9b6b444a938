//! The ways that probes through the data path take: numbered, in the map, and
//! told to the prober.

use std::{
    collections::{BTreeSet, HashMap, HashSet, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use lb_common::abi::{MAX_PROBE_WAYS, ProbeWay, backend_flags};

use super::{ControlError, Controller, View};
use crate::{
    config::{Backend, Config, Mode, Service},
    dataplane::{DataPlane, words_of},
    health::{
        PathTarget,
        path::{Known, Way, WayKey, Ways},
    },
    netlink::{NextHop, NextHopError},
    slots::SlotMemory,
};

/// What is in the map.
#[derive(Debug, Default)]
pub struct ProbeWays {
    told: Arc<Ways>,
    numbers: HashMap<WayKey, u16>,
    free: BTreeSet<u16>,
    /// From here on no number was ever used.
    unused: u32,
    /// Where answers come to.
    sources: BTreeSet<IpAddr>,
}

/// What is wanted of a way.
enum Wanted {
    /// The backend's number and where answers come to.
    Open(u16, IpAddr),
    Not(Way),
}

impl ProbeWays {
    pub fn new(told: Arc<Ways>) -> Self {
        Self { told, ..Self::default() }
    }

    pub const fn sources(&self) -> &BTreeSet<IpAddr> {
        &self.sources
    }

    fn number(&mut self, key: &WayKey) -> Option<u16> {
        if let Some(number) = self.numbers.get(key) {
            return Some(*number);
        }
        let number = match self.free.pop_first() {
            Some(number) => number,
            None if self.unused < MAX_PROBE_WAYS => {
                self.unused += 1;
                u16::try_from(self.unused - 1).ok()?
            }
            None => return None,
        };
        self.numbers.insert(key.clone(), number);
        Some(number)
    }
}

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// Brings the ways of probes up to date with configuration, next hops and
    /// addresses.
    pub fn follow_probe_ways(&mut self) -> Result<(), ControlError> {
        let config = self.config.clone();
        let wanted = self.wanted_ways(&config);
        let before = self.probe_ways.sources.clone();
        let known = self.put_ways(wanted);
        if self.probe_ways.sources != before {
            self.renew_marks()?;
        }
        // When their answers are expected.
        self.probe_ways.told.tell(known);
        Ok(())
    }

    fn wanted_ways(&self, config: &Config) -> HashMap<WayKey, Wanted> {
        let mut wanted = HashMap::new();
        let vips: HashSet<IpAddr> =
            config.services.iter().flat_map(|service| &service.vips).copied().collect();
        let told = self.probe_ways.told.known();
        for service in &config.services {
            let Some(path) = PathTarget::of(service) else { continue };
            for backend in &service.backends {
                for vip in &path.vips {
                    let Entry::Vacant(place) = wanted.entry(path.way(backend.address, *vip)) else {
                        continue;
                    };
                    let before = told.get(place.key());
                    if let Some(way) = self.way((service, backend, *vip), before, &vips) {
                        place.insert(way);
                    }
                }
            }
        }
        wanted
    }

    /// `None`: not known yet. `before`: what was told; as the backend's entry, it
    /// stays while the kernel has not said anything else.
    fn way(
        &self,
        (service, backend, vip): (&Service, &Backend, IpAddr),
        before: Option<&Way>,
        vips: &HashSet<IpAddr>,
    ) -> Option<Wanted> {
        let known = self.identity.services.get(&service.name)?;
        let id = *known.backends.get(&backend.address)?;
        let is_resolved = self.plane.backend(id).flags & backend_flags::RESOLVED != 0;
        let hop = match (self.view.next_hops.get(&backend.address), before) {
            (Some(Ok(hop)), _) => hop,
            (Some(Err(error)), _) if error.is_own_host() => {
                return Some(Wanted::Not(Way::OwnHost));
            }
            (None | Some(Err(NextHopError::Resolving(_))), Some(Way::Open { source, .. }))
                if is_resolved =>
            {
                return Some(Wanted::Open(id, *source));
            }
            (None | Some(Err(NextHopError::Resolving(_))), _) => return None,
            (Some(Err(error)), _) => return Some(Wanted::Not(Way::Closed(error.to_string()))),
        };
        if let (Mode::Dsr, Some(gateway)) = (&service.mode, hop.gateway) {
            let why = format!("it is behind the gateway {gateway}, and mode dsr stays on the link");
            return Some(Wanted::Not(Way::Closed(why)));
        }
        if !is_resolved {
            return None;
        }
        Some(match self.view.probe_source(hop, vip, vips) {
            Ok(source) => Wanted::Open(id, source),
            Err(why) => Wanted::Not(Way::Unseen(why)),
        })
    }

    fn put_ways(&mut self, wanted: HashMap<WayKey, Wanted>) -> Known {
        self.forget_ways(|key| matches!(wanted.get(key), Some(Wanted::Open(..))));
        let mut known = Known::new();
        let mut sources = BTreeSet::new();
        for (key, wanted) in wanted {
            let way = match wanted {
                Wanted::Not(way) => way,
                Wanted::Open(id, source) => match self.put_way(&key, id, source) {
                    Some(number) => {
                        sources.insert(source);
                        Way::Open { number, source }
                    }
                    None => Way::Unseen(format!("more than {MAX_PROBE_WAYS} ways are in use")),
                },
            };
            known.insert(key, way);
        }
        self.probe_ways.sources = sources;
        known
    }

    fn put_way(&mut self, key: &WayKey, id: u16, source: IpAddr) -> Option<u16> {
        let number = self.probe_ways.number(key)?;
        let way = ProbeWay {
            meta: ProbeWay::meta(id, self.view.probe_interface),
            vip: words_of(key.vip),
            source: words_of(source),
            reserved: 0,
        };
        if self.plane.probe_way(number) != way {
            self.plane.set_probe_way(number, &way);
        }
        Some(number)
    }

    fn forget_ways(&mut self, keep: impl Fn(&WayKey) -> bool) {
        let Self { probe_ways, plane, .. } = self;
        let ProbeWays { numbers, free, .. } = probe_ways;
        numbers.retain(|key, number| {
            let kept = keep(key);
            if !kept {
                plane.set_probe_way(*number, &ProbeWay::default());
                free.insert(*number);
            }
            kept
        });
    }

    /// What an earlier daemon left leads to a prober that is no more.
    pub(super) fn clear_probe_ways(&mut self) {
        for number in 0..=u16::MAX {
            if self.plane.probe_way(number) != ProbeWay::default() {
                self.plane.set_probe_way(number, &ProbeWay::default());
            }
        }
    }

    /// Why backends that should be are not probed through the data path; one
    /// sentence for each reason.
    pub fn unseen_ways(&self) -> Vec<String> {
        let known = self.probe_ways.told.known();
        let unseen = known.iter().filter_map(|(key, way)| match way {
            Way::Unseen(why) => Some((why, key.backend)),
            _ => None,
        });
        let mut by_reason: HashMap<&String, BTreeSet<IpAddr>> = HashMap::new();
        for (why, backend) in unseen {
            by_reason.entry(why).or_default().insert(backend);
        }
        let mut sentences: Vec<_> = by_reason
            .into_iter()
            .map(|(why, backends)| {
                let first = backends.first().map(ToString::to_string).unwrap_or_default();
                let more = match backends.len() {
                    1 => String::new(),
                    count => format!(" and {} more", count - 1),
                };
                format!(
                    "health: backend {first}{more} probed past the data path, at its own address: \
                     {why}"
                )
            })
            .collect();
        sentences.sort();
        sentences
    }
}

impl View {
    /// The address of this host that probes to `vip` leave from: one that answers
    /// come to, past a program that sees them.
    fn probe_source(
        &self,
        hop: &NextHop,
        vip: IpAddr,
        vips: &HashSet<IpAddr>,
    ) -> Result<IpAddr, String> {
        let interface = &hop.interface;
        if !self.seen.contains(&hop.ifindex) {
            return Err(format!(
                "answers would come in on {interface}, where there is no XDP program: add it to \
                 `interfaces`, or set health.via: direct"
            ));
        }
        let is_fit = |address: &IpAddr| {
            address.is_ipv4() == vip.is_ipv4() && is_global(*address) && !vips.contains(address)
        };
        let on_interface = self.addresses.iter().filter(|(_, index)| *index == hop.ifindex);
        let mut candidates = hop.source.into_iter().chain(on_interface.map(|(address, _)| address));
        candidates.find(is_fit).ok_or_else(|| {
            let family = if vip.is_ipv4() { "IPv4" } else { "IPv6" };
            format!(
                "this host has no {family} address on {interface} that answers from {vip} could \
                 come to: add one, or set health.via: direct"
            )
        })
    }
}

/// Not only of the link.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_loopback(),
    }
}
