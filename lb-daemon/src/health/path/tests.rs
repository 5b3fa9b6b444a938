//! What is said of a backend that does not answer on the way to the VIP.

use super::*;
use crate::{config, health::Target};

fn target(mode: &str) -> Target {
    let text = format!(
        "interfaces: [eth0]\nservices:\n- {{name: web, vip: 203.0.113.10, port: 80, mode: {mode}, \
         backends: [{{name: a, address: 10.0.1.11}}]}}\n"
    );
    let config = config::parse("lb.yaml", &text).unwrap().config;
    Target::for_backend(&config.services[0], &config.services[0].backends[0]).unwrap()
}

fn said(mode: &str, found: Option<Outcome>) -> Outcome {
    let target = target(mode);
    let path = target.path.as_ref().expect("through the data path");
    let [vip, source] = ["203.0.113.10", "10.0.1.2"].map(|one| one.parse().unwrap());
    Going { target: &target, path, vip, number: 1, source }.silence(found)
}

#[test]
fn the_reason_says_what_the_backends_own_address_does() {
    let silent = "no answer on 203.0.113.10:80 through the data path within 500 ms; ";
    let hint = "the VIP on its loopback, or its way back to 10.0.1.2 may be missing";
    for (found, more) in [
        (None, hint.to_owned()),
        (Some(Outcome::Works(Duration::ZERO)), format!("10.0.1.11:80 itself answers: {hint}")),
        (
            Some(Outcome::Fails("HTTP 503, expected 200-399".into())),
            format!("10.0.1.11:80 itself answers (HTTP 503, expected 200-399): {hint}"),
        ),
        (
            Some(Outcome::Gone("connection refused".into())),
            format!("10.0.1.11:80 itself says connection refused: {hint}"),
        ),
        (
            Some(Outcome::Fails("no answer within 200 ms".into())),
            "its own address is silent, too".into(),
        ),
    ] {
        assert_eq!(said("dsr", found), Outcome::Fails(format!("{silent}{more}")));
    }
    let Outcome::Fails(why) = said("ipip", None) else { panic!() };
    assert!(why.ends_with(&format!("the tunnel's end there, {hint}")), "{why}");
}

#[test]
fn a_host_that_cannot_be_reached_is_gone() {
    let found = Some(Outcome::Gone("host unreachable".into()));
    assert_eq!(said("dsr", found), Outcome::Gone("10.0.1.11:80: host unreachable".into()));
}
