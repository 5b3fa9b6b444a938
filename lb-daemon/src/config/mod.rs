//! The operator's YAML file, from text to a validated [`Config`].

mod duration;
mod keys;
mod model;
mod problem;
mod show;

pub use keys::{BackendKey, Frontend, ServiceKey};
pub use model::{
    Backend, Config, Control, Health, Idle, InitialState, Interface, Limits, Mode, OnBackendDead,
    OnExit, OuterSource, Ports, Prefix, Protocol, Scheduler, Seed, Service, TcpHealth, Tunnel,
    UdpFlows, Unserved, XdpMode,
};
pub use problem::{Loaded, Position, Problem, Problems};
pub use show::effective_yaml;
