//! Interfaces' own counters: all their traffic, and what they lost.

use std::collections::{BTreeMap, HashMap};

use lb_common::abi::BackendCounters;

use super::inspection::Inspected;
use crate::{
    api::types::{InterfaceStats, Traffic},
    control::{InterfaceReport, Rates},
    netlink::LinkStatistics,
};

/// What drivers count of packets lost after the verdict, summed up.
const AFTER_VERDICT: &str = "after_verdict";

/// A direction of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Direction {
    Receive,
    Transmit,
}

#[derive(Debug, Default)]
pub struct InterfaceTraffic {
    last: BTreeMap<u32, LinkStatistics>,
    losses: BTreeMap<String, u64>,
    rates: Rates<(u32, Direction)>,
}

impl InterfaceTraffic {
    pub fn note(&mut self, inspected: Inspected) {
        let Inspected { at, statistics, losses, .. } = inspected;
        let mut counters = HashMap::new();
        for (index, one) in &statistics {
            counters.insert((*index, Direction::Receive), counted(one.rx_packets, one.rx_bytes));
            counters.insert((*index, Direction::Transmit), counted(one.tx_packets, one.tx_bytes));
        }
        self.rates.sample(at, counters);
        self.last = statistics;
        self.losses = losses;
    }

    pub fn describe(&self, report: InterfaceReport) -> InterfaceStats {
        let InterfaceReport { name, ifindex, mode, state, detail } = report;
        let mut stats = InterfaceStats { name, mode, state, detail, ..InterfaceStats::default() };
        if let Some((index, one)) = ifindex.and_then(|index| Some((index, self.last.get(&index)?)))
        {
            stats.rx = self.traffic(index, Direction::Receive, one.rx_packets, one.rx_bytes);
            stats.tx = self.traffic(index, Direction::Transmit, one.tx_packets, one.tx_bytes);
            let lost = self.losses.get(&stats.name).map(|lost| (AFTER_VERDICT.to_owned(), *lost));
            stats.losses = lost.into_iter().collect();
        }
        stats
    }

    fn traffic(&self, index: u32, direction: Direction, packets: u64, bytes: u64) -> Traffic {
        let rate = self.rates.get((index, direction));
        Traffic { packets, bytes, packets_per_second: rate.packets, bytes_per_second: rate.bytes }
    }
}

fn counted(packets: u64, bytes: u64) -> BackendCounters {
    BackendCounters { packets, bytes, ..BackendCounters::default() }
}
