//! What is probed, and how: the identity of a probe.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use super::path::WayKey;
use crate::config::{Backend, Check, Health, Mode, Service, Tunnel, Via};

/// Two services with equal targets share one probe.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    pub address: IpAddr,
    /// 0 where a check has none.
    pub port: u16,
    pub check: Arc<Check>,
    /// `None`: the address itself is probed.
    pub path: Option<PathTarget>,
    /// For a program, which may ask who it is for.
    pub names: Option<Names>,
    pub interval: Duration,
    pub timeout: Duration,
    /// Successes in a row that bring it up.
    pub rise: u32,
    /// Failures in a row that take it out.
    pub fall: u32,
}

/// Probed through the data path.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PathTarget {
    /// Under which it is asked, one after the other.
    pub vips: Vec<IpAddr>,
    pub tunnel: Option<Tunnel>,
}

impl PathTarget {
    /// How packets for the service get to its backends; `None`: probes go
    /// another way.
    pub fn of(service: &Service) -> Option<Self> {
        let tunnel = match (&service.health, &service.mode) {
            (Health::Probed(probes), Mode::Dsr) if probes.via == Via::Path => None,
            (Health::Probed(probes), Mode::Ipip(tunnel)) if probes.via == Via::Path => {
                Some(tunnel.clone())
            }
            _ => return None,
        };
        Some(Self { vips: service.vips.clone(), tunnel })
    }

    pub fn way(&self, backend: IpAddr, vip: IpAddr) -> WayKey {
        WayKey { backend, tunnel: self.tunnel.clone(), vip }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Names {
    pub service: String,
    pub backend: String,
}

impl Target {
    /// What to probe for a backend, if its service asks for probes.
    pub fn for_backend(service: &Service, backend: &Backend) -> Option<Self> {
        let Health::Probed(probes) = &service.health else { return None };
        let port = service.probe_port(probes, backend);
        let (port, names) = match &*probes.check {
            Check::Icmp => (0, None),
            Check::Exec(_) => (port.unwrap_or(0), Some(Names::of(service, backend))),
            _ => (port?, None),
        };
        Some(Self {
            address: backend.address,
            port,
            check: probes.check.clone(),
            path: PathTarget::of(service),
            names,
            interval: probes.interval,
            timeout: probes.timeout,
            rise: probes.rise,
            fall: probes.fall,
        })
    }

    pub(super) fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl Names {
    fn of(service: &Service, backend: &Backend) -> Self {
        Self { service: service.name.clone(), backend: backend.name.clone() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.check.name())?;
        if let Check::Exec(exec) = &*self.check {
            write!(f, " {}", exec.program().display())?;
        }
        match (&self.path, self.port) {
            (Some(path), port) => {
                let vips = path.vips.iter().map(|vip| SocketAddr::new(*vip, port).to_string());
                write!(f, " {}", vips.collect::<Vec<_>>().join(" and "))?;
            }
            (None, 0) => write!(f, " {}", self.address)?,
            (None, _) => write!(f, " {}", self.socket_address())?,
        }
        match &*self.check {
            Check::Http(http) => f.write_str(&http.path)?,
            Check::Https(https) => f.write_str(&https.http.path)?,
            Check::Dns(dns) => write!(f, " {} {}", dns.query, dns.record.name())?,
            Check::Tcp | Check::Udp(_) | Check::Icmp | Check::Exec(_) => {}
        }
        match &self.path {
            Some(_) => write!(f, " at {}", self.address),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn target(mode: &str, health: &str, backend: &str) -> Option<Target> {
        let text = format!(
            "interfaces: [eth0]\nallow_exec: true\nservices:\n- {{name: web, vip: '2001:db8::9', \
             port: [80, 90], mode: {mode}, health: {{{health}}}, backends: [{{name: a, {backend}}}]}}\n"
        );
        let config = config::parse("lb.yaml", &text).unwrap().config;
        Target::for_backend(&config.services[0], &config.services[0].backends[0])
    }

    #[test]
    fn a_service_without_probes_has_no_target() {
        assert_eq!(target("dsr", "type: none", "address: '2001:db8::1'"), None);
        let health = "via: direct, port: 81, interval: 2s, timeout: 1s, rise: 3, fall: 4";
        let target = target("dsr", health, "address: '2001:db8::1'").unwrap();
        assert_eq!(target.to_string(), "tcp [2001:db8::1]:81");
        assert_eq!(
            (target.interval, target.timeout),
            (Duration::from_secs(2), Duration::from_secs(1))
        );
        assert_eq!((target.rise, target.fall), (3, 4));
    }

    #[test]
    fn probes_go_where_the_backend_serves() {
        for (health, backend, expected) in [
            ("", "address: 10.0.0.1", "tcp 10.0.0.1:80"),
            ("", "address: 10.0.0.1, port: 8080", "tcp 10.0.0.1:8080"),
            ("port: 81", "address: 10.0.0.1, port: 8080", "tcp 10.0.0.1:81"),
        ] {
            assert_eq!(target("nat", health, backend).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_target_says_what_it_asks_for() {
        for (health, expected) in [
            ("type: http, path: /up", "http 10.0.0.1:80/up"),
            ("type: https, port: 443", "https 10.0.0.1:443/"),
            ("type: udp, send: ping", "udp 10.0.0.1:80"),
            ("type: dns, query: a.example", "dns 10.0.0.1:80 a.example A"),
            ("type: icmp", "icmp 10.0.0.1"),
            ("type: exec, command: [/bin/check, -v]", "exec /bin/check 10.0.0.1:80"),
        ] {
            let health = format!("via: direct, {health}");
            assert_eq!(target("dsr", &health, "address: 10.0.0.1").unwrap().to_string(), expected);
        }
    }

    #[test]
    fn through_the_data_path_a_target_is_the_vip_at_a_backend() {
        for (mode, health, expected) in [
            ("dsr", "", Some("tcp [2001:db8::9]:80 at 10.0.0.1")),
            ("ipip", "type: http, path: /up", Some("http [2001:db8::9]:80/up at 10.0.0.1")),
            ("ipip", "type: udp, send: ping, port: 81", Some("udp [2001:db8::9]:81 at 10.0.0.1")),
            ("dsr", "via: direct", None),
            ("dsr", "type: icmp", None),
            ("nat", "", None),
        ] {
            let target = target(mode, health, "address: 10.0.0.1").unwrap();
            assert_eq!(target.path.is_some(), expected.is_some(), "{mode} {health}");
            assert_eq!(
                target.path.as_ref().is_some_and(|path| path.tunnel.is_some()),
                mode == "ipip"
            );
            if let Some(expected) = expected {
                assert_eq!(target.to_string(), expected);
            }
        }
    }

    #[test]
    fn only_a_program_knows_whom_it_is_for() {
        let backend = "address: 10.0.0.1";
        assert_eq!(target("dsr", "type: http", backend).unwrap().names, None);
        let names = target("dsr", "type: exec, command: [/bin/true]", backend).unwrap().names;
        assert_eq!(names, Some(Names { service: "web".into(), backend: "a".into() }));
    }
}
