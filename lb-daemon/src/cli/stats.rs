//! `lb-daemon stats`: ask, choose, print; with `--watch` again and again.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use super::{
    Failure, args,
    failure::Code,
    render::{View, render},
    screen,
};
use crate::api::{
    Instance, RuntimeDir, client,
    protocol::{Command, Reply},
    types::Stats,
};

const PATIENCE: Duration = Duration::from_secs(10);

pub fn stats(instance: &Instance, arguments: &args::Stats) -> Result<(), Failure> {
    let source =
        Source { instance, dir: RuntimeDir::default(), service: arguments.service.as_deref() };
    match arguments.watch {
        None => print(&text(&source.fetch()?, arguments)),
        Some(interval) => watch(&source, interval, arguments),
    }
}

/// Where statistics come from, and which of them.
struct Source<'a> {
    instance: &'a Instance,
    dir: RuntimeDir,
    service: Option<&'a str>,
}

impl Source<'_> {
    fn fetch(&self) -> Result<Stats, Failure> {
        let stats = client::ask(&self.dir.socket(self.instance), Command::Stats, PATIENCE)
            .and_then(|reply| match reply {
                Reply::Stats(stats) => Ok(*stats),
                other => Err(client::Error::unexpected(&other)),
            })
            .map_err(|error| Failure::asking(error, self.instance, &self.dir))?;
        match self.service {
            Some(name) => only(stats, name),
            None => Ok(stats),
        }
    }
}

fn only(mut stats: Stats, name: &str) -> Result<Stats, Failure> {
    let names: Vec<_> = stats.services.iter().map(|service| service.name.as_str()).collect();
    if !names.contains(&name) {
        let message = format!("there is no service {name:?}; services: {}", names.join(", "));
        return Err(Failure::new(Code::Wrong, message));
    }
    stats.services.retain(|service| service.name == name);
    Ok(stats)
}

fn text(stats: &Stats, arguments: &args::Stats) -> String {
    if arguments.json {
        return serde_json::to_string(stats).expect("strings, numbers and maps of them") + "\n";
    }
    let view = View { width: screen::width(), colour: screen::colour(), all: arguments.all };
    render(stats, &view)
}

/// Goes on when the daemon stops under it, which may be about to be restarted.
fn watch(source: &Source, interval: Duration, arguments: &args::Stats) -> Result<(), Failure> {
    let in_place = !arguments.json && io::stdout().is_terminal();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(anyhow::Error::from)?;
    runtime.block_on(async {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seen = false;
        loop {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Ok(()),
                _ = ticks.tick() => {}
            }
            let frame = match source.fetch() {
                Ok(stats) => {
                    seen = true;
                    text(&stats, arguments)
                }
                Err(failure) if in_place && seen && failure.code == Code::NotRunning => {
                    format!("{failure}\nwaiting for it; Ctrl-C ends this\n")
                }
                Err(failure) => return Err(failure),
            };
            print(&if in_place { screen::redraw(&frame, screen::height()) } else { frame })?;
        }
    })
}

/// A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => done.map_err(|error| Failure::from(anyhow::Error::from(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::ServiceStats;

    #[test]
    fn one_service_or_the_names_of_those_there_are() {
        let service = |name: &str| ServiceStats { name: name.into(), ..ServiceStats::default() };
        let stats = Stats { services: vec![service("web"), service("dns")], ..Stats::default() };
        let chosen = only(stats.clone(), "dns").unwrap();
        assert_eq!(chosen.services, [service("dns")]);
        let failure = only(stats, "mail").unwrap_err();
        assert!(failure.to_string().ends_with("services: web, dns"), "{failure}");
    }
}
