//! Whether a backend does clearly worse than its peers, which have the same clients,
//! networks and attackers: what befalls all of them alike is nobody's fault.

use super::window::{Sample, Window};

/// How much has to be known.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// Failed connections.
    failed: u64,
    /// Client networks that they came from.
    networks: u32,
    /// Seconds that they happened in.
    seconds: usize,
    /// Standard deviations above what its peers let expect.
    deviations: f64,
}

/// For one that nothing was held against. Eight failures in 10 s are worth half a
/// minute of caution; four networks are more than one client with a broken path; what
/// goes on for three seconds is more than a cable that was plugged.
pub const USUAL: Bar = Bar { failed: 8, networks: 4, seconds: 3, deviations: 6.0 };
/// For one that was out before and gets little traffic.
pub const ON_TRIAL: Bar = Bar { failed: 3, networks: 2, seconds: 2, deviations: 2.0 };

/// Part of its connections that a backend must fail: below, it does more good than harm.
const FAILING: f64 = 0.5;
/// It fails so many times as often as its peers.
const TIMES: f64 = 4.0;

/// What backends are measured by: the better half of their peers, so that others that
/// fail too do not speak for them. `sorted`: `count` of them, by rate.
pub fn measure(sorted: impl Iterator<Item = Sample>, count: usize) -> Sample {
    sorted.take(count.div_ceil(2)).fold(Sample::default(), Sample::plus)
}

/// Whether so much fails, for so many, that it is worth a look at the peers.
pub fn fails(window: &Window, bar: &Bar) -> bool {
    let one = window.sum();
    // More failures than connections: what failed began no connection, or the counts
    // are not of one time.
    (bar.failed..=one.connections).contains(&one.failed())
        && window.seconds_with_failures() >= bar.seconds
        && one.networks() >= bar.networks
        && one.rate() >= FAILING
}

/// Whether one that fails is alone with it, beside what [`measure`] said.
pub fn stands_out(one: &Sample, measure: &Sample, bar: &Bar) -> bool {
    // The rule of succession: little traffic proves little of the peers, either.
    let usual = (measure.failed() + 1) as f64 / (measure.connections + 2) as f64;
    let expected = one.connections as f64 * usual;
    let failed = one.failed() as f64;
    failed >= TIMES * expected && failed >= expected + bar.deviations * (expected + 1.0).sqrt()
}
