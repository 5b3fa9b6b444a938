//! Maps and program into the kernel: new ones, or a new program onto the maps
//! that an earlier daemon left.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Array, Map, MapData, MapError, MapInfo, ProgramArray},
    programs::{ProgramError, ProgramFd, Xdp},
};
use lb_common::{
    abi::{ABI_VERSION, map_names},
    datapath::Next,
};

use super::{
    Attacher, Difference, MapSizes, PinDir, PreflightError,
    layout::{Shape, compare, layout},
    preflight,
    tables::{TABLES, sizes_of_pinned, take_out, tell_sizes},
    unload::{UnloadError, remove_pins},
};
use crate::{
    dataplane::{Clock, OpenError, Ticks},
    nat::NatTables,
};

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    #[error(
        "the maps in {pins} do not fit this version or configuration:{}\nForwarding goes on as it \
         is. To change over, run `lb-daemon unload --instance {instance}` and start again: every \
         flow is then assigned anew, and connections of backends that changed break",
        lines(differences)
    )]
    DoesNotFit { pins: PathBuf, instance: String, differences: Vec<Difference> },
    #[error(
        "the eBPF object and the daemon are not from the same build:{}\nBuild both with `cargo \
         xtask build`",
        lines(differences)
    )]
    ForeignObject { differences: Vec<Difference> },
    #[error("the eBPF object has no map `{0}`: build it with `cargo xtask build`")]
    NoMap(&'static str),
    #[error("the eBPF object has no XDP program `{0}`: build it with `cargo xtask build`")]
    NoProgram(&'static str),
    #[error("the eBPF object cannot be loaded: {0}")]
    Object(#[from] EbpfError),
    #[error(
        "the kernel's verifier rejects program `{program}` ({source}). Its last words:\n{log}\n\
         Please report them with the kernel's version (uname -r)"
    )]
    Rejected { program: &'static str, source: io::Error, log: String },
    #[error("program `{program}` cannot be loaded: {source}")]
    Program { program: &'static str, source: ProgramError },
    #[error("{path}: {source}")]
    Pin { path: PathBuf, source: io::Error },
    #[error("map {map}: {source}")]
    Map { map: &'static str, source: MapError },
    #[error(transparent)]
    Tables(Box<OpenError>),
    #[error(transparent)]
    Unload(#[from] UnloadError),
}

fn lines(differences: &[Difference]) -> String {
    differences.iter().map(|difference| format!("\n  {difference}")).collect()
}

/// The data path in the kernel.
#[derive(Debug)]
pub struct Loaded {
    /// Whether an earlier daemon's maps were taken over.
    pub adopted: bool,
    /// Tables of translated flows that were to be of another size hold flows and
    /// stay as they are.
    pub kept_tables: bool,
    pub attacher: Attacher,
    /// The program whose verdict is the clock.
    pub clock: OwnedFd,
    /// For the logger: holds the program's own ring buffer.
    pub ebpf: Ebpf,
}

const PROGRAM: &str = "lb_xdp";
const CLOCK: &str = "lb_clock";
/// The number of this network namespace, for programs on sockets.
const NETWORK_NAMESPACE: &str = "NETWORK_NAMESPACE";
/// In the order of [`Next`](lb_common::datapath::Next).
pub(super) const NEXT_PROGRAMS: [&str; Next::COUNT] =
    ["lb_nat", "lb_open", "lb_direct", "lb_fragment", "lb_probe_answer"];

/// Loads `object` onto the maps pinned in `pins`, or onto new ones. Programs
/// that are attached stay as they are until [`Attacher::attach`] swaps them.
pub fn load(object: &[u8], pins: &PinDir, sizes: MapSizes) -> Result<Loaded, LoadError> {
    preflight()?;
    let (mut sizes, mut kept_tables, mut new_tables) = (sizes, false, false);
    let adopted = match look_at(pins, sizes)? {
        Found::Ours => true,
        Found::OtherTables if are_empty(pins)? => {
            new_tables = true;
            true
        }
        Found::OtherTables => {
            sizes = sizes_of_pinned(pins, sizes)?;
            kept_tables = true;
            true
        }
        Found::Nothing => false,
        Found::Unfinished => {
            remove_pins(pins)?;
            false
        }
    };
    if new_tables {
        for name in TABLES {
            let path = pins.map(name);
            fs::remove_file(&path).map_err(|source| LoadError::Pin { path, source })?;
        }
    }
    let loaded = load_onto(object, pins, sizes, new_tables);
    if loaded.is_err() && !adopted {
        // Half of a data path is of no use to anybody.
        remove_pins(pins)?;
    }
    Ok(Loaded { adopted, kept_tables, ..loaded? })
}

/// Onto what is pinned, creating what is missing. `new_tables`: those of
/// translated flows, while programs that know others are in use.
fn load_onto(
    object: &[u8],
    pins: &PinDir,
    sizes: MapSizes,
    new_tables: bool,
) -> Result<Loaded, LoadError> {
    let pin_error = |source| LoadError::Pin { path: pins.path().to_owned(), source };
    pins.create().map_err(pin_error)?;
    let mut ebpf = create(object, pins, sizes)?;
    check_object(pins, sizes)?;
    let clock = load_program(&mut ebpf, CLOCK)?;
    let program = load_program(&mut ebpf, PROGRAM)?;
    if new_tables {
        take_out(&mut ebpf)?;
        tell_sizes(&mut ebpf, sizes)?;
    }
    load_next_programs(&mut ebpf)?;
    pin_program(&program, pins).map_err(pin_error)?;
    let attacher = Attacher::new(program, pins.clone());
    Ok(Loaded { adopted: false, kept_tables: false, attacher, clock, ebpf })
}

enum Found {
    Nothing,
    /// The maps of a daemon that died before it wrote its settings.
    Unfinished,
    Ours,
    /// Tables of translated flows are of another size.
    OtherTables,
}

/// Compares what is pinned with what is needed.
fn look_at(pins: &PinDir, sizes: MapSizes) -> Result<Found, LoadError> {
    let entries =
        pins.entries().map_err(|source| LoadError::Pin { path: pins.path().to_owned(), source })?;
    if entries.is_empty() {
        return Ok(Found::Nothing);
    }
    let mut differences = Vec::new();
    for (name, expected) in layout(sizes) {
        match MapInfo::from_pin(pins.map(name)) {
            Ok(info) => differences.extend(compare(name, &Shape::from(&info), &expected)),
            Err(_) => differences.push(Difference {
                map: name.to_owned(),
                what: "map",
                found: "missing".to_owned(),
                expected: "it".to_owned(),
            }),
        }
    }
    match abi_version(pins) {
        Some(ABI_VERSION) => {}
        Some(0) | None if !entries.iter().any(|name| name.starts_with("link-")) => {
            return Ok(Found::Unfinished);
        }
        other => differences.push(Difference {
            map: map_names::SETTINGS.to_owned(),
            what: "layout version",
            found: other.map_or("unreadable".to_owned(), |version| version.to_string()),
            expected: ABI_VERSION.to_string(),
        }),
    }
    if differences.is_empty() {
        return Ok(Found::Ours);
    }
    if differences.iter().all(Difference::is_size_of_tables) {
        return Ok(Found::OtherTables);
    }
    let instance = pins.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    Err(LoadError::DoesNotFit { pins: pins.path().to_owned(), instance, differences })
}

/// The first word of the settings, whatever the rest of them is.
fn abi_version(pins: &PinDir) -> Option<u32> {
    Some(settings(pins)?[0])
}

/// Clock ticks, as the daemon before has measured them.
fn per_second(pins: &PinDir) -> Option<Ticks> {
    Ticks::new(settings(pins)?[1])
}

fn settings(pins: &PinDir) -> Option<[u32; 16]> {
    let map = MapData::from_pin(pins.map(map_names::SETTINGS)).ok()?;
    let settings: Array<_, [u32; 16]> = Map::Array(map).try_into().ok()?;
    settings.get(&0, 0).ok()
}

/// Creates the maps that are not there, and makes ready the programs.
fn create(object: &[u8], pins: &PinDir, sizes: MapSizes) -> Result<Ebpf, LoadError> {
    let mut loader = EbpfLoader::new();
    sizes.tell(&mut loader);
    // A kernel that does not know has no programs on sockets either.
    let namespace = crate::sys::network_namespace().unwrap_or(0);
    loader.override_global(NETWORK_NAMESPACE, &namespace, true);
    for (name, _) in layout(sizes) {
        loader.map_pin_path(name, pins.map(name));
    }
    Ok(loader.load(object)?)
}

/// Whether the object made the maps that this daemon expects.
fn check_object(pins: &PinDir, sizes: MapSizes) -> Result<(), LoadError> {
    let mut differences = Vec::new();
    for (name, expected) in layout(sizes) {
        let info = MapInfo::from_pin(pins.map(name))
            .map_err(|source| LoadError::Map { map: name, source })?;
        differences.extend(compare(name, &Shape::from(&info), &expected));
    }
    if differences.is_empty() { Ok(()) } else { Err(LoadError::ForeignObject { differences }) }
}

/// A program, which may be loaded already.
pub(super) fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<OwnedFd, LoadError> {
    let wrap = |source| explain(name, source);
    let program: &mut Xdp = ebpf
        .program_mut(name)
        .ok_or(LoadError::NoProgram(name))?
        .try_into()
        .map_err(|_| LoadError::NoProgram(name))?;
    if program.fd().is_err() {
        program.load().map_err(wrap)?;
    }
    let fd = program.fd().map_err(wrap)?.as_fd().try_clone_to_owned();
    fd.map_err(|source| LoadError::Pin { path: name.into(), source })
}

/// Loads the programs that packets are handed to, and puts them in their
/// places. The program that is still attached hands packets to them, too: the
/// layout of what is handed over is part of what was compared.
fn load_next_programs(ebpf: &mut Ebpf) -> Result<(), LoadError> {
    let wrap = |source| LoadError::Map { map: map_names::PROGRAMS, source };
    let mut loaded = Vec::new();
    for name in NEXT_PROGRAMS {
        loaded.push(load_next_program(ebpf, name)?);
    }
    let map = ebpf.map_mut(map_names::PROGRAMS).ok_or(LoadError::NoProgram("lb_nat"))?;
    let mut programs = ProgramArray::try_from(map).map_err(wrap)?;
    for (index, program) in (0..).zip(&loaded) {
        programs.set(index, program, 0).map_err(wrap)?;
    }
    Ok(())
}

/// One of the programs that packets are handed to, which may be loaded already.
pub(super) fn load_next_program(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<ProgramFd, LoadError> {
    let program: &mut Xdp = ebpf
        .program_mut(name)
        .ok_or(LoadError::NoProgram(name))?
        .try_into()
        .map_err(|_| LoadError::NoProgram(name))?;
    if program.fd().is_err() {
        program.load().map_err(|source| explain(name, source))?;
    }
    let fd = program.fd().and_then(|fd| Ok(fd.try_clone()?));
    fd.map_err(|source| explain(name, source))
}

/// Whether no translated flow lives and no port rests.
fn are_empty(pins: &PinDir) -> Result<bool, LoadError> {
    let tables = NatTables::open(pins).map_err(|source| LoadError::Tables(Box::new(source)))?;
    Ok(tables.is_empty(Clock::estimate(per_second(pins))))
}

/// Lines of the verifier's log that are worth showing.
const LOG_LINES: usize = 12;

pub(super) fn explain(program: &'static str, error: ProgramError) -> LoadError {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => LoadError::Rejected {
            program,
            source: io_error,
            log: last_lines(&verifier_log.to_string(), LOG_LINES),
        },
        source => LoadError::Program { program, source },
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(count);
    lines[from..].iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Replaces the pinned program in one step.
fn pin_program(program: &OwnedFd, pins: &PinDir) -> io::Result<()> {
    let next = pins.next_program();
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    crate::sys::pin(program.as_fd(), &next)?;
    fs::rename(next, pins.program())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_verifiers_log_is_shown() {
        let log = (1..=20).map(|n| format!("line {n}\n\n")).collect::<String>();
        assert_eq!(last_lines(&log, 2), "  line 19\n  line 20");
    }
}
