//! What is probed, and how: the identity of a probe.

use std::{fmt, net::IpAddr, time::Duration};

use crate::config::{Backend, Health, Service};

/// Two services with equal targets share one probe.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    pub address: IpAddr,
    pub check: Check,
    pub interval: Duration,
    pub timeout: Duration,
    /// Successes in a row that bring it up.
    pub rise: u32,
    /// Failures in a row that take it out.
    pub fall: u32,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Check {
    /// A TCP connection is made and closed again.
    Tcp { port: u16 },
}

impl Target {
    /// What to probe for a backend at `address`, if its service asks for probes.
    pub fn for_backend(service: &Service, backend: &Backend) -> Option<Self> {
        match &service.health {
            Health::None => None,
            Health::Tcp(tcp) => Some(Self {
                address: backend.address,
                check: Check::Tcp { port: service.probe_port(tcp, backend)? },
                interval: tcp.interval,
                timeout: tcp.timeout,
                rise: tcp.rise,
                fall: tcp.fall,
            }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.check {
            Check::Tcp { port } => {
                write!(f, "tcp {}", std::net::SocketAddr::new(self.address, port))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn target(mode: &str, health: &str, backend: &str) -> Option<Target> {
        let text = format!(
            "interfaces: [eth0]\nservices:\n- {{name: web, vip: '2001:db8::9', port: [80, 90], \
             mode: {mode}, health: {{{health}}}, backends: [{{name: a, {backend}}}]}}\n"
        );
        let config = config::parse("lb.yaml", &text).unwrap().config;
        Target::for_backend(&config.services[0], &config.services[0].backends[0])
    }

    #[test]
    fn a_service_without_probes_has_no_target() {
        assert_eq!(target("dsr", "type: none", "address: '2001:db8::1'"), None);
        let health = "port: 81, interval: 2s, timeout: 1s, rise: 3, fall: 4";
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
}
