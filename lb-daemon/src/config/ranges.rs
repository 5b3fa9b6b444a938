//! Every number and time of the file: its name, its range and its default.

use std::time::Duration;

use lb_common::abi;

use super::model::PortRange;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const DAY: Duration = seconds(86_400);

/// A whole number.
#[derive(Debug)]
pub(super) struct Number {
    /// As in "-3 is not a weight".
    pub what: &'static str,
    pub min: u32,
    pub max: u32,
}

#[derive(Debug)]
pub(super) struct Time {
    /// As in "5 is not a timeout".
    pub what: &'static str,
    pub min: Duration,
    pub max: Duration,
    pub default: Duration,
}

const fn number(what: &'static str, min: u32, max: u32) -> Number {
    Number { what, min, max }
}

const fn rate(what: &'static str) -> Number {
    number(what, 0, 10_000_000)
}

const fn time(what: &'static str, min: Duration, max: Duration, default: Duration) -> Time {
    Time { what, min, max, default }
}

pub(super) const PORT: Number = number("a port", 1, 65_535);
pub(super) const WEIGHT: Number = number("a weight", 0, 1000);
pub const DEFAULT_WEIGHT: u32 = 1;
pub const WEIGHT_MAX: u32 = WEIGHT.max;
pub(super) const TABLE_SIZE: Number = number("a table size", 251, 65_537);
pub(super) const TTL: Number = number("a TTL", 1, 255);
pub(super) const DEFAULT_TTL: u32 = 64;

/// Fewer ports are used up by a handful of clients.
pub(super) const FEWEST_PORTS: u32 = 64;
pub(super) const SNAT_PORT: Number = number("a port of a range", 1024, 65_535);
/// Below the ports that Linux gives its own connections (32768-60999).
pub(super) const DEFAULT_PORTS: PortRange = PortRange { first: 10_240, last: 32_767 };
/// Of one family.
pub(super) const MOST_SNAT_ADDRESSES: usize = 16;
pub(super) const REST: Time = time("a time of rest", seconds(1), seconds(3600), seconds(60));
pub(super) const RESPONSES: Number = number("a number of replies", 1, 65_535);

pub(super) const RISE: Number = number("a number of probes", 1, 100);
pub(super) const DEFAULT_RISE: u32 = 2;
pub(super) const FALL: Number = number("a number of probes", 1, 100);
pub(super) const DEFAULT_FALL: u32 = 3;
pub(super) const INTERVAL: Time = time("an interval", ms(100), seconds(3600), seconds(1));
pub(super) const TIMEOUT: Time = time("a timeout", ms(10), seconds(3600), ms(500));

pub(super) const IDLE_TCP: Time = time("an idle time", seconds(1), DAY, seconds(350));
pub(super) const IDLE_UDP: Time = time("an idle time", seconds(1), DAY, seconds(60));
pub(super) const HALF_OPEN: Time = time("a half-open time", seconds(1), DAY, seconds(64));
pub(super) const CLOSING: Time = time("a closing time", seconds(1), DAY, seconds(120));
pub(super) const ARMING: Time = time("an arming time", ms(100), seconds(60), ms(3500));

pub(super) const DRAIN: Time = time("a time to drain", seconds(0), DAY, seconds(30));
pub(super) const SLOW_START: Time = time("a time to start", seconds(0), seconds(3600), seconds(0));
/// Backends of a service that discovers some.
pub(super) const BACKENDS: Number = number("a number of backends", 1, 4096);
pub(super) const DEFAULT_MAX_BACKENDS: u32 = 64;
pub(super) const MIN_REFRESH: Time = time("a time", seconds(1), seconds(3600), seconds(1));
pub(super) const MAX_REFRESH: Time = time("a time", seconds(1), DAY, seconds(3600));
pub(super) const DNS_TIMEOUT: Time = time("a timeout", ms(100), seconds(10), seconds(2));

/// For one attempt to tell of an event.
pub(super) const NOTIFY_TIMEOUT: Time = time("a timeout", ms(100), seconds(60), seconds(5));
pub(super) const NOTIFY_RETRY: Time = time("a time", seconds(0), DAY, seconds(600));
pub(super) const MOST_NOTIFIED: usize = 8;

pub(super) const SLOT_SPACE: Number = number("a number of slots", 65_537, 1 << 27);
pub(super) const DEFAULT_SLOT_SPACE: u32 = abi::DEFAULT_SLOT_SPACE;
pub(super) const FLOW_ENTRIES: Number = number("a number of flow entries", 1024, 1 << 24);
pub(super) const DEFAULT_FLOW_ENTRIES: u32 = abi::DEFAULT_FLOW_ENTRIES;
pub(super) const NAT_FLOWS: Number = number("a number of translated flows", 0, 1 << 23);
/// With at least one service that translates; otherwise none.
pub(super) const DEFAULT_NAT_FLOWS: u32 = 262_144;
pub(super) const DEFAULT_NAT_FLOWS_WIDE: u32 = 32_768;
pub(super) const NAT_LOG_RATE: Number = number("a rate per second", 1, 10_000_000);
pub(super) const DEFAULT_NAT_LOG_RATE: u32 = 10_000;
pub(super) const RATE: Number = rate("a rate per second");
pub(super) const DEFAULT_RESET_RATE: u32 = 10_000;
pub(super) const DEFAULT_UNSERVED_RATE: u32 = 1000;
pub(super) const DEFAULT_TOO_BIG_RATE: u32 = 1000;
pub(super) const DEFAULT_ECHO_RATE: u32 = 1000;
pub(super) const DEFAULT_LOG_RATE: u32 = 10;

/// Table sizes chosen by the number of backends; each a prime, as Maglev needs.
pub(super) const TABLE_STEPS: [(usize, u32); 3] = [(16, 4093), (64, 16_381), (usize::MAX, 65_537)];

/// The slots of a service with so many backends, unless its `table_size` is given.
pub fn default_table_size(backends: usize) -> u32 {
    let step = TABLE_STEPS.iter().find(|(most, _)| backends <= *most);
    step.unwrap_or(&TABLE_STEPS[TABLE_STEPS.len() - 1]).1
}
