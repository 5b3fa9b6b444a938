//! What stands in the way of XDP on an interface, each with the command that
//! removes it. The facts are read by an [`Inspector`]; what follows from them
//! is pure.

use std::{collections::BTreeSet, fmt, io};

use netlink_sys::protocols::NETLINK_ROUTE;

use super::{
    Link, Links,
    ethtool::{Channels, Ethtool},
    peer,
    socket::RequestSocket,
    xdp_features::{XdpFeatureReader, XdpFeatures},
};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The program cannot be attached, or packets go wrong.
    Fatal,
    /// It may be refused, or not work as well as it could.
    Warning,
}

/// One thing to mend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub severity: Severity,
    pub interface: String,
    pub what: String,
    /// None where no command on this host helps.
    pub command: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.interface, self.what)?;
        match &self.command {
            Some(command) => write!(f, "; run: {command}"),
            None => Ok(()),
        }
    }
}

/// What matters about an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    pub interface: String,
    /// `veth`, `bond`, …; empty for hardware.
    pub kind: String,
    pub driver: String,
    pub mtu: u32,
    /// A VLAN device sits on top of it.
    pub carries_vlans: bool,
    /// Offloads that are on.
    pub offloads: BTreeSet<String>,
    pub channels: Option<Channels>,
    pub cpus: u32,
    /// None where the kernel does not tell.
    pub xdp: Option<XdpFeatures>,
    /// Of a veth: whether its peer runs an XDP program. None where that cannot
    /// be seen.
    pub peer_runs_xdp: Option<bool>,
}

/// Reads facts. Belongs to the network namespace of the thread that opens it.
pub struct Inspector {
    ethtool: Ethtool,
    features: Option<XdpFeatureReader>,
    routing: RequestSocket,
}

impl Inspector {
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            ethtool: Ethtool::open()?,
            features: XdpFeatureReader::open()?,
            routing: RequestSocket::open(NETLINK_ROUTE)?,
        })
    }

    pub fn facts(&mut self, link: &Link, links: &Links) -> io::Result<Facts> {
        let interface = link.name.as_str();
        let xdp = match &mut self.features {
            Some(reader) => Some(reader.read(link.index)?),
            None => None,
        };
        let above = |other: &Link| other.kind == "vlan" && other.lower == Some(link.index);
        Ok(Facts {
            interface: interface.into(),
            kind: link.kind.clone(),
            driver: self.ethtool.driver(interface).unwrap_or_default(),
            mtu: link.mtu,
            carries_vlans: links.iter().any(above),
            offloads: self.ethtool.features(interface)?,
            channels: self.ethtool.channels(interface)?,
            cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
            xdp,
            peer_runs_xdp: peer::runs_xdp(&mut self.routing, link),
        })
    }
}

/// Largest MTU whose frames fit a page beside XDP's headroom (256 bytes) and
/// the kernel's bookkeeping (320), with two VLAN tags. Drivers differ by a few
/// bytes and refuse more, unless the program takes packets in fragments.
const PAGE_MTU: u32 = 4096 - 256 - 320 - 14 - 8;

/// Findings about an interface that is to run the program in its driver.
pub fn native_ingress(facts: &Facts) -> Vec<Finding> {
    let finding = |severity, what: &str, command: Option<String>| Finding {
        severity,
        interface: facts.interface.clone(),
        what: what.into(),
        command,
    };
    let interface = &facts.interface;
    let mut findings = Vec::new();
    if facts.xdp.is_some_and(|features| !features.basic()) {
        let what = "its driver cannot run XDP programs; set `xdp: generic` for it";
        findings.push(finding(Severity::Fatal, what, None));
    }
    if facts.peer_runs_xdp == Some(false) {
        let what = "a veth loses what XDP sends back through it (traffic of backends on it, and \
                    the balancer's own answers) unless its peer runs an XDP program too; one that \
                    only passes will do, GRO there will not";
        findings.push(finding(Severity::Fatal, what, None));
    }
    if facts.offloads.contains("rx-lro") {
        let what = "large receive offload is on; some drivers refuse native XDP until it is off";
        let command = format!("ethtool -K {interface} lro off");
        findings.push(finding(Severity::Warning, what, Some(command)));
    }
    if facts.offloads.contains("rx-gro-hw") {
        let what = "hardware GRO is on; some drivers refuse native XDP until it is off";
        let command = format!("ethtool -K {interface} rx-gro-hw off");
        findings.push(finding(Severity::Warning, what, Some(command)));
    }
    if facts.carries_vlans && facts.offloads.contains("rx-vlan-hw-parse") {
        let what = "the card strips VLAN tags, so that packets of all its VLANs look alike to XDP";
        let command = format!("ethtool -K {interface} rxvlan off");
        findings.push(finding(Severity::Fatal, what, Some(command)));
    }
    if facts.mtu > PAGE_MTU {
        let what = format!("most drivers refuse native XDP at MTU {}", facts.mtu);
        let command = format!("ip link set dev {interface} mtu {PAGE_MTU}");
        findings.push(finding(Severity::Warning, &what, Some(command)));
    }
    findings.extend(queue_budget(facts));
    findings
}

/// XDP wants transmit queues of its own.
fn queue_budget(facts: &Facts) -> Option<Finding> {
    let Channels { combined, max_combined } = facts.channels?;
    let interface = &facts.interface;
    let command = |queues| format!("ethtool -L {interface} combined {queues}");
    let (severity, what, command) = match facts.driver.as_str() {
        "ena" if combined * 2 > max_combined => (
            Severity::Fatal,
            format!("{combined} of {max_combined} queues in use; ena needs half of them for XDP"),
            Some(command((max_combined / 2).max(1))),
        ),
        "virtio_net" if combined + facts.cpus > max_combined => (
            Severity::Warning,
            format!(
                "{combined} of {max_combined} queues in use; with one more for each of {} CPUs \
                 XDP would transmit without locking",
                facts.cpus
            ),
            max_combined.checked_sub(facts.cpus).filter(|queues| *queues > 0).map(command),
        ),
        _ => return None,
    };
    Some(Finding { severity, interface: interface.clone(), what, command })
}

/// A finding about `egress` if packets redirected to it, from a program that
/// runs in the driver of `ingress`, would be lost.
pub fn redirect_egress(ingress: &str, egress: &Facts) -> Option<Finding> {
    if egress.xdp?.takes_redirected() {
        return None;
    }
    let interface = egress.interface.clone();
    let hint = match egress.kind.as_str() {
        "veth" => "its peer must run an XDP program (one that only passes will do) or have GRO on",
        "" => {
            "its driver may need an XDP program on it (list it under `interfaces`), or cannot at all"
        }
        _ => "route these backends over a device whose driver can",
    };
    Some(Finding {
        severity: Severity::Fatal,
        interface,
        what: format!("it cannot transmit packets redirected from {ingress}: {hint}"),
        command: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            interface: "eth1".into(),
            kind: String::new(),
            driver: "mlx5_core".into(),
            mtu: 1500,
            carries_vlans: false,
            offloads: BTreeSet::new(),
            channels: None,
            cpus: 4,
            xdp: Some(XdpFeatures(0x7f)),
            peer_runs_xdp: None,
        }
    }

    fn commands(facts: &Facts) -> Vec<Option<String>> {
        native_ingress(facts).into_iter().map(|finding| finding.command).collect()
    }

    fn with_offloads(names: &[&str]) -> Facts {
        Facts { offloads: names.iter().map(|name| name.to_string()).collect(), ..facts() }
    }

    #[test]
    fn a_fit_interface_has_no_findings() {
        assert_eq!(native_ingress(&facts()), []);
        assert_eq!(native_ingress(&Facts { xdp: None, ..facts() }), []);
        assert_eq!(redirect_egress("eth0", &facts()), None);
    }

    #[test]
    fn each_finding_names_the_command_that_mends_it() {
        let lro = with_offloads(&["rx-lro", "rx-gro"]);
        assert_eq!(commands(&lro), [Some("ethtool -K eth1 lro off".into())]);
        let gro = with_offloads(&["rx-gro-hw"]);
        assert_eq!(commands(&gro), [Some("ethtool -K eth1 rx-gro-hw off".into())]);
        let jumbo = Facts { mtu: 9000, ..facts() };
        assert_eq!(commands(&jumbo), [Some("ip link set dev eth1 mtu 3498".into())]);
        let unable = Facts { xdp: Some(XdpFeatures(0)), ..facts() };
        assert_eq!(commands(&unable), [None]);
    }

    #[test]
    fn a_veth_needs_an_xdp_program_at_its_other_end() {
        for (peer_runs_xdp, count) in [(None, 0), (Some(true), 0), (Some(false), 1)] {
            let veth = Facts { kind: "veth".into(), peer_runs_xdp, ..facts() };
            assert_eq!(native_ingress(&veth).len(), count, "{peer_runs_xdp:?}");
        }
    }

    #[test]
    fn stripped_vlan_tags_matter_only_where_there_are_vlans() {
        let stripping = with_offloads(&["rx-vlan-hw-parse"]);
        assert_eq!(commands(&stripping), []);
        let trunk = Facts { carries_vlans: true, ..stripping };
        assert_eq!(commands(&trunk), [Some("ethtool -K eth1 rxvlan off".into())]);
    }

    #[test]
    fn drivers_that_need_queues_of_their_own_for_xdp_are_counted() {
        let cases = [
            ("ena", 8, 8, Some(Some("ethtool -L eth1 combined 4"))),
            ("ena", 4, 8, None),
            ("virtio_net", 8, 8, Some(Some("ethtool -L eth1 combined 4"))),
            ("virtio_net", 1, 1, Some(None)),
            ("virtio_net", 4, 8, None),
            ("ixgbe", 8, 8, None),
        ];
        for (driver, combined, max_combined, expected) in cases {
            let channels = Some(Channels { combined, max_combined });
            let facts = Facts { driver: driver.into(), channels, ..facts() };
            let expected: Vec<_> =
                expected.into_iter().map(|command: Option<&str>| command.map(Into::into)).collect();
            assert_eq!(commands(&facts), expected, "{driver} {combined}/{max_combined}");
        }
    }

    #[test]
    fn an_egress_that_loses_redirected_packets_is_found() {
        let no_xmit = Some(XdpFeatures(0b011));
        let veth = Facts { kind: "veth".into(), xdp: no_xmit, ..facts() };
        let finding = redirect_egress("eth0", &veth).expect("a finding");
        assert!(finding.to_string().contains("redirected from eth0"), "{finding}");
        assert!(finding.to_string().contains("peer"), "{finding}");
        let silent = Facts { xdp: None, ..veth };
        assert_eq!(redirect_egress("eth0", &silent), None, "an old kernel does not tell");
    }
}
