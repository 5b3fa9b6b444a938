//! What the loop keeps between two turns.

use std::{collections::VecDeque, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use tracing::warn;

use super::{inspection::Inspected, traffic::InterfaceTraffic};
use crate::control::{FlowScan, Rates, Refusals};

/// Between two scans of the flow table.
pub const SCAN_PAUSE: Duration = Duration::from_secs(2);

/// What is done once a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chore {
    Housekeep,
    Refresh,
    NextHops,
    Interfaces,
    Remember,
    Inspect,
}

impl Chore {
    pub const ALL: [Self; 6] = [
        Self::Housekeep,
        Self::Refresh,
        Self::NextHops,
        Self::Interfaces,
        Self::Remember,
        Self::Inspect,
    ];
}

pub struct Turn {
    /// Of this second, not done yet.
    pub chores: VecDeque<Chore>,
    /// Where inspections go.
    pub inspected: mpsc::Sender<Inspected>,
    pub scan: Option<FlowScan>,
    pub next_scan: Instant,
    pub rates: Rates<u16>,
    pub traffic: InterfaceTraffic,
    /// Since the start.
    pub seconds: u64,
    /// What stands in the way of XDP on interfaces.
    pub findings: Vec<String>,
    /// New translated flows that found no room.
    pub refusals: Refusals,
}

impl Turn {
    pub fn new(inspected: mpsc::Sender<Inspected>) -> Self {
        Self {
            chores: VecDeque::new(),
            inspected,
            scan: None,
            next_scan: Instant::now() + SCAN_PAUSE,
            rates: Rates::default(),
            traffic: InterfaceTraffic::default(),
            seconds: 0,
            findings: Vec::new(),
            refusals: Refusals::default(),
        }
    }

    pub fn note(&mut self, mut inspected: Inspected) {
        if let Some(findings) = inspected.findings.take() {
            for new in findings.iter().filter(|one| !self.findings.contains(one)) {
                warn!("{new}");
            }
            self.findings = findings;
        }
        self.rates.sample(inspected.counted_at, std::mem::take(&mut inspected.counters));
        self.traffic.note(inspected);
    }
}
