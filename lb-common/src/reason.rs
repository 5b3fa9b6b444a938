//! The one numbered list of drop reasons. Metrics, `stats` and the docs are
//! made from it. Numbers are never reused or changed; add at the end.

/// Why a packet was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum DropReason {
    /// A header is cut short or contradicts itself.
    Malformed = 0,
    /// A fragment for a VIP.
    Fragment = 1,
    /// A port of a VIP that no service has.
    UnservedPort = 2,
    /// A protocol to a VIP that is neither TCP, UDP nor ICMP.
    UnservedProtocol = 3,
    /// No backend of the service gets new flows.
    NoBackend = 4,
    /// The backend's next hop is not known (yet).
    NoNextHop = 5,
    /// The backend that owns the flow is dead.
    DeadBackend = 6,
    /// The packet does not fit the way to its backend.
    TooBig = 7,
    /// An ICMP error about a flow that no service has, or that is cut short.
    IcmpUnmatched = 8,
    /// ICMP to a VIP that is neither echo request nor error.
    IcmpOther = 9,
    /// The frame has no room in front for an outer header, or could not be resized.
    NoHeadroom = 10,
    /// The kernel would not redirect the packet.
    RedirectFailed = 11,
    /// More extension headers than the walk follows.
    TooManyHeaders = 12,
    /// An echo request beyond the budget for replies, or from nobody who could
    /// be answered.
    EchoUnanswered = 13,
    /// A segment of no translated flow.
    NatNoFlow = 14,
    /// No tuple of the pool was free for a new flow.
    NatExhausted = 15,
    /// The table of translated flows has no room for a new one.
    NatFull = 16,
    /// The flow is being opened on another CPU at this moment.
    NatBusy = 17,
    /// What translation cannot do: options, extension headers or a missing UDP
    /// checksum between the families.
    NatUntranslatable = 18,
    /// The program for translated flows is not loaded.
    NatUnavailable = 19,
}

impl DropReason {
    /// Places kept in the counters' layout.
    pub const CAPACITY: usize = 50;

    pub const ALL: [Self; 20] = [
        Self::Malformed,
        Self::Fragment,
        Self::UnservedPort,
        Self::UnservedProtocol,
        Self::NoBackend,
        Self::NoNextHop,
        Self::DeadBackend,
        Self::TooBig,
        Self::IcmpUnmatched,
        Self::IcmpOther,
        Self::NoHeadroom,
        Self::RedirectFailed,
        Self::TooManyHeaders,
        Self::EchoUnanswered,
        Self::NatNoFlow,
        Self::NatExhausted,
        Self::NatFull,
        Self::NatBusy,
        Self::NatUntranslatable,
        Self::NatUnavailable,
    ];

    /// Name in `stats`, metrics and docs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Fragment => "fragment",
            Self::UnservedPort => "unserved_port",
            Self::UnservedProtocol => "unserved_protocol",
            Self::NoBackend => "no_backend",
            Self::NoNextHop => "no_next_hop",
            Self::DeadBackend => "dead_backend",
            Self::TooBig => "too_big",
            Self::IcmpUnmatched => "icmp_unmatched",
            Self::IcmpOther => "icmp_other",
            Self::NoHeadroom => "no_headroom",
            Self::RedirectFailed => "redirect_failed",
            Self::TooManyHeaders => "too_many_headers",
            Self::EchoUnanswered => "echo_unanswered",
            Self::NatNoFlow => "nat_no_flow",
            Self::NatExhausted => "nat_exhausted",
            Self::NatFull => "nat_full",
            Self::NatBusy => "nat_busy",
            Self::NatUntranslatable => "nat_untranslatable",
            Self::NatUnavailable => "nat_unavailable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_reason_at_its_number() {
        for (number, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number);
        }
    }
}
