//! Cables between hosts: veth pairs, set up so that XDP works on them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::host::Host;
use crate::tools::run;

/// One end of a cable.
pub(crate) struct End<'a> {
    pub host: &'a Host,
    pub interface: &'a str,
}

/// Connects two hosts.
pub(crate) fn cable(a: &End, b: &End) -> Result<()> {
    run(Command::new("ip")
        .args(["link", "add", a.interface, "netns", &a.host.namespace])
        .args(["type", "veth"])
        .args(["peer", "name", b.interface, "netns", &b.host.namespace]))?;
    for end in [a, b] {
        // A veth hands over frames as the sender left them: with offloads on, checksums
        // are unfinished and segments larger than any frame, and XDP sees both.
        run(end.host.command("ethtool").args([
            "-K",
            end.interface,
            "tx",
            "off",
            "tso",
            "off",
            "gso",
            "off",
        ]))?;
        end.host.ip(&format!("link set {} up", end.interface))?;
    }
    Ok(())
}

pub(crate) fn address(end: &End, v4: Ipv4Addr, v6: Ipv6Addr) -> Result<()> {
    let dev = end.interface;
    // Duplicate address detection would keep the address unusable for a second or two.
    end.host.ip(&format!("addr add {v4}/24 dev {dev}\naddr add {v6}/64 dev {dev} nodad"))
}

/// Lets packets through that XDP sends from the other end. Without a program here the
/// kernel loses them, and counts it nowhere that is looked at.
pub(crate) fn pass_xdp(end: &End, object: &Path) -> Result<()> {
    let dev = end.interface;
    run(end
        .host
        .command("ip")
        .args(["link", "set", "dev", dev, "xdpdrv", "obj"])
        .arg(object)
        .args(["sec", "xdp"]))
    .with_context(|| format!("cannot attach {} to {dev}", object.display()))?;
    Ok(())
}

/// Takes the program off again.
pub(crate) fn no_xdp(end: &End) -> Result<()> {
    end.host.ip(&format!("link set dev {} xdpdrv off", end.interface))
}
