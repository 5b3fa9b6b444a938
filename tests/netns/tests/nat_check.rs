//! What `check` says of files that cannot work on this host.

use lb_test_netns::NatSite;

/// Claims: each problem is refused with its place and what is wrong.
#[test]
fn what_cannot_work_is_refused_with_its_place() {
    let site = NatSite::behind(1);
    let good = site.nat(&[1]);
    let daemon = site.balance(&good);
    let snat = |services: [&str; 2]| {
        let web = format!("  - name: web\n    snat: {}\n", services[0]);
        let other = format!("  - name: other\n    snat: {}\n", services[1]);
        good.replacen("  - name: web\n", &web, 1).replacen("  - name: other\n", &other, 1)
    };
    let both = |ports| format!("{{ addresses: [10.0.1.2, \"2001:db8:3::2\"], ports: {ports} }}");
    let cases = [
        (snat([&both("10240-20000"), &both("15000-25000")]), "overlap"),
        (snat(["{ addresses: [10.9.9.9] }", "{}"]), "10.9.9.9"),
        (snat(["{ ports: 40000-50000 }", "{}"]), "ip_local_port_range"),
        (good.replace("eth0, eth1", "eth0"), "eth1"),
        (good.replace("mode: nat", "mode: dnat"), "dnat"),
        (good.replace("mode: nat", "mode: dsr"), "port"),
    ];
    for (config, word) in cases {
        daemon.write_config(&config).unwrap();
        let mut check = daemon.command("check");
        let out = check.arg("--config").arg(daemon.config_path()).output().unwrap();
        let why = String::from_utf8_lossy(&out.stderr).into_owned()
            + &String::from_utf8_lossy(&out.stdout);
        assert_eq!(out.status.code(), Some(2), "{word}: {why}");
        assert!(why.contains("lb.yaml:") && why.contains(word), "{word}: {why}");
        let refused = daemon.reload().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{word}: {refused:?}");
    }
}
