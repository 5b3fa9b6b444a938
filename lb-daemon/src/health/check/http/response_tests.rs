//! Answers whole, in pieces, cut, wrong and endless.

use proptest::prelude::*;

use super::{super::body::MOST_BODY, *};
use crate::health::check::testing::http_check;

const OK: &str = "HTTP/1.1 200 OK\r\n\r\n";

/// The verdict on an answer that comes in pieces of `size`, and then ends.
fn in_pieces(check: &HttpCheck, answer: &[u8], size: usize) -> Verdict {
    let mut judge = Judge::new(check);
    for piece in answer.chunks(size.max(1)) {
        let verdict = judge.take(piece);
        if verdict != Verdict::More {
            return verdict;
        }
    }
    judge.end()
}

fn judged(check: &str, answer: impl AsRef<[u8]>) -> Verdict {
    let check = http_check(check);
    let verdict = in_pieces(&check, answer.as_ref(), usize::MAX);
    for size in [1, 2, 3, 7, 100] {
        assert_eq!(in_pieces(&check, answer.as_ref(), size), verdict, "in pieces of {size}");
    }
    verdict
}

fn fails(why: &str) -> Verdict {
    Verdict::Fails(why.to_owned())
}

#[test]
fn the_status_decides() {
    for (check, answer, verdict) in [
        ("", OK, Verdict::Works),
        ("", "HTTP/1.0 302 Found\r\nLocation: /x\r\n\r\n", Verdict::Works),
        ("", "HTTP/1.1 503 Busy\r\n\r\n", fails("HTTP 503, expected 200-399")),
        ("status: 204", OK, fails("HTTP 200, expected 204")),
        ("status: [200-299, 401]", "HTTP/1.1 401 No\n\n", Verdict::Works),
        ("status: [200-299, 401]", "HTTP/1.1 404 No\n\n", fails("HTTP 404, expected 200-299, 401")),
        ("status: 101", "HTTP/1.1 101 Switching\r\n\r\n", Verdict::Works),
    ] {
        assert_eq!(judged(check, answer), verdict, "{answer}");
    }
}

#[test]
fn an_interim_answer_is_not_the_answer() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    assert_eq!(judged("", format!("{hints}{hints}{OK}")), Verdict::Works);
    assert_eq!(judged("", hints.repeat(9)), fails("HTTP 103 again and again"));
    assert_eq!(judged("", hints), fails("the answer was cut at 40 bytes"));
}

#[test]
fn a_body_is_looked_at_in_every_framing() {
    for (head, body, verdict) in [
        ("Content-Length: 7", "all ok\n", Verdict::Works),
        ("", "all ok", Verdict::Works),
        ("Transfer-Encoding: chunked", "5\r\nall o\r\n1;x=y\r\nk\r\n0\r\n\r\n", Verdict::Works),
        ("Transfer-Encoding: gzip, chunked", "2\nok\n0\nTrailer: 1\n\n", Verdict::Works),
        // What lies beyond the length is not the body.
        ("Content-Length: 3", "allok", fails("HTTP 200, but 3 bytes of body do not have \"ok\"")),
        ("Content-Length: 9", "all ok", fails("the body was cut at 6 bytes")),
        ("Transfer-Encoding: chunked", "9\r\nok", fails("the body was cut at 2 bytes")),
        (
            "Transfer-Encoding: chunked",
            "ok",
            fails("the body's chunks make no sense after 0 bytes"),
        ),
        (
            "Transfer-Encoding: chunked",
            "2\r\nokk",
            fails("the body's chunks make no sense after 2 bytes"),
        ),
        ("Content-Length: -1", "ok", fails("its Content-Length is no number")),
    ] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\n{head}{}\r\n{body}",
            if head.is_empty() { "" } else { "\r\n" }
        );
        assert_eq!(judged("body: ok", &answer), verdict, "{answer}");
    }
    assert_eq!(judged("body: '/^all (ok|well)$/'", format!("{OK}all well")), Verdict::Works);
}

#[test]
fn a_body_without_expectations_is_not_waited_for() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
    let check = http_check("");
    assert_eq!(Judge::new(&check).take(answer.as_bytes()), Verdict::Works);
}

#[test]
fn what_is_not_http_is_named_at_once() {
    let check = http_check("");
    let banner = b"SSH-2.0-OpenSSH_9.2p1 Debian";
    let why = "not an HTTP answer: \"SSH-2.0-OpenSSH_9.2p1 De\"…";
    assert_eq!(in_pieces(&check, banner, usize::MAX), fails(why));
    assert_eq!(in_pieces(&check, banner, 1), fails("not an HTTP answer: \"S\""));
    assert_eq!(
        in_pieces(&check, b"\x15\x03\x03", 9),
        fails("not an HTTP answer: \"\\x15\\x03\\x03\"")
    );
}

#[test]
fn cut_answers_say_where() {
    assert_eq!(judged("", ""), fails("it closed the connection without an answer"));
    assert_eq!(judged("", "HTTP/1.1 200"), fails("the answer was cut at 12 bytes"));
    let check = http_check("");
    let mut judge = Judge::new(&check);
    assert_eq!(judge.reset(), "it reset the connection instead of an answer");
    judge.take(b"HTTP/1");
    assert_eq!(judge.reset(), "it reset the connection after 6 bytes of the answer");
}

#[test]
fn a_flood_is_not_kept() {
    let header = "X: y\r\n".repeat(4000);
    assert_eq!(
        in_pieces(&http_check(""), format!("HTTP/1.1 200 OK\r\n{header}").as_bytes(), 8192),
        fails("the head is longer than 16384 bytes")
    );
    let check = http_check("body: ok");
    let mut judge = Judge::new(&check);
    assert_eq!(judge.take(OK.as_bytes()), Verdict::More);
    let mut taken = 0;
    let verdict = loop {
        match judge.take(&[b'x'; 1000]) {
            Verdict::More => taken += 1000,
            verdict => break verdict,
        }
    };
    assert_eq!(verdict, fails("HTTP 200, but the first 65536 bytes of body do not have \"ok\""));
    assert!(taken <= MOST_BODY, "{taken}");
}

proptest! {
    #[test]
    fn garbage_has_a_verdict(answer in prop::collection::vec(any::<u8>(), 0..400), size in 1usize..50) {
        for check in [http_check(""), http_check("body: ok")] {
            prop_assert_ne!(in_pieces(&check, &answer, size), Verdict::More);
        }
    }

    /// However an answer comes in, the verdict on it is the same; and however
    /// it is cut, there is one.
    #[test]
    fn pieces_and_cuts(
        status in 200u16..600,
        chunks in prop::collection::vec("[a-z]{1,20}", 0..6),
        cut in 0usize..300,
        size in 1usize..40,
    ) {
        let body: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
        let answer = format!("HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n");
        let check = http_check("body: ok, status: 100-599");
        let whole = in_pieces(&check, answer.as_bytes(), usize::MAX);
        prop_assert_eq!(&in_pieces(&check, answer.as_bytes(), size), &whole);
        if !matches!(status, 204 | 304) {
            prop_assert_eq!(whole == Verdict::Works, chunks.concat().contains("ok"));
        }
        let cut = &answer.as_bytes()[..cut.min(answer.len())];
        prop_assert_ne!(in_pieces(&check, cut, size), Verdict::More);
    }
}
