//! One connection of the load client, as far as it has come.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};

use super::http;

pub struct Connection {
    pub stream: TcpStream,
    state: State,
    /// When the request that is or will be on its way was due.
    pub due: Option<Instant>,
    received: Vec<u8>,
    /// Whether the server has closed its side.
    pub ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Quiet,
    Waiting,
}

/// What an event on a connection meant.
pub enum Progress {
    Nothing,
    Connected,
    /// The name of who answered.
    Answered(String),
    Ended,
}

/// Why a connection is of no more use, in words.
pub type Fault = String;

impl Connection {
    /// Begins to connect.
    pub fn open(to: SocketAddrV4, due: Option<Instant>) -> Result<Self, Fault> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None)
            .map_err(|errno| format!("no socket: {errno}"))?;
        match connect(fd.as_raw_fd(), &SockaddrIn::from(to)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(format!("cannot connect: {errno}")),
        }
        let stream = TcpStream::from(fd);
        Ok(Self { stream, state: State::Connecting, due, received: Vec::new(), ended: false })
    }

    pub fn ask(&mut self, request: &[u8], due: Instant) -> Result<(), Fault> {
        self.due = Some(due);
        self.state = State::Waiting;
        self.received.clear();
        match self.stream.write(request) {
            Ok(length) if length == request.len() => Ok(()),
            Ok(_) => Err("a request did not fit into the socket".to_owned()),
            Err(error) => Err(format!("cannot send: {}", error.kind())),
        }
    }

    /// Reads and does what can be done now. Events are told once, so that all there is
    /// must be read.
    pub fn advance(&mut self) -> Result<Progress, Fault> {
        match self.state {
            State::Connecting => {
                if let Ok(Some(error)) | Err(error) = self.stream.take_error() {
                    return Err(format!("cannot connect: {}", error.kind()));
                }
                self.state = State::Quiet;
                Ok(Progress::Connected)
            }
            State::Waiting => self.receive_answer(),
            State::Quiet => {
                self.receive().map_err(|error| format!("between requests: {}", error.kind()))?;
                Ok(if self.ended { Progress::Ended } else { Progress::Nothing })
            }
        }
    }

    fn receive_answer(&mut self) -> Result<Progress, Fault> {
        self.receive().map_err(|error| format!("while waiting: {}", error.kind()))?;
        match http::body(&self.received)? {
            Some(body) => {
                self.state = State::Quiet;
                Ok(Progress::Answered(String::from_utf8_lossy(body).trim_end().to_owned()))
            }
            None if self.ended => Err("closed before the answer".to_owned()),
            None => Ok(Progress::Nothing),
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(());
                }
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
