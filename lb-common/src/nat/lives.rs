//! The states of a translated flow, and how long each lasts without a packet.
//!
//! TCP follows RFC 9293 as far as a host in the middle can see it; the times
//! are the service's, the least that RFC 5382 (TCP) and RFC 4787 (UDP) want of
//! a translator being the operator's choice.

use crate::abi::{NatSettings, NatState, Service};
use crate::transition::PacketKind;

/// The state after a packet, from the client or from the backend (`reverse`).
#[inline(always)]
pub const fn advance(state: NatState, kind: PacketKind, reverse: bool) -> NatState {
    use NatState::*;
    match (state, kind) {
        (UdpNew, _) => {
            if reverse {
                Udp
            } else {
                UdpNew
            }
        }
        (Udp | UdpDone | Free | Busy, _) => state,
        (Closed | BackendClosed, _) => state,
        (_, PacketKind::Rst) => Reset,
        (Opening, _) => {
            if reverse {
                Answered
            } else {
                Opening
            }
        }
        (Answered, PacketKind::Data) => {
            if reverse {
                Answered
            } else {
                Established
            }
        }
        (Answered | Established | Reset, PacketKind::Fin) => {
            if reverse {
                BackendClosing
            } else {
                ClientClosing
            }
        }
        (ClientClosing, PacketKind::Fin) if reverse => Closed,
        (BackendClosing, PacketKind::Fin) if !reverse => BackendClosed,
        (Reset, PacketKind::Data) => Established,
        _ => state,
    }
}

/// Ticks that a flow in this state lasts without a packet.
#[inline(always)]
pub const fn life(state: NatState, service: &Service, settings: &NatSettings) -> u32 {
    match state {
        NatState::Free | NatState::Busy => 0,
        NatState::Opening | NatState::Answered => service.half_open,
        NatState::Established => service.tcp_idle,
        NatState::ClientClosing | NatState::BackendClosing => service.closing,
        NatState::Closed | NatState::Reset => settings.rest_client,
        NatState::BackendClosed => settings.rest_backend,
        NatState::UdpNew | NatState::Udp => service.udp_idle,
        NatState::UdpDone => settings.rest_udp,
    }
}

/// Whether a packet in this state is worth a longer life: not while the tuple
/// only rests.
#[inline(always)]
pub const fn prolongs(state: NatState) -> bool {
    !matches!(state, NatState::Closed | NatState::BackendClosed | NatState::UdpDone)
}

#[cfg(test)]
mod tests {
    use NatState::*;
    use PacketKind::{Data, Fin, Rst, Syn, Udp as Datagram};

    use super::*;

    fn after(packets: &[(PacketKind, bool)]) -> NatState {
        let first = if packets[0].0 == Datagram { UdpNew } else { Opening };
        packets.iter().fold(first, |state, (kind, reverse)| advance(state, *kind, *reverse))
    }

    const OPEN: [(PacketKind, bool); 3] = [(Syn, false), (Data, true), (Data, false)];

    fn then(more: &[(PacketKind, bool)]) -> NatState {
        after(&[&OPEN[..], more].concat())
    }

    #[test]
    fn the_handshake_takes_both_ends() {
        assert_eq!(after(&OPEN[..1]), Opening);
        assert_eq!(after(&OPEN[..2]), Answered);
        assert_eq!(after(&OPEN), Established);
        assert_eq!(after(&[(Syn, false), (Data, false), (Data, false)]), Opening, "no answer");
    }

    #[test]
    fn who_closes_first_is_remembered() {
        assert_eq!(then(&[(Fin, false)]), ClientClosing);
        assert_eq!(then(&[(Fin, false), (Data, true), (Fin, false)]), ClientClosing);
        assert_eq!(then(&[(Fin, false), (Fin, true), (Data, false)]), Closed);
        assert_eq!(then(&[(Fin, true), (Data, false), (Fin, false)]), BackendClosed);
    }

    #[test]
    fn data_after_a_reset_opens_the_flow_again() {
        assert_eq!(then(&[(Rst, false)]), Reset);
        assert_eq!(then(&[(Rst, false), (Data, false)]), Established);
        assert_eq!(then(&[(Fin, false), (Fin, true), (Rst, true)]), Closed, "closed stays closed");
    }

    #[test]
    fn an_answer_confirms_a_datagram() {
        assert_eq!(after(&[(Datagram, false), (Datagram, false)]), UdpNew);
        assert_eq!(after(&[(Datagram, false), (Datagram, true), (Datagram, false)]), Udp);
    }
}
