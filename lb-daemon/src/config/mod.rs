//! The operator's YAML file, from text to a validated [`Config`].
//!
//! ```text
//! text ─► yaml ─► raw ─► resolve ─► Config
//!         tree    typed  defaults     │
//!         with    keys   filled in    ├─ conflicts: what is wrong together
//!         places                      ├─ advice: warnings
//!                                     └─ host: what cannot work on this host
//! ```
//!
//! Every stage reports its problems and goes on, so that one run shows all of
//! them. [`load`] is what the daemon calls, [`check`] what the command line does.

mod advice;
mod backends_file;
mod check;
mod conflicts;
mod duration;
mod fit;
mod host;
mod identity;
mod load;
mod model;
mod problem;
mod ranges;
mod raw;
mod report;
mod resolve;
mod show;
mod yaml;

#[cfg(test)]
mod tests;

pub use backends_file::read_backends;
pub use check::{CheckOutcome, check};
pub use duration::read as read_duration;
pub use fit::Fit;
pub use host::{Comparison, HostFacts, Network};
pub use identity::{BackendKey, Frontend, ServiceKey};
pub use load::{load, parse, parse_for};
pub use model::{
    Backend, BackendOrder, Check, Config, Control, Discovery, Dns, DnsCheck, DrainTime, ExecCheck,
    Family, Health, HttpCheck, HttpsCheck, Idle, InitialState, Interface, Limits, Method, Mode,
    NameSource, NatLog, OnBackendDead, OnExit, Origin, OuterSource, Passive, Pattern, Payload,
    PortRange, Ports, Prefix, Probes, Protocol, Question, QuestionKind, Rcode, Record, Scheduler,
    Seed, Service, Snat, StatusRange, Tunnel, UdpCheck, UdpFlows, Unserved, Verify, XdpMode,
};
pub use problem::{Loaded, Position, Problem, Problems};
pub use ranges::{DEFAULT_WEIGHT, WEIGHT_MAX, default_table_size};
pub use raw::nearest::nearest;
pub use report::Severity;
pub use show::effective_yaml;
