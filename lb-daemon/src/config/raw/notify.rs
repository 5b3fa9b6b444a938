//! Keys of whom events are told.

use super::{
    super::{
        model::{Notify, NotifyWay, Url, Verify},
        problem::shown,
        ranges,
        report::Report,
        yaml::At,
    },
    Given, Typed,
    fields::Fields,
    health, value,
};
use crate::api::types::EventKind;

pub(super) const KEYS: [&str; 6] = ["url", "verify", "command", "events", "timeout", "retry"];

pub(super) fn list<'t>(at: At<'t>, report: &mut Report) -> Vec<Typed<'t, Notify>> {
    let list = value::one_or_more(at, report, one);
    if list.len() > ranges::MOST_NOTIFIED {
        let message = format!("{} are more than can be told", list.len());
        report.problem(at, message, format!("give at most {}", ranges::MOST_NOTIFIED));
    }
    list
}

fn one(at: At, report: &mut Report) -> Option<Notify> {
    let fields = Fields::of(at, &KEYS, report)?;
    let events = fields.read("events", report, events);
    let timeout = fields
        .read("timeout", report, |at, report| value::time(at, &ranges::NOTIFY_TIMEOUT, report));
    let retry =
        fields.read("retry", report, |at, report| value::time(at, &ranges::NOTIFY_RETRY, report));
    Some(Notify {
        way: way(at, &fields, report)?,
        events: events.value_or(EventKind::ALL.to_vec()),
        timeout: timeout.value_or(ranges::NOTIFY_TIMEOUT.default),
        retry: retry.value_or(ranges::NOTIFY_RETRY.default),
    })
}

fn way(at: At, fields: &Fields, report: &mut Report) -> Option<NotifyWay> {
    let url = fields.read("url", report, url);
    let command = fields.read("command", report, health::command);
    let verify = fields.read("verify", report, health::verify);
    match (url, command) {
        (Given::Absent, Given::Absent) => {
            report.problem(at, "nobody is told", "give url, or command");
            None
        }
        (Given::Right(url), Given::Absent) => {
            if let (false, Some(verify)) = (url.value.tls, verify.right()) {
                let help = "remove it, or give an address that begins with https://";
                report.problem(verify.at, "http:// has no certificate", help);
            }
            Some(NotifyWay::Url(url.value, verify.value_or(Verify::System)))
        }
        (Given::Absent, Given::Right(command)) => {
            if let Some(verify) = verify.right() {
                report.problem(verify.at, "a command has no verify", "remove it");
            }
            Some(NotifyWay::Command(command.value))
        }
        (Given::Wrong, _) | (_, Given::Wrong) => None,
        (Given::Right(_), Given::Right(command)) => {
            let help = "give either, and an entry of its own for the other";
            report.problem(command.at, "url is given as well", help);
            None
        }
    }
}

fn url(at: At, report: &mut Report) -> Option<Url> {
    const EXPECTED: &str =
        "http:// or https://, a host and a path, such as https://hooks.example/lb";
    let text = value::text(at, EXPECTED, report)?;
    let url = Url::parse(text);
    if url.is_none() {
        let message = format!("{} is not an address to post to", shown(text));
        report.problem(at, message, format!("give {EXPECTED}"));
    }
    url
}

fn events(at: At, report: &mut Report) -> Option<Vec<EventKind>> {
    let kinds = EventKind::ALL.map(|kind| (kind.name(), kind));
    let mut all_right = true;
    let list = value::one_or_more(at, report, |at, report| {
        let kind = value::word(at, "a kind of event", &kinds, report);
        all_right &= kind.is_some();
        kind
    });
    let mut found: Vec<EventKind> = Vec::new();
    for kind in list {
        if !found.contains(&kind.value) {
            found.push(kind.value);
        }
    }
    (all_right && !found.is_empty()).then_some(found)
}
