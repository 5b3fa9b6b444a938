//! Requests that go on all the while, whatever becomes of the daemon.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lb_test_lab::{Host, wait_until};

use crate::{Conversation, DNS, Tally, WEB, ask_udp, call};

pub struct Traffic<'a> {
    client: &'a Host,
    vips: &'a [IpAddr],
    stop: AtomicBool,
    requests: AtomicUsize,
}

impl<'a> Traffic<'a> {
    /// Of this client to port 80 of these addresses.
    pub fn new(client: &'a Host, vips: &'a [IpAddr]) -> Self {
        Self { client, vips, stop: false.into(), requests: 0.into() }
    }

    /// Asks on connections that exist, and on new ones, until it is stopped.
    pub fn run(&self) -> Vec<Tally> {
        let client = self.client;
        let mut old: Vec<_> = self
            .vips
            .iter()
            .cycle()
            .take(20)
            .map(|vip| Conversation::open(client, *vip, 80).expect("a backend answers"))
            .collect();
        let mut tallies = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            for conversation in &mut old {
                conversation.must_go_on("whatever becomes of the daemon");
            }
            tallies.extend(self.vips.iter().map(|vip| call(client, *vip, 80, 3)));
            tallies.push(ask_udp(client, WEB, DNS, 3));
            let new = 3 * (self.vips.len() + 1);
            self.requests.fetch_add(old.len() + new, Ordering::Relaxed);
        }
        tallies
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn wait_for_more(&self, requests: usize) {
        let goal = self.requests.load(Ordering::Relaxed) + requests;
        wait_until("traffic goes on", || self.requests.load(Ordering::Relaxed) >= goal).unwrap();
    }
}

/// Calls the first service without a pause while `change` does its work.
pub fn calling(client: &Host, change: impl FnOnce()) -> Tally {
    // Also when `change` panics.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut tally = Tally::default();
            while !done.load(Ordering::Relaxed) {
                tally.add(Conversation::open(client, WEB.into(), 80).map(|c| c.partner));
            }
            tally
        });
        let done = Done(&done);
        change();
        drop(done);
        calls.join().expect("nobody panicked")
    })
}
