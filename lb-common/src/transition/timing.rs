//! The times that the rules wait for.

use crate::abi::{FlowState, Service, service_flags};

/// What the daemon's rules need of a service, in ticks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timing {
    /// The longest silence of a live flow.
    pub idle: u64,
    /// Copies of a SYN come within this time. 0: the service has no TCP.
    pub arming: u64,
    /// Longer than any packet takes from reading a word to acting on it.
    pub second: u64,
    /// Flows of a dead backend are answered with RST, not moved.
    pub reset_on_dead: bool,
    /// No packet of the service belongs to a flow: slots never leave rest.
    pub stateless: bool,
}

impl Timing {
    /// A service whose `tcp_idle` is 0 has no TCP.
    pub fn of(service: &Service, ticks_per_second: u32) -> Self {
        let has_tcp = service.tcp_idle > 0;
        let keeps_udp = service.flags & service_flags::UDP_KEEP != 0;
        let udp_idle = if keeps_udp { service.udp_idle } else { 0 };
        Self {
            idle: service.tcp_idle.max(udp_idle) as u64,
            arming: if has_tcp { service.arming as u64 } else { 0 },
            second: ticks_per_second as u64,
            reset_on_dead: service.flags & service_flags::RESET_ON_DEAD != 0,
            stateless: !has_tcp && !keeps_udp,
        }
    }
}

/// Ticks that an entry in `state` lives after its flow was last seen.
#[inline(always)]
pub fn life(service: &Service, is_udp: bool, state: FlowState) -> u64 {
    let ticks = if is_udp {
        service.udp_idle
    } else {
        match state {
            FlowState::HalfOpen => service.half_open,
            FlowState::Open => service.tcp_idle,
            FlowState::Closing | FlowState::Reset => service.closing,
        }
    };
    ticks as u64
}
