//! What is probed, and how: the identity of a probe.

use std::{fmt, net::IpAddr, time::Duration};

use crate::config::Health;

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
    pub fn for_backend(address: IpAddr, health: &Health) -> Option<Self> {
        match health {
            Health::None => None,
            Health::Tcp(tcp) => Some(Self {
                address,
                check: Check::Tcp { port: tcp.port },
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
    use crate::config::TcpHealth;

    #[test]
    fn a_service_without_probes_has_no_target() {
        let address = "2001:db8::1".parse().unwrap();
        assert_eq!(Target::for_backend(address, &Health::None), None);
        let tcp = TcpHealth {
            port: 81,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            rise: 3,
            fall: 4,
        };
        let target = Target::for_backend(address, &Health::Tcp(tcp)).unwrap();
        assert_eq!(target.to_string(), "tcp [2001:db8::1]:81");
        assert_eq!(
            (target.interval, target.timeout),
            (Duration::from_secs(2), Duration::from_secs(1))
        );
        assert_eq!((target.rise, target.fall), (3, 4));
    }
}
