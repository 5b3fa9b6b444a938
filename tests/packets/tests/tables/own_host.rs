//! Backends on the balancer's own host: XDP leaves their packets to the kernel, and their
//! answers get the VIP on the way out.

use std::net::IpAddr;

use lb_common::abi::{SlotWord, Unserved, backend_flags};
use lb_common::reason::DropReason;
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::kernel::Outcome;
use lb_test_support::packet::protocol::{TCP, UDP};
use lb_test_support::packet::{Packet, Upper, flag, tcp, udp};
use lb_test_support::world::{INGRESS, World, address, direct, ends};
use lb_test_support::world_nat::translated;

/// "Go on": the next program or the device decides.
const UNSPECIFIED: u32 = u32::MAX;
const BACKEND_PORT: u16 = 8080;

/// The host's address of the family.
fn own(v6: bool) -> IpAddr {
    if v6 { address("2001:db8:b::1") } else { address("10.0.0.1") }
}

fn local(world: &mut World, backend: u16) {
    world.change_backend(backend, |b| {
        b.flags = b.flags & !backend_flags::RESOLVED | backend_flags::LOCAL;
        (b.ifindex, b.destination_mac, b.source_mac) = (0, [0; 6], [0; 6]);
    });
}

#[test]
fn without_translation_packets_pass_as_they_are() {
    let mut bench = Bench::shared();
    let mut world = World::new();
    let backend = world.backend(direct(INGRESS));
    local(&mut world, backend);
    let service = world.service(SlotWord::at_rest(backend, 0));
    for (_, vip) in ends() {
        world.vip(vip, Unserved::Drop);
        world.serve(vip, TCP, 80, service);
        world.serve(vip, UDP, 80, service);
    }
    bench.set(&world);
    for (client, vip) in ends() {
        for upper in [tcp(80, flag::SYN), tcp(80, flag::ACK), udp(80, 33)] {
            let what = format!("{upper:?} from {client}");
            bench.expect(&what, &Packet::new(client, vip, upper).frame(), Expect::Pass);
        }
    }
    bench.assert_backends_agree();
    let counters = bench.kernel().backend_counters(backend);
    assert!(counters.packets >= 6 && counters.new_connections >= 2, "{counters:?}");
}

/// A service that translates to the host's own address.
fn world(vip: IpAddr, backend_v6: bool) -> World {
    let mut world = World::new();
    let entry = translated(INGRESS, own(backend_v6), BACKEND_PORT);
    let (service, backend) = world.nat_service(entry, &[own(backend_v6)]);
    local(&mut world, backend);
    world.vip(vip, Unserved::Drop);
    world.serve(vip, TCP, 80, service);
    world.serve(vip, UDP, 80, service);
    world
}

fn with_ports(upper: Upper, from: u16, to: u16) -> Upper {
    match upper {
        Upper::Tcp { sequence, acknowledgement, flags, window, payload, .. } => {
            Upper::Tcp { ports: [from, to], sequence, acknowledgement, flags, window, payload }
        }
        Upper::Udp { payload, .. } => Upper::Udp { ports: [from, to], payload },
        other => other,
    }
}

/// Claims: the backend sees the client's own address and port; its answers, and no other
/// packets, leave from the VIP, with checksums that hold.
#[test]
fn translated_answers_get_the_vip_on_the_way_out() {
    let mut bench = Bench::shared();
    bench.kernel().load_own_host();
    for (client, vip) in ends() {
        bench.set(&world(vip, vip.is_ipv6()));
        let host = own(vip.is_ipv6());
        let to_host = |upper: Upper| {
            let packet = Packet::new(client, vip, upper.clone());
            let out = packet.with(|p| {
                (p.destination, p.upper) = (host, with_ports(upper, 40_000, BACKEND_PORT));
            });
            (packet.frame(), Expect::PassAs(out.frame()))
        };
        for (request, answer) in [
            (tcp(80, flag::SYN), tcp(80, flag::SYN | flag::ACK)),
            (tcp(80, flag::ACK), tcp(80, flag::ACK)),
            (udp(80, 33), udp(80, 32)),
            (udp(80, 0), udp(80, 1)),
        ] {
            let what = format!("{request:?} from {client}");
            let stray = Packet::new(host, client, with_ports(answer.clone(), 81, 40_000)).frame();
            let unchanged = Outcome { action: UNSPECIFIED, packet: stray.clone() };
            assert_eq!(bench.kernel().leave(&stray), unchanged, "{what}: nobody's answer");
            let (frame, expected) = to_host(request);
            bench.expect(&what, &frame, expected);
            let sent = Packet::new(host, client, with_ports(answer.clone(), BACKEND_PORT, 40_000));
            let wanted = Packet::new(vip, client, with_ports(answer, 80, 40_000));
            let wanted = Outcome { action: UNSPECIFIED, packet: wanted.frame() };
            assert_eq!(bench.kernel().leave(&sent.frame()), wanted, "{what}: its answer");
        }
    }
}

#[test]
fn a_client_of_the_other_family_is_refused() {
    let mut bench = Bench::shared();
    for (client, vip) in ends() {
        bench.set(&world(vip, vip.is_ipv4()));
        let packet = Packet::new(client, vip, tcp(80, flag::SYN));
        let refused = Expect::Drop(DropReason::NatUntranslatable);
        bench.expect("the backend would see an address that it cannot", &packet.frame(), refused);
    }
}

/// Nobody listens there: the host's own kernel refuses.
#[test]
fn a_refused_connection_is_evidence_like_any_backends() {
    let mut bench = Bench::shared();
    bench.kernel().load_own_host();
    for (client, vip) in ends() {
        let mut world = world(vip, vip.is_ipv6());
        let (service, backend) = (1, 1);
        world.change_service(service, |service| service.repeat_after = 1);
        bench.set_without_evidence(&world);
        bench.run("SYN", &Packet::new(client, vip, tcp(80, flag::SYN)).frame());
        let refusal = with_ports(tcp(80, flag::RST | flag::ACK), BACKEND_PORT, 40_000);
        bench.kernel().leave(&Packet::new(own(vip.is_ipv6()), client, refusal).frame());
        let [unanswered, repeats, refused, unreachable, networks] =
            bench.kernel().evidence(backend);
        assert_eq!([unanswered, repeats, refused, unreachable], [0, 0, 1, 0], "{client}");
        assert_eq!(networks.count_ones(), 1, "{client}");
    }
}
