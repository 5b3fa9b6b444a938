//! The demo's configuration file, before and after the viewer's edit.

use std::net::{Ipv4Addr, Ipv6Addr};

use lb_test_lab::{backend, vip, vip6};

pub const WEB: Ipv4Addr = vip(80);
pub const WEB6: Ipv6Addr = vip6(0x80);
pub const DNS: Ipv4Addr = vip(53);

/// Backends at the start: number and weight. The first is twice as strong.
pub const WEIGHTS: [(usize, u32); 3] = [(1, 2), (2, 1), (3, 1)];
/// The backend that is added by editing the file.
pub const ADDED: usize = 4;

pub fn name(number: usize) -> String {
    format!("web-{number}")
}

/// The line of a backend.
pub fn line(number: usize, weight: u32) -> String {
    format!("  - {{ name: {}, address: {}, weight: {weight} }}", name(number), backend(number))
}

pub fn file() -> String {
    let backends: String = WEIGHTS
        .iter()
        .map(|(number, weight)| format!("    {}\n", line(*number, *weight)))
        .collect();
    format!(
        "interfaces: [eth0]
defaults:
  mode: dsr
  health: {{ type: tcp, interval: 500ms, timeout: 250ms, rise: 2, fall: 3 }}
  arming: 1s
services:
  - name: web
    vip: [{WEB}, \"{WEB6}\"]
    port: 80
    protocol: tcp
    backends:
{backends}  - name: dns
    vip: {DNS}
    port: 53
    protocol: udp
    health: {{ port: 53 }}    # probed over TCP
    backends:
{backends}"
    )
}

/// The file with one more backend in each service.
pub fn with_added(file: &str) -> String {
    let (last, weight) = WEIGHTS[WEIGHTS.len() - 1];
    let last = format!("    {}\n", line(last, weight));
    let longer = format!("{last}    {}\n", line(ADDED, 1));
    file.replace(&last, &longer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edit_adds_one_line_to_each_service() {
        let before = file();
        let after = with_added(&before);
        assert_eq!(after.lines().count(), before.lines().count() + 2);
        assert_eq!(after.matches("name: web-4, address: 10.0.0.14").count(), 2);
    }
}
