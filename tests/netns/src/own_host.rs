//! A balancer that is a backend itself: servers on its own host beside a remote one, and
//! a service of each mode, over both families.

use std::net::IpAddr;

use lb_test_lab::{BALANCER, BALANCER6, Lab, Settings, Tools, backend, backend6};

use crate::{NameServer, TunnelEnd, WEB, WEB6};

/// What clients ask for, and where translated flows go instead.
pub const SHOP: u16 = 8000;
pub const SHOP_DNS: u16 = 5300;

pub struct OwnHost {
    pub lab: Lab,
    pub mode: &'static str,
    _servers: Vec<NameServer>,
    _tunnel: Option<TunnelEnd>,
}

impl OwnHost {
    pub fn new(mode: &'static str) -> Self {
        let vips = [IpAddr::from(WEB), IpAddr::from(WEB6)];
        let settings = Settings { prefix: "lb-own", backends: 1, vips: &vips, behind: false };
        let lab = Lab::new(&settings, &Tools::from_env().unwrap()).unwrap();
        let translates = matches!(mode, "nat" | "dnat");
        let remote = &lab.backends[0];
        if mode == "dnat" {
            remote
                .ip(&format!(
                    "route replace default via {BALANCER}
                     route replace default via {BALANCER6}"
                ))
                .unwrap();
        }
        if !translates {
            // As in deploy/sysctl/backend-dsr.conf, but the balancer answers for the VIP.
            for vip in vips {
                lab.give_balancer(vip).unwrap();
            }
        }
        let tcp = if translates { 80 } else { SHOP };
        let mut servers = vec![NameServer::tcp(&lab.balancer, tcp), NameServer::tcp(remote, tcp)];
        let near = [IpAddr::from(BALANCER), BALANCER6.into()];
        let far = [IpAddr::from(backend(1)), backend6(1).into()];
        let port = if translates { 53 } else { SHOP_DNS };
        for (host, addresses) in [(&lab.balancer, near), (remote, far)] {
            servers.push(NameServer::udp(host, &addresses, port));
            if !translates {
                servers.push(NameServer::udp(host, &vips, port));
            }
        }
        let tunnel = (mode == "ipip").then(|| TunnelEnd::start(remote));
        Self { mode, _servers: servers, _tunnel: tunnel, lab }
    }

    /// Services `shop` and `dns` of each family, with these backends: `near` is the
    /// balancer, `far` another host.
    pub fn config(&self, backends: &[&str], more: &str) -> String {
        let translates = matches!(self.mode, "nat" | "dnat");
        let mut services = String::new();
        for (protocol, port, inside) in [("tcp", SHOP, 80), ("udp", SHOP_DNS, 53)] {
            for (family, vip, near, far) in [
                ("4", IpAddr::from(WEB), IpAddr::from(BALANCER), IpAddr::from(backend(1))),
                ("6", WEB6.into(), BALANCER6.into(), backend6(1).into()),
            ] {
                services += &format!(
                    "  - name: {protocol}{family}
    vip: \"{vip}\"
    port: {port}
    protocol: {protocol}
    backends:\n"
                );
                for name in backends {
                    let address = if *name == "near" { near } else { far };
                    let port = if translates { format!(", port: {inside}") } else { String::new() };
                    services +=
                        &format!("      - {{ name: {name}, address: \"{address}\"{port} }}\n");
                }
            }
        }
        let health = if translates { 80 } else { SHOP };
        format!(
            "interfaces: [{{ name: eth0, xdp: native }}]
{more}
defaults:
  mode: {}
  arming: 500ms
  health: {{ port: {health}, interval: 200ms, timeout: 200ms, rise: 2, fall: 2 }}
services:\n{services}",
            self.mode
        )
    }
}
