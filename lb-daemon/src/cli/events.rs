//! `lb-daemon events`: what has happened; with `--follow`, what happens.

use std::{
    io::{self, Write},
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    Failure, args,
    failure::Code,
    render::events::{line, missed},
};
use crate::api::{
    Instance, RuntimeDir, client,
    protocol::{Reply, Request},
    types::{Event, EventPage, EventQuery},
};

/// The daemon answers within half a minute when there is nothing to tell.
const PATIENCE: Duration = Duration::from_secs(40);
/// Events of the past that a follower sees first.
const PAST: usize = 10;

/// From where on events are told.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Since {
    /// After this one.
    Sequence(u64),
    /// Unix seconds.
    Time(f64),
}

impl Since {
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(sequence) = text.parse() {
            return Ok(Self::Sequence(sequence));
        }
        let ago = crate::config::read_duration(text);
        let ago = ago.ok_or("give the number of an event, or a time such as 10m: so long ago")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self::Time(now.saturating_sub(ago).as_secs_f64()))
    }

    fn admits(self, event: &Event) -> bool {
        match self {
            Self::Sequence(after) => event.sequence > after,
            Self::Time(from) => event.time >= from,
        }
    }
}

pub fn events(instance: &Instance, arguments: &args::Events) -> Result<(), Failure> {
    let dir = RuntimeDir::default();
    let fetch = |query: EventQuery| {
        client::send(&dir.socket(instance), &Request::events(query), PATIENCE)
            .and_then(|reply| match reply {
                Reply::Events(page) => Ok(page),
                other => Err(client::Error::unexpected(&other)),
            })
            .map_err(|error| Failure::asking(error, instance, &dir))
    };
    let mut out = io::stdout().lock();
    let mut page = fetch(EventQuery::default())?;
    if let Some(since) = arguments.since {
        page.events.retain(|event| since.admits(event));
    } else if arguments.follow {
        page.events.drain(..page.events.len().saturating_sub(PAST));
    }
    loop {
        let written = write(&page, arguments, &mut out).and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            done => done.map_err(anyhow::Error::from)?,
        }
        if !arguments.follow {
            return Ok(());
        }
        let query = EventQuery { after: page.last, numbering: page.numbering, wait: true };
        page = patiently(|| fetch(query))?;
    }
}

/// Goes on when the daemon stops under it, which may be about to be restarted.
fn patiently(mut fetch: impl FnMut() -> Result<EventPage, Failure>) -> Result<EventPage, Failure> {
    let mut told = false;
    loop {
        match fetch() {
            Err(failure) if failure.code == Code::NotRunning || failure.code == Code::Failed => {
                if !told {
                    eprintln!("{failure}\nwaiting for it; Ctrl-C ends this");
                    told = true;
                }
                sleep(Duration::from_secs(1));
            }
            other => return other,
        }
    }
}

fn write(page: &EventPage, arguments: &args::Events, out: &mut impl Write) -> io::Result<()> {
    if page.missed > 0 {
        writeln!(out, "{}", missed(page.missed, arguments.json))?;
    }
    let wanted = |event: &&Event| arguments.service.is_none() || event.service == arguments.service;
    for event in page.events.iter().filter(wanted) {
        if arguments.json {
            writeln!(out, "{}", serde_json::to_string(event)?)?;
        } else {
            writeln!(out, "{}", line(event))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::EventKind;

    #[test]
    fn since_is_a_number_or_a_time_ago() {
        assert_eq!(Since::parse("17"), Ok(Since::Sequence(17)));
        let Ok(since) = Since::parse("1h") else { panic!() };
        let (old, new) = (Event::default(), Event { time: 1e12, ..Event::default() });
        assert!(!since.admits(&old) && since.admits(&new));
        assert!(Since::parse("yesterday").is_err());
    }

    #[test]
    fn events_of_one_service_and_how_many_were_missed() {
        let of = |service: &str| {
            Event::new(EventKind::Drain, "why").of_backend(service, "a", "10.0.0.1")
        };
        let events = vec![of("web"), of("dns")];
        let page = EventPage { events, missed: 3, ..EventPage::default() };
        let mut arguments =
            args::Events { follow: false, json: true, since: None, service: Some("dns".into()) };
        let mut out = Vec::new();
        write(&page, &arguments, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (2, r#"{"missed":3}"#));
        assert_eq!(serde_json::from_str::<Event>(lines[1]).unwrap(), page.events[1]);
        arguments.json = false;
        let mut out = Vec::new();
        write(&page, &arguments, &mut out).unwrap();
        assert!(out.starts_with(b"(3 events were missed"));
    }
}
