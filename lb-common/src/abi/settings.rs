//! What holds for the whole balancer, and the budgets of its own answers.

/// Kinds of answers that have a budget each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Budget {
    /// RST for flows of dead backends.
    Reset = 0,
    /// RST and unreachable for unserved ports, and of services that refuse.
    Unserved = 1,
    /// Frag-needed and packet-too-big.
    TooBig = 2,
    /// Echo replies.
    Echo = 3,
    /// Lines in the daemon's log.
    Log = 4,
}

impl Budget {
    pub const COUNT: usize = 5;
}

/// Bits of [`Settings::features`].
pub mod features {
    /// Backends whose answers pass here under the client's address.
    pub const DNAT: u32 = 1 << 0;
    /// Some service translates, so that fragments are followed.
    pub const FRAGMENTS: u32 = 1 << 1;
}

/// The only entry of the settings map. 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Settings {
    /// [`ABI_VERSION`](super::ABI_VERSION) of the daemon that made the maps.
    pub abi_version: u32,
    /// Clock ticks per second.
    pub ticks_per_second: u32,
    /// Answers per second and CPU, indexed by [`Budget`].
    pub budget_per_second: [u32; 8],
    /// See [`features`].
    pub features: u32,
    pub reserved: [u32; 5],
}

const _: () = assert!(size_of::<Settings>() == 64);

/// A token bucket; one per CPU and [`Budget`]. Holds at most one second's worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct BudgetState {
    /// When tokens were last added, in ticks.
    pub filled_at: u64,
    /// Tokens, times ticks per second.
    pub level: u64,
}

const _: () = assert!(size_of::<BudgetState>() == 16);
