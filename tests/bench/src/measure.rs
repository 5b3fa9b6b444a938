//! Times a case and proves that its packets took the path it names: by the
//! program's counters for all of them, by verdict and bytes for the last.

use anyhow::{Context, Result, ensure};
use aya::Pod;
use aya::maps::HashMap;
use lb_common::abi::{BackendCounters, FlowEntry, FlowKey, Totals, map_names};

use crate::cases::{Case, NO_VIP, Path, State, Way};
use crate::kernel::{Kernel, Run, Target, action};
use crate::nat;
use crate::packets;
use crate::pattern::Pattern;
use crate::world::{Group, World};

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Plain<T>(T);

// SAFETY: `repr(C)`, integers and byte arrays only, no padding.
unsafe impl Pod for Plain<FlowKey> {}
// SAFETY: as above.
unsafe impl Pod for Plain<FlowEntry> {}

pub struct Bench {
    pub kernel: Kernel,
    pub world: World,
    pub flows: nat::Flows,
}

/// Counters around a run.
struct Counted {
    totals: Totals,
    backends: BackendCounters,
}

impl Bench {
    /// Nanoseconds per packet of each of `runs` runs of `packets` packets.
    pub fn case(&mut self, case: &Case, runs: u32, packets: u32) -> Result<Vec<f64>> {
        let result = match case.path {
            Path::Backend(_, State::Insert) => self.inserts(case, runs),
            Path::Backend(_, State::Hit) => {
                self.with_entries(case, |bench| bench.repeated(case, runs, packets))
            }
            Path::Nat(group, way) => {
                self.flows.hold(&mut self.kernel, &group, case.flows)?;
                match way {
                    Way::New => self.opens(case, &group, runs),
                    _ => self.repeated(case, runs, packets),
                }
            }
            _ => {
                self.flows.set_dnat(false);
                self.repeated(case, runs, packets)
            }
        };
        result.with_context(|| format!("{}, {} flows", case.text, case.flows))
    }

    fn repeated(&mut self, case: &Case, runs: u32, packets: u32) -> Result<Vec<f64>> {
        let mut pattern = self.pattern(case);
        // Every flow once, so that what can be warm is.
        self.run(case, &mut pattern, case.flows.max(packets / 8))?;
        (0..runs).map(|_| self.run(case, &mut pattern, packets)).collect()
    }

    /// A flow is new only once: as many packets as flows, and then they go.
    fn inserts(&mut self, case: &Case, runs: u32) -> Result<Vec<f64>> {
        let mut times = Vec::new();
        for _ in 0..runs {
            let mut pattern = self.pattern(case);
            times.push(self.run(case, &mut pattern, case.flows)?);
            self.remove_flows(case)?;
        }
        Ok(times)
    }

    /// As many new flows as one run can open; then they go.
    fn opens(&mut self, case: &Case, group: &Group, runs: u32) -> Result<Vec<f64>> {
        let flows = nat::newcomers(case.flows);
        let mut times = Vec::new();
        // The first run finds the memory cold.
        for _ in 0..runs + 1 {
            let mut pattern = self.pattern(case);
            times.push(self.run(case, &mut pattern, flows)?);
            self.flows.close(group, &pattern, flows)?;
        }
        Ok(times.split_off(1))
    }

    /// Has the flows stored by the program itself, and removed at the end.
    fn with_entries<T>(
        &mut self,
        case: &Case,
        measure: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let Path::Backend(group, _) = case.path else { unreachable!("only backends have flows") };
        let insert = Case { path: Path::Backend(group, State::Insert), ..case.clone() };
        let mut pattern = self.pattern(case);
        self.run(&insert, &mut pattern, case.flows)?;
        let result = measure(self)?;
        self.remove_flows(case)?;
        Ok(result)
    }

    fn remove_flows(&mut self, case: &Case) -> Result<()> {
        let pattern = self.pattern(case);
        let mut flows: HashMap<_, Plain<FlowKey>, Plain<FlowEntry>> =
            self.kernel.map_mut(map_names::FLOWS)?.try_into()?;
        for number in 0..case.flows as u64 {
            let key = packets::flow(case.family, &pattern, number).key();
            flows.remove(&Plain(key)).context("a flow that was to be stored is not")?;
        }
        Ok(())
    }

    fn pattern(&self, case: &Case) -> Pattern {
        if let Path::Nat(group, way) = &case.path {
            return match way {
                Way::Forward => self.flows.requests(group, case.flows),
                Way::Reply => self.flows.replies(group, case.flows, 0),
                Way::New => self.flows.newcomers(group, case.flows),
            };
        }
        let (first, count, target) = match case.path {
            Path::Floor(target) => (NO_VIP, 1, target),
            Path::NotVip => (NO_VIP, 1, Target::Balancer),
            Path::Backend(group, _) => (group.first_vip(), group.services, Target::Balancer),
            Path::Nat(..) => unreachable!("see above"),
        };
        let frame = frame_of(case);
        packets::pattern_of(&frame, case.family, case.flows, first, count, target)
    }

    fn run(&mut self, case: &Case, pattern: &mut Pattern, packets: u32) -> Result<f64> {
        let frame = frame_of(case);
        let before = self.counted(case)?;
        let run = self.kernel.run(&frame, pattern, packets)?;
        let after = self.counted(case)?;
        pattern.next += packets as u64;
        prove_counters(case, &before, &after, packets.into(), frame.len())?;
        self.prove_last(case, pattern, &run)?;
        Ok(run.time.as_nanos() as f64 / packets as f64)
    }

    fn counted(&self, case: &Case) -> Result<Counted> {
        let backends = match case.path {
            Path::Backend(group, _) | Path::Nat(group, _) => {
                self.kernel.backend_counters(group.first_backend, group.all_backends())?
            }
            _ => BackendCounters::default(),
        };
        Ok(Counted { totals: self.kernel.totals()?, backends })
    }

    /// Verdict and bytes of the last packet.
    fn prove_last(&self, case: &Case, pattern: &Pattern, run: &Run) -> Result<()> {
        let handed = packets::handed(case.family, pattern, pattern.next - 1);
        let (verdict, packet) = match case.path {
            Path::Floor(Target::FloorHead) => (action::TX, None),
            Path::Floor(Target::FloorTx) => (action::TX, Some(handed)),
            Path::Floor(_) | Path::NotVip => (action::PASS, Some(handed)),
            Path::Backend(group, _) => (action::TX, Some(self.expected(&group, pattern, &handed))),
            Path::Nat(group, way) => (action::TX, Some(self.translated(&group, way, pattern)?)),
        };
        ensure!(run.action == verdict, "verdict {} instead of {verdict}", run.action);
        if let Some(packet) = packet {
            ensure!(
                run.packet == packet,
                "another packet came out than must:\n  {:02x?}\n  {packet:02x?}",
                run.packet
            );
        }
        Ok(())
    }

    fn translated(&self, group: &Group, way: Way, pattern: &Pattern) -> Result<Vec<u8>> {
        let (family, number) = (group.family, pattern.next - 1);
        let handed = match way {
            Way::Reply => {
                let ends = self.kernel.ends.get(pattern.index(number));
                packets::handed_between(family, pattern, &ends)
            }
            Way::Forward | Way::New => packets::handed(family, pattern, number),
        };
        let key = packets::flow_of(family, &handed);
        let (to, backend) = self.flows.translation(family, &key)?;
        let link = match way {
            Way::Reply => packets::back_to_client(&handed),
            Way::Forward | Way::New => {
                let backend = self.world.backend(backend);
                [backend.destination_mac, backend.source_mac]
            }
        };
        Ok(packets::translated(family, &handed, &to, link))
    }

    fn expected(&self, group: &Group, pattern: &Pattern, handed: &[u8]) -> Vec<u8> {
        let number = pattern.next - 1;
        let flow = packets::flow(group.family, pattern, number);
        let (backend, hash) = self.world.owner(group, &flow, pattern.destination(number));
        packets::forwarded(group.mode, group.family, handed, &backend, hash)
    }
}

/// A packet of the case, before the harness gives it its ends.
fn frame_of(case: &Case) -> Vec<u8> {
    match case.path {
        Path::Backend(_, State::Syn) => packets::frame_with(case.family, packets::flag::SYN),
        _ => packets::frame(case.family),
    }
}

fn prove_counters(
    case: &Case,
    before: &Counted,
    after: &Counted,
    packets: u64,
    length: usize,
) -> Result<()> {
    let (all, none) = (packets, 0);
    // received, forwarded, passed, looked up, stored
    let expected = match case.path {
        Path::Floor(_) => [none; 5],
        Path::NotVip => [all, none, all, none, none],
        Path::Backend(_, State::AtRest | State::Syn) | Path::Nat(..) => {
            [all, all, none, none, none]
        }
        Path::Backend(_, State::Hit | State::Miss) => [all, all, none, all, none],
        Path::Backend(_, State::Insert) => [all, all, none, all, all],
    };
    let of = |t: &Totals| [t.received, t.forwarded, t.passed, t.looked_up, t.stored];
    let (a, b) = (of(&after.totals), of(&before.totals));
    let counted: [u64; 5] = std::array::from_fn(|i| a[i] - b[i]);
    ensure!(
        counted == expected,
        "received, forwarded, passed, looked up, stored: {counted:?} instead of {expected:?}"
    );
    let (after, before) = (&after.backends, &before.backends);
    let (sent, bytes) = match case.path {
        Path::Nat(_, Way::Reply) => {
            (after.reply_packets - before.reply_packets, after.reply_bytes - before.reply_bytes)
        }
        _ => (after.packets - before.packets, after.bytes - before.bytes),
    };
    let expected = if matches!(case.path, Path::Backend(..) | Path::Nat(..)) { packets } else { 0 };
    ensure!(
        (sent, bytes) == (expected, expected * length as u64),
        "backends got or sent {sent} packets, {bytes} bytes instead of {expected} of {length} each"
    );
    Ok(())
}
