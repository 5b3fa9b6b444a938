//! The real data plane: pinned maps.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::atomic::Ordering,
};

use aya::{
    Pod,
    maps::{Map, MapData, MapError, MapInfo, PerCpuArray},
};
use lb_common::abi::{
    Backend, BackendCounters, EVIDENCE_LEN, FlowEntry, FlowKey, FlowOwner, FlowSeen, NatSettings,
    Pool, PortBucket, PortEntry, Service, Settings, TOTALS_LEN, Totals, VIP_WAYS, VipBucket,
    VipEntry, backend_flags, map_names,
};

use super::{
    BackendStats, BatchCursor, Clock, ClockError, DataPlane, Evidence, Place, Ticks,
    mmap::{Mapped, Words, to_words},
};
use crate::{
    loader::PinDir,
    sys::{self, NO_EXIST},
};

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path}: {source}")]
    Map { path: PathBuf, source: MapError },
    #[error("{path} cannot be mapped into memory: {source}")]
    Mmap { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Clock(#[from] ClockError),
}

pub struct Kernel {
    clock: Clock,
    settings: Mapped<Settings>,
    nat_settings: Mapped<NatSettings>,
    pools: Mapped<Pool>,
    vips: Mapped<VipBucket>,
    ports: Mapped<PortBucket>,
    services: Mapped<Service>,
    backends: Mapped<Backend>,
    evidence: Mapped<[u64; EVIDENCE_LEN]>,
    flows: MapData,
    flow_capacity: u32,
    totals: PerCpuArray<MapData, [u64; TOTALS_LEN]>,
    backend_stats: BackendStats,
}

const POOL_WORDS: usize = size_of::<Pool>() / 8;
/// Entries asked for at once; a bucket of the hash must fit.
const SCAN_BATCH: usize = 4096;

impl Kernel {
    /// Opens the maps that [`load`](crate::loader::load) has compared and
    /// pinned. `clock`: the program that it returned.
    pub fn open(pins: &PinDir, clock: OwnedFd) -> Result<Self, OpenError> {
        let settings: Mapped<Settings> = open_mapped(pins, map_names::SETTINGS)?;
        let known = Ticks::new(settings.load(0).ticks_per_second);
        let (flows, info) = open_map(pins, map_names::FLOWS)?;
        Ok(Self {
            clock: Clock::new(clock, known)?,
            settings,
            nat_settings: open_mapped(pins, map_names::NAT_SETTINGS)?,
            pools: open_mapped(pins, map_names::POOLS)?,
            vips: open_mapped(pins, map_names::VIPS)?,
            ports: open_mapped(pins, map_names::PORTS)?,
            services: open_mapped(pins, map_names::SERVICES)?,
            backends: open_mapped(pins, map_names::BACKENDS)?,
            evidence: open_mapped(pins, map_names::EVIDENCE)?,
            flows,
            flow_capacity: info.max_entries(),
            totals: open_per_cpu(pins, map_names::TOTALS)?,
            backend_stats: BackendStats::open(pins)?,
        })
    }

    /// The same clock, for another thread.
    pub fn clock(&self) -> io::Result<Clock> {
        self.clock.try_clone()
    }

    fn flows(&self) -> BorrowedFd<'_> {
        self.flows.fd().as_fd()
    }
}

pub fn open_map(pins: &PinDir, name: &str) -> Result<(MapData, MapInfo), OpenError> {
    let path = pins.map(name);
    let wrap = |source| OpenError::Map { path: path.clone(), source };
    let data = MapData::from_pin(&path).map_err(wrap)?;
    let info = data.info().map_err(wrap)?;
    Ok((data, info))
}

pub(super) fn open_mapped<T: Words>(pins: &PinDir, name: &str) -> Result<Mapped<T>, OpenError> {
    let (data, info) = open_map(pins, name)?;
    Mapped::new(data.fd(), info.max_entries())
        .map_err(|source| OpenError::Mmap { path: pins.map(name), source })
}

pub(super) fn open_per_cpu<V: Pod>(
    pins: &PinDir,
    name: &str,
) -> Result<PerCpuArray<MapData, V>, OpenError> {
    let (data, _) = open_map(pins, name)?;
    Map::PerCpuArray(data)
        .try_into()
        .map_err(|source| OpenError::Map { path: pins.map(name), source })
}

pub(super) fn sum<const N: usize>(
    array: &PerCpuArray<MapData, [u64; N]>,
    index: u32,
) -> io::Result<[u64; N]>
where
    [u64; N]: Pod,
{
    let mut sum = [0_u64; N];
    for cpu in array.get(&index, 0).map_err(io::Error::other)?.iter() {
        for (total, value) in sum.iter_mut().zip(cpu) {
            *total = total.wrapping_add(*value);
        }
    }
    Ok(sum)
}

impl DataPlane for Kernel {
    fn now(&mut self) -> io::Result<u64> {
        self.clock.now()
    }

    fn ticks(&self) -> Ticks {
        self.clock.ticks()
    }

    fn settings(&self) -> Settings {
        self.settings.load(0)
    }

    fn set_settings(&mut self, settings: &Settings) {
        self.settings.store::<8>(0, settings);
    }

    fn nat_settings(&self) -> NatSettings {
        self.nat_settings.load(0)
    }

    fn set_nat_settings(&mut self, settings: &NatSettings) {
        self.nat_settings.store::<8>(0, settings);
    }

    fn pool(&self, index: u16) -> Pool {
        self.pools.load(index.into())
    }

    fn set_pool(&mut self, index: u16, pool: &Pool) {
        self.pools.store::<POOL_WORDS>(index.into(), pool);
    }

    fn service(&self, id: u16) -> Service {
        self.services.load(id.into())
    }

    fn set_service(&mut self, id: u16, service: &Service) {
        self.services.store::<16>(id.into(), service);
    }

    fn backend(&self, id: u16) -> Backend {
        self.backends.load(id.into())
    }

    fn set_backend(&mut self, id: u16, backend: &Backend) {
        let old = to_words::<_, 8>(&self.backend(id));
        if old[1..] != to_words::<_, 8>(backend)[1..] {
            let flags = self.backend(id).flags & !backend_flags::RESOLVED;
            self.set_backend_flags(id, flags);
        }
        self.backends.store::<8>(id.into(), backend);
    }

    fn set_backend_flags(&mut self, id: u16, flags: u32) {
        let first_word = to_words::<_, 8>(&Backend { flags, ..self.backend(id) })[0];
        self.backends.words(id.into())[0].store(first_word, Ordering::Release);
    }

    fn vip_bucket(&self, index: u32) -> VipBucket {
        self.vips.load(index)
    }

    fn set_vip(&mut self, place: Place, entry: &VipEntry) {
        let per_entry = VipEntry::COUNT;
        let words = self.vips.words(place.bucket);
        assert!(usize::from(place.way) < VIP_WAYS);
        let words = &words[usize::from(place.way) * per_entry..][..per_entry];
        let [address_0, address_1, meta, reserved] = to_words(entry);
        if !entry.used() {
            words[2].store(meta, Ordering::Release);
        }
        words[0].store(address_0, Ordering::Release);
        words[1].store(address_1, Ordering::Release);
        words[3].store(reserved, Ordering::Release);
        words[2].store(meta, Ordering::Release);
    }

    fn port_bucket(&self, index: u32) -> PortBucket {
        self.ports.load(index)
    }

    fn set_port(&mut self, place: Place, entry: PortEntry) {
        self.ports.words(place.bucket)[usize::from(place.way)].store(entry.0, Ordering::Release);
    }

    fn totals(&self) -> io::Result<Totals> {
        let words = sum(&self.totals, 0)?;
        let [received, forwarded, passed, looked_up, stored, store_failed, rest @ ..] = words;
        let (answers, dropped) = rest.split_at(8);
        Ok(Totals {
            received,
            forwarded,
            passed,
            looked_up,
            stored,
            store_failed,
            answers: answers.try_into().expect("the layout has 8 answers"),
            dropped: dropped.try_into().expect("the rest are the drop reasons"),
        })
    }

    fn backend_counters(&self, id: u16) -> io::Result<BackendCounters> {
        self.backend_stats.read(id)
    }

    fn clear_backend_counters(&mut self, id: u16) -> io::Result<()> {
        for word in self.evidence.words(id.into()) {
            word.store(0, Ordering::Release);
        }
        self.backend_stats.clear(id)
    }

    fn evidence(&self, id: u16) -> Evidence {
        let words = self.evidence.words(id.into());
        // The order of the fields of `abi::Evidence`.
        let [unanswered, repeats, refused, unreachable] =
            [0, 1, 2, 3].map(|index| words[index].load(Ordering::Acquire));
        Evidence { unanswered, repeats, refused, unreachable }
    }

    fn take_networks(&mut self, id: u16) -> u64 {
        let networks = &self.evidence.words(id.into())[4];
        // Most have none; to write would take the line from the data path's CPUs.
        match networks.load(Ordering::Acquire) {
            0 => 0,
            _ => networks.swap(0, Ordering::AcqRel),
        }
    }

    fn flow_capacity(&self) -> u32 {
        self.flow_capacity
    }

    fn scan_flows(
        &self,
        from: Option<BatchCursor>,
        into: &mut Vec<(FlowKey, FlowEntry)>,
    ) -> io::Result<Option<BatchCursor>> {
        let mut keys = vec![FlowKey::default(); SCAN_BATCH];
        let mut values = vec![[0_u64; 2]; SCAN_BATCH];
        // SAFETY: the layout of FLOWS has been compared with these types' sizes.
        let (count, next) =
            unsafe { sys::map_lookup_batch(self.flows(), from, &mut keys, &mut values) }?;
        into.extend(keys.into_iter().zip(values.into_iter().map(entry)).take(count));
        Ok(next)
    }

    fn flow(&self, key: &FlowKey) -> io::Result<Option<FlowEntry>> {
        // SAFETY: as in `scan_flows`.
        Ok(unsafe { sys::map_lookup(self.flows(), key) }?.map(entry))
    }

    fn delete_flow(&mut self, key: &FlowKey) -> io::Result<()> {
        // SAFETY: as in `scan_flows`.
        unsafe { sys::map_delete(self.flows(), key) }.map(drop)
    }

    fn take_flow(&mut self, key: &FlowKey) -> io::Result<Option<FlowEntry>> {
        // SAFETY: as in `scan_flows`.
        Ok(unsafe { sys::map_take(self.flows(), key) }?.map(entry))
    }

    fn insert_flow(&mut self, key: &FlowKey, entry: &FlowEntry) -> io::Result<bool> {
        // SAFETY: as in `scan_flows`.
        match unsafe { sys::map_update(self.flows(), key, entry, NO_EXIST) } {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn entry([owner, seen]: [u64; 2]) -> FlowEntry {
    FlowEntry { owner: FlowOwner(owner), seen: FlowSeen(seen) }
}
