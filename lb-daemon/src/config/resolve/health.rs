//! A service's probes.

use super::super::{
    duration,
    model::{Health, Ports, TcpHealth},
    ranges,
    raw::{self, Given, HealthKeys, HealthType},
    report::Report,
    yaml::At,
};

pub(super) fn resolve(
    typed: &raw::Service,
    defaults: &HealthKeys,
    ports: &Ports,
    report: &mut Report,
) -> Health {
    let own = &typed.common.health;
    if own.kind.or(&defaults.kind).value_or(HealthType::Tcp) == HealthType::None {
        for at in probe_keys(own).into_iter().flatten() {
            report.problem(at, "type none makes no probes", "remove this key, or set type: tcp");
        }
        return Health::None;
    }
    let interval = own.interval.or(&defaults.interval).value_or(ranges::INTERVAL.default);
    let timeout = match own.timeout.or(&defaults.timeout) {
        Given::Right(timeout) => timeout.value,
        Given::Absent | Given::Wrong => ranges::TIMEOUT.default.min(interval),
    };
    let wrong = matches!(own.interval.or(&defaults.interval), Given::Wrong);
    if timeout > interval && !wrong {
        let (timeout, interval) = (duration::write(timeout), duration::write(interval));
        let message = format!("the timeout {timeout} is above the interval {interval}");
        let help = format!("give a timeout of at most {interval}, or a longer interval");
        report.problem(blame(own, defaults).unwrap_or(typed.at), message, help);
    }
    Health::Tcp(TcpHealth {
        port: port(typed, defaults, ports, report),
        interval,
        timeout,
        rise: own.rise.or(&defaults.rise).value_or(ranges::DEFAULT_RISE),
        fall: own.fall.or(&defaults.fall).value_or(ranges::DEFAULT_FALL),
    })
}

/// Where the keys that only probes have stand.
fn probe_keys<'t>(keys: &HealthKeys<'t>) -> [Option<At<'t>>; 5] {
    [
        keys.port.right().map(|typed| typed.at),
        keys.interval.right().map(|typed| typed.at),
        keys.timeout.right().map(|typed| typed.at),
        keys.rise.right().map(|typed| typed.at),
        keys.fall.right().map(|typed| typed.at),
    ]
}

/// The key that makes timeout and interval contradict each other.
fn blame<'t>(own: &HealthKeys<'t>, defaults: &HealthKeys<'t>) -> Option<At<'t>> {
    let places = [&own.timeout, &own.interval, &defaults.timeout, &defaults.interval];
    places.into_iter().find_map(|given| given.right()).map(|typed| typed.at)
}

fn port(
    typed: &raw::Service,
    defaults: &HealthKeys,
    ports: &Ports,
    report: &mut Report,
) -> Option<u16> {
    match (typed.common.health.port.or(&defaults.port), ports) {
        (Given::Right(port), _) => Some(port.value),
        (Given::Absent, Ports::Any) => {
            let at = typed.ports.right().map_or(typed.at, |ports| ports.at);
            let help = "give health.port, or health: { type: none } for no probes";
            report.problem(at, "with port any, probes do not know their port", help);
            None
        }
        _ => None,
    }
}
