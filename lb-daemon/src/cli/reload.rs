//! `lb-daemon reload`.

use std::time::Duration;

use super::Failure;
use crate::api::{
    Instance, RuntimeDir, client,
    protocol::{Reloaded, Reply, Request},
};

/// A large file takes a while to check and to apply.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn reload(instance: &Instance, now: bool) -> Result<(), Failure> {
    let dir = RuntimeDir::default();
    let reply = client::send(&dir.socket(instance), &Request::reload(now), PATIENCE)
        .and_then(|reply| match reply {
            Reply::Reload(report) => Ok(report),
            other => Err(client::Error::unexpected(&other)),
        })
        .map_err(|error| Failure::asking(error, instance, &dir))?;
    print!("{}", in_words(&reply));
    Ok(())
}

pub fn in_words(report: &Reloaded) -> String {
    let mut lines = report.changes.clone();
    if lines.is_empty() {
        lines.push("nothing has changed".to_owned());
    }
    lines.extend(report.pending.iter().map(|line| format!("later: {line}")));
    lines.extend(report.warnings.iter().map(|line| format!("warning: {line}")));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_changed_what_will_and_what_to_look_at() {
        assert_eq!(in_words(&Reloaded::default()), "nothing has changed\n");
        let report = Reloaded {
            changes: vec!["service web: backend web-3 added".into()],
            pending: vec!["service web: 3 slots change owner in 3.5 s".into()],
            warnings: vec!["lb.yaml:4:1: one backend only".into()],
        };
        assert_eq!(
            in_words(&report),
            "service web: backend web-3 added\n\
             later: service web: 3 slots change owner in 3.5 s\n\
             warning: lb.yaml:4:1: one backend only\n"
        );
    }
}
