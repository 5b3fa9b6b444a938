//! How long an entry may be silent before it counts for nothing.

use crate::abi::{FlowState, Service};

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
