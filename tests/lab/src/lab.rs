//! The hosts of a lab and how they are connected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use crate::addresses::{
    CLIENT, CLIENT6, INNER_BALANCER, INNER_BALANCER6, backend, backend6, inner_backend,
    inner_backend6, lan, lan6,
};
use crate::host::Host;
use crate::state::{self, State};
use crate::tools::{Tools, run};
use crate::wiring::{End, address, cable, no_xdp, pass_xdp};

const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const ROUTER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
const LAN_ROUTER: Ipv4Addr = lan(1);
const LAN_ROUTER6: Ipv6Addr = lan6(1);

/// Bridges.
const OUTER: &str = "br0";
const INNER: &str = "br1";

pub struct Settings<'a> {
    /// Begins the names of everything: lower case letters, digits and `-`.
    pub prefix: &'a str,
    pub backends: usize,
    /// Addresses that all backends have on their loopback interface.
    pub vips: &'a [IpAddr],
    /// Whether the backends are in a network of their own behind the balancer, which has an
    /// interface `eth1` there. They know no way out of it.
    pub behind: bool,
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
    behind: bool,
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
            behind: settings.behind,
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

        self.add_bridge(OUTER)?;
        let inside = End { host: &self.router, interface: "eth1" };
        self.plug(&inside, OUTER, "router")?;
        address(&inside, LAN_ROUTER, LAN_ROUTER6)?;
        let balancer = End { host: &self.balancer, interface: "eth0" };
        self.plug(&balancer, OUTER, "balancer")?;
        address(&balancer, lan(2), lan6(2))?;
        default_route(&self.balancer)?;
        if self.behind {
            self.add_bridge(INNER)?;
            let back = End { host: &self.balancer, interface: "eth1" };
            self.plug(&back, INNER, "inner-balancer")?;
            address(&back, INNER_BALANCER, INNER_BALANCER6)?;
        }
        self.carry_xdp(true)?;
        self.router.sysctl(&["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])?;
        self.router.ip(&format!(
            "route add 203.0.113.0/24 via {}
             route add 2001:db8:113::/64 via {}",
            lan(2),
            lan6(2)
        ))
    }

    fn add_bridge(&self, bridge: &str) -> Result<()> {
        self.lan.ip(&format!(
            "link add {bridge} type bridge stp_state 0 mcast_snooping 0
             link set {bridge} up"
        ))
    }

    /// Connects a host to a bridge.
    fn plug(&self, end: &End, bridge: &str, port: &str) -> Result<()> {
        cable(end, &End { host: &self.lan, interface: port })?;
        self.lan.ip(&format!("link set {port} master {bridge}"))
    }

    /// Adds the backend of the next number.
    fn add_backend(&mut self) -> Result<()> {
        let number = self.backends.len() + 1;
        let host = Host::create(&self.name, &format!("web-{number}"))?;
        let end = End { host: &host, interface: "eth0" };
        if self.behind {
            self.plug(&end, INNER, &host.name)?;
            address(&end, inner_backend(number), inner_backend6(number))?;
        } else {
            self.plug(&end, OUTER, &host.name)?;
            address(&end, backend(number), backend6(number))?;
            default_route(&host)?;
        }
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

    /// Lets backends behind the balancer send to everybody through it.
    pub fn route_through_balancer(&self) -> Result<()> {
        self.backends.iter().try_for_each(|host| {
            host.ip(&format!(
                "route add default via {INNER_BALANCER}
                 route add default via {INNER_BALANCER6}"
            ))
        })
    }

    /// Has each connection handled by one CPU of its backend, as the queues of a NIC do.
    /// Else the last packet of a handshake and the data behind it may reach a listening
    /// socket at the same moment, which Linux now and then answers with a reset.
    pub fn steer_flows(&self) -> Result<()> {
        let all = (1_u64 << std::thread::available_parallelism()?.get().min(32)) - 1;
        let steer = format!("echo {all:x} > /sys/class/net/eth0/queues/rx-0/rps_cpus");
        self.backends.iter().try_for_each(|host| {
            // `ip netns exec`, since it shows the host's own /sys.
            let ip = ["netns", "exec", &host.namespace, "sh", "-c", &steer];
            run(Command::new("ip").args(ip)).map(drop)
        })
    }

    /// Connects two hosts.
    pub fn connect_hosts(&self, a: (&Host, &str), b: (&Host, &str)) -> Result<()> {
        let [a, b] = [a, b].map(|(host, interface)| End { host, interface });
        cable(&a, &b)
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
        let inner = self.behind.then_some("inner-balancer");
        for interface in ["balancer"].into_iter().chain(inner) {
            let port = End { host: &self.lan, interface };
            if carry { pass_xdp(&port, &self.tools.pass_object)? } else { no_xdp(&port)? }
        }
        Ok(())
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
