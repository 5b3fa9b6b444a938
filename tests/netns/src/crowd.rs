//! Clients from many networks, all in the client's host.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use lb_test_lab::{CLIENT, Host, Lab};
use lb_test_support::packet::{Packet, Upper, flag, tcp};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, bind, connect, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

/// Networks that clients are in, one in each.
const NETWORKS: u8 = 16;
/// A client that gets no answer for so long tries anew; its SYN has come again by then.
const PATIENCE: i64 = 2;
const PAUSE: Duration = Duration::from_millis(50);

pub struct Crowd<'a> {
    client: &'a Host,
    stop: AtomicBool,
    answers: Mutex<BTreeMap<String, usize>>,
}

const fn client(network: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, network, 1)
}

impl<'a> Crowd<'a> {
    /// Gives the clients their addresses, and lets the router find them.
    pub fn new(lab: &'a Lab) -> Self {
        for network in 0..NETWORKS {
            lab.client.ip(&format!("addr add {}/32 dev lo", client(network))).unwrap();
        }
        lab.router.ip(&format!("route add 198.18.0.0/15 via {CLIENT}")).unwrap();
        Self { client: &lab.client, stop: false.into(), answers: Mutex::default() }
    }

    /// Lets all of them ask a service, again and again, for as long as `meanwhile` takes.
    pub fn ask<T>(&self, vip: Ipv4Addr, meanwhile: impl FnOnce() -> T) -> T {
        // Also when it panics.
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        self.stop.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            for network in 0..NETWORKS {
                scope.spawn(move || self.client.enter(|| self.ask_from(client(network), vip)));
            }
            let _done = Done(&self.stop);
            meanwhile()
        })
    }

    fn ask_from(&self, from: Ipv4Addr, vip: Ipv4Addr) {
        while !self.stop.load(Ordering::Relaxed) {
            let answer = question(from, vip).unwrap_or_else(|error| error.kind().to_string());
            *self.answers.lock().unwrap().entry(answer).or_default() += 1;
            sleep(PAUSE);
        }
    }

    /// Who answered how often, and how often nobody did, since this was last asked.
    pub fn answers(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.answers.lock().unwrap())
    }

    /// Sends so many SYNs from as many networks as there are, and all of them again,
    /// `times` in all, a second apart. Nobody is there to hear the answers.
    pub fn spoof(&self, vip: Ipv4Addr, syns: u32, times: u32) {
        self.client.enter(|| spoof(vip, syns, times)).unwrap();
    }
}

/// Asks for the server's name on a connection of its own.
fn question(from: Ipv4Addr, vip: Ipv4Addr) -> io::Result<String> {
    let fd: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Of connect(2), too.
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::new(PATIENCE, 0))?;
    setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE, 0))?;
    bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, 0)))?;
    connect(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(vip, 80)))?;
    let mut stream = BufReader::new(TcpStream::from(fd));
    stream.get_mut().write_all(b"who are you?\n")?;
    let mut name = String::new();
    if stream.read_line(&mut name)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(name.trim_end().to_owned())
}

fn spoof(vip: Ipv4Addr, syns: u32, times: u32) {
    let raw =
        socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, Some(SockProtocol::Raw));
    let raw = raw.expect("this is root");
    let to = SocketAddr::new(vip.into(), 0);
    let SocketAddr::V4(to) = to else { unreachable!("the VIP is IPv4") };
    for time in 0..times {
        if time > 0 {
            sleep(Duration::from_secs(1));
        }
        for number in 0..syns {
            let [_, high, low, _] = (number << 8).to_be_bytes();
            let source = IpAddr::from([100, 64 + high, low, 7]);
            let Upper::Tcp { acknowledgement, flags, window, payload, .. } = tcp(80, flag::SYN)
            else {
                unreachable!("tcp() makes TCP")
            };
            let (ports, sequence) = ([1024 + number as u16, 80], number);
            let syn = Upper::Tcp { ports, sequence, acknowledgement, flags, window, payload };
            let packet = Packet::new(source, vip.into(), syn).ip();
            sendto(raw.as_raw_fd(), &packet, &SockaddrIn::from(to), MsgFlags::empty())
                .expect("a packet leaves");
        }
    }
}
