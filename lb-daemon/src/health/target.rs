//! What is probed, and how: the identity of a probe.

use std::{fmt, net::IpAddr, time::Duration};

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

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.check {
            Check::Tcp { port } => {
                write!(f, "tcp {}", std::net::SocketAddr::new(self.address, port))
            }
        }
    }
}
