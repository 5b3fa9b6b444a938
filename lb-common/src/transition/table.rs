//! What the data path's rules need from the flow table.

use crate::abi::{FlowEntry, FlowSeen, SlotWord};

/// What became of an insert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Insert {
    Done,
    /// Somebody else inserted the same flow meanwhile.
    Exists,
    /// The table has no room.
    Full,
}

/// The flow table as one packet sees it: the implementor knows the packet's
/// flow, its slot and its service. Implemented over the kernel's maps by the
/// XDP program and over plain memory by tests.
pub trait FlowTable {
    /// Tag of the packet's flow, for new entries.
    fn tag(&self) -> u32;

    /// The flow's entry, of whatever epoch, if its tag is the flow's own.
    fn find(&mut self) -> Option<FlowEntry>;

    /// Writes when the flow was last seen into the entry that `find` returned
    /// last; nothing else of the entry.
    fn refresh(&mut self, seen: FlowSeen);

    /// Inserts an entry where there is none.
    fn insert(&mut self, entry: FlowEntry) -> Insert;

    /// Replaces the entry in place, which needs no room; puts it back if it
    /// was deleted meanwhile. `false` if there was no room for that.
    fn overwrite(&mut self, entry: FlowEntry) -> bool;

    fn delete(&mut self);

    /// Stamps the slot's group: an insert failed now.
    fn note_failure(&mut self);

    /// When an insert last failed in the slot's group of slots. A neighbour's
    /// failure counts too, which errs on the safe side.
    fn last_failure(&mut self) -> Option<u64>;

    /// Whether the backend is marked dead. One that has no entry is dead.
    fn is_dead(&mut self, backend: u16) -> bool;

    /// The word of the flow's slot in the service's previous table, if there
    /// is one. Asked only when the slot's word says [`ASK_OLD`].
    ///
    /// [`ASK_OLD`]: crate::abi::ASK_OLD
    fn old_word(&mut self) -> Option<SlotWord>;
}
