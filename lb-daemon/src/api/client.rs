//! The command line's end of the control socket.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::protocol::{Command, Error as Refusal, Reply, Request, Response, VERSION};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no daemon listens on {0}")]
    NotRunning(PathBuf),
    #[error("not permitted to use {0}")]
    NotPermitted(PathBuf),
    #[error("the daemon does not answer on {path}: {source}")]
    Broken { path: PathBuf, source: io::Error },
    #[error(
        "the daemon's answer is not understood: {0}; is it of another version than this command?"
    )]
    NotUnderstood(String),
    /// The daemon will not or cannot.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Error {
    /// The daemon answered another question.
    pub fn unexpected(reply: &Reply) -> Self {
        Self::NotUnderstood(format!("unexpected {}", reply.name()))
    }
}

/// Asks the daemon behind `socket`, and waits for its answer for so long.
pub fn ask(socket: &Path, command: Command, patience: Duration) -> Result<Reply, Error> {
    send(socket, &Request::new(command), patience)
}

/// The same with any request.
pub fn send(socket: &Path, request: &Request, patience: Duration) -> Result<Reply, Error> {
    let line = exchange(socket, request, patience).map_err(|source| {
        let path = socket.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::NotRunning(path),
            io::ErrorKind::PermissionDenied => Error::NotPermitted(path),
            _ => Error::Broken { path, source },
        }
    })?;
    match serde_json::from_slice::<Response>(&line) {
        Ok(Response { version: VERSION, reply: Reply::Error(refusal) }) => Err(refusal.into()),
        Ok(Response { version: VERSION, reply }) => Ok(reply),
        Ok(Response { version, .. }) => {
            Err(Error::NotUnderstood(format!("it speaks protocol version {version}")))
        }
        Err(_) if line.is_empty() => Err(Error::Broken {
            path: socket.to_owned(),
            source: io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up"),
        }),
        Err(error) => Err(Error::NotUnderstood(error.to_string())),
    }
}

fn exchange(socket: &Path, request: &Request, patience: Duration) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut request = serde_json::to_vec(request)?;
    request.push(b'\n');
    stream.write_all(&request)?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    Ok(response)
}
