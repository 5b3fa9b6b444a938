//! What the traffic says of backends, as numbers.

/// Counts of one backend; they only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Evidence {
    /// Connections whose SYN came again.
    pub unanswered: u64,
    /// SYNs that came again.
    pub repeats: u64,
    pub refused: u64,
    pub unreachable: u64,
}
