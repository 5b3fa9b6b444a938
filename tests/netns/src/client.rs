//! Clients of a [`NameServer`](crate::NameServer), and what they count.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use lb_test_lab::Host;

/// Long enough for several retransmissions.
const PATIENCE: Duration = Duration::from_secs(10);

/// A TCP connection, and who answered on it first.
pub struct Conversation {
    stream: BufReader<TcpStream>,
    pub partner: String,
}

impl Conversation {
    pub fn open(client: &Host, vip: IpAddr, port: u16) -> io::Result<Self> {
        let to = SocketAddr::new(vip, port);
        let stream = client
            .enter(|| TcpStream::connect_timeout(&to, PATIENCE))
            .expect("the client is there")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut conversation = Self { stream: BufReader::new(stream), partner: String::new() };
        conversation.partner = conversation.ask()?;
        Ok(conversation)
    }

    /// Asks for the server's name.
    pub fn ask(&mut self) -> io::Result<String> {
        self.stream.get_mut().write_all(b"who are you?\n")?;
        let mut name = String::new();
        if self.stream.read_line(&mut name)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(name.trim_end().to_owned())
    }

    /// Asks again, and panics unless the same server answers.
    pub fn must_go_on(&mut self, when: &str) {
        match self.ask() {
            Ok(name) if name == self.partner => {}
            other => panic!("{when}: a connection with {} got {other:?}", self.partner),
        }
    }
}

/// Who answered how often, and how many requests failed.
#[derive(Default, Debug)]
pub struct Tally {
    answers: BTreeMap<String, usize>,
    pub failures: Vec<String>,
}

impl Tally {
    pub fn add(&mut self, answer: io::Result<String>) {
        match answer {
            Ok(name) => *self.answers.entry(name).or_default() += 1,
            Err(error) => self.failures.push(error.to_string()),
        }
    }

    pub fn of(&self, name: &str) -> usize {
        self.answers.get(name).copied().unwrap_or(0)
    }

    pub fn answered(&self) -> usize {
        self.answers.values().sum()
    }

    /// Panics unless each request was answered.
    pub fn complete(self) -> Self {
        assert!(self.failures.is_empty(), "some requests failed: {self:?}");
        self
    }
}

/// Opens connections one after another, each for one question.
pub fn call(client: &Host, vip: impl Into<IpAddr>, port: u16, times: usize) -> Tally {
    let vip = vip.into();
    let mut tally = Tally::default();
    for _ in 0..times {
        tally.add(Conversation::open(client, vip, port).map(|conversation| conversation.partner));
    }
    tally
}

/// Sends datagrams, each from a socket of its own.
pub fn ask_udp(client: &Host, vip: impl Into<IpAddr>, port: u16, times: usize) -> Tally {
    let to = SocketAddr::new(vip.into(), port);
    let mut tally = Tally::default();
    for _ in 0..times {
        tally.add(client.enter(|| exchange(to)).expect("the client is there"));
    }
    tally
}

fn exchange(to: SocketAddr) -> io::Result<String> {
    let any = if to.is_ipv4() { IpAddr::from([0, 0, 0, 0]) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(b"who are you?")?;
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}
