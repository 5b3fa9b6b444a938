//! How a slot changes its owner without breaking a flow.
//!
//! At rest a slot's flows are not stored anywhere: they all go to `current`,
//! because they always did. When the owner changes, the slot is *in
//! transition*: flows are looked up (`L`), and as long as flows of the old
//! owner may exist that nobody has stored, they are stored (`S`). The rules
//! keep one invariant: **every live flow either has a valid entry that names
//! its owner, or is owned by `settled` while its slot is in transition, by
//! `current` while it is at rest.**
//!
//! The data path's half is [`steer`], the daemon's are [`plan`] (the next word
//! of a slot) and [`judge`] (what a scan does with an entry). All are pure
//! functions. `docs/transitions.md` gives the rules and their reasons.

mod judge;
mod plan;
mod steer;
mod table;
mod timing;

pub use judge::{Pressure, Scanned, Verdict, judge};
pub use plan::{Health, Plan, Situation, forget_settled, may_rest, plan, without_dead};
pub use steer::{PacketKind, Steer, dead_at_rest, locate, steer};
pub use table::{FlowTable, Insert};
pub use timing::{Timing, life};
