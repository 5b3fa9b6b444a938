//! The body of an HTTP answer, out of its framing (RFC 9112, section 6).

/// How much of a body is looked at.
pub const MOST_BODY: usize = 64 << 10;
/// Digits, extensions and white space of one chunk's size; and of trailers.
const MOST_LINE: usize = 4096;

/// How a body's end is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    pub fn of(headers: &[httparse::Header], status: u16, head: bool) -> Result<Self, String> {
        if head || matches!(status, 101 | 204 | 304) {
            return Ok(Self::Length(0));
        }
        let named = |name: &str| {
            let name = name.to_owned();
            headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(&name))
        };
        if let Some(last) = named("transfer-encoding").next_back() {
            let value = last.value.to_ascii_lowercase();
            let chunked = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            return Ok(if chunked.trim_ascii() == b"chunked" {
                Self::Chunked
            } else {
                Self::UntilClose
            });
        }
        let Some(length) = named("content-length").next() else { return Ok(Self::UntilClose) };
        let text = std::str::from_utf8(length.value).unwrap_or_default().trim();
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(length) if digits => Ok(Self::Length(length)),
            _ => Err("its Content-Length is no number".into()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    More,
    Complete,
    /// As much as is looked at.
    Full,
    /// Not how chunks are written.
    Wrong,
}

/// Collects a body.
pub struct BodyReader {
    body: Vec<u8>,
    part: Part,
}

/// What the next byte belongs to.
#[derive(Clone, Copy)]
enum Part {
    /// So many bytes to come.
    Known(u64),
    UntilClose,
    /// A chunk's size, so far, and the length of its line.
    Size {
        size: u64,
        digits: usize,
        line: usize,
        extension: bool,
    },
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    /// After the last chunk: bytes so far, and those of the present line.
    Trailer {
        all: usize,
        line: usize,
    },
    Done,
}

const NEW_SIZE: Part = Part::Size { size: 0, digits: 0, line: 0, extension: false };

impl BodyReader {
    pub fn new(framing: Framing) -> Self {
        let part = match framing {
            Framing::Length(length) => Part::Known(length),
            Framing::Chunked => NEW_SIZE,
            Framing::UntilClose => Part::UntilClose,
        };
        Self { body: Vec::new(), part }
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub fn is_full(&self) -> bool {
        self.body.len() >= MOST_BODY
    }

    pub fn take(&mut self, mut bytes: &[u8]) -> State {
        loop {
            match self.part {
                Part::Known(0) | Part::Done => return State::Complete,
                _ if self.is_full() => return State::Full,
                _ if bytes.is_empty() => return State::More,
                Part::Known(left) => bytes = self.data(bytes, left, Part::Known),
                Part::UntilClose => bytes = self.data(bytes, u64::MAX, |_| Part::UntilClose),
                Part::Chunk(0) => self.part = Part::ChunkEnd,
                Part::Chunk(left) => bytes = self.data(bytes, left, Part::Chunk),
                Part::Size { .. } | Part::ChunkEnd | Part::Trailer { .. } => {
                    match self.framing_byte(bytes[0]) {
                        Some(part) => self.part = part,
                        None => return State::Wrong,
                    }
                    bytes = &bytes[1..];
                }
            }
        }
    }

    /// What the end of the connection makes of it.
    pub fn end(&self) -> State {
        match self.part {
            Part::Known(0) | Part::UntilClose | Part::Done => State::Complete,
            _ => State::More,
        }
    }

    /// Keeps as much as belongs to the body and has room, and returns the rest.
    fn data<'b>(&mut self, bytes: &'b [u8], left: u64, next: impl Fn(u64) -> Part) -> &'b [u8] {
        let room = MOST_BODY - self.body.len();
        let length = bytes.len().min(room).min(usize::try_from(left).unwrap_or(usize::MAX));
        self.body.extend_from_slice(&bytes[..length]);
        self.part = next(left - length as u64);
        &bytes[length..]
    }

    /// A byte between the data, and what comes after it.
    fn framing_byte(&self, byte: u8) -> Option<Part> {
        match (self.part, byte) {
            (Part::Size { digits: 1.., size: 0, .. }, b'\n') => {
                Some(Part::Trailer { all: 0, line: 0 })
            }
            (Part::Size { digits: 1.., size, .. }, b'\n') => Some(Part::Chunk(size)),
            (Part::Size { line, .. }, _) if line >= MOST_LINE => None,
            (Part::Size { size, digits, line, extension: false }, byte)
                if byte.is_ascii_hexdigit() && digits < 15 =>
            {
                let digit = u64::from(char::from(byte).to_digit(16)?);
                Some(Part::Size {
                    size: size * 16 + digit,
                    digits: digits + 1,
                    line: line + 1,
                    extension: false,
                })
            }
            (Part::Size { size, digits: digits @ 1.., line, extension }, byte)
                if extension || b"; \t\r".contains(&byte) =>
            {
                Some(Part::Size { size, digits, line: line + 1, extension: true })
            }
            (Part::ChunkEnd, b'\r') => Some(Part::ChunkEnd),
            (Part::ChunkEnd, b'\n') => Some(NEW_SIZE),
            (Part::Trailer { line: 0, .. }, b'\n') => Some(Part::Done),
            (Part::Trailer { all, .. }, b'\n') => Some(Part::Trailer { all, line: 0 }),
            (Part::Trailer { all, line }, b'\r') if all < MOST_LINE => {
                Some(Part::Trailer { all: all + 1, line })
            }
            (Part::Trailer { all, line }, _) if all < MOST_LINE => {
                Some(Part::Trailer { all: all + 1, line: line + 1 })
            }
            _ => None,
        }
    }
}
