//! The harness and the program under test, loaded, and one run of them: the
//! time it took, and everything the program says it did meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aya::maps::{Map, MapData, PerCpuArray, ProgramArray};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use lb_common::abi::{
    BACKEND_COUNTERS_LEN, BackendCounters, SLOTS_PER_OWNERS, TOTALS_LEN, Totals, map_names,
};
use lb_daemon::loader::MapSizes;
use nix::time::{ClockId, clock_gettime};

use crate::mapped::Mapped;
use crate::pattern::{Ends, MOST_FLOWS, Pattern, TARGETS};

/// Slots: a full table per shape of service, and a hundred small ones.
pub const SLOT_SPACE: u32 = 4 << 20;
/// Room for a million flows in transition, below the share at which the daemon would act.
const FLOW_ENTRIES: u32 = 3 << 19;

/// Verdicts of XDP programs (`enum xdp_action`).
pub mod action {
    pub const PASS: u32 = 2;
    pub const TX: u32 = 3;
}

/// Translated flows of each kind that the tables have room for.
pub const NAT_FLOWS: u32 = 1_000_000;

/// What the harness calls; the position is the index in its program array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Balancer = 0,
    FloorTx = 1,
    FloorHead = 2,
    FloorPass = 3,
}

const _: () = assert!(Target::FloorPass as u32 + 1 == TARGETS);

const FLOORS: [(Target, &str); 3] = [
    (Target::FloorTx, "floor_tx"),
    (Target::FloorHead, "floor_head"),
    (Target::FloorPass, "floor_pass"),
];

/// The program that packets meet first, and those it hands them to.
const BALANCER: [&str; 6] =
    ["lb_xdp", "lb_nat", "lb_open", "lb_direct", "lb_fragment", "lb_probe_answer"];

pub const SIZES: MapSizes = MapSizes {
    slots: SLOT_SPACE,
    flows: FLOW_ENTRIES,
    nat_flows: NAT_FLOWS,
    nat_flows_wide: NAT_FLOWS,
};

pub struct Kernel {
    balancer: Ebpf,
    harness: Ebpf,
    pattern: Mapped<Pattern>,
    /// Ends of the packets whose flows the program chose.
    pub ends: Mapped<Ends>,
}

/// One run of many packets.
pub struct Run {
    pub time: Duration,
    /// Verdict of the last packet, and its bytes.
    pub action: u32,
    pub packet: Vec<u8>,
}

impl Kernel {
    pub fn load() -> Result<Self> {
        let mut balancer = EbpfLoader::new()
            .map_max_entries(map_names::SLOTS, SLOT_SPACE)
            .map_max_entries(map_names::OWNERS, SLOT_SPACE / SLOTS_PER_OWNERS)
            .map_max_entries(map_names::FLOWS, FLOW_ENTRIES)
            .map_max_entries(map_names::NARROW, SIZES.narrow())
            .map_max_entries(map_names::NARROW_NEW, MapSizes::new_flows(SIZES.narrow()))
            .map_max_entries(map_names::WIDE, SIZES.wide())
            .map_max_entries(map_names::WIDE_NEW, MapSizes::new_flows(SIZES.wide()))
            .load(&object("LB_EBPF_OBJECT", "lb-ebpf.o")?)
            .context("the balancer's object does not load (are you root?)")?;
        for name in BALANCER {
            program(&mut balancer, name)?
                .load()
                .with_context(|| format!("{name} does not load"))?;
        }
        let mut harness = Ebpf::load(&object("LB_HARNESS_OBJECT", "harness.o")?)
            .context("the harness does not load")?;
        for name in ["harness", "floor_tx", "floor_head", "floor_pass"] {
            program(&mut harness, name)?.load().with_context(|| format!("{name} does not load"))?;
        }
        let pattern = Mapped::of(harness.map("PATTERN").context("no map PATTERN")?, 1)?;
        let ends = Mapped::of(harness.map("ENDS").context("no map ENDS")?, MOST_FLOWS)?;
        let mut kernel = Self { balancer, harness, pattern, ends };
        kernel.fill_program_array()?;
        Ok(kernel)
    }

    fn fill_program_array(&mut self) -> Result<()> {
        let map = self.balancer.take_map(map_names::PROGRAMS).context("no map PROGRAMS")?;
        let mut programs = ProgramArray::try_from(map)?;
        for (index, name) in (0..).zip(&BALANCER[1..]) {
            let next = program(&mut self.balancer, name)?.fd()?.try_clone()?;
            programs.set(index, &next, 0).with_context(|| format!("cannot hand over to {name}"))?;
        }
        std::mem::forget(programs);
        let map = self.harness.take_map("TARGET").context("no map TARGET")?;
        let mut targets = ProgramArray::try_from(map)?;
        let refused = "the kernel refuses the tail call: harness and program differ in kind";
        let balancer = program(&mut self.balancer, "lb_xdp")?.fd()?.try_clone()?;
        targets.set(Target::Balancer as u32, &balancer, 0).context(refused)?;
        for (target, name) in FLOORS {
            let floor = program(&mut self.harness, name)?.fd()?.try_clone()?;
            targets.set(target as u32, &floor, 0).context(refused)?;
        }
        // The programs go when the last descriptor of the array does.
        std::mem::forget(targets);
        Ok(())
    }

    pub fn map(&self, name: &str) -> Result<&Map> {
        self.balancer.map(name).with_context(|| format!("no map {name}"))
    }

    pub fn map_mut(&mut self, name: &str) -> Result<&mut Map> {
        self.balancer.map_mut(name).with_context(|| format!("no map {name}"))
    }

    /// Runs the harness `packets` times, from the pattern's `next` on.
    pub fn run(&mut self, frame: &[u8], pattern: &Pattern, packets: u32) -> Result<Run> {
        self.pattern.set(0, *pattern);
        let mut out = vec![0; frame.len() + 256];
        let harness = program(&mut self.harness, "harness")?;
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            repeat: packets,
            ..TestRunOptions::new()
        };
        let before = thread_time()?;
        let result = harness.test_run(options).context("BPF_PROG_TEST_RUN")?;
        let time = thread_time()? - before;
        let made = self.pattern.get(0).next - pattern.next;
        ensure!(made == packets as u64, "the harness made {made} packets instead of {packets}");
        out.truncate(result.data_size_out as usize);
        Ok(Run { time, action: result.return_value, packet: out })
    }

    /// Counters of the program, summed over the CPUs.
    pub fn totals(&self) -> Result<Totals> {
        let map: PerCpuArray<&MapData, [u64; TOTALS_LEN]> =
            self.map(map_names::TOTALS)?.try_into()?;
        let sum = sum(map.get(&0, 0)?.iter());
        // SAFETY: `Totals` is `repr(C)` and consists of TOTALS_LEN u64.
        Ok(unsafe { std::mem::transmute::<[u64; TOTALS_LEN], Totals>(sum) })
    }

    /// Counters of the backends `first..first + count`, added up.
    pub fn backend_counters(&self, first: u16, count: u16) -> Result<BackendCounters> {
        let map: PerCpuArray<&MapData, [u64; BACKEND_COUNTERS_LEN]> =
            self.map(map_names::BACKEND_STATS)?.try_into()?;
        let mut all = [0; BACKEND_COUNTERS_LEN];
        for id in first..first + count {
            let one = sum(map.get(&id.into(), 0)?.iter());
            all = std::array::from_fn(|i| all[i] + one[i]);
        }
        Ok(BackendCounters::of_words(all))
    }
}

pub fn object(variable: &str, name: &str) -> Result<Vec<u8>> {
    let path = std::env::var_os(variable).map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/bpf")).join(name),
        PathBuf::from,
    );
    std::fs::read(&path)
        .with_context(|| format!("cannot read {}; run `cargo xtask bench`", path.display()))
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
    Ok(program.try_into()?)
}

fn thread_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

fn sum<'a, const N: usize>(per_cpu: impl Iterator<Item = &'a [u64; N]>) -> [u64; N] {
    per_cpu.fold([0; N], |total, one| std::array::from_fn(|i| total[i] + one[i]))
}
