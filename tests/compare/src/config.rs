//! The configuration of each subject: what its manual would have one write for this job,
//! and no more.

use std::net::Ipv4Addr;
use std::path::Path;

use lb_test_lab::{Lab, backend};

use crate::subject::{PORT, VIP};

/// Names and addresses of the backends.
fn backends(lab: &Lab) -> impl Iterator<Item = (&str, Ipv4Addr)> {
    lab.backends.iter().enumerate().map(|(index, host)| (host.name.as_str(), backend(index + 1)))
}

fn lines(lab: &Lab, line: impl Fn(&str, Ipv4Addr) -> String) -> String {
    backends(lab).map(|(name, address)| line(name, address)).collect::<Vec<_>>().join("\n")
}

/// Routed to the balancer, for translated flows: a tuple rests for 10 s or 60 s after its
/// connection, so at saturation the ports of one address would be a limit of their own.
pub const POOL: &str = "10.0.0.128/30";
const POOL_ADDRESSES: &str = "10.0.0.128, 10.0.0.129, 10.0.0.130, 10.0.0.131";

pub fn daemon(lab: &Lab, mode: &str) -> String {
    let pool = match mode {
        "nat" => format!("    snat: {{ addresses: [{POOL_ADDRESSES}], ports: 1024-65535 }}\n"),
        _ => String::new(),
    };
    let backends =
        lines(lab, |name, address| format!("      - {{ name: {name}, address: {address} }}"));
    format!(
        "interfaces: [{{ name: eth0, xdp: native }}]
on_exit: unload
services:
  - name: web
    vip: {VIP}
    port: {PORT}
    protocol: tcp
    mode: {mode}
{pool}    health: {{ interval: 250ms, timeout: 250ms }}
    backends:
{backends}
"
    )
}

pub fn nginx(lab: &Lab, workers: usize) -> String {
    let servers = lines(lab, |_, address| format!("        server {address}:{PORT};"));
    let load = stream_module().map_or(String::new(), |file| format!("load_module {file};\n"));
    format!(
        "{load}daemon off;
user root;
worker_processes {workers};
pid nginx.pid;
error_log stderr;
events {{ worker_connections 4096; }}
stream {{
    upstream web {{
{servers}
    }}
    server {{
        listen {VIP}:{PORT};
        proxy_pass web;
    }}
}}
"
    )
}

/// Distributions build the module into nginx or put it into a file.
fn stream_module() -> Option<&'static str> {
    ["/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib64/nginx/modules/ngx_stream_module.so"]
        .into_iter()
        .find(|file| Path::new(file).exists())
}

pub fn haproxy(lab: &Lab, workers: usize) -> String {
    let servers = lines(lab, |name, address| format!("    server {name} {address}:{PORT} check"));
    format!(
        "global
    nbthread {workers}
    maxconn 4096
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
listen web
    bind {VIP}:{PORT}
    balance roundrobin
{servers}
"
    )
}

pub fn nftables(lab: &Lab) -> String {
    let (count, mut elements, mut addresses) = (lab.backends.len(), Vec::new(), Vec::new());
    for (index, (_, address)) in backends(lab).enumerate() {
        elements.push(format!("{index} : {address}"));
        addresses.push(address.to_string());
    }
    format!(
        "table ip lb {{
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        ip daddr {VIP} tcp dport {PORT} dnat to numgen inc mod {count} map {{ {} }}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        ip daddr {{ {} }} tcp dport {PORT} masquerade
    }}
}}
",
        elements.join(", "),
        addresses.join(", ")
    )
}
