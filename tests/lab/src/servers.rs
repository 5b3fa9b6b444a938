//! Real servers that answer with the name of the host they run on.

use std::fs;

use anyhow::{Context, Result};

use crate::host::Host;
use crate::lab::Lab;
use crate::process::Process;
use crate::wait::wait_until;

/// Starts nginx: HTTP on port 80 of every address, one request for each connection, so
/// that a client's connections are counted by its answers.
pub fn nginx(lab: &Lab, host: &Host) -> Result<Process> {
    web_server(lab, host, "keepalive_timeout 0;")
}

/// Starts nginx as above, but connections stay for as many requests as clients like.
pub fn nginx_kept_alive(lab: &Lab, host: &Host) -> Result<Process> {
    web_server(lab, host, "keepalive_requests 1000000000;")
}

/// Starts nginx as above, but connections end after a hundred requests, as those of
/// real clients do sooner or later.
pub fn nginx_renewed(lab: &Lab, host: &Host) -> Result<Process> {
    web_server(lab, host, "keepalive_requests 100;")
}

fn web_server(lab: &Lab, host: &Host, keepalive: &str) -> Result<Process> {
    let name = &host.name;
    let dir = lab.file(&format!("{name}.nginx"));
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let at = dir.display();
    let config = format!(
        "daemon off;
master_process off;
user root;
pid {at}/pid;
error_log stderr;
events {{ worker_connections 512; }}
http {{
    access_log off;
    {keepalive}
    client_body_temp_path {at}/body;
    proxy_temp_path {at}/proxy;
    fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi;
    scgi_temp_path {at}/scgi;
    server {{
        listen 80;
        listen [::]:80;
        default_type text/plain;
        location / {{ return 200 \"{name}\\n\"; }}
    }}
}}
"
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))?;
    let mut command = host.command("nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(&dir).arg("-c").arg(&file);
    let server = Process::spawn(&mut command, &lab.file(&format!("{name}.nginx.log")))?;
    ready(host, server, 80)
}

/// Starts dnsmasq: `whoami.lab` is a TXT record with the host's name, over UDP and TCP.
pub fn dnsmasq(lab: &Lab, host: &Host) -> Result<Process> {
    let name = &host.name;
    let mut command = host.command("dnsmasq");
    command
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--log-facility=-"])
        .args(["--no-resolv", "--no-hosts", "--pid-file"])
        .arg(format!("--txt-record=whoami.lab,{name}"));
    let server = Process::spawn(&mut command, &lab.file(&format!("{name}.dnsmasq.log")))?;
    ready(host, server, 53)
}

/// Starts iperf3 on its own port, 5201.
pub fn iperf3(lab: &Lab, host: &Host) -> Result<Process> {
    let mut command = host.command("iperf3");
    command.arg("--server");
    let server = Process::spawn(&mut command, &lab.file(&format!("{}.iperf3.log", host.name)))?;
    ready(host, server, 5201)
}

/// Waits until the server accepts connections, or fails with what it said.
fn ready(host: &Host, mut server: Process, port: u16) -> Result<Process> {
    let mut ended = false;
    let connects = || {
        ended = !server.is_running();
        ended
            || host
                .enter(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
                .unwrap_or(false)
    };
    let waited = wait_until("a server accepts connections", connects);
    if ended || waited.is_err() {
        anyhow::bail!("the server on {} does not serve port {port}: {}", host.name, server.log());
    }
    Ok(server)
}
