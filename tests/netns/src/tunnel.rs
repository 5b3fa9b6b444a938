//! The end of IP-in-IP tunnels on a backend, in user space: many kernels come without
//! the modules `ipip` and `ip6_tunnel`. What raw sockets receive inside of tunnel packets
//! goes to a tun interface, from where the kernel takes it like any packet.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use lb_test_lab::Host;

const DEVICE: &[u8] = b"tun0";

/// Unwraps tunnel packets until it is dropped.
pub struct TunnelEnd {
    stop: Arc<AtomicBool>,
    unwrapped: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl TunnelEnd {
    pub fn start(host: &Host) -> Self {
        let tun = Arc::new(host.enter(open_tun).expect("the host is there").expect("tun works"));
        host.ip("link set tun0 up").unwrap();
        // The way back to the client is not through the tunnel: deploy/sysctl/backend-ipip.conf.
        host.sysctl(&["net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.tun0.rp_filter=0"]).unwrap();
        let mut end = Self { stop: Arc::default(), unwrapped: Arc::default(), threads: Vec::new() };
        for outer in [libc::AF_INET, libc::AF_INET6] {
            for inner in [libc::IPPROTO_IPIP, libc::IPPROTO_IPV6] {
                let socket = host.enter(|| raw_socket(outer, inner)).expect("the host is there");
                let socket = socket.expect("raw sockets work");
                let (tun, stop, count) = (tun.clone(), end.stop.clone(), end.unwrapped.clone());
                end.threads.push(thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        unwrap_one(&socket, outer, &tun, &count);
                    }
                }));
            }
        }
        end
    }

    /// How many packets came through tunnels.
    pub fn unwrapped(&self) -> usize {
        self.unwrapped.load(Ordering::Relaxed)
    }
}

impl Drop for TunnelEnd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Waits a little for a packet, and hands on what is inside.
fn unwrap_one(mut socket: &File, outer: i32, mut tun: &File, count: &AtomicUsize) {
    let mut packet = [0; 2048];
    let Ok(length) = socket.read(&mut packet) else { return };
    // IPv4 raw sockets receive the outer header too, IPv6 ones do not.
    let header = if outer == libc::AF_INET { usize::from(packet[0] & 15) * 4 } else { 0 };
    if tun.write(&packet[header..length]).is_ok() {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn open_tun() -> io::Result<File> {
    let tun = File::options().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: an ifreq is plain data, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which outlives the call.
    let result = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, &mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(tun) }
}

/// A socket that receives packets of an outer family with this protocol inside.
fn raw_socket(outer: i32, inner: i32) -> io::Result<File> {
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::socket(outer, libc::SOCK_RAW | libc::SOCK_CLOEXEC, inner) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a file descriptor that was just made and that nothing else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let patience = nix::sys::time::TimeVal::new(0, 50_000);
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::ReceiveTimeout, &patience)?;
    Ok(socket.into())
}
