//! Translated flows outlive the daemon, and the program that opened them.

use std::net::IpAddr;
use std::thread;

use lb_test_lab::{Host, run, wait_until};
use lb_test_netns::{NatSite, OTHER, OTHER6, Traffic, WEB, WEB6, call};
use nix::sys::signal::Signal;

const VIPS: [IpAddr; 4] =
    [IpAddr::V4(WEB), IpAddr::V6(WEB6), IpAddr::V4(OTHER), IpAddr::V6(OTHER6)];

/// The kernel's number of the program on an interface: another one is another program.
fn program(host: &Host, interface: &str) -> String {
    let text = run(host.command("ip").args(["-d", "link", "show", interface])).unwrap();
    let mut words = text.split_whitespace().skip_while(|word| *word != "prog/xdp");
    words.nth(2).expect("a program is on the interface").to_owned()
}

/// Claims: not one request fails, on flows that exist or new ones, while the daemon is
/// killed and absent, while the next one puts its own program in the place of the old,
/// and while the file is loaded again.
#[test]
fn flows_live_through_kill_adoption_new_program_and_reload() {
    let site = NatSite::behind(3);
    let mut daemon = site.balance(&site.nat(&[1, 2, 3]));
    let traffic = Traffic::new(&site.lab.client, &VIPS);
    let tallies = thread::scope(|scope| {
        let thread = scope.spawn(|| traffic.run());
        traffic.wait_for_more(100);
        let before = program(&site.lab.balancer, "eth0");
        daemon.stop(Signal::SIGKILL).unwrap();
        traffic.wait_for_more(300);
        assert_eq!(program(&site.lab.balancer, "eth0"), before);
        daemon.start_again().unwrap();
        assert_ne!(program(&site.lab.balancer, "eth0"), before, "the program is the new daemon's");
        traffic.wait_for_more(100);
        daemon.reconfigure(&site.nat(&[1, 2])).unwrap();
        traffic.wait_for_more(100);
        traffic.stop();
        thread.join().unwrap()
    });
    let answered: usize = tallies.into_iter().map(|tally| tally.complete().answered()).sum();
    assert!(answered > 0);
    let gone = |vip: &IpAddr| call(&site.lab.client, *vip, 80, 20).complete().of("web-3") == 0;
    wait_until("the removed backend gets nothing", || VIPS.iter().all(gone)).unwrap();
}
