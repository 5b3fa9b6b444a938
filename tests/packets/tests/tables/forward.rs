//! Direct server return: the MAC addresses are rewritten, nothing else.
use lb_common::abi::{Answer, NO_BACKEND, SlotWord, Unserved, backend_flags};
use lb_common::reason::DropReason;
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::packet::protocol::{DESTINATION_OPTIONS, FRAGMENT, TCP, UDP};
use lb_test_support::packet::{Packet, Upper, flag, icmp, tcp, udp};
use lb_test_support::world::{INGRESS, OTHER_INTERFACE, World, direct, ends};

/// Ports 80 of both VIPs, TCP and UDP, to one backend at rest.
fn world(ifindex: u32) -> (World, u16) {
    let mut world = World::new();
    let backend = world.backend(direct(ifindex));
    let service = world.service(SlotWord::at_rest(backend, 0));
    for (_, vip) in ends() {
        world.vip(vip, Unserved::Drop);
        world.serve(vip, TCP, 80, service);
        world.serve(vip, UDP, 80, service);
    }
    (world, backend)
}

fn rewritten(world: &World, backend: u16, packet: &Packet) -> Vec<u8> {
    let (destination, source) = world.link_to(backend);
    packet.with(|p| (p.link_destination, p.link_source) = (destination, source)).frame()
}

#[test]
fn packets_for_a_served_port() {
    let mut bench = Bench::shared();
    for ifindex in [INGRESS, OTHER_INTERFACE] {
        let (world, backend) = world(ifindex);
        bench.set(&world);
        for (client, vip) in ends() {
            let uppers = [
                tcp(80, flag::SYN),
                tcp(80, flag::ACK),
                tcp(80, flag::ACK | flag::FIN),
                tcp(80, flag::RST),
                udp(80, 0),
                udp(80, 101),
            ];
            for upper in uppers {
                let what = format!("{upper:?} from {client} to a backend on {ifindex}");
                let packet = Packet::new(client, vip, upper).with(|p| p.tos = 0xb9);
                let out = rewritten(&world, backend, &packet);
                let expected =
                    if ifindex == INGRESS { Expect::Transmit(out) } else { Expect::Redirect(out) };
                bench.expect(&what, &packet.frame(), expected);
            }
        }
    }
}

#[test]
fn counters_of_the_backend() {
    let mut bench = Bench::shared();
    let (mut world, backend) = world(INGRESS);
    bench.set(&world);
    let (client, vip) = ends()[0];
    let before = bench.kernel().backend_counters(backend);
    let syn = Packet::new(client, vip, tcp(80, flag::SYN)).frame();
    let data = Packet::new(client, vip, tcp(80, flag::ACK)).frame();
    for frame in [&syn, &data, &data] {
        bench.run("a segment", frame);
    }
    let after = bench.kernel().backend_counters(backend);
    assert_eq!(after.packets - before.packets, 3);
    assert_eq!(after.bytes - before.bytes, (syn.len() + 2 * data.len()) as u64);
    assert_eq!(after.new_connections - before.new_connections, 1);

    world.change_backend(backend, |b| b.flags &= !backend_flags::RESOLVED);
    bench.set(&world);
    bench.expect("unknown next hop", &data, Expect::Drop(DropReason::NoNextHop));
    let last = bench.kernel().backend_counters(backend);
    assert_eq!(last.packets, after.packets);
    assert_eq!(last.unresolved - after.unresolved, 1);
}

#[test]
fn whose_packet_it_is() {
    let mut bench = Bench::shared();
    let (mut world, backend) = world(INGRESS);
    let empty = world.service(SlotWord::at_rest(NO_BACKEND, 0));
    let other = world.backend(direct(INGRESS));
    let any = world.service(SlotWord::at_rest(other, 0));
    for (_, vip) in ends() {
        world.serve(vip, TCP, 81, empty);
        world.serve(vip, UDP, 0, any);
    }
    bench.set(&world);
    for (client, vip) in ends() {
        let packet = |upper| Packet::new(client, vip, upper);
        let elsewhere = packet(tcp(80, flag::SYN)).with(|p| p.destination = client);
        bench.expect("not for a VIP", &elsewhere.frame(), Expect::Pass);
        let frame = packet(tcp(81, flag::SYN)).frame();
        bench.expect("no backend", &frame, Expect::Drop(DropReason::NoBackend));
        let frame = packet(tcp(82, flag::SYN)).frame();
        bench.expect("any is for UDP only", &frame, Expect::Drop(DropReason::UnservedPort));
        let to_any = packet(udp(53, 9));
        let out = rewritten(&world, other, &to_any);
        bench.expect("any port", &to_any.frame(), Expect::Transmit(out));
        let exact = packet(udp(80, 9));
        let out = rewritten(&world, backend, &exact);
        bench.expect("an exact port goes before any", &exact.frame(), Expect::Transmit(out));
        let frame = packet(Upper::Raw(47, vec![0; 20])).frame();
        bench.expect("GRE", &frame, Expect::Drop(DropReason::UnservedProtocol));
    }
}

#[test]
fn options_and_extension_headers() {
    let mut bench = Bench::shared();
    let (world, backend) = world(INGRESS);
    bench.set(&world);
    let [v4, v6] = ends();
    for words in 0..=10 {
        let packet =
            Packet::new(v4.0, v4.1, tcp(80, flag::ACK)).with(|p| p.options = vec![1; 4 * words]);
        let out = rewritten(&world, backend, &packet);
        bench.expect(&format!("{words} words of options"), &packet.frame(), Expect::Transmit(out));
    }
    // Length in units of eight bytes less one, then options that pad.
    let extension = (DESTINATION_OPTIONS, vec![0, 1, 4, 0, 0, 0, 0]);
    for count in 0..=7 {
        let packet = Packet::new(v6.0, v6.1, udp(80, 5))
            .with(|p| p.extensions = vec![extension.clone(); count]);
        let expected = if count <= 6 {
            Expect::Transmit(rewritten(&world, backend, &packet))
        } else {
            Expect::Drop(DropReason::TooManyHeaders)
        };
        bench.expect(&format!("{count} extension headers"), &packet.frame(), expected);
    }
    let atomic = Packet::new(v6.0, v6.1, udp(80, 5))
        .with(|p| p.extensions = vec![(FRAGMENT, vec![0, 0, 0, 1, 2, 3, 4])]);
    let out = rewritten(&world, backend, &atomic);
    bench.expect("atomic fragment", &atomic.frame(), Expect::Transmit(out));
}

#[test]
fn a_packet_that_does_not_fit() {
    let mut bench = Bench::shared();
    let (mut world, backend) = world(INGRESS);
    for mtu in [1500u16, 1280, 576] {
        world.change_backend(backend, |b| b.mtu = mtu);
        bench.set(&world);
        for (client, vip) in ends() {
            let header = if client.is_ipv4() { 28 } else { 48 };
            let fits = Packet::new(client, vip, udp(80, usize::from(mtu) - header));
            let out = rewritten(&world, backend, &fits);
            bench.expect(&format!("fits {mtu}"), &fits.frame(), Expect::Transmit(out));
            let packet = Packet::new(client, vip, udp(80, usize::from(mtu) - header + 1));
            let [high, low] = mtu.to_be_bytes();
            let kind = if client.is_ipv4() { (3, 4) } else { (2, 0) };
            let quote = &packet.ip()[..128];
            let answer = Packet::new(vip, client, icmp(kind.0, kind.1, [0, 0, high, low], quote));
            let expected =
                Expect::Answer(Answer::TooBig, DropReason::TooBig, answer.turned().frame());
            bench.expect(&format!("does not fit {mtu}"), &packet.frame(), expected);
        }
    }
    world.maps.settings.budget_per_second = [0; 8];
    bench.set(&world);
    let (client, vip) = ends()[0];
    let frame = Packet::new(client, vip, udp(80, 1000)).frame();
    bench.expect("budget exhausted", &frame, Expect::Drop(DropReason::TooBig));
}
