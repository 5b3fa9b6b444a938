//! Tables of translated flows of another size.
//!
//! Only two programs know these tables, and packets reach them through the map
//! of programs: so others can take their place with nothing attached anew. The
//! new tables and the programs on them are made ready first. Then the old
//! programs are taken out of the map (for as long as a few stores take, packets
//! of these services are dropped and counted), sizes are told, the new programs
//! put in, and the pins replaced one by one. A daemon that dies in between leaves
//! pins of both sizes, which the next one finds to be of the wrong size, and
//! replaces when they are empty.

use std::{fs, io};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, MapInfo, ProgramArray},
};
use lb_common::{abi::map_names, datapath::Next};

use super::{
    LoadError, MapSizes, PinDir,
    layout::{Shape, compare, layout},
    load::{NEXT_PROGRAMS, load_next_program},
};
use crate::sys;

/// Maps that hold translated flows.
pub const TABLES: [&str; 4] =
    [map_names::NARROW, map_names::NARROW_NEW, map_names::WIDE, map_names::WIDE_NEW];

/// Programs that know them.
const USERS: [Next; 2] = [Next::Open, Next::Nat];

/// Tables and programs that no packet sees yet.
pub struct NewTables {
    ebpf: Ebpf,
    sizes: MapSizes,
}

impl std::fmt::Debug for NewTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tables for {:?}", self.sizes)
    }
}

impl NewTables {
    /// Makes them; takes as long as the kernel looks at the programs.
    pub fn prepare(object: &[u8], pins: &PinDir, sizes: MapSizes) -> Result<Self, LoadError> {
        let mut loader = EbpfLoader::new();
        sizes.tell(&mut loader);
        for (name, _) in layout(sizes) {
            if !TABLES.contains(&name) {
                loader.map_pin_path(name, pins.map(name));
            }
        }
        let mut ebpf = loader.load(object)?;
        let mut differences = Vec::new();
        for (name, expected) in layout(sizes).into_iter().filter(|(name, _)| TABLES.contains(name))
        {
            let info = table(&ebpf, name)?.info();
            let info = info.map_err(|source| LoadError::Map { map: name, source })?;
            differences.extend(compare(name, &Shape::from(&info), &expected));
        }
        if !differences.is_empty() {
            return Err(LoadError::ForeignObject { differences });
        }
        for next in USERS {
            load_next_program(&mut ebpf, NEXT_PROGRAMS[next as usize])?;
        }
        Ok(Self { ebpf, sizes })
    }

    /// Packets see them from now on, and the former ones go with the last who
    /// holds them. What is returned holds the programs' log.
    pub fn put_in_place(self, pins: &PinDir) -> Result<Ebpf, LoadError> {
        let Self { mut ebpf, sizes } = self;
        take_out(&mut ebpf)?;
        tell_sizes(&mut ebpf, sizes)?;
        for next in USERS {
            let program = load_next_program(&mut ebpf, NEXT_PROGRAMS[next as usize])?;
            programs(&mut ebpf)?
                .set(next as u32, &program, 0)
                .map_err(|source| LoadError::Map { map: map_names::PROGRAMS, source })?;
        }
        for name in TABLES {
            repin(table(&ebpf, name)?, pins, name)
                .map_err(|source| LoadError::Pin { path: pins.map(name), source })?;
        }
        Ok(ebpf)
    }
}

fn table<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a MapData, LoadError> {
    match ebpf.map(name) {
        Some(Map::Array(data)) => Ok(data),
        _ => Err(LoadError::NoMap(name)),
    }
}

fn programs(ebpf: &mut Ebpf) -> Result<ProgramArray<&mut MapData>, LoadError> {
    let map = ebpf.map_mut(map_names::PROGRAMS).ok_or(LoadError::NoMap(map_names::PROGRAMS))?;
    map.try_into().map_err(|source| LoadError::Map { map: map_names::PROGRAMS, source })
}

/// Packets of services that translate are dropped from now on.
pub(super) fn take_out(ebpf: &mut Ebpf) -> Result<(), LoadError> {
    let mut programs = programs(ebpf)?;
    for next in USERS {
        // One that is not there is out.
        let _ = programs.clear_index(&(next as u32));
    }
    Ok(())
}

/// Tells the data path how many buckets there are.
pub(super) fn tell_sizes(ebpf: &mut Ebpf, sizes: MapSizes) -> Result<(), LoadError> {
    let wrap = |source| LoadError::Map { map: map_names::NAT_SETTINGS, source };
    let map = ebpf.map_mut(map_names::NAT_SETTINGS);
    let map = map.ok_or(LoadError::NoMap(map_names::NAT_SETTINGS))?;
    let mut settings: Array<_, [u64; 8]> = map.try_into().map_err(wrap)?;
    let mut words = settings.get(&0, 0).map_err(wrap)?;
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let (narrow, wide) = (sizes.narrow(), sizes.wide());
    words[2] = pair(narrow, wide);
    words[3] = pair(MapSizes::new_flows(narrow), MapSizes::new_flows(wide));
    settings.set(0, words, 0).map_err(wrap)
}

/// In one step: whoever opens the pin gets the one or the other.
fn repin(map: &MapData, pins: &PinDir, name: &str) -> io::Result<()> {
    let next = pins.map(&format!("{name}-next"));
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    sys::pin(std::os::fd::AsFd::as_fd(map.fd()), &next)?;
    fs::rename(next, pins.map(name))
}

/// The sizes of the tables that are pinned, in place of those in `sizes`.
pub(super) fn sizes_of_pinned(pins: &PinDir, sizes: MapSizes) -> Result<MapSizes, LoadError> {
    let buckets = |name| {
        let info = MapInfo::from_pin(pins.map(name));
        info.map(|info| info.max_entries()).map_err(|source| LoadError::Map { map: name, source })
    };
    Ok(sizes.with_buckets(buckets(map_names::NARROW)?, buckets(map_names::WIDE)?))
}
