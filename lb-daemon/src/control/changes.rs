//! What a reload changes, in words.

use std::collections::BTreeMap;

use crate::{
    api::protocol::Reloaded,
    config::{Backend, BackendOrder, Config, DrainTime, Limits, Notify, Service},
};

/// What is different in `after`, and what of it takes effect later.
/// `now`: flows of removed backends are cut off.
pub fn between(before: &Config, after: &Config, now: bool) -> Reloaded {
    let mut answer = Reloaded::default();
    for service in &before.services {
        if find(after, &service.name).is_none() {
            answer.changes.push(format!(
                "service {} is removed: packets for it are handled as for any other address{}",
                service.name,
                if service.mode.snat().is_some() { ", its translated flows end" } else { "" }
            ));
        }
    }
    for service in &after.services {
        match find(before, &service.name) {
            None => answer.changes.push(format!("service {} is added", service.name)),
            Some(old) => Comparison { old, new: service, answer: &mut answer, now }.run(),
        }
    }
    if before.interfaces != after.interfaces {
        answer.changes.push("interfaces are attached and detached as listed".to_owned());
    }
    if before.on_exit != after.on_exit {
        answer.changes.push("on_exit is taken over".to_owned());
    }
    if before.local_clients != after.local_clients {
        let are = if after.local_clients { "are balanced" } else { "go where they say" };
        answer.changes.push(format!("this host's own connections to VIPs {are} from now on"));
    }
    if before.control != after.control {
        answer.changes.push(match &after.control.group {
            Some(group) => format!("statistics may be read by root and group {group}"),
            None => "statistics may be read by root alone".to_owned(),
        });
    }
    let rates = |limits: Limits| {
        (
            (limits.reset_rate, limits.unserved_rate, limits.too_big_rate),
            (limits.echo_rate, limits.log_rate),
        )
    };
    if rates(before.limits) != rates(after.limits) {
        answer.changes.push("rates of the balancer's own answers are taken over".to_owned());
    }
    if before.notify != after.notify {
        answer.changes.push(told(&after.notify));
    }
    if before.nat_log != after.nat_log {
        answer.changes.push(match &after.nat_log {
            Some(log) => format!(
                "translated flows are logged to {}, {} records per second at most",
                log.path.display(),
                log.rate
            ),
            None => "translated flows are not logged any more".to_owned(),
        });
    }
    answer
}

/// Who is told of events.
fn told(all: &[Notify]) -> String {
    match all {
        [] => "nobody is told of events any more".to_owned(),
        all => {
            let ways: Vec<_> = all.iter().map(|one| one.way.to_string()).collect();
            format!("{} are told of events", ways.join(", "))
        }
    }
}

/// What a change of seed means.
pub fn new_seed() -> String {
    "the seed is another one: every service moves to a new table. Flows stay on their backends; \
     until all of them have an entry or have ended (`idle`), packets without one ask the table \
     before"
        .to_owned()
}

fn find<'a>(config: &'a Config, name: &str) -> Option<&'a Service> {
    config.services.iter().find(|service| service.name == name)
}

struct Comparison<'a> {
    old: &'a Service,
    new: &'a Service,
    answer: &'a mut Reloaded,
    now: bool,
}

impl Comparison<'_> {
    fn run(mut self) {
        let moved = self.backends();
        self.table();
        self.mode();
        self.target_ports();
        self.rest();
        if moved {
            let Service { name, arming, .. } = self.new;
            self.pending(format!(
                "service {name}: new connections follow after the arming time of {arming:?}; flows \
                 that exist stay on their backends"
            ));
        }
    }

    /// Whether slots change their owners.
    fn backends(&mut self) -> bool {
        let by_address = |service: &Service| -> BTreeMap<_, Backend> {
            service.backends.iter().map(|one| (one.address, one.clone())).collect()
        };
        let (old, new) = (by_address(self.old), by_address(self.new));
        let mut moved = false;
        for (address, backend) in &old {
            if !new.contains_key(address) {
                let flows = match backend.drain.unwrap_or(self.old.drain) {
                    _ if self.now => "are cut off".to_owned(),
                    DrainTime::At(time) => format!("stay until they end, for {time:?} at most"),
                    DrainTime::Unlimited => "stay there until they end".to_owned(),
                };
                self.change(&format!(
                    "backend {} ({address}) is removed; its flows {flows}",
                    backend.name
                ));
                moved |= backend.weight > 0;
            }
        }
        for (address, backend) in &new {
            match old.get(address) {
                None => {
                    self.change(&format!("backend {} ({address}) is added", backend.name));
                    moved |= backend.weight > 0;
                }
                Some(before) => {
                    if before.name != backend.name {
                        self.change(&format!(
                            "backend {} ({address}) is now named {}",
                            before.name, backend.name
                        ));
                    }
                    if before.state != backend.state {
                        self.change(&match backend.state {
                            BackendOrder::Drain => format!(
                                "backend {} ({address}) is drained: no new connections",
                                backend.name
                            ),
                            BackendOrder::Active => {
                                format!("backend {} ({address}) is active again", backend.name)
                            }
                        });
                        moved = true;
                    }
                    if before.backup != backend.backup {
                        let is = match backend.backup {
                            true => "is a backup: new connections when too few others are up",
                            false => "is no backup any more",
                        };
                        self.change(&format!("backend {} ({address}) {is}", backend.name));
                        moved = true;
                    }
                    if before.port != backend.port {
                        let port = |port: Option<u16>| match port {
                            Some(port) => format!("port {port}"),
                            None => "the client's port".to_owned(),
                        };
                        self.change(&format!(
                            "backend {} ({address}): {} instead of {}, for new flows",
                            backend.name,
                            port(backend.port),
                            port(before.port)
                        ));
                    }
                    if before.weight != backend.weight {
                        self.change(&format!(
                            "backend {} ({address}): weight {} instead of {}{}",
                            backend.name,
                            backend.weight,
                            before.weight,
                            if backend.weight == 0 { ", no new connections" } else { "" }
                        ));
                        moved = true;
                    }
                }
            }
        }
        moved
    }

    fn table(&mut self) {
        let (old, new) = (self.old.table_size, self.new.table_size);
        if old != new {
            self.change(&format!("table of {new} slots instead of {old}"));
            let Service { name, arming, idle, .. } = self.new;
            self.pending(format!(
                "service {name}: the new table takes over new connections after {arming:?}; packets \
                 of flows without an entry ask the old table for {:?}, then it goes",
                idle.tcp.max(idle.udp)
            ));
        }
    }

    fn mode(&mut self) {
        if self.old.mode != self.new.mode {
            let (old, new) = (&self.old.mode, &self.new.mode);
            let what = match (old.snat(), new.snat()) {
                (Some(old_snat), Some(new_snat)) if old.name() == new.name() => {
                    let of =
                        if old_snat.rest == new_snat.rest { "addresses or ports" } else { "rest" };
                    format!(
                        "snat has other {of}; flows that exist keep their source until they end, new \
                         ones follow at once"
                    )
                }
                (None, None) => format!(
                    "mode {} with its present settings; flows that exist go on to the same backends \
                     in the new mode",
                    new.name()
                ),
                (None, Some(_)) => format!(
                    "mode {} instead of {}: new connections are translated; TCP connections that \
                     exist go on as they are, UDP flows are translated with their next packet",
                    new.name(),
                    old.name()
                ),
                (Some(_), _) => format!(
                    "mode {} instead of {}: flows that exist go on translated as they are until they \
                     end, new ones follow at once",
                    new.name(),
                    old.name()
                ),
            };
            self.change(&what);
        }
    }

    /// Where translated flows go to.
    fn target_ports(&mut self) {
        for backend in &self.new.backends {
            let mut before = self.old.backends.iter();
            let Some(before) = before.find(|one| one.address == backend.address) else { continue };
            if before.port != backend.port {
                let port = |port: Option<u16>| {
                    port.map_or("the port that clients name".to_owned(), |port| {
                        format!("port {port}")
                    })
                };
                let (name, address) = (&backend.name, backend.address);
                let (now, was) = (port(backend.port), port(before.port));
                self.change(&format!(
                    "backend {name} ({address}): {now} instead of {was} for new flows"
                ));
            }
        }
    }

    fn rest(&mut self) {
        let (old, new) = (self.old, self.new);
        let frontends =
            (&old.vips, &old.ports, &old.protocols) != (&new.vips, &new.ports, &new.protocols);
        let health = old.health != new.health || old.initial_state != new.initial_state;
        let times = (old.idle, old.half_open, old.closing, old.arming)
            != (new.idle, new.half_open, new.closing, new.arming);
        let policies: Vec<_> = [
            ("udp", old.udp != new.udp),
            ("unserved", old.unserved != new.unserved),
            ("on_backend_dead", old.on_backend_dead != new.on_backend_dead),
            ("on_all_down", old.policy.on_all_down != new.policy.on_all_down),
            ("backup_below", old.policy.backup_below != new.policy.backup_below),
            ("min_healthy", old.policy.min_healthy != new.policy.min_healthy),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect();
        if frontends {
            self.change("VIPs, ports and protocols are as in the file");
        }
        if health {
            self.change("its probes change; states start anew for targets that are new");
        }
        if old.passive != new.passive {
            self.change("what its traffic shows of backends is treated as the file says");
        }
        if times {
            self.change("its times change, for flows that exist too");
        }
        if (old.drain, old.slow_start) != (new.drain, new.slow_start) {
            self.change("its times of drain and slow_start change");
        }
        if !policies.is_empty() {
            self.change(&format!("other policies from now on: {}", policies.join(", ")));
        }
    }

    fn change(&mut self, what: &str) {
        self.answer.changes.push(format!("service {}: {what}", self.new.name));
    }

    fn pending(&mut self, what: String) {
        self.answer.pending.push(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn config(backends: &str, more: &str) -> Config {
        let text = format!(
            "interfaces: [eth0]\nservices:\n- {{name: web, vip: 192.0.2.1, port: 80, protocol: tcp, \
             mode: dsr, arming: 2s{more}, backends: [{backends}]}}\n"
        );
        config::parse("lb.yaml", &text).unwrap().config
    }

    const A: &str = "{name: a, address: 10.0.0.1}";
    const B: &str = "{name: b, address: 10.0.0.2}";

    #[test]
    fn nothing_changed_says_nothing() {
        let same = config(A, "");
        assert_eq!(between(&same, &same, false), Reloaded::default());
    }

    #[test]
    fn a_change_of_the_pool_names_the_time_it_waits() {
        let answer = between(&config(A, ""), &config(B, ""), false);
        assert_eq!(answer.changes.len(), 2, "{answer:?}");
        assert!(answer.changes[0].contains("backend a (10.0.0.1) is removed"), "{answer:?}");
        assert!(answer.changes[1].contains("backend b (10.0.0.2) is added"), "{answer:?}");
        assert!(answer.pending[0].contains("after the arming time of 2s"), "{answer:?}");
    }

    fn translating(snat: &str, more: &str) -> Config {
        let text = format!(
            "interfaces: [eth0]\n{more}services:\n- {{name: web, vip: 192.0.2.1, port: 80, protocol: \
             tcp, mode: nat, snat: {{{snat}}}, arming: 2s, backends: [{A}]}}\n"
        );
        config::parse("lb.yaml", &text).unwrap().config
    }

    #[test]
    fn a_change_of_mode_says_what_becomes_of_flows() {
        let (dsr, nat) = (config(A, ""), translating("ports: 20000-20099", ""));
        let said =
            |before: &Config, after: &Config| between(before, after, false).changes.join("\n");
        let there = said(&dsr, &nat);
        assert!(there.contains("mode nat instead of dsr: new connections are"), "{there}");
        assert!(!there.contains("rates"), "the tables' default size is no rate: {there}");
        let back = said(&nat, &dsr);
        assert!(back.contains("go on translated as they are until they end"), "{back}");
        let pool = said(&nat, &translating("ports: 20100-20199", ""));
        assert!(
            pool.contains("snat has other addresses or ports; flows that exist keep"),
            "{pool}"
        );
        let log = said(&nat, &translating("ports: 20000-20099", "nat_log: {path: /tmp/x}\n"));
        assert!(log.starts_with("translated flows are logged to /tmp/x"), "{log}");
    }

    #[test]
    fn weight_0_and_a_new_table_are_said_in_words() {
        let zero = "{name: a, address: 10.0.0.1, weight: 0}";
        let both = format!("{zero}, {B}");
        let answer = between(&config(&format!("{A}, {B}"), ""), &config(&both, ""), false);
        assert!(answer.changes[0].contains("no new connections"), "{answer:?}");
        let answer = between(&config(A, ""), &config(A, ", table_size: 1021"), false);
        assert!(answer.changes[0].contains("table of 1021 slots"), "{answer:?}");
        assert!(answer.pending[0].contains("ask the old table"), "{answer:?}");
    }
}
