//! A service's probes.

use std::sync::Arc;

use super::{
    super::{
        duration,
        model::{Check, Health, Mode, Ports, Probes, Via},
        ranges,
        raw::{self, File, Given, HealthKeys, HealthType},
        report::Report,
        yaml::At,
    },
    check,
};

pub(super) fn resolve(
    typed: &raw::Service,
    file: &File,
    (mode, ports): (&Mode, &Ports),
    report: &mut Report,
) -> Health {
    let (own, defaults) = (&typed.common.health, &file.defaults.health);
    let kind = own.kind.or(&defaults.kind).value_or(HealthType::Tcp);
    if kind == HealthType::None {
        for at in all_keys(own) {
            report.problem(at, "type none makes no probes", "remove this key, or set type: tcp");
        }
        return Health::None;
    }
    check::foreign_keys(kind, own, report);
    permission(kind, own, file, report);
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
    let at = own.at.unwrap_or(typed.at);
    let keys = check::Keys { own: &own.check, defaults: &defaults.check, at };
    Health::Probed(Probes {
        check: Arc::new(keys.resolve(kind, report).unwrap_or(Check::Tcp)),
        via: via(kind, mode, (own, defaults), report),
        port: port(kind, typed, file, ports, report),
        interval,
        timeout,
        rise: own.rise.or(&defaults.rise).value_or(ranges::DEFAULT_RISE),
        fall: own.fall.or(&defaults.fall).value_or(ranges::DEFAULT_FALL),
    })
}

/// Programs run with the daemon's rights, so that a file that comes from
/// elsewhere must not start any by a service alone.
fn permission(kind: HealthType, own: &HealthKeys, file: &File, report: &mut Report) {
    if kind == HealthType::Exec && !file.allow_exec.value_or(false) {
        let place = own.kind.right().or(file.defaults.health.kind.right());
        let help = "set allow_exec: true at the top of the file, or use another type";
        report.problem(
            place.map_or(file.at, |typed| typed.at),
            "probes may not run programs",
            help,
        );
    }
}

/// Through the data path where that can be. What `defaults` says and cannot be
/// here is for other services.
fn via(
    kind: HealthType,
    mode: &Mode,
    (own, defaults): (&HealthKeys, &HealthKeys),
    report: &mut Report,
) -> Via {
    let obstacle = match (mode, kind) {
        (Mode::Nat(_) | Mode::Dnat(_), _) => Some(format!("mode {}", mode.name())),
        (_, HealthType::Icmp | HealthType::Exec) => Some(format!("type {}", kind.name())),
        _ => None,
    };
    match (own.via.right(), obstacle) {
        (Some(via), Some(what)) if via.value == Via::Path => {
            let message = format!("probes of {what} cannot take the way of clients' packets");
            report.problem(via.at, message, "give via: direct, or leave it out");
            Via::Direct
        }
        (_, Some(_)) => Via::Direct,
        (_, None) => own.via.or(&defaults.via).value_or(Via::Path),
    }
}

/// Where keys beside `type` stand.
fn all_keys<'t>(keys: &HealthKeys<'t>) -> Vec<At<'t>> {
    let common = [
        keys.via.right().map(|typed| typed.at),
        keys.port.right().map(|typed| typed.at),
        keys.interval.right().map(|typed| typed.at),
        keys.timeout.right().map(|typed| typed.at),
        keys.rise.right().map(|typed| typed.at),
        keys.fall.right().map(|typed| typed.at),
    ];
    let of_types = keys.check.places.iter().map(|(_, at)| *at);
    common.into_iter().flatten().chain(of_types).collect()
}

/// The key that makes timeout and interval contradict each other.
fn blame<'t>(own: &HealthKeys<'t>, defaults: &HealthKeys<'t>) -> Option<At<'t>> {
    let places = [&own.timeout, &own.interval, &defaults.timeout, &defaults.interval];
    places.into_iter().find_map(|given| given.right()).map(|typed| typed.at)
}

fn port(
    kind: HealthType,
    typed: &raw::Service,
    file: &File,
    ports: &Ports,
    report: &mut Report,
) -> Option<u16> {
    let own = &typed.common.health.port;
    if kind == HealthType::Icmp {
        if let Some(port) = own.right() {
            report.problem(port.at, "type icmp has no port", "remove it");
        }
        return None;
    }
    match (own.or(&file.defaults.health.port), ports) {
        (Given::Right(port), _) => Some(port.value),
        (Given::Absent, Ports::Any) if kind != HealthType::Exec => {
            let at = typed.ports.right().map_or(typed.at, |ports| ports.at);
            let help = "give health.port, or health: { type: none } for no probes";
            report.problem(at, "with port any, probes do not know their port", help);
            None
        }
        _ => None,
    }
}
