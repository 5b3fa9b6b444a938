//! Broken variants of the rules, each with one rule left out. The model must
//! find each of them: a rule whose absence breaks no flow is not needed, or
//! the model is blind.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// Entries of earlier transitions count.
    NoEpoch,
    /// `current` flips at once.
    NoArming,
    /// A scan may begin, and an entry go, right after a word was written.
    NoSecond,
    /// The table makes room by evicting entries.
    LruTable,
    /// An entry is deleted though it changed since that was decided.
    DeleteWithoutCheck,
    DeleteAtFin,
    /// A word is written in two halves.
    TwoStores,
    FullTableSendsSynToCurrent,
    /// A failed insert leaves no stamp.
    FailureNotNoted,
    /// After a crash, flows count as stored for long.
    BaseLost,
    /// A second change makes the first one's `current` `settled`.
    SettledOverwritten,
    /// A slot rests as soon as `current` equals `settled`.
    EqualMeansRest,
    /// A slot rests although flows of others have entries.
    RestWithoutScan,
}

impl Mutant {
    pub const ALL: [Self; 13] = [
        Self::NoEpoch,
        Self::NoArming,
        Self::NoSecond,
        Self::LruTable,
        Self::DeleteWithoutCheck,
        Self::DeleteAtFin,
        Self::TwoStores,
        Self::FullTableSendsSynToCurrent,
        Self::FailureNotNoted,
        Self::BaseLost,
        Self::SettledOverwritten,
        Self::EqualMeansRest,
        Self::RestWithoutScan,
    ];
}
