//! Whom events are told.

use std::time::Duration;

use super::{super::model::NotifyWay, good, problems};
use crate::api::types::EventKind;

fn file(notify: &str) -> String {
    format!("notify: {notify}\nallow_exec: true\ninterfaces: [eth0]\nservices: []\n")
}

#[test]
fn one_or_several_with_what_holds_by_default() {
    let config = good(&file("{ url: https://hooks.example/lb }"));
    let one = &config.notify[0];
    assert_eq!(one.events, EventKind::ALL);
    assert_eq!((one.timeout, one.retry), (Duration::from_secs(5), Duration::from_secs(600)));
    let two = good(&file(
        "[{ url: 'http://a/b', events: backend, retry: 0s }, { command: [/bin/page, -v], \
         events: [drain, backend, drain] }]",
    ));
    assert_eq!(two.notify[0].events, [EventKind::Backend]);
    assert_eq!(two.notify[1].events, [EventKind::Drain, EventKind::Backend]);
    assert_eq!(two.notify[1].way, NotifyWay::Command(vec!["/bin/page".into(), "-v".into()]));
    assert!(good("interfaces: [eth0]\nservices: []\n").notify.is_empty());
}

#[test]
fn what_is_wrong_is_said() {
    for (notify, expected) in [
        ("{}", "lb.yaml:1:9: notify: nobody is told; give url, or command"),
        (
            "{ url: hooks.example }",
            "lb.yaml:1:16: notify.url: hooks.example is not an address to post to; give http:// or \
             https://, a host and a path, such as https://hooks.example/lb",
        ),
        (
            "{ url: 'http://a', command: [/bin/page] }",
            "lb.yaml:1:37: notify.command: url is given as well; give either, and an entry of its \
             own for the other",
        ),
        (
            "{ url: 'http://a', verify: true }",
            "lb.yaml:1:36: notify.verify: http:// has no certificate; remove it, or give an address \
             that begins with https://",
        ),
        (
            "{ url: 'http://a', events: [backends] }",
            "lb.yaml:1:37: notify.events[0]: backends is not a kind of event; give backend, \
             interface, reload, reload_refused, discovery, drain, undrain, weight, denied, started, \
             stopping, warning or warning_cleared",
        ),
    ] {
        assert_eq!(problems(&file(notify)).lines().next(), Some(expected), "{notify}");
    }
    let many = "[".to_owned() + &"{ url: 'http://a' }, ".repeat(9) + "]";
    assert!(problems(&file(&many)).contains("9 are more than can be told"));
}

#[test]
fn programs_need_a_permission_of_their_own() {
    let text = file("{ command: /bin/page }").replace("allow_exec: true\n", "");
    assert_eq!(
        problems(&text).lines().next().unwrap(),
        "lb.yaml:1:9: notify: programs may not be run; set allow_exec: true at the top of the \
         file, or give a url"
    );
}
