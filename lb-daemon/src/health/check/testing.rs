//! Checks and targets, as the file writes them.

use std::net::SocketAddr;

use crate::{
    config::{self, Check, HttpCheck},
    health::Target,
};

/// A target at `address`, probed as `keys` of `health` say.
pub fn target(address: SocketAddr, keys: &str) -> Target {
    // Tests probe this host itself, which a file must not name.
    let text = format!(
        "interfaces: [eth0]\nallow_exec: true\nservices:\n- {{name: web, vip: 192.0.2.1, port: 80, \
         mode: dsr, health: {{rise: 1, fall: 1, {keys}}}, backends: [{{name: a, address: 192.0.2.9}}]}}\n"
    );
    let config =
        config::parse("lb.yaml", &text).unwrap_or_else(|problems| panic!("{problems}")).config;
    let service = &config.services[0];
    let target = Target::for_backend(service, &service.backends[0]).expect("it is probed");
    Target { address: address.ip(), port: address.port(), path: None, ..target }
}

pub fn check(keys: &str) -> Check {
    (*target("192.0.2.9:80".parse().unwrap(), keys).check).clone()
}

pub fn http_check(keys: &str) -> HttpCheck {
    let Check::Http(check) = check(&format!("type: http, {keys}")) else { panic!("{keys}") };
    check
}
