//! Whether a backend that was found can be one of a service's: what the
//! checks of the file say of listed backends.

use std::{collections::HashSet, net::IpAddr};

use super::{
    conflicts::{family, has_flows},
    model::{Backend, Config, Mode, Ports, Service},
    raw::unusable,
};

/// Holds backends to a configuration.
pub struct Fit<'c> {
    config: &'c Config,
    vips: HashSet<IpAddr>,
}

impl<'c> Fit<'c> {
    pub fn new(config: &'c Config) -> Self {
        let vips = config.services.iter().flat_map(|service| service.vips.iter().copied());
        Self { config, vips: vips.collect() }
    }

    /// Why `backend` cannot be one of `service`'s.
    pub fn refusal(&self, service: &Service, backend: &Backend) -> Option<String> {
        let Backend { address, port, .. } = *backend;
        if let Some((kind, _)) = unusable(address) {
            return Some(format!("{address} is {kind}"));
        }
        if self.vips.contains(&address) {
            return Some(format!("{address} is a VIP of this balancer"));
        }
        self.family(service, address).or_else(|| port_refusal(service, port?))
    }

    fn family(&self, service: &Service, address: IpAddr) -> Option<String> {
        let other = |vip: &&IpAddr| vip.is_ipv4() != address.is_ipv4();
        if let (Mode::Dnat(_), Some(vip)) = (&service.mode, service.vips.iter().find(other)) {
            let vip_family = family(*vip);
            return Some(format!("mode dnat keeps the family: the VIP {vip} is {vip_family}"));
        }
        let snat = service.mode.snat()?;
        let family = family(address);
        if !snat.addresses.is_empty() && snat.toward(address).next().is_none() {
            return Some(format!("there is no {family} source for it in snat.addresses"));
        }
        let limits = &self.config.limits;
        let tables = [
            ("nat_flows", limits.nat_flows, false),
            ("nat_flows_wide", limits.nat_flows_wide, true),
        ];
        let off = tables
            .into_iter()
            .find(|(_, size, wide)| *size == 0 && has_flows(&service.vips, &[address], *wide));
        off.map(|(name, ..)| format!("limits.{name} is 0, which its flows would need"))
    }
}

fn port_refusal(service: &Service, port: u16) -> Option<String> {
    if service.mode.snat().is_none() {
        return Some(format!("mode {} does not change ports", service.mode.name()));
    }
    let any = service.ports == Ports::Any;
    any.then(|| format!("with port any, backends get the port that the client used, not {port}"))
}
