//! Lists of source addresses, each by itself and against the backends.

use std::net::IpAddr;

use super::{
    super::{
        model::{Config, Service},
        ranges,
        raw::{self, File, SnatKeys, Typed},
        report::Report,
    },
    list, once, part,
    translation::family,
};

pub(super) fn find(file: &File, config: &Config, report: &mut Report) {
    let services = file.services.iter().map(|service| &service.common.snat);
    for keys in [&file.snat, &file.defaults.snat].into_iter().chain(services) {
        addresses(keys, report);
    }
    for (typed, service) in file.services.iter().zip(&config.services) {
        families(typed, service, file, report);
    }
}

fn addresses(keys: &SnatKeys, report: &mut Report) {
    let Some(addresses) = keys.addresses.right().map(|given| &given.value) else { return };
    once(list(addresses), "address", report);
    for is_family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
        let mut of_family = addresses.iter().filter(|address| is_family(&address.value));
        if let Some(first_too_many) = of_family.nth(ranges::MOST_SNAT_ADDRESSES) {
            let message = format!(
                "more than {} {} addresses",
                ranges::MOST_SNAT_ADDRESSES,
                family(first_too_many.value)
            );
            let help = "give fewer, or split the backends between services with their own";
            report.problem(first_too_many.at, message, help);
        }
    }
}

/// Packets to a backend need a source of its family.
fn families(typed: &raw::Service, service: &Service, file: &File, report: &mut Report) {
    let Some(snat) = service.mode.snat().filter(|snat| !snat.addresses.is_empty()) else { return };
    let Some(Typed { at: given, .. }) = addresses_of(typed, file) else { return };
    let lacking = |address: &IpAddr| snat.toward(*address).next().is_none();
    let mut backends = typed.backends.iter().filter_map(|backend| part(&backend.address));
    if let Some((address, at)) = backends.find(|(address, _)| lacking(address)) {
        let family = family(*address);
        let message =
            format!("there is no {family} source for it at snat.addresses ({})", given.position());
        let help =
            format!("add an {family} address there, or leave addresses out for the host's own");
        report.problem(at, message, help);
    }
}

/// The list that holds for a service.
pub(super) fn addresses_of<'a, 't>(
    typed: &'a raw::Service<'t>,
    file: &'a File<'t>,
) -> Option<&'a Typed<'t, Vec<Typed<'t, IpAddr>>>> {
    let own = &typed.common.snat.addresses;
    own.or(&file.defaults.snat.addresses).or(&file.snat.addresses).right()
}
