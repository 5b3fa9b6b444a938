//! From events to next hops. Pure: no socket, no clock.
//!
//! The owner feeds [`Event`]s, answers the lookups listed by [`Resolver::stale`]
//! with [`Resolver::looked_up`], and calls [`Resolver::settle`], which says what
//! to ask of the kernel and whether something changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use super::{
    MacAddress,
    address::LocalAddresses,
    event::Event,
    link::{Link, Links, Operation},
    neighbour::{Knowledge, NeighbourKey, Neighbours},
    next_hop::{Neighbour, NextHop, NextHopError, NextHops},
    route::{Lookup, Route, RouteError},
    wanted::{Request, WantedNeighbours},
};

#[derive(Default, Debug)]
pub struct Resolver {
    links: Links,
    addresses: LocalAddresses,
    neighbours: Neighbours,
    /// None until first looked up.
    targets: BTreeMap<IpAddr, Option<Lookup>>,
    stale: BTreeSet<IpAddr>,
    wanted: WantedNeighbours,
    next_hops: NextHops,
    /// Something the next hops depend on has changed.
    dirty: bool,
    /// When a neighbour's failure comes to count.
    recheck_at: Option<Instant>,
    changed: Changed,
    /// Requests that come from elsewhere than [`Self::settle`].
    pending: Vec<Request>,
}

/// What is different since it was last published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Changed {
    pub links: bool,
    pub addresses: bool,
    pub next_hops: bool,
}

impl Resolver {
    pub fn links(&self) -> &Links {
        &self.links
    }

    pub fn addresses(&self) -> &LocalAddresses {
        &self.addresses
    }

    pub fn next_hops(&self) -> &NextHops {
        &self.next_hops
    }

    /// Makes `targets` the watched ones.
    pub fn watch(&mut self, targets: &BTreeSet<IpAddr>) {
        self.targets.retain(|target, _| targets.contains(target));
        self.stale.retain(|target| targets.contains(target));
        for target in targets {
            if !self.targets.contains_key(target) {
                self.targets.insert(*target, None);
                self.stale.insert(*target);
            }
        }
        self.dirty = true;
    }

    pub fn event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Link(link) => self.link_event(link),
            Event::LinkGone(index) => {
                self.neighbours.forget_interface(index);
                if self.links.remove(index) {
                    self.links_changed();
                }
            }
            Event::Address(address, index) => {
                let new = self.addresses.insert(address, index);
                self.addresses_changed(new);
            }
            Event::AddressGone(address, index) => {
                let had = self.addresses.remove(address, index);
                self.addresses_changed(had);
            }
            Event::Neighbour(key, sighting) => {
                self.neighbours.seen(key, sighting, now);
                self.dirty |= self.wanted.contains(key);
            }
            Event::NeighbourGone(key) => self.neighbour_gone(key, now),
            Event::Routes(prefix) => {
                let covered = self.targets.range(prefix.range());
                self.stale.extend(covered.map(|(target, _)| *target));
            }
            Event::AllRoutes => self.all_stale(),
        }
    }

    /// Takes a complete listing of links, addresses and neighbours: what is
    /// not in it is gone.
    pub fn resynchronise(&mut self, listing: Vec<Event>, now: Instant) {
        let (mut links, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        let mut neighbours = BTreeSet::new();
        for event in &listing {
            match event {
                Event::Link(link) => {
                    links.insert(link.index);
                }
                Event::Address(address, index) => {
                    addresses.insert((*address, *index));
                }
                Event::Neighbour(key, _) => {
                    neighbours.insert(*key);
                }
                _ => {}
            }
        }
        let gone = self.links.iter().map(|link| link.index).filter(|index| !links.contains(index));
        let mut gone: Vec<_> = gone.map(Event::LinkGone).collect();
        let addresses = self.addresses.iter().filter(|entry| !addresses.contains(entry));
        gone.extend(addresses.map(|(address, index)| Event::AddressGone(address, index)));
        let neighbours = self.neighbours.present().filter(|key| !neighbours.contains(key));
        gone.extend(neighbours.map(Event::NeighbourGone));
        for event in gone.into_iter().chain(listing) {
            self.event(event, now);
        }
        self.all_stale();
    }

    /// Targets whose route must be looked up.
    pub fn stale(&self) -> Vec<IpAddr> {
        self.stale.iter().copied().collect()
    }

    pub fn has_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    /// Has every route looked up again.
    pub fn all_stale(&mut self) {
        self.stale.extend(self.targets.keys());
    }

    pub fn looked_up(&mut self, target: IpAddr, lookup: Lookup) {
        self.stale.remove(&target);
        if let Some(slot) = self.targets.get_mut(&target)
            && slot.as_ref() != Some(&lookup)
        {
            *slot = Some(lookup);
            self.dirty = true;
        }
    }

    /// Packets wait for `target`.
    pub fn hurry(&mut self, target: IpAddr, now: Instant) {
        let route = match self.targets.get(&target) {
            Some(Some(Ok(route))) => route,
            Some(_) => {
                self.stale.insert(target);
                return;
            }
            None => return,
        };
        let key = neighbour_of(target, route);
        let fixed = self.neighbours.sighting(key).is_some_and(|sighting| sighting.fixed);
        let known = matches!(self.neighbours.knowledge(key, now), Knowledge::Known(_));
        if !fixed && !known {
            self.pending.extend(self.wanted.hurry(key, now));
        }
    }

    pub fn wanted(&mut self) -> &mut WantedNeighbours {
        &mut self.wanted
    }

    /// Brings the next hops up to date. Returns what to ask of the kernel.
    pub fn settle(&mut self, now: Instant) -> Vec<Request> {
        let mut requests = std::mem::take(&mut self.pending);
        if self.dirty || self.recheck_at.is_some_and(|at| at <= now) {
            requests.extend(self.update(now));
        }
        requests.extend(self.wanted.due(&self.neighbours, now));
        requests
    }

    /// When [`Self::settle`] has something to do without a further event.
    pub fn deadline(&self) -> Option<Instant> {
        [self.recheck_at, self.wanted.deadline(&self.neighbours)].into_iter().flatten().min()
    }

    /// What has changed since the last call.
    pub fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    fn update(&mut self, now: Instant) -> Vec<Request> {
        let keys: BTreeSet<_> = self.usable_routes().collect();
        let releases = self.wanted.replace(&keys, &mut self.neighbours, now);
        let looked_up = self.targets.iter().filter_map(|(target, lookup)| {
            let lookup = lookup.as_ref()?;
            Some((*target, self.next_hop(*target, lookup, now)))
        });
        let next_hops: NextHops = looked_up.collect();
        self.changed.next_hops |= next_hops != self.next_hops;
        self.next_hops = next_hops;
        self.recheck_at = keys.iter().filter_map(|key| self.neighbours.deadline(*key, now)).min();
        self.dirty = false;
        releases
    }

    /// The neighbours needed where frames can leave at all.
    fn usable_routes(&self) -> impl Iterator<Item = NeighbourKey> {
        self.targets.iter().filter_map(|(target, lookup)| {
            let route = lookup.as_ref()?.as_ref().ok()?;
            let link = self.links.get(route.ifindex)?;
            let usable = link.operation == Operation::Up && link.mac.is_some();
            usable.then(|| neighbour_of(*target, route))
        })
    }

    fn next_hop(
        &self,
        target: IpAddr,
        lookup: &Lookup,
        now: Instant,
    ) -> Result<NextHop, NextHopError> {
        let route = lookup.as_ref().map_err(|error| self.route_error(target, error))?;
        let (link, source_mac) = self.egress(target, route)?;
        let key = neighbour_of(target, route);
        let unresolved =
            |since| Neighbour { target, address: key.address, interface: link.name.clone(), since };
        let destination_mac = match self.neighbours.knowledge(key, now) {
            Knowledge::Known(mac) => mac,
            Knowledge::Unknown => {
                let since = self.wanted.since(key).unwrap_or(now);
                return Err(NextHopError::Resolving(unresolved(since)));
            }
            Knowledge::Silent(since) => {
                return Err(NextHopError::NeighbourSilent(unresolved(since)));
            }
            Knowledge::Failed(since) => {
                return Err(NextHopError::NeighbourFailed(unresolved(since)));
            }
        };
        Ok(NextHop {
            ifindex: link.index,
            interface: link.name.clone(),
            source_mac,
            destination_mac,
            mtu: route.mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu)),
            source: route.source,
            gateway: route.gateway,
        })
    }

    fn egress(&self, target: IpAddr, route: &Route) -> Result<(&Link, MacAddress), NextHopError> {
        let ifindex = route.ifindex;
        let link = self.links.get(ifindex);
        let link = link.ok_or(NextHopError::InterfaceMissing { target, ifindex })?;
        let interface = || link.name.clone();
        if link.operation != Operation::Up {
            let operation = link.operation;
            return Err(NextHopError::InterfaceDown { target, interface: interface(), operation });
        }
        let mac =
            link.mac.ok_or_else(|| NextHopError::NotEthernet { target, interface: interface() });
        Ok((link, mac?))
    }

    fn route_error(&self, target: IpAddr, error: &RouteError) -> NextHopError {
        match error {
            RouteError::None => NextHopError::NoRoute { target, down: self.lost_interface(target) },
            RouteError::Refused(kind) => NextHopError::Refused { target, kind },
            RouteError::OwnAddress => NextHopError::OwnAddress { target },
            RouteError::NotUnicast(kind) => NextHopError::NotUnicast { target, kind },
            RouteError::Encapsulated => NextHopError::Encapsulated { target },
            RouteError::Other(cause) => NextHopError::Lookup { target, cause: cause.clone() },
        }
    }

    /// The interface that `target` was last reached through, if it is down:
    /// the kernel removes a route with its interface, and says only "no route".
    fn lost_interface(&self, target: IpAddr) -> Option<String> {
        match self.next_hops.get(&target)? {
            Ok(next_hop) => self.down_interface(&next_hop.interface),
            Err(NextHopError::InterfaceDown { interface, .. }) => self.down_interface(interface),
            Err(NextHopError::NoRoute { down, .. }) => self.down_interface(down.as_deref()?),
            Err(
                NextHopError::Resolving(neighbour)
                | NextHopError::NeighbourSilent(neighbour)
                | NextHopError::NeighbourFailed(neighbour),
            ) => self.down_interface(&neighbour.interface),
            Err(_) => None,
        }
    }

    fn down_interface(&self, name: &str) -> Option<String> {
        let down = self.links.by_name(name).is_none_or(|link| link.operation != Operation::Up);
        down.then(|| name.to_string())
    }

    fn link_event(&mut self, link: Link) {
        let index = link.index;
        let up = link.operation == Operation::Up;
        if self.links.insert(link) {
            self.links_changed();
            if !up {
                self.neighbours.forget_interface(index);
            }
        }
    }

    fn links_changed(&mut self) {
        self.changed.links = true;
        self.dirty = true;
        self.all_stale();
    }

    fn addresses_changed(&mut self, really: bool) {
        if really {
            self.changed.addresses = true;
            self.all_stale();
        }
    }

    fn neighbour_gone(&mut self, key: NeighbourKey, now: Instant) {
        self.neighbours.gone(key, now);
        if self.wanted.contains(key) {
            self.wanted.gone(key, now);
            self.dirty = true;
        } else {
            self.neighbours.forget(key);
        }
    }
}

fn neighbour_of(target: IpAddr, route: &Route) -> NeighbourKey {
    NeighbourKey { ifindex: route.ifindex, address: route.gateway.unwrap_or(target) }
}

#[cfg(test)]
mod tests;
