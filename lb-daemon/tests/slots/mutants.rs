//! Broken variants of what surrounds the rules: the table, the words' memory,
//! the daemon's start, and the scan. The model must find each of them.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    NoEpoch,
    NoArming,
    LruTable,
    DeleteWithoutCheck,
    DeleteAtFin,
    FullTableSendsSynToCurrent,
    BaseLost,
    SettledOverwritten,
    EqualMeansRest,
    /// Entries made under the previous table count for nothing.
    OldTableForgotten,
}

impl Mutant {
    pub const ALL: [Self; 10] = [
        Self::NoEpoch,
        Self::NoArming,
        Self::LruTable,
        Self::DeleteWithoutCheck,
        Self::DeleteAtFin,
        Self::FullTableSendsSynToCurrent,
        Self::BaseLost,
        Self::SettledOverwritten,
        Self::EqualMeansRest,
        Self::OldTableForgotten,
    ];
}
