//! A lab: hosts in network namespaces, with real servers, clients and daemon.
//!
//! ```text
//!                                     ┌────────── lan, a bridge ──────────┐
//!  client ──────────── router ────────┤                                   │
//!  198.51.100.2        .1 | 10.0.0.1  ├── balancer 10.0.0.2               │
//!                                     ├── backend 1 10.0.0.11             │
//!                                     └── backend n 10.0.0.(10 + n) …     │
//! ```
//!
//! Where backends are to know nothing of the balancer, they are in a network of their own
//! behind it instead, 10.0.1.0/24 and 2001:db8:3::/64, where the balancer's second
//! interface, `eth1`, is 10.0.1.2.
//!
//! Every other host has one interface, `eth0`, and IPv6 addresses alike: 2001:db8:1:: for the
//! client's network, 2001:db8:2:: for the LAN. The router sends 203.0.113.0/24 and
//! 2001:db8:113::/64, where VIPs come from, to the balancer. Backends have the VIPs on
//! their loopback interface and answer the client past the balancer.
//!
//! Whatever a lab makes is removed when it is dropped, and also when its process dies
//! in any other way: see [`state`].

mod addresses;
mod daemon;
mod host;
mod lab;
mod process;
mod servers;
mod state;
mod tools;
mod wait;
mod wiring;

pub use addresses::*;
pub use daemon::{Daemon, Stats};
pub use host::Host;
pub use lab::{Lab, Settings};
pub use process::Process;
pub use servers::{dnsmasq, iperf3, nginx, nginx_kept_alive, nginx_renewed};
pub use state::{clean_all, sweep};
pub use tools::{Tools, run};
pub use wait::wait_until;
