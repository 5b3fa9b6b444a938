//! What the loop keeps between two turns.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::{inspection::Inspected, traffic::InterfaceTraffic};
use crate::control::{FlowScan, Rates};

/// Between two scans of the flow table.
pub const SCAN_PAUSE: Duration = Duration::from_secs(2);

pub struct Turn {
    pub scan: Option<FlowScan>,
    pub next_scan: Instant,
    pub rates: Rates<u16>,
    pub traffic: InterfaceTraffic,
    /// Since the start.
    pub seconds: u64,
    /// What stands in the way of XDP on interfaces.
    pub findings: Vec<String>,
}

impl Turn {
    pub fn new() -> Self {
        Self {
            scan: None,
            next_scan: Instant::now() + SCAN_PAUSE,
            rates: Rates::default(),
            traffic: InterfaceTraffic::default(),
            seconds: 0,
            findings: Vec::new(),
        }
    }

    pub fn note(&mut self, mut inspected: Inspected) {
        if let Some(findings) = inspected.findings.take() {
            for new in findings.iter().filter(|one| !self.findings.contains(one)) {
                warn!("{new}");
            }
            self.findings = findings;
        }
        self.traffic.note(inspected);
    }
}
