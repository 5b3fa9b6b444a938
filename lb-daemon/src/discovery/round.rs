//! What one asking brought, and what then holds: an answer replaces what was
//! known, and where there is none, what was known stays. So an outage of the
//! name servers, or a name that vanished from them, takes no backend away.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

/// More than these are no pool of one service, and are not remembered.
pub const MOST_ENDPOINTS: usize = 4096;

/// A backend as answers know it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    pub address: IpAddr,
    pub target: Target,
}

/// A host that has addresses: the name asked for, or one that an SRV record names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Target {
    pub host: String,
    pub port: Option<u16>,
    pub weight: Option<u16>,
    /// Records with a smaller priority number name others.
    #[serde(default)]
    pub backup: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Round {
    pub hosts: Hosts,
    /// Of the answers; `None` if there are none.
    pub ttl: Option<Duration>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hosts {
    Known(Vec<Host>),
    /// Why it is not known which hosts there are.
    Unknown(String),
}

/// One target, and what was said of its addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    pub target: Target,
    pub v4: Addresses,
    pub v6: Addresses,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Addresses {
    NotAsked,
    Found(Vec<IpAddr>),
    /// There are none, as the servers say, in their words.
    None(String),
    /// Nobody answered, or nothing that can be used.
    Failed(String),
}

type IsFamily = fn(&IpAddr) -> bool;

impl Round {
    /// What holds after this when `before` held.
    pub fn merge(&self, before: &[Endpoint]) -> Vec<Endpoint> {
        let Hosts::Known(hosts) = &self.hosts else { return before.to_vec() };
        let mut merged: Vec<_> = hosts.iter().flat_map(|host| host.endpoints(before)).collect();
        merged.sort();
        merged.dedup();
        merged.truncate(MOST_ENDPOINTS);
        merged
    }

    /// Why something of what was known before is kept without an answer.
    pub fn trouble(&self) -> Option<String> {
        match &self.hosts {
            Hosts::Unknown(why) => Some(why.clone()),
            Hosts::Known(hosts) => hosts.iter().find_map(Host::trouble),
        }
    }
}

impl Host {
    /// No AAAA record beside an A record means that there is none; no record at
    /// all says nothing about a host that is to have some.
    fn endpoints(&self, before: &[Endpoint]) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        for (answer, is_family) in self.families() {
            match answer {
                Addresses::Found(addresses) => {
                    let found = addresses.iter();
                    endpoints.extend(
                        found.map(|&address| Endpoint { address, target: self.target.clone() }),
                    );
                }
                Addresses::None(_) if self.is_found() => {}
                Addresses::NotAsked => {}
                Addresses::None(_) | Addresses::Failed(_) => {
                    endpoints.extend(self.known(before, is_family));
                }
            }
        }
        endpoints
    }

    /// What was known of this host, under what is said of it now.
    fn known(&self, before: &[Endpoint], is_family: IsFamily) -> Vec<Endpoint> {
        let same = before.iter().filter(|one| {
            let Target { host, port, .. } = &one.target;
            *host == self.target.host && *port == self.target.port && is_family(&one.address)
        });
        same.map(|one| Endpoint { address: one.address, target: self.target.clone() }).collect()
    }

    fn families(&self) -> [(&Addresses, IsFamily); 2] {
        [(&self.v4, IpAddr::is_ipv4), (&self.v6, IpAddr::is_ipv6)]
    }

    fn is_found(&self) -> bool {
        [&self.v4, &self.v6].iter().any(|answer| matches!(answer, Addresses::Found(_)))
    }

    fn trouble(&self) -> Option<String> {
        let answers = [("A", &self.v4), ("AAAA", &self.v6)];
        let why = answers.iter().find_map(|(kind, answer)| match answer {
            Addresses::Failed(why) => Some(format!("{kind} of {}: {why}", self.target.host)),
            _ => None,
        });
        why.or_else(|| {
            let none = answers.iter().find_map(|(_, answer)| match answer {
                Addresses::None(why) => Some(format!("{}: {why}", self.target.host)),
                _ => None,
            });
            none.filter(|_| !self.is_found())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|one| one.parse().unwrap()).collect()
    }

    fn target(host: &str, port: Option<u16>) -> Target {
        Target { host: host.into(), port, weight: None, backup: false }
    }

    fn known(list: &[&str]) -> Vec<Endpoint> {
        let target = target("web", None);
        addresses(list)
            .into_iter()
            .map(|address| Endpoint { address, target: target.clone() })
            .collect()
    }

    fn found(list: &[&str]) -> Addresses {
        Addresses::Found(addresses(list))
    }

    fn round(v4: Addresses, v6: Addresses) -> Round {
        let hosts = Hosts::Known(vec![Host { target: target("web", None), v4, v6 }]);
        Round { hosts, ttl: None }
    }

    fn none() -> Addresses {
        Addresses::None("no records".into())
    }

    fn failed() -> Addresses {
        Addresses::Failed("timed out".into())
    }

    #[test]
    fn an_answer_replaces_what_was_known_whatever_its_order() {
        let round = round(found(&["10.0.0.3", "10.0.0.1", "10.0.0.3"]), none());
        assert_eq!(round.merge(&known(&["10.0.0.2"])), known(&["10.0.0.1", "10.0.0.3"]));
        assert_eq!(round.trouble(), None);
    }

    #[test]
    fn a_family_without_records_goes_if_the_other_has_some() {
        let round = round(found(&["10.0.0.1"]), none());
        assert_eq!(round.merge(&known(&["10.0.0.1", "2001:db8::1"])), known(&["10.0.0.1"]));
    }

    #[test]
    fn a_family_that_nobody_answers_for_stays() {
        let round = round(found(&["10.0.0.2"]), failed());
        assert_eq!(
            round.merge(&known(&["10.0.0.1", "2001:db8::1"])),
            known(&["10.0.0.2", "2001:db8::1"])
        );
        assert_eq!(round.trouble().unwrap(), "AAAA of web: timed out");
    }

    #[test]
    fn no_answer_of_any_kind_takes_the_last_backend() {
        let before = known(&["10.0.0.1", "2001:db8::1"]);
        for round in [
            round(none(), none()),
            round(failed(), failed()),
            round(failed(), none()),
            round(none(), failed()),
            Round { hosts: Hosts::Unknown("refused".into()), ttl: None },
        ] {
            assert_eq!(round.merge(&before), before, "{round:?}");
            assert!(round.trouble().is_some(), "{round:?}");
        }
        let v4_only = round(none(), Addresses::NotAsked);
        assert_eq!(v4_only.merge(&before), known(&["10.0.0.1"]), "v6 is not wanted any more");
    }

    #[test]
    fn a_host_that_records_do_not_name_any_more_goes_and_one_without_answer_stays() {
        let endpoint = |address: &str, host: &str, weight| Endpoint {
            address: address.parse().unwrap(),
            target: Target { weight, ..target(host, Some(81)) },
        };
        let before = [
            endpoint("10.0.0.1", "a", Some(1)),
            endpoint("10.0.0.2", "b", Some(1)),
            endpoint("10.0.0.3", "c", Some(1)),
        ];
        let host = |host: &str, v4| Host {
            target: Target { weight: Some(9), ..target(host, Some(81)) },
            v4,
            v6: none(),
        };
        let hosts = vec![host("b", failed()), host("c", found(&["10.0.0.4"]))];
        let merged = Round { hosts: Hosts::Known(hosts), ttl: None }.merge(&before);
        let expected = [endpoint("10.0.0.2", "b", Some(9)), endpoint("10.0.0.4", "c", Some(9))];
        assert_eq!(merged, expected);
    }
}
