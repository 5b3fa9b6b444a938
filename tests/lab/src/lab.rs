//! The hosts of a lab and how they are connected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use crate::addresses::{CLIENT, CLIENT6, backend, backend6, lan, lan6};
use crate::host::Host;
use crate::state::{self, State};
use crate::tools::Tools;
use crate::wiring::{End, address, cable, no_xdp, pass_xdp};

const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const ROUTER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
const LAN_ROUTER: Ipv4Addr = lan(1);
const LAN_ROUTER6: Ipv6Addr = lan6(1);

pub struct Settings<'a> {
    /// Begins the names of everything: lower case letters, digits and `-`.
    pub prefix: &'a str,
    pub backends: usize,
    /// Addresses that all backends have on their loopback interface.
    pub vips: &'a [IpAddr],
}

pub struct Lab {
    /// Also the instance name of its daemon.
    pub name: String,
    pub tools: Tools,
    pub client: Host,
    pub router: Host,
    pub balancer: Host,
    pub backends: Vec<Host>,
    lan: Host,
    vips: Vec<IpAddr>,
    // Last: it removes the hosts.
    state: State,
}

impl Lab {
    /// Makes the hosts, and removes those that dead runs left behind.
    pub fn new(settings: &Settings, tools: &Tools) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        state::sweep()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", settings.prefix, std::process::id());
        let state = State::create(&name, &tools.daemon)?;
        let host = |role: &str| Host::create(&name, role);
        let mut lab = Self {
            client: host("client")?,
            router: host("router")?,
            balancer: host("balancer")?,
            lan: host("lan")?,
            backends: Vec::new(),
            vips: settings.vips.to_vec(),
            tools: tools.clone(),
            state,
            name,
        };
        lab.connect()?;
        for _ in 0..settings.backends {
            lab.add_backend()?;
        }
        Ok(lab)
    }

    /// Where its configuration and logs are.
    pub fn dir(&self) -> &Path {
        &self.state.dir
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Lets hosts and processes outlive this process; returns the command that ends them.
    pub fn keep(&self) -> Result<String> {
        self.state.keep()
    }

    fn connect(&self) -> Result<()> {
        let outside = End { host: &self.router, interface: "eth0" };
        let client = End { host: &self.client, interface: "eth0" };
        cable(&client, &outside)?;
        address(&client, CLIENT, CLIENT6)?;
        address(&outside, ROUTER, ROUTER6)?;
        self.client.ip(&format!("route add default via {ROUTER}"))?;
        self.client.ip(&format!("route add default via {ROUTER6}"))?;

        self.lan.ip("link add br0 type bridge stp_state 0 mcast_snooping 0
             link set br0 up")?;
        let inside = End { host: &self.router, interface: "eth1" };
        self.plug(&inside, "router")?;
        address(&inside, LAN_ROUTER, LAN_ROUTER6)?;
        let balancer = End { host: &self.balancer, interface: "eth0" };
        self.plug(&balancer, "balancer")?;
        self.carry_xdp(true)?;
        address(&balancer, lan(2), lan6(2))?;
        default_route(&self.balancer)?;
        self.router.sysctl(&["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])?;
        self.router.ip(&format!(
            "route add 203.0.113.0/24 via {}
             route add 2001:db8:113::/64 via {}",
            lan(2),
            lan6(2)
        ))
    }

    /// Connects a host to the LAN's bridge.
    fn plug(&self, end: &End, port: &str) -> Result<()> {
        cable(end, &End { host: &self.lan, interface: port })?;
        self.lan.ip(&format!("link set {port} master br0"))
    }

    /// Adds a host to the LAN, the backend of the next number.
    fn add_backend(&mut self) -> Result<()> {
        let number = self.backends.len() + 1;
        let host = Host::create(&self.name, &format!("web-{number}"))?;
        let end = End { host: &host, interface: "eth0" };
        self.plug(&end, &host.name)?;
        address(&end, backend(number), backend6(number))?;
        default_route(&host)?;
        // Only the balancer answers ARP for a VIP: deploy/sysctl/backend-dsr.conf.
        host.sysctl(&[
            "net.ipv4.conf.all.arp_ignore=1",
            "net.ipv4.conf.all.arp_announce=2",
            "net.ipv4.conf.all.rp_filter=2",
        ])?;
        for vip in &self.vips {
            add_loopback(&host, *vip)?;
        }
        self.backends.push(host);
        Ok(())
    }

    /// Gives a VIP to the balancer itself, as operators do who announce it from there.
    pub fn give_balancer(&self, vip: IpAddr) -> Result<()> {
        add_loopback(&self.balancer, vip)
    }

    /// Gives the balancer one more interface; the router's end of the cable has the
    /// same name, and no XDP program.
    pub fn connect_balancer_to_router(&self, interface: &str) -> Result<()> {
        let [balancer, router] = [&self.balancer, &self.router].map(|host| End { host, interface });
        cable(&balancer, &router)
    }

    /// Lets the LAN take packets that XDP sends from the balancer, as it does from the
    /// start, or spares other packets from the balancer the program that this takes.
    pub fn carry_xdp(&self, carry: bool) -> Result<()> {
        let port = End { host: &self.lan, interface: "balancer" };
        if carry { pass_xdp(&port, &self.tools.pass_object) } else { no_xdp(&port) }
    }

    /// Pulls the cable of a backend, or plugs it in again.
    pub fn set_cable(&self, number: usize, plugged: bool) -> Result<()> {
        let state = if plugged { "up" } else { "down" };
        self.lan.ip(&format!("link set web-{number} {state}"))
    }
}

fn default_route(host: &Host) -> Result<()> {
    host.ip(&format!(
        "route add default via {LAN_ROUTER}
         route add default via {LAN_ROUTER6}"
    ))
}

fn add_loopback(host: &Host, vip: IpAddr) -> Result<()> {
    match vip {
        IpAddr::V4(vip) => host.ip(&format!("addr add {vip}/32 dev lo")),
        IpAddr::V6(vip) => host.ip(&format!("addr add {vip}/128 dev lo nodad")),
    }
}
