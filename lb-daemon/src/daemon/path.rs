//! Probes through the data path: the pair that they leave by, while some
//! service asks for it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::OwnedFd,
    sync::Arc,
};

use lb_common::abi::probe::{
    PROBE_HOST_MAC, PROBE_NAMESPACE_MAC, PROBE_V4, PROBE_V6, alias_v4, alias_v6,
};
use nix::net::if_::if_nametoindex;
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use crate::{
    config::Config,
    health::{
        PathTarget,
        path::{Gate, Path},
    },
    loader::{LoadError, Mode, ProbePrograms},
    netlink::{
        ethtool::Ethtool,
        veth::{self, End, Network},
    },
};

/// The end in the namespace.
const INNER: &str = "probe";
/// Every link of IPv6 takes that much (RFC 8200), so that what probes send fits
/// through any tunnel.
const PROBE_MTU: u32 = 1280;
/// Answers come in segments as large as clients get: for IPv4 and IPv6.
const MSS: [u32; 2] = [1460, 1440];

#[derive(Debug, thiserror::Error)]
enum PairError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

/// What is set up.
#[derive(Debug)]
struct Pair {
    ifindex: u32,
    mode: Mode,
    /// Programs stay while these are held.
    _links: [OwnedFd; 2],
}

pub struct PathSetup {
    /// Or why there is no namespace.
    path: Result<Arc<Path>, String>,
    name: String,
    pair: Option<Pair>,
    /// Why probes do not go through the data path, where they should.
    pub trouble: Option<String>,
}

impl PathSetup {
    pub fn new(path: Result<Arc<Path>, String>, instance: &str) -> Self {
        Self { path, name: interface(instance), pair: None, trouble: None }
    }

    /// Index of the pair's end on this host; 0: there is none.
    pub fn ifindex(&self) -> u32 {
        self.pair.as_ref().map_or(0, |pair| pair.ifindex)
    }

    /// Does what there is to do. Failures are tried again at every call.
    /// `mode`: in which the data path's own program is attached.
    pub fn follow(&mut self, ebpf: &mut aya::Ebpf, config: &Config, mode: Mode) {
        let is_wanted = config.services.iter().any(|service| PathTarget::of(service).is_some());
        let path = match (&self.path, is_wanted) {
            (Ok(path), true) => path.clone(),
            (Err(why), true) => return self.note(Some(why.clone())),
            (path, false) => {
                if let (Ok(path), Some(_)) = (path, self.pair.take()) {
                    path.set_gate(Gate::Waiting);
                    let _ = veth::remove(&self.name);
                }
                return self.note(None);
            }
        };
        let is_there = |pair: &Pair| {
            pair.mode == mode && if_nametoindex(&*self.name).is_ok_and(|i| i == pair.ifindex)
        };
        if self.pair.as_ref().is_some_and(is_there) {
            return;
        }
        self.pair = None;
        match make(ebpf, &path, &self.name, mode) {
            Ok(pair) => {
                info!("interface {}: probes leave here and take the data path", self.name);
                self.pair = Some(pair);
                path.set_gate(Gate::Open);
                self.note(None);
            }
            Err(error) => {
                path.set_gate(Gate::Past);
                self.note(Some(error.to_string()));
            }
        }
    }

    fn note(&mut self, trouble: Option<String>) {
        let trouble = trouble.map(|why| {
            format!(
                "health: services with via: path are probed past the data path, at their \
                 backends' own addresses: {why}"
            )
        });
        if trouble != self.trouble
            && let Some(why) = &trouble
        {
            warn!("{why}");
        }
        self.trouble = trouble;
    }
}

/// A name for the pair's end: of 15 characters at most, as Linux has it.
fn interface(instance: &str) -> String {
    const LONGEST: usize = 11;
    if instance.len() <= LONGEST {
        return format!("lbp-{instance}");
    }
    let digest = Sha256::digest(instance);
    let [a, b, c, ..] = digest[..] else { unreachable!("a digest has 32 bytes") };
    format!("lbp-{}{a:02x}{b:02x}{c:02x}", &instance[..LONGEST - 6])
}

fn make(ebpf: &mut aya::Ebpf, path: &Path, name: &str, mode: Mode) -> Result<Pair, PairError> {
    let failed = |what: String| move |source| PairError::Io { what, source };
    let programs = ProbePrograms::load(ebpf)?;
    let namespace = path.namespace();
    let outer = End { name, mac: PROBE_HOST_MAC };
    let inner = End { name: INNER, mac: PROBE_NAMESPACE_MAC };
    let ifindex = veth::create(outer, inner, namespace.descriptor())
        .map_err(failed(format!("cannot make the veth pair {name}")))?;
    let attach = programs.inner().map_err(failed(format!("{name}: its program")))?;
    let inside = namespace
        .call(move || attach(veth::prepare_inner(INNER, PROBE_HOST_MAC, &networks())?))
        .map_err(failed(format!("cannot set up the inner end of {name}")))?;
    if mode == Mode::Generic {
        // Answers that some driver redirects natively find a way in all the same:
        // since 6.3 (fccca038f300) by this alone.
        let _ = Ethtool::open().and_then(|ethtool| ethtool.set_gro(name, true));
    }
    let outside = programs
        .attach_outer(ifindex, mode)
        .map_err(failed(format!("cannot attach the probes' program to {name}")))?;
    Ok(Pair { ifindex, mode, _links: [inside, outside] })
}

/// What the namespace reaches: all aliases.
fn networks() -> [Network; 2] {
    let [a, b, c, d] = PROBE_V4;
    let v4 = Network {
        own: Ipv4Addr::from(PROBE_V4).into(),
        gateway: Ipv4Addr::new(a, b, c, d + 1).into(),
        prefix: (Ipv4Addr::from(alias_v4(0)).into(), 16),
        mtu: PROBE_MTU,
        mss: MSS[0],
    };
    let mut gateway = PROBE_V6;
    gateway[15] += 1;
    let v6 = Network {
        own: IpAddr::from(PROBE_V6),
        gateway: IpAddr::from(gateway),
        prefix: (Ipv6Addr::from(alias_v6(0)).into(), 112),
        mtu: PROBE_MTU,
        mss: MSS[1],
    };
    [v4, v6]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instance_has_an_interface_of_its_own() {
        assert_eq!(interface("main"), "lbp-main");
        assert_eq!(interface("elevenchars"), "lbp-elevenchars");
        let long = ["a-long-instance-1", "a-long-instance-2"].map(interface);
        assert!(long.iter().all(|name| name.len() == 15 && name.starts_with("lbp-a-lon")));
        assert_ne!(long[0], long[1]);
    }
}
