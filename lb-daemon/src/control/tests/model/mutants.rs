//! Broken variants of what is around the controller. The model must find each.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// A daemon that starts numbers everything anew.
    NumbersLost,
    /// Orders are forgotten when the daemon starts.
    OrdersLost,
    /// Removals are taken as meant at once.
    RemovedAtOnce,
    /// A scan sees only some of the flows.
    BlindScan,
    /// Planned changes take effect before copies of SYNs have come.
    NoArming,
    /// The slots do not wait for flows that are silent for a while.
    Impatient,
    /// The daemon's wall clock is ahead.
    ClockAhead,
    /// A slow server counts as dead.
    SlowIsDead,
}

impl Mutant {
    pub const ALL: [Self; 8] = [
        Self::NumbersLost,
        Self::OrdersLost,
        Self::RemovedAtOnce,
        Self::BlindScan,
        Self::NoArming,
        Self::Impatient,
        Self::ClockAhead,
        Self::SlowIsDead,
    ];
}
