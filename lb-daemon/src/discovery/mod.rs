//! Backends that the file does not list: found by name, or in a file of their
//! own.
//!
//! ```text
//! names: asked when their time is over ─┐
//!                                       ├─► answers ─► expand ─► control loop,
//! files: read when they are replaced ───┘   (kept)     (pure)    as for a reload
//! ```
//!
//! Two tasks ask and read, and send what comes of it to the control loop, which
//! alone keeps the [`Answers`]. Nothing else is ever changed by what was found:
//! the configuration that [`expand`] makes of it takes the way of every
//! configuration. What is known stays known until there is an answer that says
//! otherwise; names are remembered in the state directory, too.

mod answers;
mod describe;
mod dns;
mod expand;
mod files;
mod memory;
mod names;
mod resolve;
mod round;
mod schedule;
mod watch;

use std::{collections::BTreeSet, sync::Arc};

pub use answers::{Answers, FileNews, NameAnswer, News, Trouble};
pub use describe::{sources, troubles};
pub use expand::{Expanded, expand};
pub use files::{follow as follow_files, read_all};
pub use memory::AnswerFile;
pub use names::{follow as follow_names, look_up};
pub use resolve::{Resolved, resolve};
pub use round::{Addresses, Endpoint, Host, Hosts, Round, Target};

use crate::config::{Config, Question};

/// Whose names and files are followed: the configuration as in the file.
pub type Wanted = Arc<Config>;

/// All that `config` asks for.
pub fn questions(config: &Config) -> BTreeSet<Question> {
    let sources = config.services.iter().flat_map(|service| &service.discovery.names);
    sources.map(|source| source.question.clone()).collect()
}
