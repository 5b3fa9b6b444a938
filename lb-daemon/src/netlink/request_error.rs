//! Why a netlink request was refused: an errno, and often a sentence beside it
//! (an extended acknowledgement) that says what the errno does not.

use std::{fmt, io};

use netlink_packet_core::{ErrorMessage, NlasIterator};

#[derive(Debug)]
pub struct RequestError {
    source: io::Error,
    /// The kernel's own words.
    words: Option<String>,
}

/// Of the request, which the answer to it begins with.
const NETLINK_HEADER: usize = 16;
/// `NLMSGERR_ATTR_MSG`.
const WORDS: u16 = 1;

impl RequestError {
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    pub fn words(&self) -> Option<&str> {
        self.words.as_deref()
    }
}

impl From<io::Error> for RequestError {
    fn from(source: io::Error) -> Self {
        Self { source, words: None }
    }
}

impl From<ErrorMessage> for RequestError {
    fn from(message: ErrorMessage) -> Self {
        Self { source: message.to_io(), words: words(&message.header) }
    }
}

/// `answer`: the request's header, and attributes.
fn words(answer: &[u8]) -> Option<String> {
    let attributes = NlasIterator::new(answer.get(NETLINK_HEADER..)?);
    let words = attributes.flatten().find(|attribute| attribute.kind() == WORDS)?;
    let text = words.value().split(|byte| *byte == 0).next()?;
    let text = String::from_utf8_lossy(text).trim_end_matches('.').to_owned();
    (!text.is_empty()).then_some(text)
}

impl From<RequestError> for io::Error {
    fn from(error: RequestError) -> Self {
        match error.words {
            None => error.source,
            Some(_) => Self::new(error.source.kind(), error),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.words {
            None => self.source.fmt(f),
            Some(words) => write!(f, "{} (the kernel says: {words})", self.source),
        }
    }
}

impl std::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::socket::RequestSocket;
    use netlink_packet_route::{RouteNetlinkMessage, neighbour::NeighbourMessage};
    use netlink_sys::protocols::NETLINK_ROUTE;

    #[test]
    fn the_kernels_words_are_shown_with_its_errno() {
        let mut answer = vec![0; NETLINK_HEADER];
        answer.extend([13, 0, 1, 0]);
        answer.extend(b"Too big.\0\0\0\0");
        assert_eq!(words(&answer).as_deref(), Some("Too big"));
        assert_eq!(words(&answer[..NETLINK_HEADER]), None);
        assert_eq!(words(&[]), None);
    }

    /// Needs no privilege: the kernel refuses a question of no family.
    #[test]
    fn a_refusal_by_the_kernel_carries_its_words() {
        let mut socket = RequestSocket::open(NETLINK_ROUTE).unwrap();
        let question = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let error = socket.get(question).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
        let text = io::Error::from(error).to_string();
        assert!(text.contains("(the kernel says: "), "{text}");
    }
}
