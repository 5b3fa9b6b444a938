//! The hosts themselves, without a balancer: what the other tests stand on.

use lb_test_lab::{backend, backend6, dnsmasq, nginx, run};
use lb_test_netns::{DNS, Site, call, ping};

#[test]
fn the_client_reaches_each_backend_by_its_own_address() {
    let site = Site::new(2);
    for number in 1..=2 {
        let name = format!("web-{number}");
        assert_eq!(call(&site.lab.client, backend(number), 80, 3).complete().of(&name), 3);
        assert_eq!(call(&site.lab.client, backend6(number), 80, 3).complete().of(&name), 3);
        assert_eq!(ping(&site.lab.client, backend(number), 2), 2);
        assert_eq!(ping(&site.lab.client, backend6(number), 2), 2);
    }
    let closed = call(&site.lab.client, backend(1), DNS, 1);
    assert_eq!((closed.answered(), closed.failures.len()), (0, 1), "nobody listens there");
}

#[test]
fn real_servers_tell_their_name() {
    let site = Site::new(1);
    site.stop(1);
    let lab = &site.lab;
    let _servers = (nginx(lab, &lab.backends[0]).unwrap(), dnsmasq(lab, &lab.backends[0]).unwrap());
    let address = backend(1).to_string();
    let url = format!("http://{address}/");
    let page = run(lab.client.command("curl").args(["-s", "-m", "5", &url])).unwrap();
    assert_eq!(page, "web-1\n");
    let at = format!("@{address}");
    let text = run(lab.client.command("dig").args(["+short", &at, "whoami.lab", "TXT"])).unwrap();
    assert_eq!(text, "\"web-1\"\n");
}

#[test]
fn nothing_is_left_of_a_lab() {
    let site = Site::new(1);
    let (dir, client) = (site.lab.dir().to_owned(), site.lab.client.namespace.clone());
    let namespace = std::path::Path::new("/run/netns").join(client);
    assert!(dir.exists() && namespace.exists());
    drop(site);
    assert!(!dir.exists() && !namespace.exists());
}
