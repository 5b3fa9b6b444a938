//! As much HTTP as the load needs: a request, and the body of its answer.

/// A request on a connection that stays.
pub const KEPT: &[u8] = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n";
/// A request after which the server closes the connection.
pub const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";

/// The body of a complete answer, or nothing while more of it is to come.
pub fn body(received: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    let Some(head_end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, rest) = (&received[..head_end], &received[head_end + 4..]);
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err("an answer other than 200");
    }
    let length = content_length(head).ok_or("an answer without Content-Length")?;
    match rest.len() {
        n if n < length => Ok(None),
        n if n == length => Ok(Some(rest)),
        _ => Err("an answer longer than its Content-Length"),
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let line = head
        .split(|byte| *byte == b'\n')
        .find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))?;
    str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] =
        b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 6\r\nConnection: close\r\n\r\nweb-1\n";

    #[test]
    fn an_answer_is_complete_with_its_last_byte() {
        for end in 0..ANSWER.len() {
            assert_eq!(body(&ANSWER[..end]), Ok(None), "{end}");
        }
        assert_eq!(body(ANSWER), Ok(Some(&b"web-1\n"[..])));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let longer = [ANSWER, b"x"].concat();
        let refused = [
            &longer[..],
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
        ];
        for answer in refused {
            assert!(body(answer).is_err(), "{}", String::from_utf8_lossy(answer));
        }
    }
}
