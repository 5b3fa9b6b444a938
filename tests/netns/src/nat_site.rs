//! A site whose backends know nothing of the balancer: no VIP, and where they are behind
//! it, no route to any client.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_test_lab::{Daemon, Lab, Settings, Stats, Tools, backend, backend6, vip, vip6};
use lb_test_lab::{inner_backend, inner_backend6};

use crate::{DNS, HEALTH, NameServer, WEB, WEB6};

/// Addresses of the service whose backends are IPv6.
pub const OTHER: Ipv4Addr = vip(11);
pub const OTHER6: Ipv6Addr = vip6(11);
/// Where the backends of that service listen instead of at its own port.
pub const OTHER_PORT: u16 = 81;

pub struct NatSite {
    servers: RefCell<Vec<Vec<NameServer>>>,
    behind: bool,
    pub lab: Lab,
}

impl NatSite {
    /// Backends in a network behind the balancer.
    pub fn behind(backends: usize) -> Self {
        Self::new(backends, true)
    }

    /// Backends in the balancer's own network.
    pub fn beside(backends: usize) -> Self {
        Self::new(backends, false)
    }

    fn new(backends: usize, behind: bool) -> Self {
        let settings = Settings { prefix: "lb-test", backends, vips: &[], behind };
        let lab = Lab::new(&settings, &Tools::from_env().unwrap()).unwrap();
        let site = Self { servers: RefCell::default(), behind, lab };
        for number in 1..=backends {
            site.servers.borrow_mut().push(Vec::new());
            site.start(number);
        }
        site
    }

    /// Starts the servers of a backend.
    pub fn start(&self, number: usize) {
        let host = &self.lab.backends[number - 1];
        let [v4, v6] = self.addresses(number);
        let mut servers = vec![NameServer::udp(host, &[v4, v6], DNS)];
        servers.extend([HEALTH, 80, OTHER_PORT, DNS].map(|port| NameServer::tcp(host, port)));
        self.servers.borrow_mut()[number - 1] = servers;
    }

    /// In the place of its servers one that only answers probes.
    pub fn answer_probes_only(&self, number: usize) {
        self.stop(number);
        let health = NameServer::tcp(&self.lab.backends[number - 1], HEALTH);
        self.servers.borrow_mut()[number - 1].push(health);
    }

    /// Lets the probes of a backend time out, or succeed again.
    pub fn stall(&self, number: usize, stalled: bool) {
        self.servers.borrow()[number - 1].iter().for_each(|server| server.stall(stalled));
    }

    /// Ends the servers of a backend; the host stays.
    pub fn stop(&self, number: usize) {
        self.servers.borrow_mut()[number - 1].clear();
    }

    /// Starts the daemon and waits until every backend takes its share.
    pub fn balance(&self, config: &str) -> Daemon<'_> {
        let daemon = Daemon::start(&self.lab, config).unwrap();
        daemon.wait_for("all backends serve", Stats::all_serve).unwrap();
        daemon
    }

    /// A backend's own addresses.
    pub fn addresses(&self, number: usize) -> [IpAddr; 2] {
        if self.behind {
            [inner_backend(number).into(), inner_backend6(number).into()]
        } else {
            [backend(number).into(), backend6(number).into()]
        }
    }

    /// Services `web` with IPv4 backends and `other` with IPv6 backends at another port,
    /// both asked over both families, and `dns` with backends of either.
    pub fn nat(&self, backends: &[usize]) -> String {
        self.config("nat", [&[WEB.into(), WEB6.into()], &[OTHER.into(), OTHER6.into()]], backends)
    }

    /// The same, one family each.
    pub fn dnat(&self, backends: &[usize]) -> String {
        self.config("dnat", [&[WEB.into()], &[OTHER6.into()]], backends)
    }

    fn config(&self, mode: &str, [web, other]: [&[IpAddr]; 2], backends: &[usize]) -> String {
        let interfaces = if self.behind { "eth0, eth1" } else { "eth0" };
        let list = |family: usize, more: &str| -> String {
            backends
                .iter()
                .map(|number| {
                    let address = self.addresses(*number)[family];
                    format!("      - {{ name: web-{number}, address: \"{address}\"{more} }}\n")
                })
                .collect()
        };
        let vips =
            |vips: &[IpAddr]| vips.iter().map(|vip| format!("\"{vip}\", ")).collect::<String>();
        let (v4, v6) = (list(0, ""), list(1, &format!(", port: {OTHER_PORT}")));
        let (web, other) = (vips(web), vips(other));
        format!(
            "interfaces: [{interfaces}]
defaults:
  mode: {mode}
  health: {{ port: {HEALTH}, interval: 200ms, timeout: 200ms, rise: 2, fall: 2 }}
services:
  - name: web
    vip: [{web}]
    port: 80
    backends:
{v4}  - name: other
    vip: [{other}]
    port: 80
    backends:
{v6}  - name: dns
    vip: [{web}]
    port: {DNS}
    protocol: [tcp, udp]
    udp: {{ responses: 1 }}
    backends:
{v4}"
        )
    }
}
