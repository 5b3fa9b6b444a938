//! What the VIP and port tables should hold, and the way from what they hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_common::abi::{PortEntry, Unserved as Policy, VipEntry};

use super::translation::Marks;
use crate::{
    config::{Config, Protocol, Service, Unserved},
    dataplane::{PortTable, VipTable},
    netlink::LocalAddresses,
    state::Identity,
};

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontends {
    /// `meta` by address.
    pub vips: BTreeMap<IpAddr, u64>,
    /// By [`PortEntry::key`].
    pub ports: BTreeMap<u64, PortEntry>,
}

/// A change of one table's entry. The order of a plan is that in which packets
/// must see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    SetPort(PortEntry),
    SetVip(IpAddr, u64),
    RemoveVip(IpAddr),
    RemovePort(u64),
}

impl Frontends {
    /// `ready`: whether a service's slots are in place.
    pub fn desired(
        config: &Config,
        identity: &Identity,
        (local, marks): (&LocalAddresses, &Marks),
        ready: impl Fn(&str) -> bool,
    ) -> Self {
        let mut frontends = Self::default();
        let mut any = BTreeSet::new();
        let served: Vec<_> = config.services.iter().filter(|s| ready(&s.name)).collect();
        for service in &served {
            frontends.add_ports(service, identity, &mut any);
        }
        let policies = config.vips();
        for vip in served.iter().flat_map(|service| &service.vips) {
            if let Some(id) = identity.vips.get(vip) {
                let policy = policy(policies[vip], local.contains(*vip));
                let any = |protocol| any.contains(&(*vip, protocol));
                let meta = VipEntry::meta(*id, policy, any(Protocol::Tcp), any(Protocol::Udp));
                frontends.vips.insert(*vip, meta);
            }
        }
        for address in marks.addresses() {
            let meta = marks.mark(address, frontends.vips.get(&address).copied());
            frontends.vips.insert(address, meta);
        }
        frontends
    }

    fn add_ports(
        &mut self,
        service: &Service,
        identity: &Identity,
        any: &mut BTreeSet<(IpAddr, Protocol)>,
    ) {
        let Some(entry) = identity.services.get(&service.name).map(|known| known.entry) else {
            return;
        };
        for frontend in service.frontends() {
            let Some(vip) = identity.vips.get(&frontend.vip) else { continue };
            // Port 0 stands for "any".
            let port = frontend.port.unwrap_or(0);
            let entry = PortEntry::new(*vip, frontend.protocol.number(), port, entry);
            self.ports.insert(entry.key(), entry);
            if frontend.port.is_none() {
                any.insert((frontend.vip, frontend.protocol));
            }
        }
    }

    /// From what the tables hold to this: a port before its VIP, and away in
    /// reverse. What is `configured` but not ready is left as it is: an earlier
    /// daemon's, not taken over yet.
    pub fn plan(&self, configured: &Self, vips: &VipTable, ports: &PortTable) -> Vec<Step> {
        let mut steps = Vec::new();
        let new_ports = self.ports.values().filter(|entry| ports.get(entry.key()) != Some(**entry));
        steps.extend(new_ports.map(|entry| Step::SetPort(*entry)));
        let new_vips =
            self.vips.iter().filter(|(address, meta)| vips.get(**address) != Some(**meta));
        steps.extend(new_vips.map(|(address, meta)| Step::SetVip(*address, *meta)));
        let old_vips = vips.iter().filter(|(address, _)| !configured.vips.contains_key(address));
        steps.extend(old_vips.map(|(address, _)| Step::RemoveVip(address)));
        let old_ports = ports.iter().filter(|entry| !configured.ports.contains_key(&entry.key()));
        steps.extend(old_ports.map(|entry| Step::RemovePort(entry.key())));
        steps
    }
}

fn policy(configured: Unserved, is_local: bool) -> Policy {
    match configured {
        Unserved::Reject => Policy::Reject,
        Unserved::Drop => Policy::Drop,
        Unserved::Pass => Policy::Pass,
        // The host's own ssh may be behind one of its ports.
        Unserved::Auto if is_local => Policy::Pass,
        Unserved::Auto => Policy::Reject,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, dataplane::Fake};

    const BOTH: &str = "interfaces: [eth0]\nservices:\n\
        - {name: web, vip: [192.0.2.1, '2001:db8::1'], port: [80, 443], protocol: tcp, mode: dsr, \
           backends: [{name: a, address: 10.0.0.1}]}\n\
        - {name: all, vip: 192.0.2.1, port: any, protocol: udp, mode: dsr, unserved: drop, health: {type: none}, \
           backends: [{name: a, address: 10.0.0.1}]}\n";

    fn desired(text: &str, ready: impl Fn(&str) -> bool) -> Frontends {
        let config = config::parse("lb.yaml", text).unwrap().config;
        let mut identity = Identity::new([1, 2]);
        identity.admit(&config, []).unwrap();
        let around = (&LocalAddresses::default(), &Marks::default());
        Frontends::desired(&config, &identity, around, ready)
    }

    #[test]
    fn every_frontend_has_a_port_and_every_vip_its_policy() {
        let frontends = desired(BOTH, |_| true);
        assert_eq!(frontends.ports.len(), 5);
        let meta = frontends.vips[&"192.0.2.1".parse::<IpAddr>().unwrap()];
        assert_eq!(VipEntry::unserved_of(meta), Policy::Drop);
        assert!(VipEntry::any_port_of(meta, 17) && !VipEntry::any_port_of(meta, 6));
    }

    #[test]
    fn a_service_without_slots_is_not_to_be_found() {
        let frontends = desired(BOTH, |name| name == "all");
        assert_eq!((frontends.ports.len(), frontends.vips.len()), (1, 1));
        assert_eq!(desired(BOTH, |_| false), Frontends::default());
    }

    #[test]
    fn ports_come_before_vips_and_go_after_them() {
        let mut plane = Fake::default();
        let (mut vips, mut ports) = (VipTable::default(), PortTable::default());
        let all = desired(BOTH, |_| true);
        let steps = all.plan(&all, &vips, &ports);
        let first_vip = steps.iter().position(|s| matches!(s, Step::SetVip(..))).unwrap();
        assert!(steps[..first_vip].iter().all(|s| matches!(s, Step::SetPort(_))));
        assert_eq!(first_vip, 5);
        for step in steps {
            match step {
                Step::SetPort(entry) => ports.set(&mut plane, entry).unwrap(),
                Step::SetVip(address, meta) => vips.set(&mut plane, address, meta).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(all.plan(&all, &vips, &ports), []);
        let none = Frontends::default();
        assert_eq!(none.plan(&all, &vips, &ports), []);
        let away = none.plan(&none, &vips, &ports);
        let first_port = away.iter().position(|s| matches!(s, Step::RemovePort(_))).unwrap();
        assert!(away[..first_port].iter().all(|s| matches!(s, Step::RemoveVip(_))));
    }

    #[test]
    fn a_local_vip_passes_what_nobody_serves() {
        assert_eq!(policy(Unserved::Auto, true), Policy::Pass);
        assert_eq!(policy(Unserved::Auto, false), Policy::Reject);
        assert_eq!(policy(Unserved::Reject, true), Policy::Reject);
    }
}
