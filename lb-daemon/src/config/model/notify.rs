//! Whom events are told.

use std::{fmt, net::IpAddr, time::Duration};

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{super::duration, Verify};
use crate::api::types::EventKind;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notify {
    pub way: NotifyWay,
    /// The kinds that are told, each once.
    pub events: Vec<EventKind>,
    /// For one attempt.
    pub timeout: Duration,
    /// How long an event is tried.
    pub retry: Duration,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotifyWay {
    /// Posted there.
    Url(Url, Verify),
    /// A program, by its absolute path, and its arguments.
    Command(Vec<String>),
}

/// As in messages: without what may be a secret.
impl fmt::Display for NotifyWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url, _) => url.fmt(f),
            Self::Command(words) => f.write_str(words.first().map_or("", String::as_str)),
        }
    }
}

impl Serialize for Notify {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.way {
            NotifyWay::Url(url, verify) => {
                map.serialize_entry("url", &url.text())?;
                if url.tls {
                    map.serialize_entry("verify", verify)?;
                }
            }
            NotifyWay::Command(words) => map.serialize_entry("command", words)?,
        }
        map.serialize_entry("events", &self.events)?;
        map.serialize_entry("timeout", &duration::write(self.timeout))?;
        map.serialize_entry("retry", &duration::write(self.retry))?;
        map.end()
    }
}

/// An address of a web server, and a path there.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    pub tls: bool,
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    /// With the query; from `/` on. Often has a secret in it.
    pub path: String,
}

impl Url {
    const LONGEST: usize = 2048;

    /// `None`: it is not one, or has parts that make no sense here (a user, a
    /// fragment).
    pub fn parse(text: &str) -> Option<Self> {
        let (tls, rest) = match text.split_once("://")? {
            ("http", rest) => (false, rest),
            ("https", rest) => (true, rest),
            _ => return None,
        };
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !printable || text.len() > Self::LONGEST {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = host_and_port(authority)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Self { tls, host, port: port.unwrap_or(if tls { 443 } else { 80 }), path })
    }

    pub fn text(&self) -> String {
        format!("{self}{}", self.path)
    }

    /// As in a Host header.
    pub fn authority(&self) -> String {
        let host = match self.address() {
            Some(IpAddr::V6(v6)) => format!("[{v6}]"),
            _ => self.host.clone(),
        };
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// Where the host is no name.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (v6, port) = rest.split_once(']')?;
            v6.parse::<std::net::Ipv6Addr>().ok()?;
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?) };
            (v6, port)
        }
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            if host.is_empty() || host.len() > 253 || !host.bytes().all(fits) {
                return None;
            }
            (host, port)
        }
    };
    let port = match port {
        None => None,
        Some(text) => Some(text.parse().ok().filter(|port| *port > 0)?),
    };
    Some((host.to_owned(), port))
}

/// Without the path.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

/// The path is a secret: it must not reach a log.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}/(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_and_put_together() {
        for (text, host, port, path) in [
            ("https://hooks.example/a?b=c", "hooks.example", 443, "/a?b=c"),
            ("http://192.0.2.1:8080/", "192.0.2.1", 8080, "/"),
            ("https://[2001:db8::1]:8443/x", "2001:db8::1", 8443, "/x"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((&*url.host, url.port, &*url.path), (host, port, path));
            assert_eq!(url.text(), text);
        }
        assert_eq!(Url::parse("http://a").unwrap().text(), "http://a/");
        assert_eq!(Url::parse("http://a?b").unwrap().path, "/?b");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "hooks.example",
            "ftp://a/",
            "http://",
            "http://a:0/",
            "http://a:70000/",
            "http://user@a/",
            "http://a/ b",
            "http://a/#b",
            "http://[a]/",
            "http://[::1]x/",
            "http://a\r\nb/",
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_secret_in_the_path_is_not_shown() {
        let url = Url::parse("https://hooks.example/secret").unwrap();
        assert!(!format!("{url} {url:?}").contains("secret"));
    }
}
