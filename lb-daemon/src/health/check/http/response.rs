//! Judges the answer to an HTTP request as it comes in (pure).
//!
//! An answer is judged as soon as enough of it is there: its status, and its
//! body only if something is expected of it. What is kept is bounded, whatever
//! is sent.

use super::body::{BodyReader, Framing, State};
use crate::config::{HttpCheck, Method};

/// Status line and headers of one answer.
const MOST_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 128;
/// Interim answers (103 Early Hints) before the final one.
const MOST_INTERIM: u32 = 8;
/// Characters of a wrong answer that are shown.
const EXCERPT: usize = 24;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Not enough has come in.
    More,
    Works,
    Fails(String),
}

pub struct Judge<'a> {
    check: &'a HttpCheck,
    /// Before the body: what has come in.
    head: Vec<u8>,
    /// Where the head's end may begin.
    searched: usize,
    interim: u32,
    received: usize,
    body: Option<(u16, BodyReader)>,
}

impl<'a> Judge<'a> {
    pub fn new(check: &'a HttpCheck) -> Self {
        Self { check, head: Vec::new(), searched: 0, interim: 0, received: 0, body: None }
    }

    /// More of the answer, not empty.
    pub fn take(&mut self, bytes: &[u8]) -> Verdict {
        self.received += bytes.len();
        match self.body {
            Some(_) => self.take_body(bytes),
            None => self.take_head(bytes),
        }
    }

    /// The server closed the connection.
    pub fn end(&self) -> Verdict {
        match &self.body {
            None if self.received == 0 => {
                Verdict::Fails("it closed the connection without an answer".into())
            }
            None => Verdict::Fails(format!("the answer was cut at {} bytes", self.received)),
            Some((status, reader)) => match reader.end() {
                State::Complete => self.judge_body(*status, reader),
                State::More | State::Full | State::Wrong => {
                    Verdict::Fails(format!("the body was cut at {} bytes", reader.body().len()))
                }
            },
        }
    }

    /// The connection was reset.
    pub fn reset(&self) -> String {
        match self.received {
            0 => "it reset the connection instead of an answer".into(),
            received => format!("it reset the connection after {received} bytes of the answer"),
        }
    }

    fn take_head(&mut self, bytes: &[u8]) -> Verdict {
        // A flood is not kept beyond what a head may have.
        let room = MOST_HEAD.saturating_sub(self.head.len());
        let (kept, beyond) = bytes.split_at(bytes.len().min(room));
        self.head.extend_from_slice(kept);
        loop {
            if !starts_like_http(&self.head) {
                return Verdict::Fails(format!("not an HTTP answer: {}", excerpt(&self.head)));
            }
            let Some(end) = self.head_end() else {
                return match self.head.len() {
                    MOST_HEAD.. => {
                        Verdict::Fails(format!("the head is longer than {MOST_HEAD} bytes"))
                    }
                    _ => Verdict::More,
                };
            };
            let status = match self.parse(end) {
                Ok((status, framing)) if status >= 200 || status == 101 => {
                    return self.judge_head(status, framing, end, beyond);
                }
                Ok((status, _)) => status,
                Err(why) => return Verdict::Fails(why),
            };
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Verdict::Fails(format!("HTTP {status} again and again"));
            }
            self.head.drain(..end);
            self.searched = 0;
            if self.head.is_empty() {
                return Verdict::More;
            }
        }
    }

    /// Behind the empty line. Every byte is looked at about once, however
    /// few come at a time.
    fn head_end(&mut self) -> Option<usize> {
        let rest = &self.head[self.searched..];
        let line = |end: &[u8]| {
            rest.windows(end.len()).position(|part| part == end).map(|at| at + end.len())
        };
        let found = [line(b"\r\n\r\n"), line(b"\n\n")].into_iter().flatten().min();
        let end = found.map(|end| end + self.searched);
        self.searched = self.head.len().saturating_sub(3);
        end
    }

    fn parse(&self, end: usize) -> Result<(u16, Framing), String> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&self.head[..end]) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err("the head makes no sense".into()),
            Err(error) => return Err(format!("not an HTTP answer: {error}")),
        }
        let status = response.code.unwrap_or_default();
        let framing = Framing::of(response.headers, status, self.check.method == Method::Head);
        Ok((status, framing?))
    }

    fn judge_head(&mut self, status: u16, framing: Framing, end: usize, beyond: &[u8]) -> Verdict {
        if !self.check.status.iter().any(|range| range.0.contains(&status)) {
            let expected: Vec<_> = self.check.status.iter().map(ToString::to_string).collect();
            return Verdict::Fails(format!("HTTP {status}, expected {}", expected.join(", ")));
        }
        if self.check.body.is_none() {
            return Verdict::Works;
        }
        let begun = self.head.split_off(end);
        self.head = Vec::new();
        self.body = Some((status, BodyReader::new(framing)));
        match self.take_body(&begun) {
            Verdict::More => self.take_body(beyond),
            verdict => verdict,
        }
    }

    fn take_body(&mut self, bytes: &[u8]) -> Verdict {
        let Some((status, reader)) = &mut self.body else { return Verdict::More };
        let state = reader.take(bytes);
        let (status, received) = (*status, reader.body().len());
        match (state, &self.body) {
            (State::Complete | State::Full, Some((_, reader))) => self.judge_body(status, reader),
            (State::Wrong, _) => {
                Verdict::Fails(format!("the body's chunks make no sense after {received} bytes"))
            }
            _ => Verdict::More,
        }
    }

    fn judge_body(&self, status: u16, reader: &BodyReader) -> Verdict {
        let Some(pattern) = &self.check.body else { return Verdict::Works };
        if pattern.is_in(reader.body()) {
            return Verdict::Works;
        }
        let of = if reader.is_full() { "the first " } else { "" };
        let length = reader.body().len();
        Verdict::Fails(format!(
            "HTTP {status}, but {of}{length} bytes of body do not have {pattern}"
        ))
    }
}

fn starts_like_http(head: &[u8]) -> bool {
    let name = b"HTTP/1.";
    let length = head.len().min(name.len());
    head[..length] == name[..length]
}

/// The begin of an answer, fit for a line of a log.
fn excerpt(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(EXCERPT)];
    let more = if bytes.len() > EXCERPT { "…" } else { "" };
    format!("\"{}\"{more}", shown.escape_ascii())
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
