//! Backends that packets cannot get to, in words.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
};

use crate::{
    config::{Config, Mode},
    netlink::{NextHopError, NextHops},
};

/// One sentence per address and reason; services that share both are counted.
pub fn problems(config: &Config, next_hops: &NextHops) -> Vec<String> {
    let mut found: BTreeMap<(IpAddr, String), (String, usize)> = BTreeMap::new();
    for service in &config.services {
        for backend in &service.backends {
            let address = backend.address;
            let Some(why) = problem(&service.mode, address, next_hops) else { continue };
            match found.entry((address, why)) {
                Entry::Vacant(first) => {
                    first.insert((format!("{}/{}", service.name, backend.name), 1));
                }
                Entry::Occupied(mut more) => more.get_mut().1 += 1,
            }
        }
    }
    let sentence = |((_, why), (first, count)): ((IpAddr, String), (String, usize))| match count {
        1 => format!("no way to backend {first}: {why}"),
        _ => format!("no way to backend {first} and of {} more services: {why}", count - 1),
    };
    found.into_iter().map(sentence).collect()
}

fn problem(mode: &Mode, address: IpAddr, next_hops: &NextHops) -> Option<String> {
    match (next_hops.get(&address)?, mode) {
        (Err(NextHopError::Resolving(_)), _) => None,
        (Err(error), _) if error.is_own_host() => None,
        (Err(error), _) => Some(error.to_string()),
        (Ok(hop), Mode::Dsr) => hop.gateway.map(|gateway| {
            format!(
                "{address} is behind the gateway {gateway}, and mode dsr reaches only hosts on \
                 the link: use mode ipip"
            )
        }),
        (Ok(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        netlink::{MacAddress, NextHop},
    };

    fn config(mode: &str) -> Config {
        let service = |name: &str, port: u16| {
            format!(
                "- {{name: {name}, vip: 192.0.2.1, port: {port}, protocol: tcp, mode: {mode}, \
                 backends: [{{name: a, address: 10.9.0.1}}]}}\n"
            )
        };
        let services = [service("web", 80), service("tls", 443)].concat();
        let text = format!("interfaces: [eth0]\nservices:\n{services}");
        config::parse("lb.yaml", &text).unwrap().config
    }

    #[test]
    fn a_gateway_is_no_way_for_dsr() {
        let hop = NextHop {
            ifindex: 3,
            interface: "eth0".into(),
            source_mac: MacAddress([2; 6]),
            destination_mac: MacAddress([4; 6]),
            mtu: 1500,
            source: Some("10.0.0.1".parse().unwrap()),
            gateway: Some("10.0.0.254".parse().unwrap()),
        };
        let hops = NextHops::from([("10.9.0.1".parse().unwrap(), Ok(hop))]);
        let found = problems(&config("dsr"), &hops);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("web/a and of 1 more services"), "{found:?}");
        assert!(found[0].ends_with("use mode ipip"), "{found:?}");
        assert_eq!(problems(&config("ipip"), &hops), Vec::<String>::new());
    }

    #[test]
    fn what_netlink_says_is_passed_on() {
        let target: IpAddr = "10.9.0.1".parse().unwrap();
        let error = NextHopError::NoRoute { target, down: None };
        let hops = NextHops::from([(target, Err(error))]);
        assert!(problems(&config("ipip"), &hops)[0].ends_with("no route to 10.9.0.1"));
    }
}
