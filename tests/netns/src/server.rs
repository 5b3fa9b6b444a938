//! A server that answers every line, and every datagram, with its host's name.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use lb_test_lab::Host;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn6, bind, listen, setsockopt, socket,
    sockopt,
};

const PAUSE: Duration = Duration::from_millis(20);

/// Serves until it is dropped, which closes its sockets and connections, as the end of
/// a server's process does.
pub struct NameServer {
    stop: Arc<AtomicBool>,
    stalled: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl NameServer {
    /// TCP on every address.
    pub fn tcp(host: &Host, port: u16) -> Self {
        let listener = host.enter(|| listener(port)).expect("the host is there");
        let mut server = Self::new();
        let (name, stop, stalled) =
            (host.name.clone(), server.stop.clone(), server.stalled.clone());
        server.threads.push(thread::spawn(move || {
            let mut connections = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) if !stalled.load(Ordering::Relaxed) => {
                        let (name, stop) = (name.clone(), stop.clone());
                        connections.push(thread::spawn(move || serve(&stream, &name, &stop)));
                    }
                    _ => sleep(PAUSE),
                }
                while stalled.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                    sleep(PAUSE);
                }
            }
            drop(listener);
            for connection in connections {
                let _ = connection.join();
            }
        }));
        server
    }

    /// UDP on these addresses, from which it also answers.
    pub fn udp(host: &Host, addresses: &[IpAddr], port: u16) -> Self {
        let mut server = Self::new();
        for address in addresses {
            let bound = host.enter(|| UdpSocket::bind((*address, port)));
            let socket = bound.expect("the host is there").expect("the address is free");
            let (name, stop) = (host.name.clone(), server.stop.clone());
            server.threads.push(thread::spawn(move || answer(&socket, &name, &stop)));
        }
        server
    }

    fn new() -> Self {
        let flag = || Arc::new(AtomicBool::new(false));
        Self { stop: flag(), stalled: flag(), threads: Vec::new() }
    }

    /// Stops accepting connections without refusing them: once two wait in its queue,
    /// the next attempts get no answer.
    pub fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Both families; the port may have been used a moment ago. The health port has a short
/// queue, so that it can stall.
fn listener(port: u16) -> TcpListener {
    let fd: OwnedFd =
        socket(AddressFamily::Inet6, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&fd, sockopt::ReuseAddr, &true).unwrap();
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let SocketAddr::V6(any) = any else { unreachable!("the address is IPv6") };
    bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &SockaddrIn6::from(any)).unwrap();
    let queue = if port == crate::HEALTH { 1 } else { 128 };
    listen(&fd, Backlog::new(queue).unwrap()).unwrap();
    let listener = TcpListener::from(fd);
    listener.set_nonblocking(true).unwrap();
    listener
}

fn serve(stream: &TcpStream, name: &str, stop: &AtomicBool) {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PAUSE)).unwrap();
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while !stop.load(Ordering::Relaxed) {
        match lines.read_line(&mut line) {
            Ok(0) => return,
            Ok(_) => {
                line.clear();
                let mut stream = stream;
                if writeln!(stream, "{name}").is_err() {
                    return;
                }
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => return,
        }
    }
}

fn answer(socket: &UdpSocket, name: &str, stop: &AtomicBool) {
    socket.set_read_timeout(Some(PAUSE)).unwrap();
    let mut datagram = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((_, from)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(name.as_bytes(), from);
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
