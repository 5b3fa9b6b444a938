//! The two hosts of a test, and how to look at them.

use std::{
    fs::File,
    process::Command,
    time::{Duration, Instant},
};

use lb_daemon::netlink::Monitor;
use nix::sched::{CloneFlags, setns};
use tokio::sync::watch;

/// Long enough for any machine; each wait ends as soon as what it waits for is there.
const PATIENCE: Duration = Duration::from_secs(20);

/// The two hosts of a test, removed at its end.
pub struct Hosts {
    pub lb: String,
    pub far: String,
}

impl Hosts {
    pub fn new(test: &str) -> Self {
        let hosts = Self { lb: format!("nl-{test}-lb"), far: format!("nl-{test}-far") };
        hosts.delete();
        for host in [&hosts.lb, &hosts.far] {
            run(&format!("ip netns add {host}"));
            run(&format!("ip -n {host} link set lo up"));
        }
        for (link, net) in [("a", 0), ("b", 1)] {
            let (lb, far) = (&hosts.lb, &hosts.far);
            run(&format!("ip -n {lb} link add {link}0 type veth peer name {link}1 netns {far}"));
            run(&format!("ip -n {lb} address add 10.9.{net}.1/24 dev {link}0"));
            run(&format!("ip -n {far} address add 10.9.{net}.2/24 dev {link}1"));
            run(&format!("ip -n {lb} -6 address add fd09:{net}::1/64 dev {link}0 nodad"));
            run(&format!("ip -n {far} -6 address add fd09:{net}::2/64 dev {link}1 nodad"));
            run(&format!("ip -n {far} link set {link}1 up"));
            run(&format!("ip -n {lb} link set {link}0 up"));
        }
        run(&format!("ip -n {} address add 10.9.0.3/24 dev a1", hosts.far));
        hosts
    }

    fn delete(&self) {
        for host in [&self.lb, &self.far] {
            // Not there, usually.
            let _ = Command::new("ip").args(["netns", "delete", host]).output();
        }
    }

    /// `ip` on the balancer.
    pub fn lb(&self, command: &str) -> String {
        run(&format!("ip -n {} {command}", self.lb))
    }

    /// `ip` on the other host.
    pub fn far(&self, command: &str) -> String {
        run(&format!("ip -n {} {command}", self.far))
    }

    /// The balancer's view, from a thread inside.
    pub fn monitor(&self) -> Monitor {
        self.inside(|| Monitor::start().expect("start the monitor"))
    }

    /// Runs `work` on a thread inside the balancer's namespace.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.lb, work)
    }
}

/// Runs `work` on a thread inside a namespace.
pub fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(format!("/run/netns/{namespace}")).expect("open the namespace");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(&namespace, CloneFlags::CLONE_NEWNET).expect("enter the namespace");
            work()
        });
        thread.join().expect("the thread inside the namespace")
    })
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.delete();
    }
}

pub fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().expect("a command")).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{command}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Looks again and again until it is so.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `found` accepts the published state.
pub fn wait<S, T>(
    receiver: &mut watch::Receiver<S>,
    what: &str,
    mut found: impl FnMut(&S) -> Option<T>,
) -> T
where
    S: Clone + std::fmt::Debug,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let state = receiver.borrow_and_update().clone();
            if let Some(found) = found(&state) {
                return found;
            }
            let changed = tokio::time::timeout_at(deadline, receiver.changed()).await;
            match changed {
                Ok(result) => result.expect("the monitor lives"),
                Err(_) => panic!("waited in vain for {what}; the last state: {state:#?}"),
            }
        }
    })
}
