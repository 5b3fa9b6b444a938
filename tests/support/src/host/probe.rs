//! Probes on the host.

use lb_common::abi::{Handoff, ProbePort, ProbeWay};
use lb_common::datapath::Outcome;
use lb_common::datapath::probe::{self, ProbeTables};

use super::{Frame, Host};
use crate::kernel::{self, action};

impl Host {
    /// Lets a frame leave the prober's namespace. Of clients it counts nothing.
    pub fn run_probe(&mut self, frame: &[u8]) -> kernel::Outcome {
        let counters = self.state.get_mut().counters.clone();
        let mut frame = Frame::new(frame);
        let verdict = probe::send(&mut frame, &*self, &mut Handoff::default());
        self.state.get_mut().counters = counters;
        let action = match verdict.outcome() {
            Outcome::Redirect => action::REDIRECT,
            _ => action::DROP,
        };
        kernel::Outcome { action, packet: frame.into_bytes() }
    }
}

impl ProbeTables for Host {
    fn probe_way(&self, number: u16) -> Option<&ProbeWay> {
        Some(self.maps.probe_ways.get(&number).unwrap_or(&self.empty.4))
    }

    fn probe_port(&self, index: u16) -> ProbePort {
        self.state.borrow().probe_ports.get(&index).copied().unwrap_or_default()
    }

    fn set_probe_port(&self, index: u16, port: ProbePort) {
        self.state.borrow_mut().probe_ports.insert(index, port);
    }
}
