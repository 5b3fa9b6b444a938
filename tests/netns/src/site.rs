//! A site: a lab whose backends serve two services, `web` over TCP and `dns` over UDP,
//! both for IPv4 and IPv6.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_test_lab::{Lab, Settings, Tools, backend, vip, vip6};

use crate::NameServer;

pub const WEB: Ipv4Addr = vip(10);
pub const WEB6: Ipv6Addr = vip6(10);
/// Where backends are probed, apart from what they serve.
pub const HEALTH: u16 = 8080;
pub const DNS: u16 = 53;

/// What runs on one backend.
struct Servers {
    health: NameServer,
    _web: NameServer,
    _dns: NameServer,
}

pub struct Site {
    servers: RefCell<Vec<Option<Servers>>>,
    pub lab: Lab,
}

impl Site {
    /// Makes the hosts and starts the backends' servers.
    pub fn new(backends: usize) -> Self {
        let vips = [IpAddr::from(WEB), IpAddr::from(WEB6)];
        let settings = Settings { prefix: "lb-test", backends, vips: &vips, behind: false };
        let lab = Lab::new(&settings, &Tools::from_env().unwrap()).unwrap();
        let site = Self { servers: RefCell::default(), lab };
        for number in 1..=backends {
            site.servers.borrow_mut().push(None);
            site.start(number);
        }
        site
    }

    /// Starts the servers of a backend.
    pub fn start(&self, number: usize) {
        let host = &self.lab.backends[number - 1];
        let servers = Servers {
            health: NameServer::tcp(host, HEALTH),
            _web: NameServer::tcp(host, 80),
            _dns: NameServer::udp(host, &[WEB.into(), WEB6.into()], DNS),
        };
        self.servers.borrow_mut()[number - 1] = Some(servers);
    }

    /// Ends the servers of a backend; the host stays.
    pub fn stop(&self, number: usize) {
        self.servers.borrow_mut()[number - 1] = None;
    }

    /// Lets the probes of a backend time out, or succeed again.
    pub fn stall(&self, number: usize, stalled: bool) {
        let servers = self.servers.borrow();
        servers[number - 1].as_ref().expect("its servers run").health.stall(stalled);
    }

    /// A configuration with these backends and their weights.
    pub fn config(&self, backends: &[(usize, u32)]) -> String {
        let list: String = backends
            .iter()
            .map(|(number, weight)| {
                let address = backend(*number);
                format!("      - {{ name: web-{number}, address: {address}, weight: {weight} }}\n")
            })
            .collect();
        format!(
            "interfaces: [{{ name: eth0, xdp: native }}]
defaults:
  mode: dsr
  arming: 500ms
  health: {{ port: {HEALTH}, interval: 200ms, timeout: 200ms, rise: 2, fall: 2 }}
services:
  - name: web
    vip: [{WEB}, \"{WEB6}\"]
    port: 80
    protocol: tcp
    backends:
{list}  - name: dns
    vip: [{WEB}, \"{WEB6}\"]
    port: {DNS}
    protocol: udp
    backends:
{list}"
        )
    }
}

/// A configuration with one service, probed by HTTP at its own port. `more`: further
/// keys of it, a line each.
pub fn web_config(mode: &str, more: &[&str], pool: impl IntoIterator<Item = usize>) -> String {
    let backends: String = pool
        .into_iter()
        .map(|number| {
            let address = backend(number);
            format!("      - {{ name: web-{number}, address: {address} }}\n")
        })
        .collect();
    let more: String = more.iter().map(|line| format!("    {line}\n")).collect();
    format!(
        "interfaces: [{{ name: eth0, xdp: native }}]
services:
  - name: web
    vip: {WEB}
    port: 80
    mode: {mode}
{more}    health: {{ type: http, path: /, interval: 200ms, timeout: 200ms, rise: 2, fall: 2 }}
    backends:
{backends}"
    )
}
