//! The real object in the real kernel, with its maps written by the test.

use std::path::PathBuf;

use aya::maps::{Array, HashMap, MapData, PerCpuArray, PerCpuValues, ProgramArray};
use aya::programs::{Program, ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};
use lb_common::abi::{
    BACKEND_COUNTERS_LEN, Backend, BackendCounters, Budget, FlowEntry, FlowKey, FlowOwner,
    FlowSeen, FlowState, FragmentKey, FragmentWay, NarrowBucket, NatSettings, Owners, Pool,
    PortBucket, SLOTS_PER_FAIL_STAMP, SLOTS_PER_OWNERS, SYN_CELLS, Service, Settings, TOTALS_LEN,
    Totals, VipBucket, WideBucket, map_names,
};

/// Verdicts of XDP programs (`enum xdp_action`).
pub mod action {
    pub const ABORTED: u32 = 0;
    pub const DROP: u32 = 1;
    pub const PASS: u32 = 2;
    pub const TX: u32 = 3;
    pub const REDIRECT: u32 = 4;
}

const NARROW_WORDS: usize = size_of::<NarrowBucket>() / 8;
const WIDE_WORDS: usize = size_of::<WideBucket>() / 8;

/// Words in a bucket of this table of translated flows.
fn nat_bucket_words(name: &str) -> usize {
    if name.starts_with("NARROW") { NARROW_WORDS } else { WIDE_WORDS }
}

/// Wraps a type of `lb_common::abi` for aya's maps.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Plain<T>(pub T);

macro_rules! plain {
    ($($type:ty),*) => {
        $(
            // SAFETY: `repr(C)`, integers and byte arrays only, no padding.
            unsafe impl Pod for Plain<$type> {}
        )*
    };
}

plain!(
    Backend,
    FlowEntry,
    FlowKey,
    FragmentKey,
    FragmentWay,
    NatSettings,
    Pool,
    PortBucket,
    Service,
    Settings,
    VipBucket
);

/// Slots and flow entries of a test's maps.
const SLOT_SPACE: u32 = 1 << 16;
pub const FLOW_ENTRIES: u32 = 1024;

/// Protocol of flows that only take room.
const NOBODYS: u8 = 255;

/// A loaded object.
pub struct Kernel {
    ebpf: Ebpf,
    /// The kernel clears it when nobody holds it.
    _programs: ProgramArray<MapData>,
}

/// In the order of `datapath::Next`.
const NEXT_PROGRAMS: [&str; 4] = ["lb_nat", "lb_open", "lb_direct", "lb_fragment"];
/// Buckets of each table of translated flows.
pub const NAT_BUCKETS: u32 = 64;

/// What a run of the program gave.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub action: u32,
    pub packet: Vec<u8>,
}

/// The object under test, as `cargo xtask build` leaves it.
pub fn object_path() -> PathBuf {
    std::env::var_os("LB_EBPF_OBJECT").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/bpf/lb-ebpf.o")),
        PathBuf::from,
    )
}

impl Kernel {
    /// Loads the object with maps of its own.
    pub fn load() -> Self {
        let path = object_path();
        let object = std::fs::read(&path)
            .unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask build` first", path.display()));
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(map_names::SLOTS, SLOT_SPACE)
            .map_max_entries(map_names::OWNERS, SLOT_SPACE / SLOTS_PER_OWNERS)
            .map_max_entries(map_names::INSERT_FAILED, SLOT_SPACE / SLOTS_PER_FAIL_STAMP)
            .map_max_entries(map_names::FLOWS, FLOW_ENTRIES)
            .map_max_entries(map_names::NARROW, NAT_BUCKETS)
            .map_max_entries(map_names::NARROW_NEW, NAT_BUCKETS)
            .map_max_entries(map_names::WIDE, NAT_BUCKETS)
            .map_max_entries(map_names::WIDE_NEW, NAT_BUCKETS)
            .load(&object)
            .expect("the object loads (as root)");
        for name in ["lb_xdp", "lb_clock"].into_iter().chain(NEXT_PROGRAMS) {
            program(&mut ebpf, name).load().unwrap_or_else(|e| panic!("{name}: {e:?}"));
        }
        let map = ebpf.take_map(map_names::PROGRAMS).expect("PROGRAMS");
        let mut programs = ProgramArray::try_from(map).expect("PROGRAMS");
        for (index, name) in (0..).zip(NEXT_PROGRAMS) {
            let fd = program(&mut ebpf, name).fd().expect(name).try_clone().expect(name);
            programs.set(index, &fd, 0).expect(name);
        }
        Self { ebpf, _programs: programs }
    }

    /// Loads the programs that are not for packets that come in.
    pub fn load_own_host(&mut self) {
        for (name, program) in self.ebpf.programs_mut() {
            match program {
                Program::SchedClassifier(program) if program.fd().is_err() => program.load(),
                Program::CgroupSockAddr(program) if program.fd().is_err() => program.load(),
                _ => Ok(()),
            }
            .unwrap_or_else(|e| panic!("{name}: {e:?}"));
        }
    }

    /// Lets a frame leave this host: runs the program on the way out.
    pub fn leave(&mut self, frame: &[u8]) -> Outcome {
        let program = self.ebpf.program_mut("lb_egress").expect("lb_egress");
        let program: &mut SchedClassifier = program.try_into().expect("a classifier");
        let mut out = vec![0; frame.len() + 256];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..TestRunOptions::new()
        };
        let result = program.test_run(options).expect("BPF_PROG_TEST_RUN");
        out.truncate(result.data_size_out as usize);
        Outcome { action: result.return_value, packet: out }
    }

    /// Runs the data path on a frame that came in on interface 1: a test run
    /// without a context of its own claims loopback.
    pub fn run(&mut self, frame: &[u8]) -> Outcome {
        let mut out = vec![0; frame.len() + 256];
        let result = program(&mut self.ebpf, "lb_xdp")
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut out),
                ..TestRunOptions::new()
            })
            .expect("BPF_PROG_TEST_RUN");
        out.truncate(result.data_size_out as usize);
        Outcome { action: result.return_value, packet: out }
    }

    /// Runs the data path on a frame with so much metadata in front that no room
    /// is left for an outer header. None on kernels, such as 6.1, that take no
    /// more than 32 bytes of metadata.
    pub fn run_without_headroom(&mut self, frame: &[u8]) -> Option<Outcome> {
        /// All of the headroom but what the kernel keeps for itself.
        const METADATA: usize = 256 - 40;
        let whole = [&[0; METADATA], frame].concat();
        let mut out = vec![0; whole.len() + 256];
        // struct xdp_md: data, data_end, data_meta, and three indexes.
        let context = [METADATA as u32, whole.len() as u32, 0, 0, 0, 0].map(u32::to_ne_bytes);
        let result = program(&mut self.ebpf, "lb_xdp").test_run(TestRunOptions {
            data_in: Some(&whole),
            data_out: Some(&mut out),
            ctx_in: Some(context.as_flattened()),
            ..TestRunOptions::new()
        });
        let result = match result {
            Err(ProgramError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::EINVAL) =>
            {
                return None;
            }
            other => other.expect("BPF_PROG_TEST_RUN"),
        };
        Some(Outcome {
            action: result.return_value,
            packet: out[METADATA..result.data_size_out as usize].to_vec(),
        })
    }

    /// The low half of the data path's clock.
    pub fn clock(&mut self) -> u32 {
        let frame = [0u8; 64];
        let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::new() };
        program(&mut self.ebpf, "lb_clock")
            .test_run(options)
            .expect("BPF_PROG_TEST_RUN")
            .return_value
    }

    fn array<V: Pod>(&mut self, name: &str) -> Array<&mut MapData, V> {
        Array::try_from(self.ebpf.map_mut(name).expect(name)).expect(name)
    }

    pub fn set_settings(&mut self, settings: Settings) {
        self.array(map_names::SETTINGS).set(0, Plain(settings), 0).expect("settings");
    }

    pub fn set_vip_bucket(&mut self, index: u32, bucket: VipBucket) {
        self.array(map_names::VIPS).set(index, Plain(bucket), 0).expect("VIP bucket");
    }

    pub fn vip_bucket(&mut self, index: u32) -> VipBucket {
        self.array::<Plain<VipBucket>>(map_names::VIPS).get(&index, 0).expect("VIP bucket").0
    }

    pub fn set_port_bucket(&mut self, index: u32, bucket: PortBucket) {
        self.array(map_names::PORTS).set(index, Plain(bucket), 0).expect("port bucket");
    }

    pub fn port_bucket(&mut self, index: u32) -> PortBucket {
        self.array::<Plain<PortBucket>>(map_names::PORTS).get(&index, 0).expect("port bucket").0
    }

    pub fn set_service(&mut self, id: u16, service: Service) {
        self.array(map_names::SERVICES).set(id.into(), Plain(service), 0).expect("service");
    }

    pub fn set_backend(&mut self, id: u16, backend: Backend) {
        self.array(map_names::BACKENDS).set(id.into(), Plain(backend), 0).expect("backend");
    }

    pub fn set_slot(&mut self, index: u32, word: u64) {
        self.array(map_names::SLOTS).set(index, word, 0).expect("slot");
    }

    pub fn set_owner(&mut self, slot: u32, owner: u16) {
        let mut map = self.array::<u64>(map_names::OWNERS);
        let owners = Owners(map.get(&(slot / SLOTS_PER_OWNERS), 0).expect("owners"));
        map.set(slot / SLOTS_PER_OWNERS, owners.with(slot, owner).0, 0).expect("owners");
    }

    /// Whether an insert is noted to have failed in the group of `slot`.
    pub fn insert_failed(&mut self, slot: u32) -> bool {
        let group = slot / SLOTS_PER_FAIL_STAMP;
        self.array::<u64>(map_names::INSERT_FAILED).get(&group, 0).expect("stamp") != 0
    }

    /// Notes that an insert failed in the group at this time; 0: none did.
    pub fn set_insert_failed(&mut self, group: u32, at: u64) {
        self.array(map_names::INSERT_FAILED).set(group, at, 0).expect("stamp");
    }

    fn flows(&mut self) -> HashMap<&mut MapData, Plain<FlowKey>, Plain<FlowEntry>> {
        HashMap::try_from(self.ebpf.map_mut(map_names::FLOWS).expect("FLOWS")).expect("FLOWS")
    }

    pub fn flow(&mut self, key: FlowKey) -> Option<FlowEntry> {
        self.flows().get(&Plain(key), 0).ok().map(|entry| entry.0)
    }

    pub fn set_flow(&mut self, key: FlowKey, entry: FlowEntry) {
        self.flows().insert(Plain(key), Plain(entry), 0).expect("flow");
    }

    /// Every flow in the table.
    pub fn flow_keys(&mut self) -> Vec<FlowKey> {
        self.flows()
            .keys()
            .map(|key| key.expect("flow").0)
            .filter(|key| key.protocol != NOBODYS)
            .collect()
    }

    pub fn clear_flows(&mut self) {
        let mut flows = self.flows();
        let keys: Vec<_> = flows.keys().map(|key| key.expect("flow")).collect();
        for key in keys {
            flows.remove(&key).expect("flow");
        }
    }

    pub fn clear_fragments(&mut self) {
        let map = self.ebpf.map_mut(map_names::FRAGMENTS).expect("FRAGMENTS");
        let mut fragments: HashMap<_, Plain<FragmentKey>, Plain<FragmentWay>> =
            map.try_into().expect("FRAGMENTS");
        let keys: Vec<_> = fragments.keys().map(|key| key.expect("fragment")).collect();
        for key in keys {
            fragments.remove(&key).expect("fragment");
        }
    }

    /// Adds flows of nobody to an empty table until only `room` are left.
    pub fn fill_flows(&mut self, room: usize) {
        let owner = FlowOwner::new(0, 0, 0);
        let entry = FlowEntry { owner, seen: FlowSeen::new(0, FlowState::Open) };
        for i in room..FLOW_ENTRIES as usize {
            let mut key = FlowKey { protocol: NOBODYS, ..FlowKey::default() };
            key.source[..8].copy_from_slice(&i.to_ne_bytes());
            self.set_flow(key, entry);
        }
    }

    /// Fills all budgets.
    pub fn fill_budgets(&mut self) {
        let cpus = aya::util::nr_cpus().expect("the number of CPUs");
        let map = self.ebpf.map_mut(map_names::BUDGETS).expect("BUDGETS");
        let mut map = PerCpuArray::<_, [u64; 2]>::try_from(map).expect("BUDGETS");
        for budget in 0..Budget::COUNT as u32 {
            let full = PerCpuValues::try_from(vec![[0; 2]; cpus]).expect("one value per CPU");
            map.set(budget, full, 0).expect("budget");
        }
    }

    /// Counters, summed over the CPUs.
    pub fn totals(&mut self) -> Totals {
        let map = self.ebpf.map_mut(map_names::TOTALS).expect("TOTALS");
        let map = PerCpuArray::<_, [u64; TOTALS_LEN]>::try_from(map).expect("TOTALS");
        let sum = sum(map.get(&0, 0).expect("TOTALS").iter());
        // SAFETY: `Totals` is `repr(C)` and consists of TOTALS_LEN u64.
        unsafe { std::mem::transmute::<[u64; TOTALS_LEN], Totals>(sum) }
    }

    pub fn backend_counters(&mut self, id: u16) -> BackendCounters {
        let map = self.ebpf.map_mut(map_names::BACKEND_STATS).expect("BACKEND_STATS");
        let map =
            PerCpuArray::<_, [u64; BACKEND_COUNTERS_LEN]>::try_from(map).expect("BACKEND_STATS");
        BackendCounters::of_words(sum(map.get(&id.into(), 0).expect("BACKEND_STATS").iter()))
    }

    /// What the traffic says of a backend: unanswered, repeats, refused,
    /// unreachable, networks.
    pub fn evidence(&mut self, id: u16) -> [u64; 5] {
        let words = self.array::<[u64; 8]>(map_names::EVIDENCE).get(&id.into(), 0);
        let [unanswered, repeats, refused, unreachable, networks, ..] = words.expect("evidence");
        [unanswered, repeats, refused, unreachable, networks]
    }

    pub fn clear_evidence(&mut self, id: u16) {
        self.array::<[u64; 8]>(map_names::EVIDENCE)
            .set(id.into(), [0_u64; 8], 0)
            .expect("evidence");
    }

    /// Forgets the SYNs that were seen.
    pub fn clear_syns(&mut self) {
        let mut cells = self.array::<u64>(map_names::SYN_SKETCH);
        for index in 0..SYN_CELLS {
            if cells.get(&index, 0).expect("a cell") != 0 {
                cells.set(index, 0_u64, 0).expect("a cell");
            }
        }
    }

    pub fn set_nat_settings(&mut self, settings: NatSettings) {
        self.array(map_names::NAT_SETTINGS).set(0, Plain(settings), 0).expect("settings");
    }

    pub fn set_pool(&mut self, index: u32, pool: Pool) {
        self.array(map_names::POOLS).set(index, Plain(pool), 0).expect("pool");
    }

    /// The words of a table of translated flows.
    pub fn nat_table(&mut self, name: &str) -> Vec<u64> {
        let size = nat_bucket_words(name);
        (0..NAT_BUCKETS).flat_map(|index| self.nat_bucket(name, index, size)).collect()
    }

    fn nat_bucket(&mut self, name: &str, index: u32, words: usize) -> Vec<u64> {
        if words == NARROW_WORDS {
            self.array::<[u64; NARROW_WORDS]>(name).get(&index, 0).expect(name).to_vec()
        } else {
            self.array::<[u64; WIDE_WORDS]>(name).get(&index, 0).expect(name).to_vec()
        }
    }

    pub fn clear_nat_table(&mut self, name: &str) {
        let words = NAT_BUCKETS as usize * nat_bucket_words(name);
        self.set_nat_table(name, &vec![0; words]);
    }

    /// Overwrites a table of translated flows.
    pub fn set_nat_table(&mut self, name: &str, table: &[u64]) {
        let size = nat_bucket_words(name);
        for (index, bucket) in (0..).zip(table.chunks(size)) {
            if size == NARROW_WORDS {
                let bucket: [u64; NARROW_WORDS] = bucket.try_into().expect("a whole bucket");
                self.array::<[u64; NARROW_WORDS]>(name).set(index, bucket, 0).expect(name);
            } else {
                let bucket: [u64; WIDE_WORDS] = bucket.try_into().expect("a whole bucket");
                self.array::<[u64; WIDE_WORDS]>(name).set(index, bucket, 0).expect(name);
            }
        }
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut Xdp {
    ebpf.program_mut(name).expect(name).try_into().expect("an XDP program")
}

fn sum<'a, const N: usize>(per_cpu: impl Iterator<Item = &'a [u64; N]>) -> [u64; N] {
    let mut sum = [0; N];
    for values in per_cpu {
        for (total, value) in sum.iter_mut().zip(values) {
            *total += value;
        }
    }
    sum
}
