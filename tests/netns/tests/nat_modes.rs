//! A service changes its mode under traffic: flows end in the mode they began in.

use std::net::IpAddr;

use lb_test_lab::Daemon;
use lb_test_netns::{Conversation, Site, WEB, WEB6, call};

fn open(site: &Site) -> Vec<Conversation> {
    let vips = [IpAddr::from(WEB), WEB6.into()];
    let open = |vip: &IpAddr| Conversation::open(&site.lab.client, *vip, 80).unwrap();
    vips.iter().cycle().take(20).map(open).collect()
}

/// Claims: connections opened in each mode go on through every later change, and new ones
/// are served all the while.
#[test]
fn from_dsr_to_nat_and_back() {
    let site = Site::new(2);
    let dsr = site.config(&[(1, 1), (2, 1)]);
    let nat = dsr.replace("mode: dsr", "mode: nat");
    // Tables have their size from the load of the program.
    let limits = "limits: { nat_flows: 4096, nat_flows_wide: 4096 }\n";
    let daemon = Daemon::start(&site.lab, &(limits.to_owned() + &dsr)).unwrap();
    let mut all = open(&site);
    for config in [&nat, &dsr, &nat, &dsr] {
        daemon.reconfigure(&(limits.to_owned() + config)).unwrap();
        for conversation in &mut all {
            conversation.must_go_on("after the mode changed");
        }
        let tally = call(&site.lab.client, WEB, 80, 40).complete();
        assert!(tally.of("web-1") > 0 && tally.of("web-2") > 0, "{tally:?}");
        call(&site.lab.client, WEB6, 80, 40).complete();
        all.extend(open(&site));
        for conversation in &mut all {
            conversation.must_go_on("with flows of both modes");
        }
    }
}
