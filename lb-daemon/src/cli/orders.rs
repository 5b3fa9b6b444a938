//! `lb-daemon drain`, `undrain` and `set-weight`.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    Failure, args,
    failure::Code,
    reload::in_words,
    render::{events::clock, units::grouped},
};
use crate::api::{
    Instance, RuntimeDir, client,
    protocol::{Command, Reply, Request},
    types::{BackendState, BackendStats, Change, DrainStats, RemovedStats, Stats},
};

const PATIENCE: Duration = Duration::from_secs(30);

pub fn drain(instance: &Instance, arguments: &args::Drain) -> Result<(), Failure> {
    let change = Change {
        deadline: arguments.deadline.map(|after| after.as_secs()),
        reason: arguments.reason.clone(),
        ..arguments.which.change()
    };
    order(instance, Command::Drain, change.clone())?;
    if arguments.wait { wait(instance, &change) } else { Ok(()) }
}

pub fn undrain(instance: &Instance, arguments: &args::Undrain) -> Result<(), Failure> {
    let reason = arguments.reason.clone();
    order(instance, Command::Undrain, Change { reason, ..arguments.which.change() })
}

pub fn set_weight(instance: &Instance, arguments: &args::SetWeight) -> Result<(), Failure> {
    let change = Change {
        service: Some(arguments.service.clone()),
        backend: Some(arguments.backend.clone()),
        weight: arguments.weight.0,
        reason: arguments.reason.clone(),
        ..Change::default()
    };
    order(instance, Command::SetWeight, change)
}

fn order(instance: &Instance, command: Command, change: Change) -> Result<(), Failure> {
    let dir = RuntimeDir::default();
    let reply = client::send(&dir.socket(instance), &Request::change(command, change), PATIENCE)
        .and_then(|reply| match reply {
            Reply::Changed(report) => Ok(report),
            other => Err(client::Error::unexpected(&other)),
        })
        .map_err(|error| Failure::asking(error, instance, &dir))?;
    print!("{}", in_words(&reply));
    Ok(())
}

/// Until no flow is left, saying what is.
fn wait(instance: &Instance, change: &Change) -> Result<(), Failure> {
    let mut said = String::new();
    loop {
        let Some((text, done)) = progress(&patiently(instance)?, change)? else {
            println!("it was removed meanwhile, and nothing names it any more");
            return Ok(());
        };
        if text != said {
            print!("{text}");
            said = text;
        }
        if done {
            return Ok(());
        }
        sleep(Duration::from_secs(1));
    }
}

/// The daemon may be restarted meanwhile.
fn patiently(instance: &Instance) -> Result<Stats, Failure> {
    let dir = RuntimeDir::default();
    let begun = Instant::now();
    loop {
        let stats = client::ask(&dir.socket(instance), Command::Stats, PATIENCE)
            .and_then(|reply| match reply {
                Reply::Stats(stats) => Ok(*stats),
                other => Err(client::Error::unexpected(&other)),
            })
            .map_err(|error| Failure::asking(error, instance, &dir));
        match stats {
            Err(failure) if failure.code == Code::NotRunning && begun.elapsed() < PATIENCE => {
                sleep(Duration::from_secs(1));
            }
            other => return other,
        }
    }
}

/// How far the drains are, in words, and whether they are over. `None`: there is
/// none.
fn progress(stats: &Stats, change: &Change) -> Result<Option<(String, bool)>, Failure> {
    let (mut text, mut done, mut any) = (String::new(), true, false);
    let mut say = |name: &str, state: BackendState, reason: &str, drain: &DrainStats| {
        any = true;
        if state == BackendState::Drained {
            text.push_str(&format!("{name} is drained: {reason}\n"));
            return;
        }
        done = false;
        text.push_str(&format!("{name}: {}\n", what_is_left(drain, stats.time)));
    };
    for service in &stats.services {
        for backend in &service.backends {
            let BackendStats { name, address, state, reason, .. } = backend;
            if is_meant(change, &service.name, name, address) {
                let name = format!("{}/{name}", service.name);
                let Some(drain) = &backend.drain else {
                    let message = format!("{name} is not drained any more: somebody undid it");
                    return Err(Failure::new(Code::Failed, message));
                };
                say(&name, *state, reason, drain);
            }
        }
        for RemovedStats { name, address, state, reason, drain } in &service.removed {
            if is_meant(change, &service.name, name, address) {
                say(&format!("{}/{name}", service.name), *state, reason, drain);
            }
        }
    }
    Ok(any.then_some((text, done)))
}

fn what_is_left(drain: &DrainStats, now: u64) -> String {
    let flows = match drain.flows {
        1 => "1 flow is left".to_owned(),
        flows => format!("{} flows are left", grouped(flows)),
    };
    let silent = if now < drain.silent_until {
        let until = clock(drain.silent_until as f64);
        format!("; silent ones may be, too: they are known after {until}")
    } else {
        String::new()
    };
    format!("{flows} of those seen since the drain began{silent}")
}

fn is_meant(change: &Change, service: &str, name: &str, address: &str) -> bool {
    match &change.host {
        Some(host) => host.parse().ok() == address.parse::<std::net::IpAddr>().ok(),
        None => {
            let named = |one: &String| one == name || one == address;
            change.service.as_deref() == Some(service) && change.backend.as_ref().is_some_and(named)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::ServiceStats;

    fn stats(state: BackendState, flows: u64) -> Stats {
        let drain = DrainStats { flows, silent_until: 1_700_000_000, ..DrainStats::default() };
        let backend = BackendStats {
            name: "a".into(),
            address: "10.0.0.1".into(),
            state,
            reason: "no flow is left".into(),
            drain: Some(drain),
            ..BackendStats::default()
        };
        let service =
            ServiceStats { name: "web".into(), backends: vec![backend], ..ServiceStats::default() };
        Stats { services: vec![service], time: 1_699_999_000, ..Stats::default() }
    }

    fn host() -> Change {
        Change { host: Some("10.0.0.1".into()), ..Change::default() }
    }

    #[test]
    fn waiting_says_that_silent_flows_are_not_known_yet() {
        let (text, done) = progress(&stats(BackendState::Draining, 12), &host()).unwrap().unwrap();
        assert_eq!(
            text,
            "web/a: 12 flows are left of those seen since the drain began; silent ones may be, \
             too: they are known after 2023-11-14T22:13:20.000Z\n"
        );
        assert!(!done);
        let mut later = stats(BackendState::Draining, 1);
        later.time = 1_700_000_001;
        let (text, done) = progress(&later, &host()).unwrap().unwrap();
        assert_eq!((text.contains("silent"), done), (false, false), "{text}");
    }

    #[test]
    fn it_ends_when_drained_and_fails_when_undone() {
        let drained = stats(BackendState::Drained, 0);
        let (text, done) = progress(&drained, &host()).unwrap().unwrap();
        assert_eq!((text.as_str(), done), ("web/a is drained: no flow is left\n", true));
        let mut undone = drained.clone();
        undone.services[0].backends[0].drain = None;
        assert!(progress(&undone, &host()).is_err());
        let other = Change { service: Some("dns".into()), ..Change::default() };
        assert!(progress(&drained, &other).unwrap().is_none());
        // Removed meanwhile: its flows are waited for all the same.
        let mut removed = drained.clone();
        removed.services[0].backends.clear();
        assert!(progress(&removed, &host()).unwrap().is_none());
        removed.services[0].removed = vec![RemovedStats {
            name: "a".into(),
            address: "10.0.0.1".into(),
            state: BackendState::Draining,
            ..RemovedStats::default()
        }];
        let (text, done) = progress(&removed, &host()).unwrap().unwrap();
        assert!(text.starts_with("web/a: 0 flows are left") && !done, "{text}");
    }
}
