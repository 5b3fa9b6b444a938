//! The command line, and the help that teaches it.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

pub use super::order_args::{Drain, Events, SetWeight, Undrain};
use crate::api::Instance;

const DEFAULT_CONFIG: &str = "/etc/lb-daemon/lb.yaml";

/// A layer 4 load balancer: an XDP program forwards the packets, this daemon
/// loads it, probes the backends and keeps its tables right.
#[derive(Parser, Debug)]
#[command(
    name = "lb-daemon",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "\
Examples:
  lb-daemon check --config lb.yaml      is the file right?
  lb-daemon run --config lb.yaml        balance, until stopped
  lb-daemon stats --watch               what happens now
  lb-daemon reload                      after an edit of the file
  lb-daemon drain web web-2 --wait      take a server out

A stopped or killed daemon leaves the XDP program forwarding (unless the file says
`on_exit: unload`); start it again and it goes on where it was.

Exit codes:
  0  done
  1  it failed; the message says why
  2  the configuration or the command line is wrong
  3  no daemon is running for this instance
  4  not permitted: needs root (or, for stats, flows and events, the configured group)"
)]
pub struct Cli {
    /// Which balancer of this host: 1 to 32 of a-z, 0-9 and -
    ///
    /// Each instance has its own socket (/run/lb-daemon/NAME.sock), maps and
    /// program. Only hosts with several balancers need it.
    #[arg(long, global = true, value_name = "NAME", default_value_t)]
    pub instance: Instance,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    Run(Run),
    Check(Check),
    Reload(Reload),
    Stats(Stats),
    Flows(Flows),
    Events(Events),
    Drain(Drain),
    Undrain(Undrain),
    SetWeight(SetWeight),
    Unload(Unload),
}

/// Balance: load the XDP program, probe backends, serve the control socket
///
/// Stays in the foreground and logs to stderr. Adopts what an earlier daemon of
/// the same instance left in the kernel, without losing a packet. SIGTERM and
/// Ctrl-C stop it; what happens to the program then is `on_exit` in the file.
/// SIGHUP does what `lb-daemon reload` does. Needs root.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  lb-daemon run --config /etc/lb-daemon/lb.yaml --log-level debug

See `lb-daemon --help` for exit codes.")]
pub struct Run {
    #[command(flatten)]
    pub config: ConfigPath,

    /// error, warn, info, debug or trace; or a filter such as info,lb_daemon::health=debug
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = log_level)]
    pub log_level: String,
}

/// Say everything that is wrong with a configuration file
///
/// Needs no root and no running daemon, and changes nothing. Compares services
/// that translate addresses with this host's ports, addresses and routes, unless
/// told not to. Prints each problem with
/// file:line:column, the key's path, what is wrong and what would be right.
/// Exits with 0 when the file is good and 2 when it is not.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  lb-daemon check --config lb.yaml
  lb-daemon check --config lb.yaml --show     what it means, with every default
  lb-daemon check --config lb.yaml --file-only
  lb-daemon check --config lb.yaml --resolve  what the names of backends have now

See `lb-daemon --help` for exit codes.")]
pub struct Check {
    #[command(flatten)]
    pub config: ConfigPath,

    /// Print the configuration with every default filled in
    #[arg(long)]
    pub show: bool,

    /// Ask for the names of backends, too, and say what they have
    #[arg(long)]
    pub resolve: bool,

    /// Do not compare the file with this host: it is for another one
    #[arg(long)]
    pub file_only: bool,
}

/// Apply the edited configuration file to the running daemon
///
/// What did not change is not touched; health and counters survive. A planned
/// change of a backend takes effect after the service's arming time (3.5 s by
/// default): the answer says which changes wait. A bad file changes nothing,
/// and its problems are printed. Needs root.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  lb-daemon check --config /etc/lb-daemon/lb.yaml && lb-daemon reload

See `lb-daemon --help` for exit codes.")]
pub struct Reload {
    /// Cut off connections of removed backends, rather than drain those
    #[arg(long)]
    pub now: bool,
}

/// Show what the balancer does: interfaces, services, backends, drops
///
/// Rates are over the daemon's last second. States of backends: `up`; `failing`
/// (gets no new flows, keeps those it has); `dead` (refuses, is unreachable or
/// its neighbour failed: its flows are reset); `unknown` (not probed enough yet).
/// Needs root, or membership of the group named by `control.group` in the file.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  lb-daemon stats
  lb-daemon stats --watch 5 --service web
  lb-daemon stats --json | jq '.services[].backends[] | select(.state != \"up\") | .name'

See `lb-daemon --help` for exit codes.")]
pub struct Stats {
    /// Show again every so many seconds (1 unless given), until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
          value_parser = watch_interval)]
    pub watch: Option<Duration>,

    /// Print one JSON object (with --watch one per line); docs/stats.md explains it
    #[arg(long)]
    pub json: bool,

    /// Only this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,

    /// Also drop reasons and answers that are zero
    #[arg(long, conflicts_with = "json")]
    pub all: bool,
}

/// Show translated flows (`nat`, `dnat`): who talks to which backend through which port
///
/// Live flows and ports that rest, as the tables have them at this moment: the
/// client, the VIP, the source that the backend sees, the backend, the state
/// (docs/nat.md explains them), and the bytes of both directions. Needs root, or
/// membership of the group named by `control.group` in the file. Flows of the past
/// are in the file that `nat_log` names.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  lb-daemon flows --client 192.0.2.7
  lb-daemon flows --service web --backend web-2 --limit 20
  lb-daemon flows --json --limit 0 | jq -r 'select(.snat_port == 41234) | .client'

See `lb-daemon --help` for exit codes.")]
pub struct Flows {
    /// Only of this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,

    /// Only of this client: an address, or address:port
    #[arg(long, value_name = "ADDRESS")]
    pub client: Option<String>,

    /// Only to this backend: its name, its address, or address:port
    #[arg(long, value_name = "BACKEND")]
    pub backend: Option<String>,

    /// Show so many at most; 0: all
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub limit: usize,

    /// Print one JSON object per flow and line; docs/stats.md explains it
    #[arg(long)]
    pub json: bool,
}

/// Detach the XDP program and remove its maps: stop balancing
///
/// Undoes what `run` left in the kernel. Refuses while the instance's daemon
/// runs. All flows through the balancer break. Needs root.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  systemctl stop lb-daemon && lb-daemon unload

See `lb-daemon --help` for exit codes.")]
pub struct Unload {}

#[derive(Args, Debug)]
pub struct ConfigPath {
    /// The configuration file; docs/configuration.md is its reference
    #[arg(long = "config", value_name = "PATH", default_value = DEFAULT_CONFIG)]
    pub path: PathBuf,
}

fn log_level(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; give error, warn, info, debug or trace")),
    }
}

fn watch_interval(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give 0.1 to 3600 seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_level_shows_an_example_and_leads_to_the_exit_codes() {
        let mut command = Cli::command();
        assert!(command.render_long_help().to_string().contains("Exit codes:"));
        let own = |c: &&mut clap::Command| c.get_name() != "help";
        for subcommand in command.get_subcommands_mut().filter(own) {
            let help = subcommand.render_long_help().to_string();
            assert!(help.contains("Example"), "{help}");
            assert!(help.contains("exit codes"), "{help}");
        }
    }

    #[test]
    fn the_instance_may_stand_on_either_side_and_is_main_by_default() {
        for line in ["lb-daemon --instance edge stats", "lb-daemon stats --instance edge"] {
            assert_eq!(parse(line).unwrap().instance.as_str(), "edge");
        }
        assert_eq!(parse("lb-daemon stats").unwrap().instance.as_str(), "main");
        assert!(parse("lb-daemon --instance ../x stats").is_err());
    }

    #[test]
    fn watch_takes_a_number_or_nothing() {
        let watch = |line| {
            let Command::Stats(stats) = parse(line).unwrap().command else { panic!("{line}") };
            stats.watch
        };
        assert_eq!(watch("lb-daemon stats"), None);
        assert_eq!(watch("lb-daemon stats --watch"), Some(Duration::from_secs(1)));
        assert_eq!(watch("lb-daemon stats --watch --service web"), Some(Duration::from_secs(1)));
        assert_eq!(watch("lb-daemon stats --watch 0.5"), Some(Duration::from_millis(500)));
        for bad in ["0", "-1", "nan", "1e9", "x"] {
            assert!(parse(&format!("lb-daemon stats --watch={bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_log_level_is_refused() {
        assert!(parse("lb-daemon run --log-level debug").is_ok());
        assert!(parse("lb-daemon run --log-level info,lb_daemon::health=debug").is_ok());
        assert!(parse("lb-daemon run --log-level a=b=c").is_err());
    }
}
