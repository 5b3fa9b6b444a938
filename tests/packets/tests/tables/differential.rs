//! Random and mutated frames: the kernel and the host must agree on every
//! verdict, frame, counter and flow. `LB_SEED` repeats a run.
use std::net::IpAddr;

use lb_common::abi::{Answer, SlotWord, Totals, Unserved, backend_flags, service_flags};
use lb_common::reason::DropReason;
use lb_test_support::bench::Bench;
use lb_test_support::packet::protocol::{DESTINATION_OPTIONS, FRAGMENT, TCP, UDP};
use lb_test_support::packet::{Packet, Upper, icmp, tcp, udp};
use lb_test_support::random::Random;
use lb_test_support::world::{INGRESS, OTHER_INTERFACE, World, address, direct, tunnel};
use lb_test_support::world_nat::{POOL_PORT, translated};

const WORLDS: u64 = 30;
const FRAMES: u64 = 400;

fn vips() -> [IpAddr; 4] {
    ["203.0.113.10", "203.0.113.11", "2001:db8:f::10", "2001:db8:f::11"].map(address)
}

/// One of few, so that flows meet; now and then nobody, who is not answered.
fn client(random: &mut Random, v6: bool) -> IpAddr {
    match (random.below(32), v6) {
        (0, true) => address("::"),
        (0, false) => address("0.0.0.0"),
        (host, true) => address(&format!("2001:db8:c::{}", host % 4)),
        (host, false) => address(&format!("192.0.2.{}", host % 4)),
    }
}

fn world(random: &mut Random) -> World {
    let mut world = World::new();
    let backends: Vec<u16> = (0..6).map(|_| backend(random, &mut world)).collect();
    let services: Vec<u16> = (0..4)
        .map(|_| {
            let mut owner = || backends[random.below(6) as usize];
            let (current, settled) = (owner(), owner());
            let word = match random.below(3) {
                0 => SlotWord::at_rest(current, 3),
                1 => SlotWord::new(current, settled, 3, true, false),
                _ => SlotWord::new(current, settled, 3, true, true),
            };
            let service = world.service(word);
            let flag = [0, service_flags::UDP_KEEP, service_flags::RESET_ON_DEAD];
            let flag = flag[random.below(3) as usize];
            world.change_service(service, |s| s.flags ^= flag);
            let repeat_after = [0, 1, 1 << 19][random.below(3) as usize];
            world.change_service(service, |s| s.repeat_after = repeat_after);
            if random.below(2) == 0 {
                translate(random, &mut world, service);
            }
            service
        })
        .collect();
    for vip in vips() {
        let policy = [Unserved::Reject, Unserved::Drop, Unserved::Pass];
        world.vip(vip, policy[random.below(3) as usize]);
        for protocol in [TCP, UDP] {
            for port in [80, 81, 0].into_iter().take(random.below(4) as usize) {
                world.serve(vip, protocol, port, services[random.below(4) as usize]);
            }
        }
    }
    world.maps.flow_room = [3, 1024][random.below(2) as usize];
    world
}

/// Backends of services that translate, by family, and where their flows come
/// from. One tuple for each backend: which of several is tried first depends on
/// the clock, which may have moved on when it is the host's turn.
fn inside(v6: bool) -> ([IpAddr; 2], IpAddr) {
    let of = |last: u8| match v6 {
        true => address(&format!("2001:db8:b::{last}")),
        false => address(&format!("10.0.0.{last}")),
    };
    ([of(8), of(9)], of(1))
}

fn translate(random: &mut Random, world: &mut World, service: u16) {
    let sources = [inside(false).1, inside(true).1];
    world.translate(service, &sources, 1);
    if random.below(3) == 0 {
        let backends = [inside(false).0, inside(true).0].concat();
        world.keep_clients(service, &backends);
    }
    world.change_service(service, |s| {
        s.udp_responses = random.below(3) as u32;
        if random.below(4) == 0 {
            s.flags |= service_flags::DIRECT_TOO;
        }
    });
}

fn backend(random: &mut Random, world: &mut World) -> u16 {
    let interface = [INGRESS, OTHER_INTERFACE][random.below(2) as usize];
    let mut backend = match random.below(5) {
        0 => direct(interface),
        family @ (3 | 4) => {
            let (backends, _) = inside(family == 4);
            let port = [0, 80, 8080][random.below(3) as usize];
            translated(interface, backends[random.below(2) as usize], port)
        }
        1 => tunnel(interface, address("10.0.0.0"), address("10.0.9.11")),
        _ => tunnel(interface, address("fd00::"), address("fd00:9::11")),
    };
    backend.entropy_mask = [0, 0, 0xff, 0xffff][random.below(4) as usize];
    backend.mtu = [100, 576, 1480][random.below(3) as usize];
    match random.below(8) {
        0 => backend.flags |= backend_flags::DEAD,
        1 => backend.flags &= !backend_flags::RESOLVED,
        _ => {}
    }
    world.backend(backend)
}

fn transport(random: &mut Random) -> Upper {
    let port = 79 + random.below(4) as u16;
    let upper = if random.below(3) == 0 {
        udp(port, random.below(700) as usize)
    } else {
        tcp(port, random.next() as u8)
    };
    upper.from_port(1000 + random.below(6) as u16)
}

fn packet(random: &mut Random) -> Packet {
    if random.below(4) == 0 {
        return reply(random);
    }
    let vip = vips()[random.below(4) as usize];
    let client = client(random, vip.is_ipv6());
    let upper = match random.below(8) {
        0 => icmp(if vip.is_ipv4() { 8 } else { 128 }, 0, [1, 2, 3, random.next() as u8], b"ping"),
        1 => error(random, client, vip),
        2 => icmp(random.next() as u8, random.next() as u8, [0; 4], b"something else"),
        3 => Upper::Raw(random.next() as u8, vec![random.next() as u8; random.below(60) as usize]),
        _ => transport(random),
    };
    let extension = (DESTINATION_OPTIONS, vec![0, 1, 4, 0, 0, 0, 0]);
    let atomic = (FRAGMENT, vec![0, 0, 0, 0, 0, 0, 9]);
    Packet::new(client, vip, upper).with(|p| {
        p.tos = random.next() as u8;
        p.identification = random.next() as u16;
        p.fragment = [0, 0x4000, 0x4000, 0x2000][random.below(4) as usize];
        p.options = vec![1; 4 * random.below(4) as usize];
        let extensions = if random.below(3) == 0 { random.below(8) as usize } else { 0 };
        p.extensions = vec![if random.below(4) == 0 { atomic } else { extension }; extensions];
    })
}

/// What a backend sends in answer to a translated packet, or to a client that
/// kept its address.
fn reply(random: &mut Random) -> Packet {
    let (backends, source) = inside(random.below(2) == 0);
    let backend = backends[random.below(2) as usize];
    let (to, ports) = match random.below(3) {
        0 => (client(random, backend.is_ipv6()), 1000),
        _ => (source, POOL_PORT),
    };
    let port = [80, 81, 8080][random.below(3) as usize];
    let off = if ports == POOL_PORT { 0 } else { random.below(6) as u16 };
    let ports = [port, ports + off];
    let upper = match transport(random) {
        Upper::Tcp { sequence, acknowledgement, flags, window, payload, .. } => {
            Upper::Tcp { ports, sequence, acknowledgement, flags, window, payload }
        }
        Upper::Udp { payload, .. } => Upper::Udp { ports, payload },
        other => other,
    };
    Packet::new(backend, to, upper)
}

/// About a packet that a backend sent from the VIP to the client.
fn error(random: &mut Random, client: IpAddr, vip: IpAddr) -> Upper {
    let upper = match transport(random) {
        Upper::Tcp { ports: [a, b], sequence, acknowledgement, flags, window, payload } => {
            Upper::Tcp { ports: [b, a], sequence, acknowledgement, flags, window, payload }
        }
        Upper::Udp { ports: [a, b], payload } => Upper::Udp { ports: [b, a], payload },
        other => other,
    };
    let ip = Packet::new(vip, client, upper).ip();
    let quote = random.below(ip.len() as u64 + 1) as usize;
    icmp(if vip.is_ipv4() { 3 } else { 2 }, 0, [0; 4], &ip[..quote])
}

/// Flips, overwrites, cuts or lengthens; headers more than payload.
fn mutate(random: &mut Random, frame: &mut Vec<u8>) {
    for _ in 0..random.below(4) {
        let headers = (frame.len() as u64).min(90);
        let at = random.below(headers) as usize;
        match random.below(6) {
            0 => frame.truncate(at.max(14)),
            1 => frame.extend(vec![random.next() as u8; random.below(64) as usize]),
            2 => frame[at] = [0, 0xff, 0x7f, 0x80][random.below(4) as usize],
            _ => frame[at] ^= 1 << random.below(8),
        }
    }
}

#[test]
fn kernel_and_host_agree() {
    let first = std::env::var("LB_SEED").ok().map(|seed| seed.parse().expect("LB_SEED: a number"));
    let seeds = first.map_or(1..WORLDS + 1, |seed: u64| seed..seed + 1);
    let mut bench = Bench::shared();
    let before = bench.kernel().totals();
    for seed in seeds {
        let mut random = Random::new(seed);
        bench.set(&world(&mut random));
        for number in 0..FRAMES {
            let mut frame = packet(&mut random).frame();
            if random.below(2) == 0 {
                mutate(&mut random, &mut frame);
            }
            bench.run(&format!("LB_SEED={seed}, frame {number}"), &frame);
        }
        bench.assert_backends_agree();
    }
    if first.is_none() {
        assert_varied(&before, &bench.kernel().totals());
    }
}

/// The frames went all the ways there are.
fn assert_varied(before: &Totals, after: &Totals) {
    // Slots always have a backend here, the tables always room, and test runs
    // headroom, redirect, one CPU and all programs.
    let never = [
        DropReason::NoBackend,
        DropReason::NoHeadroom,
        DropReason::RedirectFailed,
        DropReason::NatBusy,
        DropReason::NatFull,
        DropReason::NatUnavailable,
    ];
    for reason in DropReason::ALL.into_iter().filter(|reason| !never.contains(reason)) {
        let count = after.dropped[reason as usize] - before.dropped[reason as usize];
        assert!(count > 0, "no frame was dropped for {}", reason.name());
    }
    for answer in Answer::ALL {
        let count = after.answers[answer as usize] - before.answers[answer as usize];
        assert!(count > 0, "no frame was answered with {}", answer.name());
    }
    assert!(after.stored > before.stored && after.store_failed > before.store_failed);
}
