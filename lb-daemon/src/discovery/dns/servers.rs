//! Whom to ask: the configured servers, or those of /etc/resolv.conf, which
//! is read anew each time, as other programs change it.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use crate::config::Dns;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// As the C library has it.
const MOST_SERVERS: usize = 3;
const MOST_DOMAINS: usize = 6;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Servers {
    /// In the order in which they are asked.
    pub addresses: Vec<SocketAddr>,
    /// Domains in which a name without a dot is looked for.
    pub search: Vec<String>,
}

impl Servers {
    pub fn of(dns: &Dns) -> Self {
        let text = fs::read_to_string(RESOLV_CONF).unwrap_or_default();
        let mut servers = Self::read(&text);
        if !dns.servers.is_empty() {
            servers.addresses = dns.servers.clone();
        }
        servers
    }

    /// From the text of a resolv.conf; what is not understood is left out.
    pub fn read(text: &str) -> Self {
        let mut servers = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(server);
                    servers.addresses.extend(address);
                }
                // The last line wins.
                Some("search" | "domain") => {
                    let domains = words.map(|domain| domain.trim_matches('.').to_lowercase());
                    servers.search =
                        domains.filter(|one| !one.is_empty()).take(MOST_DOMAINS).collect();
                }
                _ => {}
            }
        }
        servers.addresses.truncate(MOST_SERVERS);
        if servers.addresses.is_empty() {
            servers.addresses.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        servers
    }

    /// What a name may stand for, in the order in which it is looked for: with
    /// a dot in it, only itself.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        let in_domains = self.search.iter().map(|domain| format!("{name}.{domain}"));
        let in_domains = in_domains.filter(|_| !name.contains('.'));
        in_domains.chain([name.to_owned()]).collect()
    }
}

/// Link-local servers need the interface behind their address.
fn server(text: &str) -> Option<SocketAddr> {
    match text.split_once('%') {
        None => Some((text.parse::<IpAddr>().ok()?, PORT).into()),
        Some((address, interface)) => {
            let index = nix::net::if_::if_nametoindex(interface).ok()?;
            Some(std::net::SocketAddrV6::new(address.parse().ok()?, PORT, 0, index).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolv_conf_is_read_as_the_c_library_does() {
        let text = "# by hand\nnameserver 192.0.2.53\nnameserver  2001:db8::53 \nnameserver nine\n\
                    domain old.example\noptions ndots:5\nsearch a.example. B.example\n\
                    nameserver 192.0.2.54\nnameserver 192.0.2.55\n";
        let servers = Servers::read(text);
        let addresses = ["192.0.2.53:53", "[2001:db8::53]:53", "192.0.2.54:53"];
        assert_eq!(servers.addresses, addresses.map(|one| one.parse().unwrap()));
        assert_eq!(servers.search, ["a.example", "b.example"]);
        let nobody = Servers::read("");
        assert_eq!(nobody.addresses, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn only_a_name_without_a_dot_is_looked_for_in_domains() {
        let servers = Servers { search: vec!["a.example".into()], ..Servers::default() };
        assert_eq!(servers.candidates("web"), ["web.a.example", "web"]);
        assert_eq!(servers.candidates("web.b"), ["web.b"]);
    }
}
