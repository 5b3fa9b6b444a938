//! The few commands of bpf(2) that aya has no call for: links (aya falls back
//! to an attachment that cannot be pinned), batches, test runs on a pinned
//! program, and lookup-and-delete.
//!
//! Each attribute struct is the part of the kernel's `union bpf_attr` that its
//! command reads; the kernel takes what is missing as zero.

use std::{
    ffi::CString,
    io,
    net::{Ipv4Addr, UdpSocket},
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

#[derive(Clone, Copy)]
#[repr(u32)]
enum Command {
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    ObjectPin = 6,
    ObjectGet = 7,
    ProgramTestRun = 10,
    ObjectInfo = 15,
    MapLookupAndDelete = 21,
    MapLookupBatch = 24,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkDetach = 34,
}

/// `BPF_NOEXIST`: fail with EEXIST where the key has a value.
pub const NO_EXIST: u64 = 1;

/// # Safety
/// `A` must be laid out as `command`'s part of `union bpf_attr`, and what it
/// points to must be valid for what the command does with it.
unsafe fn bpf<A>(command: Command, attributes: &mut A) -> io::Result<i32> {
    // SAFETY: the caller vouches for the attributes; size and pointer are theirs.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as u32, &raw mut *attributes, size_of::<A>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

#[repr(C)]
struct Element {
    map: u32,
    _padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

impl Element {
    fn new<K, V>(map: BorrowedFd<'_>, key: &K, value: *const V, flags: u64) -> Self {
        let key = std::ptr::from_ref(key) as u64;
        Self { map: map.as_raw_fd() as u32, _padding: 0, key, value: value as u64, flags }
    }
}

/// # Safety
/// `K` must be the map's key type and `V` its value type (for a per-CPU map:
/// an array of one value per possible CPU), valid for any bytes.
pub unsafe fn map_lookup<K, V: Default>(map: BorrowedFd<'_>, key: &K) -> io::Result<Option<V>> {
    // SAFETY: forwarded to the caller.
    unsafe { lookup_with(Command::MapLookup, map, key) }
}

/// Removes the value and returns it, as one step.
///
/// # Safety
/// As for [`map_lookup`].
pub unsafe fn map_take<K, V: Default>(map: BorrowedFd<'_>, key: &K) -> io::Result<Option<V>> {
    // SAFETY: forwarded to the caller.
    unsafe { lookup_with(Command::MapLookupAndDelete, map, key) }
}

unsafe fn lookup_with<K, V: Default>(
    command: Command,
    map: BorrowedFd<'_>,
    key: &K,
) -> io::Result<Option<V>> {
    let mut value = V::default();
    let mut element = Element::new(map, key, &raw mut value, 0);
    // SAFETY: the caller vouches that the sizes are the map's.
    found(unsafe { bpf(command, &mut element) }).map(|found| found.then_some(value))
}

/// # Safety
/// `K` and `V` must be the map's key and value types.
pub unsafe fn map_update<K, V>(
    map: BorrowedFd<'_>,
    key: &K,
    value: &V,
    flags: u64,
) -> io::Result<()> {
    let mut element = Element::new(map, key, value, flags);
    // SAFETY: the caller vouches that the sizes are the map's.
    unsafe { bpf(Command::MapUpdate, &mut element) }.map(drop)
}

/// Returns whether there was a value.
///
/// # Safety
/// `K` must be the map's key type.
pub unsafe fn map_delete<K>(map: BorrowedFd<'_>, key: &K) -> io::Result<bool> {
    let mut element = Element::new(map, key, std::ptr::null::<u8>(), 0);
    // SAFETY: the caller vouches that the size is the map's.
    found(unsafe { bpf(Command::MapDelete, &mut element) })
}

fn found(result: io::Result<i32>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

#[repr(C)]
struct Batch {
    resume_from: u64,
    resume_at: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Where a batched walk through a hash map goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchCursor(u32);

/// Fills `keys` and `values` from `from` on; returns how many there are and
/// where to go on, or `None` at the end of the map.
///
/// # Safety
/// `K` and `V` must be the key and value types of a hash map, valid for any bytes.
pub unsafe fn map_lookup_batch<K, V>(
    map: BorrowedFd<'_>,
    from: Option<BatchCursor>,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<(usize, Option<BatchCursor>)> {
    let start = from.map_or(0, |cursor| cursor.0);
    let mut next = 0_u32;
    let mut batch = Batch {
        resume_from: if from.is_some() { &raw const start as u64 } else { 0 },
        resume_at: &raw mut next as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: keys.len().min(values.len()) as u32,
        map: map.as_raw_fd() as u32,
        element_flags: 0,
        flags: 0,
    };
    // SAFETY: both buffers hold `count` elements; the caller vouches for their types.
    match found(unsafe { bpf(Command::MapLookupBatch, &mut batch) }) {
        Ok(true) => Ok((batch.count as usize, Some(BatchCursor(next)))),
        Ok(false) => Ok((batch.count as usize, None)),
        Err(error) => Err(error),
    }
}

#[repr(C)]
struct TestRun {
    program: u32,
    return_value: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

/// Runs an XDP program once on an empty Ethernet frame and returns its verdict.
pub fn test_run(program: BorrowedFd<'_>) -> io::Result<u32> {
    let frame = [0_u8; 64];
    let mut run = TestRun {
        program: program.as_raw_fd() as u32,
        return_value: 0,
        data_size_in: frame.len() as u32,
        data_size_out: 0,
        data_in: frame.as_ptr() as u64,
        data_out: 0,
        repeat: 1,
        duration: 0,
    };
    // SAFETY: the frame is as long as `data_size_in` says; no output is asked for.
    unsafe { bpf(Command::ProgramTestRun, &mut run) }?;
    Ok(run.return_value)
}

#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    hook: u32,
    flags: u32,
}

/// Where a program is attached: `enum bpf_attach_type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Hook {
    Connect4 = 10,
    Connect6 = 11,
    SendMsg4 = 14,
    SendMsg6 = 15,
    ReceiveMsg4 = 19,
    ReceiveMsg6 = 20,
    PeerName4 = 29,
    PeerName6 = 30,
    Xdp = 37,
    /// `BPF_TCX_EGRESS`, since 6.6 (e420bed02507).
    Egress = 47,
}

/// Attaches a program for as long as the link is held or pinned. `target`: an
/// interface's index, or the descriptor of a control group. `flags` of XDP: one
/// of `XDP_FLAGS_DRV_MODE` and `XDP_FLAGS_SKB_MODE`.
pub fn link_create(
    program: BorrowedFd<'_>,
    target: u32,
    hook: Hook,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut link =
        LinkCreate { program: program.as_raw_fd() as u32, target, hook: hook as u32, flags };
    // SAFETY: all fields are plain numbers. On success the result is a new descriptor.
    unsafe { bpf(Command::LinkCreate, &mut link).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

/// Puts another program into a link; no packet finds the interface without one.
pub fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut update = [link.as_raw_fd() as u32, program.as_raw_fd() as u32, 0, 0];
    // SAFETY: link, program, flags and expected program, all plain numbers.
    unsafe { bpf(Command::LinkUpdate, &mut update) }.map(drop)
}

/// Detaches a link at once, whoever else holds it.
pub fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut detach = link.as_raw_fd() as u32;
    // SAFETY: a plain number.
    unsafe { bpf(Command::LinkDetach, &mut detach) }.map(drop)
}

/// What the kernel says of a link to an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct LinkInfo {
    pub kind: u32,
    pub id: u32,
    pub program_id: u32,
    _padding: u32,
    /// 0: the interface is gone.
    pub ifindex: u32,
    _reserved: [u32; 27],
}

#[repr(C)]
struct Info {
    object: u32,
    length: u32,
    info: u64,
}

pub fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut result = LinkInfo::default();
    let mut info = Info {
        object: link.as_raw_fd() as u32,
        length: size_of::<LinkInfo>() as u32,
        info: &raw mut result as u64,
    };
    // SAFETY: the kernel writes at most `length` bytes of integers into the result.
    unsafe { bpf(Command::ObjectInfo, &mut info) }?;
    Ok(result)
}

#[repr(C)]
struct Pin {
    path: u64,
    object: u32,
    flags: u32,
}

pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut pin = Pin { path: path.as_ptr() as u64, object: object.as_raw_fd() as u32, flags: 0 };
    // SAFETY: the path is a C string that outlives the call.
    unsafe { bpf(Command::ObjectPin, &mut pin) }.map(drop)
}

pub fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut pin = Pin { path: path.as_ptr() as u64, object: 0, flags: 0 };
    // SAFETY: the path is a C string that outlives the call; the result is a new descriptor.
    unsafe { bpf(Command::ObjectGet, &mut pin).map(|fd: RawFd| OwnedFd::from_raw_fd(fd)) }
}

/// The number by which programs know the calling thread's network namespace.
pub fn network_namespace() -> io::Result<u64> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (mut cookie, mut length) = (0_u64, size_of::<u64>() as libc::socklen_t);
    // SAFETY: the kernel writes at most `length` bytes into the cookie.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

/// Since 5.14 (e8b9eab99232).
const SO_NETNS_COOKIE: libc::c_int = 71;
