//! A pool of real web servers is replaced under load, as an operator does it.

use std::net::IpAddr;

use lb_test_lab::{Daemon, Host, Lab, Process, Settings, Stats, Tools, nginx_renewed, wait_until};
use lb_test_netns::{WEB, web_config};
use nix::sys::signal::Signal;

/// Servers of the pool; as many more take their places.
const POOL: usize = 8;

fn config(mode: &str, pool: &[usize]) -> String {
    let soon = ["arming: 500ms", "idle: { tcp: 2s }", "closing: 2s"];
    web_config(mode, &soon, pool.iter().copied())
}

/// wrk until it is told to end.
struct Load(Process);

impl Load {
    fn start(lab: &Lab) -> Self {
        let mut command = lab.client.command("wrk");
        command.args(["--threads", "1", "--connections", "24", "--duration", "600s"]);
        command.arg(format!("http://{WEB}/"));
        Self(Process::spawn(&mut command, &lab.file("wrk.log")).unwrap())
    }

    /// What it counted.
    fn end(self, lab: &Lab) -> String {
        let ended = self.0.stop(Signal::SIGINT).unwrap();
        let said = std::fs::read_to_string(lab.file("wrk.log")).unwrap();
        assert!(ended.success(), "wrk: {said}");
        said
    }
}

/// Takes a server out, and waits until nobody is connected to it: in `dsr` as the balancer
/// says; in `nat`, where that takes until its ports have rested, as the server itself says.
fn drain(daemon: &Daemon, lab: &Lab, number: usize, mode: &str) {
    let name = format!("web-{number}");
    let wait = if mode == "nat" { [].as_slice() } else { &["--wait"] };
    let args = [&["web", &name, "--reason", "replaced"], wait].concat();
    daemon.order("drain", &args).unwrap();
    let is_out = |stats: &Stats| {
        stats.share("web", &name) == 0.0 && stats.service("web")["slots"]["arming"] == 0
    };
    daemon.wait_for("it gets no new connections", is_out).unwrap();
    wait_until("nobody is connected", || !is_connected(&lab.backends[number - 1])).unwrap();
}

fn is_connected(server: &Host) -> bool {
    let args = ["-Htn", "state", "established", "sport", "=", ":80"];
    !server.command("ss").args(args).output().unwrap().stdout.is_empty()
}

fn replace_all(mode: &str) {
    let vips = [IpAddr::from(WEB)];
    let settings = Settings { prefix: "lb-test", backends: 2 * POOL, vips: &vips, behind: false };
    let lab = Lab::new(&settings, &Tools::from_env().unwrap()).unwrap();
    let start = |number: usize| nginx_renewed(&lab, &lab.backends[number - 1]).unwrap();
    let mut pool: Vec<usize> = (1..=POOL).collect();
    let mut servers: Vec<Process> = pool.iter().map(|number| start(*number)).collect();
    let daemon = Daemon::start(&lab, &config(mode, &pool)).unwrap();
    let load = Load::start(&lab);
    for place in 0..POOL {
        let (old, new) = (pool[place], pool[place] + POOL);
        drain(&daemon, &lab, old, mode);
        // Nobody is left: the process may go in any way.
        servers[place] = start(new);
        pool[place] = new;
        daemon.reconfigure(&config(mode, &pool)).unwrap();
        let name = format!("web-{new}");
        daemon
            .wait_for("the new one serves", |stats| {
                stats.state("web", &name) == "up" && stats.share("web", &name) > 0.05
            })
            .unwrap();
    }
    let said = load.end(&lab);
    assert!(said.contains("requests in"), "{said}");
    let failed = said.contains("Socket errors") || said.contains("Non-2xx");
    assert!(!failed, "requests failed: {said}\n{}", daemon.log());
    let stats = daemon.stats().unwrap();
    for number in POOL + 1..=2 * POOL {
        let name = format!("web-{number}");
        let got = stats.backend("web", &name)["new_connections"].as_u64();
        assert!(got > Some(0), "{name} got no connection: {}", stats.0);
    }
}

/// Claims: each of eight servers is drained, ended, and replaced by one at another address,
/// while clients ask without a pause; not one request fails.
#[test]
fn a_pool_of_eight_is_replaced_under_load_in_dsr() {
    replace_all("dsr");
}

/// The same, translated.
#[test]
fn a_pool_of_eight_is_replaced_under_load_in_nat() {
    replace_all("nat");
}
