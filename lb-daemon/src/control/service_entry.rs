//! A service's entry in the map, and the settings of the whole balancer.

use lb_common::abi::{
    ABI_VERSION, Budget, Service as Entry, Settings, Table, service_flags as flag,
};

use std::time::Duration;

use crate::{
    config::{Config, Mode, OnBackendDead, Passive, Protocol, Service, UdpFlows},
    dataplane::Ticks,
    state::{ServiceIdentity, StoredTable},
};

/// Clients wait a second before they repeat a SYN (RFC 6298); what comes again
/// sooner is a copy that the network made.
const REPEAT_AFTER: Duration = Duration::from_millis(200);

/// The entry of `service`, whose slots are in `table`.
pub fn entry(
    service: &Service,
    known: &ServiceIdentity,
    table: StoredTable,
    ticks: Ticks,
) -> Entry {
    let old_table = known.old_table;
    let of = |duration| u32::try_from(ticks.of(duration)).unwrap_or(u32::MAX);
    let has = |protocol| service.protocols.contains(&protocol);
    let mut flags = flag::USED;
    if has(Protocol::Udp) && service.udp == UdpFlows::Keep {
        flags |= flag::UDP_KEEP;
    }
    if service.on_backend_dead == OnBackendDead::Reset {
        flags |= flag::RESET_ON_DEAD;
    }
    if old_table.is_some() {
        flags |= flag::HAS_OLD_TABLE;
    }
    match service.mode {
        Mode::Nat(_) => flags |= flag::NAT | flag::NAT_LOOKUP,
        Mode::Dnat(_) => flags |= flag::NAT | flag::NAT_LOOKUP | flag::KEEP_CLIENT,
        Mode::Dsr | Mode::Ipip(_) => {}
    }
    let udp_responses = match service.udp {
        UdpFlows::Responses(count) => count.into(),
        UdpFlows::Fast | UdpFlows::Keep => 0,
    };
    let repeat_after = match service.passive {
        Passive::Off => 0,
        Passive::On | Passive::Advisory => of(REPEAT_AFTER).max(1),
    };
    Entry {
        flags,
        repeat_after,
        pool: known.id.into(),
        udp_responses,
        table: table.into(),
        // Without TCP there is nothing to arm for.
        tcp_idle: if has(Protocol::Tcp) { of(service.idle.tcp) } else { 0 },
        half_open: of(service.half_open),
        closing: of(service.closing),
        arming: of(service.arming),
        udp_idle: of(service.idle.udp),
        old_table: old_table.map_or(Table::default(), Table::from),
        ..Entry::default()
    }
}

/// `features`: bits of [`features`](lb_common::abi::features).
pub fn settings(config: &Config, features: u32, ticks: Ticks) -> Settings {
    let limits = &config.limits;
    let mut budget_per_second = [0; 8];
    for (budget, rate) in [
        (Budget::Reset, limits.reset_rate),
        (Budget::Unserved, limits.unserved_rate),
        (Budget::TooBig, limits.too_big_rate),
        (Budget::Echo, limits.echo_rate),
        (Budget::Log, limits.log_rate),
    ] {
        budget_per_second[budget as usize] = rate;
    }
    Settings {
        abi_version: ABI_VERSION,
        ticks_per_second: ticks.per_second(),
        budget_per_second,
        features,
        ..Settings::default()
    }
}
