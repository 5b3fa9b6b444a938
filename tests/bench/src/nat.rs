//! Translated flows: the program opens them itself, by their handshakes, and
//! chooses where they leave from; the packets of backends are made from what
//! its tables then say.

use anyhow::{Context, Result, ensure};
use lb_common::abi::{
    NarrowBody, NarrowBucket, NatBody, NatBucket, NatMeta, NatSettings, NatState, Settings,
    WideBody, features, map_names,
};
use lb_common::hash::FlowWords;
use lb_common::nat::table::Table;
use lb_common::nat::{flow, table};
use lb_daemon::loader::MapSizes;

use crate::kernel::{Kernel, SIZES, Target};
use crate::mapped::Mapped;
use crate::packets::{self, flag};
use crate::pattern::{Ends, Pattern};
use crate::world::{Family, Group, Mode};

/// Flows that are opened at a time: less than the table of new flows holds.
const WINDOW: u32 = 1 << 16;
const FEW: u32 = 1 << 10;
/// Ticks, more than a run lasts.
const FOREVER: u32 = 1 << 30;
/// New flows that are measured come from addresses from here on.
const NEWCOMERS: u32 = 1 << 20;

/// A table of translated flows in mapped memory.
struct Lines<B> {
    memory: Mapped<NatBucket<B>>,
    buckets: u32,
}

impl<B> Lines<B> {
    fn of(kernel: &Kernel, name: &str, buckets: u32) -> Result<Self> {
        Ok(Self { memory: Mapped::of(kernel.map(name)?, buckets)?, buckets })
    }
}

impl<B: NatBody + Sync> Table for Lines<B> {
    type Body = B;

    fn buckets(&self) -> u32 {
        self.buckets
    }

    fn bucket(&self, index: u32) -> Option<&NatBucket<B>> {
        (index < self.buckets).then(|| self.memory.reference(index))
    }
}

/// The tables of one kind: of flows that both ends confirmed, and of new ones.
struct Kind<B> {
    main: Lines<B>,
    new: Lines<B>,
}

impl<B> Kind<B> {
    fn of(kernel: &Kernel, main: &str, new: &str, buckets: u32) -> Result<Self> {
        Ok(Self {
            main: Lines::of(kernel, main, buckets)?,
            new: Lines::of(kernel, new, MapSizes::new_flows(buckets))?,
        })
    }

    fn clear(&mut self) {
        self.main.memory.clear();
        self.new.memory.clear();
    }
}

pub struct Flows {
    narrow: Kind<NarrowBody>,
    wide: Kind<WideBody>,
    settings: NatSettings,
    program: Mapped<Settings>,
    /// The group whose flows the tables hold, by its first VIP, and how many.
    held: Option<(u32, u32)>,
}

impl Flows {
    pub fn new(kernel: &Kernel) -> Result<Self> {
        let settings = settings();
        Mapped::of(kernel.map(map_names::NAT_SETTINGS)?, 1)?.set(0, settings);
        let (narrow, wide) = (SIZES.narrow(), SIZES.wide());
        Ok(Self {
            narrow: Kind::of(kernel, map_names::NARROW, map_names::NARROW_NEW, narrow)?,
            wide: Kind::of(kernel, map_names::WIDE, map_names::WIDE_NEW, wide)?,
            settings,
            program: Mapped::of(kernel.map(map_names::SETTINGS)?, 1)?,
            held: None,
        })
    }

    /// Whether backends answer under their clients' addresses: only then are
    /// packets to strangers looked at twice.
    pub fn set_dnat(&mut self, on: bool) {
        let features = if on { features::DNAT } else { 0 };
        self.program.set(0, Settings { features, ..self.program.get(0) });
    }

    /// Has the tables hold `flows` established flows of the group and no others.
    pub fn hold(&mut self, kernel: &mut Kernel, group: &Group, flows: u32) -> Result<()> {
        self.set_dnat(group.mode == Mode::Dnat);
        if self.held == Some((group.first_vip(), flows)) {
            return Ok(());
        }
        self.forget();
        let window = flows.min(WINDOW);
        for first in (0..flows).step_by(window as usize) {
            let at = |pattern: Pattern| Pattern { next: first.into(), ..pattern };
            run(kernel, group.family, &mut at(self.opening(group, flows)), window)?;
            self.collect(kernel, group, flows)?;
            run(kernel, group.family, &mut at(self.replies(group, flows, flag::SYN)), window)?;
            run(kernel, group.family, &mut at(self.requests(group, flows)), window)?;
        }
        self.held = Some((group.first_vip(), flows));
        Ok(())
    }

    pub fn forget(&mut self) {
        self.narrow.clear();
        self.wide.clear();
        self.held = None;
    }

    /// Leaves only the flows that were held before those of `pattern` were
    /// opened.
    pub fn close(&self, group: &Group, pattern: &Pattern, flows: u32) -> Result<()> {
        for number in 0..flows {
            let key = packets::flow(group.family, pattern, number.into());
            let closed = match group.family {
                Family::V4 => close(&self.narrow, &self.settings, &key),
                Family::V6 => close(&self.wide, &self.settings, &key),
            };
            closed.context("a flow that was to be opened is not there")?;
        }
        Ok(())
    }

    /// First packets of the flows that are held.
    fn opening(&self, group: &Group, flows: u32) -> Pattern {
        let frame = packets::frame_with(group.family, flag::SYN);
        packets::pattern_of(&frame, group.family, flows, group.first_vip(), 1, Target::Balancer)
    }

    /// First packets of flows that are not held.
    pub fn newcomers(&self, group: &Group, flows: u32) -> Pattern {
        let pattern = self.opening(group, newcomers(flows));
        Pattern { first_source: pattern.first_source + NEWCOMERS, ..pattern }
    }

    pub fn requests(&self, group: &Group, flows: u32) -> Pattern {
        packets::pattern(group.family, flows, group.first_vip(), 1, Target::Balancer)
    }

    /// Backends' packets; with the ends that the map has for each.
    pub fn replies(&self, group: &Group, flows: u32, flags: u8) -> Pattern {
        let frame = packets::frame_with(group.family, flag::ACK | flags);
        let of = packets::pattern_of(&frame, group.family, flows, 0, 1, Target::Balancer);
        Pattern { given_ends: 1, ..of }
    }

    /// Learns the ends of the answers to flows that were just opened.
    fn collect(&self, kernel: &mut Kernel, group: &Group, flows: u32) -> Result<()> {
        let pattern = self.requests(group, flows);
        let found = match group.family {
            Family::V4 => collect(&self.narrow.new, kernel, &pattern),
            Family::V6 => collect(&self.wide.new, kernel, &pattern),
        };
        ensure!(found == flows.min(WINDOW), "{found} of {} flows opened", flows.min(WINDOW));
        Ok(())
    }

    /// The ends of a packet after translation, and the backend of its flow.
    pub fn translation(&self, family: Family, key: &FlowWords) -> Result<(FlowWords, u16)> {
        let found = match family {
            Family::V4 => find(&self.narrow, &self.settings, key),
            Family::V6 => find(&self.wide, &self.settings, key),
        };
        found.context("a flow that was to be there is not")
    }
}

/// New flows that one run opens beside `flows` established ones: as many, so
/// that the same memory is warm, but not so few that starting the run counts.
pub const fn newcomers(flows: u32) -> u32 {
    match flows {
        ..FEW => FEW,
        FEW..WINDOW => flows,
        WINDOW.. => WINDOW,
    }
}

/// Bytes of the tables for each flow that is IPv4 on both sides.
pub fn bytes_per_flow() -> f64 {
    let narrow = SIZES.narrow();
    let buckets = narrow as usize + MapSizes::new_flows(narrow) as usize;
    (buckets * size_of::<NarrowBucket>()) as f64 / f64::from(SIZES.nat_flows)
}

fn settings() -> NatSettings {
    NatSettings {
        key: [0x1122_3344_5566_7788, 0x99aa_bbcc_ddee_ff00],
        narrow: SIZES.narrow(),
        wide: SIZES.wide(),
        narrow_new: MapSizes::new_flows(SIZES.narrow()),
        wide_new: MapSizes::new_flows(SIZES.wide()),
        rest_client: FOREVER,
        rest_backend: FOREVER,
        rest_udp: FOREVER,
        guard: FOREVER,
        mixed: 0,
        least_mtu: 1500,
        ..NatSettings::default()
    }
}

fn run(kernel: &mut Kernel, family: Family, pattern: &mut Pattern, packets: u32) -> Result<()> {
    let frame = packets::frame(family);
    kernel.run(&frame, pattern, packets)?;
    Ok(())
}

fn collect<B: NatBody + Sync>(lines: &Lines<B>, kernel: &mut Kernel, pattern: &Pattern) -> u32 {
    let mut found = 0;
    for index in 0..lines.buckets {
        let bucket = lines.memory.reference(index);
        for (meta, body) in bucket.metas.iter().zip(&bucket.bodies) {
            // A confirmed flow stays here where the main table has no room.
            let is_new = NatMeta(meta.load()).state() == NatState::Opening;
            if is_new && body.rest().is_reverse() {
                let client = body.to().reversed();
                let index = packets::number_of(pattern, &client);
                kernel.ends.set(index, ends(&body.key()));
                found += 1;
            }
        }
    }
    found
}

fn find<B: NatBody + Sync>(
    kind: &Kind<B>,
    settings: &NatSettings,
    key: &FlowWords,
) -> Option<(FlowWords, u16)> {
    let tables = flow::Tables { main: &kind.main, new: &kind.new, settings, now: 0 };
    let found = tables.find(key, table::NatHash::of(key, settings.key))?;
    Some((found.line.body.to(), found.line.body.backend()))
}

/// Frees both lines of a flow.
fn close<B: NatBody + Sync>(kind: &Kind<B>, settings: &NatSettings, key: &FlowWords) -> Option<()> {
    let tables = flow::Tables { main: &kind.main, new: &kind.new, settings, now: 0 };
    let find = |key: &FlowWords| tables.find(key, table::NatHash::of(key, settings.key));
    let forward = find(key)?;
    let reverse = find(&forward.line.body.to().reversed())?;
    for line in [forward.line, reverse.line] {
        line.meta.store(0);
    }
    Some(())
}

/// Of IPv6 addresses the last 32 bits.
fn ends(key: &FlowWords) -> Ends {
    let last = |address: [u64; 2]| (address[1] >> 32) as u32;
    Ends {
        source: last(key.source),
        destination: last(key.destination),
        ports: key.ports as u32,
        reserved: 0,
    }
}
