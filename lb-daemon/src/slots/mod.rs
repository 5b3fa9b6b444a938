//! Keeps the slots of all services moving towards their desired owners, by the
//! rules of [`lb_common::transition`].
//!
//! Pure: time is a parameter, and the slots are reached through
//! [`SlotMemory`], which the memory-mapped array implements. [`Engine`] is
//! told what should be (`set_desired`) and what happens (`backend_changed`),
//! and is to be called when a deadline is due (`tick`) and around every scan
//! of the flow table. It holds state only for slots that are not at rest; the
//! words themselves are the truth, and a new daemon starts from them
//! (`adopt`).

mod engine;
mod ids;
mod memory;
mod scan;
mod service;
mod space;
mod table_change;

pub use engine::{Engine, InTransition};
pub use memory::{HeapSlots, SlotMemory};
pub use scan::{Place, Scan};
pub use space::SlotSpace;
pub use table_change::{FinishedChange, Refusal};
