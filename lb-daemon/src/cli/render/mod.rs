//! Statistics as text for people. Pure: from the object to a string.

pub mod events;
mod facts;
mod flows;
mod interfaces;
mod services;
mod style;
mod table;
pub mod units;

pub use flows::table as flows;
pub use units::grouped;

use crate::api::types::Stats;

/// How it is looked at.
pub struct View {
    /// Columns of the terminal; `None` for as many as it takes.
    pub width: Option<usize>,
    pub colour: bool,
    /// Also what is zero.
    pub all: bool,
}

pub fn render(stats: &Stats, view: &View) -> String {
    let sections = [
        facts::header(stats, view),
        interfaces::table(stats, view),
        services::table(stats, view),
        facts::counts(stats, view),
    ];
    let present: Vec<_> = sections.into_iter().filter(|section| !section.is_empty()).collect();
    present.join("\n")
}

#[cfg(test)]
mod tests;
