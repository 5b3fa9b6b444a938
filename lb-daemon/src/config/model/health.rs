//! How backends are probed.

use std::{
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    super::duration,
    pattern::{Pattern, Payload},
};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    /// No probes: backends keep their initial state.
    None,
    Probed(Probes),
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Probes {
    #[serde(flatten)]
    pub check: Arc<Check>,
    pub via: Via,
    /// `None`: where the backend serves; ask [`Service::probe_port`](super::Service::probe_port).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(serialize_with = "duration::serialize")]
    pub interval: Duration,
    #[serde(serialize_with = "duration::serialize")]
    pub timeout: Duration,
    /// Successes in a row that bring a backend up.
    pub rise: u32,
    /// Failures in a row that take a backend out.
    pub fall: u32,
}

/// Where probes go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// To the VIP, the way that clients' packets take.
    Path,
    /// To the backend's own address.
    Direct,
}

impl Via {
    pub const ALL: [(&'static str, Self); 2] = [("path", Self::Path), ("direct", Self::Direct)];
}

/// What one probe does.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Check {
    /// A TCP connection is made and closed again.
    Tcp,
    /// A request over HTTP/1.1.
    Http(HttpCheck),
    /// The same over TLS.
    Https(HttpsCheck),
    /// A datagram that is to be answered.
    Udp(UdpCheck),
    /// A DNS query over UDP.
    Dns(DnsCheck),
    /// An echo request.
    Icmp,
    /// A program of the operator's.
    Exec(ExecCheck),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct HttpCheck {
    pub method: Method,
    pub path: String,
    /// `None`: the backend's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    pub status: Vec<StatusRange>,
    /// To be found in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Pattern>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct HttpsCheck {
    #[serde(flatten)]
    pub http: HttpCheck,
    /// Asked for by SNI, and what the certificate must be for. `None`: the
    /// host, else the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    pub verify: Verify,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Head,
    Options,
    Post,
}

impl Method {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
        }
    }
}

/// HTTP statuses from the first to the last.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StatusRange(pub RangeInclusive<u16>);

/// Which certificates are good.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Verify {
    /// Any.
    No,
    /// Those that this host's certificate store vouches for.
    System,
    /// Those that a certificate in this file vouches for.
    File(PathBuf),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct UdpCheck {
    pub send: Payload,
    /// To be found in the answer; `None`: any answer will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Pattern>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct DnsCheck {
    pub query: String,
    pub record: Record,
    pub rcode: Rcode,
    /// All of these are to be among the answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Record {
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Ptr,
    Soa,
    Srv,
    Txt,
}

impl Record {
    pub const ALL: [(&'static str, Self); 9] = [
        ("A", Self::A),
        ("AAAA", Self::Aaaa),
        ("CNAME", Self::Cname),
        ("MX", Self::Mx),
        ("NS", Self::Ns),
        ("PTR", Self::Ptr),
        ("SOA", Self::Soa),
        ("SRV", Self::Srv),
        ("TXT", Self::Txt),
    ];

    pub fn name(self) -> &'static str {
        let all = Self::ALL.iter();
        all.filter(|(_, record)| *record == self).map(|(name, _)| *name).next().unwrap_or_default()
    }
}

/// How a DNS server may answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rcode {
    NoError,
    NxDomain,
    Refused,
    ServFail,
    NotImp,
}

impl Rcode {
    pub const ALL: [(&'static str, Self); 5] = [
        ("noerror", Self::NoError),
        ("nxdomain", Self::NxDomain),
        ("refused", Self::Refused),
        ("servfail", Self::ServFail),
        ("notimp", Self::NotImp),
    ];

    pub const fn number(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct ExecCheck {
    /// An absolute path and arguments.
    pub command: Vec<String>,
}

impl ExecCheck {
    pub fn program(&self) -> &Path {
        Path::new(self.command.first().map_or("", String::as_str))
    }
}

impl Check {
    /// Whether a backend that serves UDP only would fail it.
    pub const fn is_over_tcp(&self) -> bool {
        matches!(self, Self::Tcp | Self::Http(_) | Self::Https(_))
    }

    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http(_) => "http",
            Self::Https(_) => "https",
            Self::Udp(_) => "udp",
            Self::Dns(_) => "dns",
            Self::Icmp => "icmp",
            Self::Exec(_) => "exec",
        }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.0.start(), self.0.end());
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("type", "none")?;
                map.end()
            }
            Self::Probed(probes) => probes.serialize(serializer),
        }
    }
}

impl Serialize for StatusRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Verify {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::No => serializer.serialize_bool(false),
            Self::System => serializer.serialize_bool(true),
            Self::File(path) => path.serialize(serializer),
        }
    }
}
