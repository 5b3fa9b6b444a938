//! Arguments of the commands for maintenance: `events`, `drain`, `undrain`,
//! `set-weight`.

use std::{net::IpAddr, time::Duration};

use clap::Args;

use super::events::Since;
use crate::{api::types::Change, config};

/// Show what has happened: backends, interfaces, reloads, drains, warnings
///
/// One line per event: when (UTC), its number, what happened to whom, by whom and
/// why. The daemon keeps the last 4096 in memory, and who gave which order, or was
/// refused, beyond a restart. A reader that is too slow is told how many it missed. Needs root, or
/// membership of the group named by `control.group` in the file.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  lb-daemon events --since 1h
  lb-daemon events --follow --service web
  lb-daemon events --json | jq -r 'select(.by) | [.time, .by.user, .kind, .backend, .reason] | @tsv'

See `lb-daemon --help` for exit codes.")]
pub struct Events {
    /// Show the last ten, then those to come, until Ctrl-C
    #[arg(long)]
    pub follow: bool,

    /// Print one JSON object per event and line; docs/stats.md explains it
    #[arg(long)]
    pub json: bool,

    /// Only those after event number N, or of so long ago: 10m, 2h
    #[arg(long, value_name = "N|TIME", value_parser = Since::parse)]
    pub since: Option<Since>,

    /// Only of this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
}

/// Which backends.
#[derive(Args, Debug)]
pub struct Which {
    /// The service
    #[arg(required_unless_present = "host", conflicts_with = "host")]
    pub service: Option<String>,

    /// One of its backends: its name or its address
    #[arg(required_unless_present = "host", conflicts_with = "host")]
    pub backend: Option<String>,

    /// Instead: the backends of all services at this address
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<IpAddr>,
}

impl Which {
    pub fn change(&self) -> Change {
        Change {
            service: self.service.clone(),
            backend: self.backend.clone(),
            host: self.host.map(|host| host.to_string()),
            ..Change::default()
        }
    }
}

/// Take a backend out without breaking a connection
///
/// It gets no new connections after its service's arming time (3.5 s by default);
/// those that exist stay until they end. After --deadline, those that are left are
/// treated as a dead backend's (`on_backend_dead`). Holds over reloads and
/// restarts, until `undrain`. Needs root.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  lb-daemon drain web web-2 --wait --reason 'kernel update'
  lb-daemon drain --host 10.0.0.12 --deadline 10m --wait

See `lb-daemon --help` for exit codes.")]
pub struct Drain {
    #[command(flatten)]
    pub which: Which,

    /// Cut off what is left after so long: 30s, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub deadline: Option<Duration>,

    /// Return when no connection is left
    ///
    /// One that is silent is not seen, so this takes the idle time of the service
    /// at least (350 s by default), or until the deadline.
    #[arg(long)]
    pub wait: bool,

    /// Why, for those who find it drained
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

/// Give a drained backend new connections again
///
/// Needs root.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  lb-daemon undrain web web-2

See `lb-daemon --help` for exit codes.")]
pub struct Undrain {
    #[command(flatten)]
    pub which: Which,

    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

/// Give a backend another weight than the file's
///
/// Connections that exist stay where they are. Holds over reloads and restarts,
/// until it is set to `default`: then the file's weight counts again. Needs root.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  lb-daemon set-weight web web-2 5 --reason 'half its disks'
  lb-daemon set-weight web web-2 default

See `lb-daemon --help` for exit codes.")]
pub struct SetWeight {
    /// The service
    pub service: String,

    /// One of its backends: its name or its address
    pub backend: String,

    /// 0 to 1000, or `default`
    #[arg(value_parser = weight)]
    pub weight: NewWeight,

    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

/// `None`: as in the file.
#[derive(Clone, Copy, Debug)]
pub struct NewWeight(pub Option<u16>);

fn weight(text: &str) -> Result<NewWeight, String> {
    match text.parse() {
        Ok(weight @ 0..=1000) => Ok(NewWeight(Some(weight))),
        _ if text == "default" => Ok(NewWeight(None)),
        _ => Err("give a whole number from 0 to 1000, or default".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(30 * 86_400);
    let time = config::read_duration(text).filter(|time| *time <= MOST);
    time.ok_or_else(|| "give a whole number and s, m or h, up to 720h".to_owned())
}
