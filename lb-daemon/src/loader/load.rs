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
    programs::{ProgramError, Xdp},
};
use lb_common::{
    abi::{ABI_VERSION, map_names},
    datapath::Next,
};

use super::{
    Attacher, Difference, MapSizes, PinDir, PreflightError,
    layout::{Shape, compare, layout},
    preflight,
    unload::{UnloadError, remove_pins},
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
const NEXT_PROGRAMS: [&str; Next::COUNT] = ["lb_nat", "lb_open", "lb_direct"];

/// Loads `object` onto the maps pinned in `pins`, or onto new ones. Programs
/// that are attached stay as they are until [`Attacher::attach`] swaps them.
pub fn load(object: &[u8], pins: &PinDir, sizes: MapSizes) -> Result<Loaded, LoadError> {
    preflight()?;
    let adopted = match look_at(pins, sizes)? {
        Found::Ours => true,
        Found::Nothing => false,
        Found::Unfinished => {
            remove_pins(pins)?;
            false
        }
    };
    let loaded = load_onto(object, pins, sizes);
    if loaded.is_err() && !adopted {
        // Half of a data path is of no use to anybody.
        remove_pins(pins)?;
    }
    Ok(Loaded { adopted, ..loaded? })
}

/// Onto what is pinned, creating what is missing.
fn load_onto(object: &[u8], pins: &PinDir, sizes: MapSizes) -> Result<Loaded, LoadError> {
    let pin_error = |source| LoadError::Pin { path: pins.path().to_owned(), source };
    pins.create().map_err(pin_error)?;
    let mut ebpf = create(object, pins, sizes)?;
    check_object(pins, sizes)?;
    let clock = load_program(&mut ebpf, CLOCK)?;
    let program = load_program(&mut ebpf, PROGRAM)?;
    load_next_programs(&mut ebpf)?;
    pin_program(&program, pins).map_err(pin_error)?;
    let attacher = Attacher::new(program, pins.clone());
    Ok(Loaded { adopted: false, attacher, clock, ebpf })
}

enum Found {
    Nothing,
    /// The maps of a daemon that died before it wrote its settings.
    Unfinished,
    Ours,
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
    let instance = pins.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    Err(LoadError::DoesNotFit { pins: pins.path().to_owned(), instance, differences })
}

/// The first word of the settings, whatever the rest of them is.
fn abi_version(pins: &PinDir) -> Option<u32> {
    let map = MapData::from_pin(pins.map(map_names::SETTINGS)).ok()?;
    let settings: Array<_, [u32; 16]> = Map::Array(map).try_into().ok()?;
    Some(settings.get(&0, 0).ok()?[0])
}

/// Creates the maps that are not there, and makes ready the programs.
fn create(object: &[u8], pins: &PinDir, sizes: MapSizes) -> Result<Ebpf, LoadError> {
    let mut loader = EbpfLoader::new();
    loader.map_max_entries(map_names::SLOTS, sizes.slots);
    loader.map_max_entries(map_names::OWNERS, sizes.owners());
    loader.map_max_entries(map_names::INSERT_FAILED, sizes.fail_stamps());
    loader.map_max_entries(map_names::FLOWS, sizes.flows);
    loader.map_max_entries(map_names::NARROW, sizes.narrow());
    loader.map_max_entries(map_names::NARROW_NEW, MapSizes::new_flows(sizes.narrow()));
    loader.map_max_entries(map_names::WIDE, sizes.wide());
    loader.map_max_entries(map_names::WIDE_NEW, MapSizes::new_flows(sizes.wide()));
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

fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<OwnedFd, LoadError> {
    let wrap = |source| explain(name, source);
    let program: &mut Xdp = ebpf
        .program_mut(name)
        .ok_or(LoadError::NoProgram(name))?
        .try_into()
        .map_err(|_| LoadError::NoProgram(name))?;
    program.load().map_err(wrap)?;
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
        load_program(ebpf, name)?;
        let program: &Xdp = ebpf
            .program(name)
            .ok_or(LoadError::NoProgram(name))?
            .try_into()
            .map_err(|_| LoadError::NoProgram(name))?;
        let fd = program.fd().and_then(|fd| Ok(fd.try_clone()?));
        loaded.push(fd.map_err(|source| explain(name, source))?);
    }
    let map = ebpf.map_mut(map_names::PROGRAMS).ok_or(LoadError::NoProgram("lb_nat"))?;
    let mut programs = ProgramArray::try_from(map).map_err(wrap)?;
    for (index, program) in (0..).zip(&loaded) {
        programs.set(index, program, 0).map_err(wrap)?;
    }
    Ok(())
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
