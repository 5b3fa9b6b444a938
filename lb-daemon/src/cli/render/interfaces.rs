//! The table of interfaces.

use super::{
    View,
    style::Style,
    table::{Align, Cell, Column, lay_out},
    units::{grouped, short},
};
use crate::api::types::{InterfaceMode, InterfaceState, InterfaceStats, Stats};

const COLUMNS: [Column; 9] = [
    Column { title: "INTERFACE", align: Align::Left, rank: 0 },
    Column { title: "XDP", align: Align::Left, rank: 0 },
    Column { title: "STATE", align: Align::Left, rank: 0 },
    Column { title: "RX PKT/S", align: Align::Right, rank: 2 },
    Column { title: "RX BIT/S", align: Align::Right, rank: 1 },
    Column { title: "TX PKT/S", align: Align::Right, rank: 2 },
    Column { title: "TX BIT/S", align: Align::Right, rank: 1 },
    Column { title: "LOST", align: Align::Right, rank: 1 },
    Column { title: "NOTE", align: Align::Left, rank: 3 },
];

pub fn table(stats: &Stats, view: &View) -> String {
    if stats.interfaces.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = stats.interfaces.iter().map(row).collect();
    lay_out(&COLUMNS, &rows, view)
}

fn row(interface: &InterfaceStats) -> Vec<Cell> {
    let lost: u64 = interface.losses.values().sum();
    vec![
        interface.name.as_str().into(),
        mode(interface.mode),
        state(interface.state),
        short(interface.rx.packets_per_second).into(),
        short(interface.rx.bytes_per_second * 8.0).into(),
        short(interface.tx.packets_per_second).into(),
        short(interface.tx.bytes_per_second * 8.0).into(),
        Cell { text: grouped(lost), style: if lost > 0 { Style::Doubtful } else { Style::Plain } },
        note(interface).into(),
    ]
}

fn mode(mode: InterfaceMode) -> Cell {
    match mode {
        InterfaceMode::Native => "native".into(),
        InterfaceMode::Generic => Cell { text: "generic".into(), style: Style::Doubtful },
        InterfaceMode::None => "-".into(),
    }
}

fn state(state: InterfaceState) -> Cell {
    let (text, style) = match state {
        InterfaceState::Attached => ("attached", Style::Good),
        InterfaceState::Waiting => ("waiting", Style::Doubtful),
        InterfaceState::Failed => ("failed", Style::Bad),
    };
    Cell { text: text.into(), style }
}

/// Its detail, and which counters say that something was lost.
fn note(interface: &InterfaceStats) -> String {
    let losses = interface.losses.iter().filter(|(_, count)| **count > 0);
    let losses = losses.map(|(counter, count)| format!("{counter} {}", grouped(*count)));
    let detail = (!interface.detail.is_empty()).then(|| interface.detail.clone());
    detail.into_iter().chain(losses).collect::<Vec<_>>().join(", ")
}
