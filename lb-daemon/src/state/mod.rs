//! What must survive the daemon: who has which number.
//!
//! The data path knows services, VIPs and backends by number, and flow entries
//! and slots outlive the daemon. So the numbers are written to disk before they
//! are used in a map, and a new daemon, or a reload, finds the same ones for
//! the same names. Beside them stands what people want to know across a restart,
//! and what operators decided ([`Overrides`]).

mod ejections;
mod health;
mod identity;
mod ids;
mod overrides;
mod seed;
mod store;

pub use ejections::{Ejections, EjectionsFile};
pub use health::{HealthFile, HealthMemory, Remembered};
pub use identity::{FormerTraffic, Identity, NoRoom, ServiceIdentity, StoredTable};
pub use overrides::{Drain, Override, Overrides, OverridesFile, Removed, Weight};
pub use seed::{SeedError, hash_key};
pub use store::{StateError, StateFile};
