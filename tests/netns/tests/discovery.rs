//! Backends that the file does not list, found by a real name server and in a file that
//! is replaced.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use lb_test_lab::{Daemon, Lab, Process, Stats, backend, backend6, wait_until};
use lb_test_netns::{Conversation, HEALTH, Site, WEB, call, calling};
use nix::sys::signal::Signal;

const NAME: &str = "web.internal.lab";

/// dnsmasq on the router, with the addresses of one name.
struct NameServer<'a> {
    lab: &'a Lab,
    process: Option<Process>,
}

impl<'a> NameServer<'a> {
    fn start(lab: &'a Lab, addresses: &[IpAddr]) -> Self {
        let mut server = Self { lab, process: None };
        server.write(addresses);
        server.start_again();
        server
    }

    fn hosts(&self) -> PathBuf {
        self.lab.file("hosts")
    }

    fn write(&self, addresses: &[IpAddr]) {
        let lines: String = addresses.iter().map(|one| format!("{one} {NAME}\n")).collect();
        fs::write(self.hosts(), lines).unwrap();
    }

    /// The name has these addresses from now on, for a second at a time.
    fn set(&self, addresses: &[IpAddr]) {
        self.write(addresses);
        self.process.as_ref().expect("it runs").signal(Signal::SIGHUP).unwrap();
    }

    fn start_again(&mut self) {
        let mut command = self.lab.router.command("dnsmasq");
        command
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file"])
            .args(["--no-resolv", "--no-hosts", "--local=/lab/", "--local-ttl=1"])
            .args(["--log-facility=-", "--log-queries"])
            .arg(format!("--srv-host=_http._tcp.lab,{NAME},80,1,7"))
            .arg(format!("--addn-hosts={}", self.hosts().display()));
        let log = self.lab.file("dnsmasq.log");
        self.process = Some(Process::spawn(&mut command, &log).unwrap());
        let answers = || {
            let connect = || std::net::TcpStream::connect(("127.0.0.1", 53)).is_ok();
            self.lab.router.enter(connect).unwrap_or(false)
        };
        wait_until("dnsmasq answers", answers).unwrap();
    }

    fn stop(&mut self) {
        self.process.take().expect("it runs").stop(Signal::SIGKILL).unwrap();
    }
}

/// A configuration with one service that has these lines.
fn config(lines: &str) -> String {
    format!(
        "interfaces: [{{ name: eth0, xdp: native }}]
dns: {{ servers: 10.0.0.1, timeout: 500ms, max_refresh: 2s }}
services:
  - name: web
    vip: {WEB}
    port: 80
    mode: dsr
    arming: 500ms
    health: {{ port: {HEALTH}, interval: 200ms, timeout: 200ms, rise: 2, fall: 2 }}
{lines}"
    )
}

fn by_name() -> String {
    config(&format!("    backends: [{{ name: w, dns: {NAME} }}]\n"))
}

fn addresses(numbers: &[usize]) -> Vec<IpAddr> {
    numbers.iter().map(|number| backend(*number).into()).collect()
}

/// Whether these backends get the service's new flows and no others do.
fn served_by(stats: &Stats, names: &[String]) -> bool {
    let listed: Vec<_> =
        stats.service("web")["backends"].as_array().into_iter().flatten().collect();
    listed.len() == names.len()
        && names.iter().all(|name| stats.share("web", name) > 0.5 / names.len() as f64)
}

fn found(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(|address| format!("w@{address}")).collect()
}

fn warns(stats: &Stats, of: &str) -> bool {
    let warnings = stats.0["warnings"].as_array().into_iter().flatten();
    warnings.filter_map(|one| one.as_str()).any(|one| one.contains(of))
}

/// Claims: the pool follows the name's addresses and no request fails; connections that
/// exist stay; what the order of the answer does not change is not touched.
#[test]
fn the_pool_follows_the_name_and_no_request_fails() {
    let site = Site::new(4);
    let server = NameServer::start(&site.lab, &addresses(&[1, 2]));
    let daemon = Daemon::start(&site.lab, &by_name()).unwrap();
    let pool = |numbers: &[usize]| {
        let names = found(&addresses(numbers));
        daemon.wait_for("the pool is the name's", |stats| served_by(stats, &names)).unwrap()
    };
    let before = pool(&[1, 2]);
    let mut old: Vec<_> =
        (0..8).map(|_| Conversation::open(&site.lab.client, WEB.into(), 80).unwrap()).collect();
    let tally = calling(&site.lab.client, || {
        for numbers in [&[2, 3][..], &[4, 3, 2], &[1], &[1, 2, 3, 4], &[2, 1]] {
            server.set(&addresses(numbers));
            pool(numbers);
            for conversation in &mut old {
                conversation.must_go_on("after a change of the name's addresses");
            }
        }
    });
    let tally = tally.complete();
    assert!((1..=4).all(|number| tally.of(&format!("web-{number}")) > 0), "{tally:?}");
    let after = daemon.stats().unwrap();
    let origin = &after.backend("web", "w@10.0.0.12")["origin"];
    assert_eq!(origin, &format!("dns {NAME}"));
    assert_eq!(after.service("web")["slots"]["total"], before.service("web")["slots"]["total"]);
    assert!(daemon.log().contains("found: service web: backend w@10.0.0.13"), "{}", daemon.log());
}

/// Claims: neither a silent server, nor a name that is gone, nor a restart while no server
/// answers takes a backend away; stats say what is out of date; it recovers.
#[test]
fn without_an_answer_the_last_one_holds_over_a_restart_too() {
    let site = Site::new(3);
    let mut server = NameServer::start(&site.lab, &addresses(&[1, 2]));
    let mut daemon = Daemon::start(&site.lab, &by_name()).unwrap();
    let last = found(&addresses(&[1, 2]));
    daemon.wait_for("both are found", |stats| served_by(stats, &last)).unwrap();

    server.set(&[]);
    let gone = daemon.wait_for("the name is gone", |stats| warns(stats, "NXDOMAIN")).unwrap();
    assert!(served_by(&gone, &last), "{gone:?}");
    server.stop();
    let silent = daemon
        .wait_for("the server is missed", |stats| {
            warns(stats, NAME) && !warns(stats, "NXDOMAIN") && warns(stats, "last answer is kept")
        })
        .unwrap();
    assert!(served_by(&silent, &last), "{silent:?}");
    let source = &silent.service("web")["sources"][0];
    let [answered, since] = ["answered", "problem_since"].map(|key| source[key].as_u64().unwrap());
    assert!(answered <= since && since <= silent.0["time"].as_u64().unwrap(), "{source}");
    call(&site.lab.client, WEB, 80, 20).complete();

    let tally = calling(&site.lab.client, || {
        daemon.stop(Signal::SIGKILL).unwrap();
        daemon.start_again().unwrap();
        let again = daemon.stats().unwrap();
        assert!(served_by(&again, &last), "{again:?}");
    });
    tally.complete();

    server.write(&addresses(&[2, 3]));
    server.start_again();
    let new = found(&addresses(&[2, 3]));
    let well = daemon
        .wait_for("the new ones are found", |stats| served_by(stats, &new) && !warns(stats, NAME));
    assert!(well.unwrap().service("web")["sources"][0]["problem"].is_null());
}

/// Claims: a start without any answer goes on with what is listed; both families of a name
/// are found; listed backends stay.
#[test]
fn a_start_without_an_answer_waits_for_nobody() {
    let site = Site::new(3);
    let listed = backend(3);
    let text = config(&format!(
        "    backends: [{{ name: spare, address: {listed} }}, {{ name: w, dns: {NAME} }}]\n"
    ));
    let daemon = Daemon::start(&site.lab, &text).unwrap();
    let alone = daemon.stats().unwrap();
    assert!(
        served_by(&alone, &["spare".into()]) && warns(&alone, "no earlier answer"),
        "{alone:?}"
    );
    let both: [IpAddr; 2] = [backend(1).into(), backend6(2).into()];
    let _server = NameServer::start(&site.lab, &both);
    let mut all = found(&both);
    all.push("spare".into());
    daemon.wait_for("both families are found", |stats| served_by(stats, &all)).unwrap();
    let tally = call(&site.lab.client, WEB, 80, 40).complete();
    assert!((1..=3).all(|number| tally.of(&format!("web-{number}")) > 0), "{tally:?}");
}

/// Claims: a reload that names what it listed before asks first, so that no request fails;
/// SRV records give ports and weights; `check --resolve` shows what it will be.
#[test]
fn a_reload_from_addresses_to_services_breaks_nothing() {
    let site = Site::new(2);
    let server = NameServer::start(&site.lab, &addresses(&[1]));
    let nat = |backends: &str| {
        config(&format!("    backends: [{backends}]\n")).replace("mode: dsr", "mode: nat")
    };
    let listed = nat(&format!("{{ name: a, address: {}, port: 80 }}", backend(1)));
    let named = nat("{ name: w, srv: _http._tcp.lab }, { name: v, dns: none.lab }");
    let daemon = Daemon::start(&site.lab, &listed).unwrap();
    let tally = calling(&site.lab.client, || {
        daemon.write_config(&named).unwrap();
        let mut check = daemon.command("check");
        check.arg("--resolve").arg("--config").arg(daemon.config_path());
        let check = check.output().unwrap();
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(said.contains("w@10.0.0.11 (srv _http._tcp.lab): weight 7, port 80"), "{said}");
        assert!(said.contains("dns none.lab: none.lab: there is no such name"), "{said}");
        daemon.reconfigure(&named).unwrap();
        let stats = daemon.stats().unwrap();
        let found = stats.backend("web", "w@10.0.0.11");
        assert_eq!((found["weight"].as_u64(), found["state"].as_str()), (Some(7), Some("up")));
    });
    tally.complete();
    drop(server);
}

/// Claims: a file is read when it is replaced; a bad one changes nothing, and stats say
/// where it is wrong; `check` says the same.
#[test]
fn a_file_of_backends_is_followed_and_a_bad_one_changes_nothing() {
    let site = Site::new(3);
    let path = site.lab.file("web.yaml");
    let replace = |text: &str| {
        let next = site.lab.file("web.yaml.next");
        fs::write(&next, text).unwrap();
        fs::rename(next, &path).unwrap();
    };
    let entry = |number: usize| format!("- {{ name: b{number}, address: {} }}\n", backend(number));
    replace(&entry(1));
    let text = config("    backends_file: web.yaml\n");
    let daemon = Daemon::start(&site.lab, &text).unwrap();
    let pool = |numbers: &[usize]| {
        let names: Vec<_> = numbers.iter().map(|number| format!("b{number}")).collect();
        daemon.wait_for("the pool is the file's", |stats| served_by(stats, &names)).unwrap()
    };
    pool(&[1]);
    let tally = calling(&site.lab.client, || {
        for numbers in [&[1, 2][..], &[2, 3], &[3]] {
            replace(&numbers.iter().map(|number| entry(*number)).collect::<String>());
            pool(numbers);
        }
        replace(&format!("{}- {{ name: b2 }}\n", entry(1)));
        let place = "web.yaml:2:3: [1]: address is missing";
        let bad = daemon.wait_for("it is refused", |stats| warns(stats, place)).unwrap();
        assert!(served_by(&bad, &["b3".into()]), "{bad:?}");
        let check = daemon.command("check").arg("--config").arg(daemon.config_path()).output();
        let check = check.unwrap();
        assert_eq!(check.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&check.stderr).contains(place), "{check:?}");
        replace(&(entry(1) + &entry(2)));
        assert!(!warns(&pool(&[1, 2]), "web.yaml"));
    });
    tally.complete();
}
