//! Texts of probes: what is sent, and what an answer is compared with.
//!
//! `hex:` before a text makes it bytes; slashes around a pattern make it a
//! regular expression, which takes time in proportion to the answer whatever
//! it is.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use regex::bytes::{Regex, RegexBuilder};
use serde::{Serialize, Serializer};

/// A regular expression that needs more memory is refused.
const REGEX_SIZE: usize = 1 << 20;

/// What is sent.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload {
    text: String,
    pub bytes: Vec<u8>,
}

impl Payload {
    /// Or why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_owned(), bytes: bytes(text)? })
    }
}

/// What is to be found in an answer.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Bytes(Vec<u8>),
    Regex(Regex),
}

impl Pattern {
    /// Or why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let kind = match inner {
            Some(inner) => Kind::Regex(regex(inner)?),
            None => Kind::Bytes(bytes(text)?),
        };
        Ok(Self { text: text.to_owned(), kind })
    }

    pub fn is_in(&self, answer: &[u8]) -> bool {
        match &self.kind {
            Kind::Bytes(bytes) => {
                bytes.is_empty() || answer.windows(bytes.len()).any(|part| part == bytes)
            }
            Kind::Regex(regex) => regex.is_match(answer),
        }
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let Some(digits) = text.strip_prefix("hex:") else { return Ok(text.as_bytes().to_vec()) };
    let digits: String = digits.split_whitespace().collect();
    let pairs = digits.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        let hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        if hex { u8::from_str_radix(pair, 16).ok() } else { None }
    });
    let bytes: Option<Vec<u8>> = pairs.collect();
    bytes.ok_or_else(|| "is not hex: followed by pairs of hexadecimal digits".to_owned())
}

fn regex(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(REGEX_SIZE).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "is a regular expression that is too large".to_owned(),
        error => {
            // The last line says what; those before draw where.
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("is not a regular expression: {}", last.trim_start_matches("error: "))
        }
    })
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// As in "does not have "ok""; a long one is cut.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 60;
        match self.text.char_indices().nth(MOST) {
            Some((end, _)) => write!(f, "{:?}…", &self.text[..end]),
            None => write!(f, "{:?}", self.text),
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_hex_and_regular_expressions() {
        for (pattern, answer, found) in [
            ("ok", &b"all ok\n"[..], true),
            ("ok", b"OK", false),
            ("", b"", true),
            ("hex:00 ff", b"a\x00\xffb", true),
            ("hex:00ff", b"\x00", false),
            ("/^ok$/", b"ok", true),
            ("/^ok$/", b"not ok", false),
            ("/(?i)OK/", b"it is ok", true),
            ("/", b"a/b", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().is_in(answer), found, "{pattern}");
        }
        assert_eq!(Payload::parse("hex:0A0b").unwrap().bytes, [10, 11]);
        assert_eq!(Payload::parse("ping\r\n").unwrap().bytes, b"ping\r\n");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("hex:0", "is not hex: followed by pairs of hexadecimal digits"),
            ("hex:+1", "is not hex: followed by pairs of hexadecimal digits"),
            ("hex:é", "is not hex: followed by pairs of hexadecimal digits"),
            ("/a(/", "is not a regular expression: unclosed group"),
            ("/(a{1000}){1000}/", "is a regular expression that is too large"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err(), why, "{text}");
        }
    }
}
