//! Receivers that are real, and that fail, hang and recover.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::*;
use crate::{
    api::types::{Event, EventKind},
    config,
};

/// What the file's `notify: { KEYS }` says.
fn configs(keys: &str) -> Vec<Notify> {
    let text =
        format!("interfaces: [eth0]\nservices: []\nallow_exec: true\nnotify: {{ {keys} }}\n");
    config::parse("lb.yaml", &text).unwrap_or_else(|problems| panic!("{problems}")).config.notify
}

/// A server that answers as a list says, one request after another, and then 200.
/// An empty answer is none at all.
struct Receiver {
    port: u16,
    got: mpsc::UnboundedReceiver<Value>,
}

impl Receiver {
    async fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, got) = mpsc::unbounded_channel();
        let (turn, sender) = (Arc::new(AtomicUsize::new(0)), sender);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answers.get(turn.fetch_add(1, Ordering::Relaxed)).copied();
                tokio::spawn(serve(stream, answer.unwrap_or("200 OK"), sender.clone()));
            }
        });
        Self { port, got }
    }

    fn notifier(&self, journal: &Journal, keys: &str) -> Notifier {
        let configs = configs(&format!("url: 'http://127.0.0.1:{}/hook?a=b', {keys}", self.port));
        Notifier::start(journal.clone(), "main", &configs)
    }

    /// The next event that was taken.
    async fn next(&mut self) -> Value {
        self.got.recv().await.unwrap()
    }
}

async fn serve(mut stream: TcpStream, answer: &str, taken: mpsc::UnboundedSender<Value>) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    let body = loop {
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "the whole request comes");
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("POST /hook?a=b HTTP/1.1\r\nHost: 127.0.0.1:"), "{head}");
        let length = head.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            break body.to_owned();
        }
    };
    if answer.is_empty() {
        // Until the other end has lost its patience.
        assert_eq!(stream.read(&mut buffer).await.unwrap_or(0), 0);
        return;
    }
    if answer.starts_with("200") {
        taken.send(serde_json::from_str(&body).unwrap()).unwrap();
    }
    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

fn happen(journal: &Journal, reason: &str) {
    journal.record(Event::new(EventKind::Backend, reason).of_backend("web", "a", "10.0.0.1"));
}

/// Waits for statistics of the only receiver.
async fn wait_for(notifier: &Notifier, what: impl Fn(&NotifyStats) -> bool) -> NotifyStats {
    loop {
        let stats = notifier.stats().pop().unwrap();
        if what(&stats) {
            return stats;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn events_come_in_order_however_often_the_receiver_fails_and_hangs() {
    let mut receiver = Receiver::start(&["503 No", "", "200 OK", "500 No"]).await;
    let journal = Journal::default();
    happen(&journal, "before anybody was told");
    let notifier = receiver.notifier(&journal, "timeout: 300ms");
    for number in 0..5 {
        happen(&journal, &number.to_string());
    }
    let failing = wait_for(&notifier, |stats| stats.problem.is_some()).await;
    assert_eq!((failing.waiting, failing.lost), (5, 0));
    assert_eq!(
        notifier.warnings(),
        [format!(
            "notify http://127.0.0.1:{}: HTTP 503, expected 200-299; 5 events wait, 0 are lost",
            receiver.port
        )]
    );
    wait_for(&notifier, |stats| {
        stats.problem.as_deref() == Some("connected, but no answer within 300 ms")
    })
    .await;
    for number in 0..5 {
        let event = receiver.next().await;
        assert_eq!(event["reason"], number.to_string());
        assert_eq!(event["sequence"], number + 2);
        assert_eq!((&event["instance"], &event["lost"]), (&"main".into(), &0.into()));
        assert_eq!((&event["kind"], &event["backend"]), (&"backend".into(), &"a".into()));
    }
    let well = wait_for(&notifier, |stats| stats.told == 5).await;
    assert_eq!((well.waiting, well.problem), (0, None));
    assert!(notifier.warnings().is_empty());
}

#[tokio::test]
async fn what_is_given_up_is_counted_and_said_with_the_next() {
    let mut receiver = Receiver::start(&["404 No", "404 No"]).await;
    let journal = Journal::default();
    let notifier = receiver.notifier(&journal, "retry: 0s");
    for number in 0..3 {
        happen(&journal, &number.to_string());
    }
    let event = receiver.next().await;
    assert_eq!((&event["reason"], &event["lost"]), (&"2".into(), &2.into()));
    happen(&journal, "later");
    assert_eq!(receiver.next().await["lost"], 0);
    assert_eq!(wait_for(&notifier, |stats| stats.told == 2).await.lost, 2);
}

#[tokio::test]
async fn a_flood_is_bounded_and_the_newest_stay() {
    let shared = Shared::default();
    for number in 0..queue::ROOM as u64 + 10 {
        shared.put(vec![Event { sequence: number, ..Event::default() }], 0, number);
    }
    let stats = shared.stats(&configs("command: [/bin/true]")[0]);
    assert_eq!((stats.waiting, stats.lost, shared.unsaid()), (queue::ROOM as u64, 10, 10));
    assert_eq!(shared.next().await.event.sequence, 10);
}

#[tokio::test]
async fn only_the_kinds_that_were_asked_for_are_told_and_not_ones_own_troubles() {
    let mut receiver = Receiver::start(&[]).await;
    let journal = Journal::default();
    let _notifier = receiver.notifier(&journal, "events: [warning, drain]");
    happen(&journal, "another kind");
    let own = format!("notify http://127.0.0.1:{}: HTTP 503", receiver.port);
    journal.record(Event::new(EventKind::Warning, own));
    journal.record(Event::new(EventKind::Warning, "notify http://other: HTTP 503"));
    assert_eq!(receiver.next().await["reason"], "notify http://other: HTTP 503");
}

#[tokio::test]
async fn nobody_there_is_a_problem_and_a_reload_keeps_what_waits() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let journal = Journal::default();
    let all = configs(&format!("url: 'http://127.0.0.1:{nobody}'"));
    let mut notifier = Notifier::start(journal.clone(), "main", &all);
    happen(&journal, "");
    let stats = wait_for(&notifier, |stats| stats.problem.is_some()).await;
    assert_eq!(stats.problem.as_deref(), Some("connection refused"));
    notifier.configure(&all);
    assert_eq!(notifier.stats()[0].waiting, 1);
    notifier.configure(&[]);
    assert_eq!(notifier.stats(), []);
}

#[tokio::test]
async fn a_program_gets_the_event_in_its_environment_and_on_its_input() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let script = format!("{{ env; cat; }} > {0}.next; mv {0}.next {0}", out.display());
    let keys = format!("command: [/bin/sh, -c, {}]", serde_json::to_string(&script).unwrap());
    let journal = Journal::default();
    let notifier = Notifier::start(journal.clone(), "main", &configs(&keys));
    happen(&journal, "refused\0 and gone");
    wait_for(&notifier, |stats| stats.told == 1).await;
    let text = std::fs::read_to_string(out).unwrap();
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    for (name, value) in [
        ("LB_INSTANCE=", "main"),
        ("LB_KIND=", "backend"),
        ("LB_SERVICE=", "web"),
        ("LB_REASON=", "refused  and gone"),
    ] {
        assert_eq!(line(name), Some(value), "{text}");
    }
    let event: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(event["reason"], "refused\0 and gone");
}

#[tokio::test]
async fn a_program_that_fails_or_hangs_is_a_problem() {
    for (script, why) in
        [("echo no; exit 3", "exit status: 3: no"), ("sleep 1000", "it did not end within 300 ms")]
    {
        let keys = format!("command: [/bin/sh, -c, '{script}'], timeout: 300ms");
        let journal = Journal::default();
        let notifier = Notifier::start(journal.clone(), "main", &configs(&keys));
        happen(&journal, "");
        let stats = wait_for(&notifier, |stats| stats.problem.is_some()).await;
        assert_eq!(stats.problem.as_deref(), Some(why));
    }
}

#[tokio::test]
async fn the_end_waits_for_what_can_be_told() {
    let mut receiver = Receiver::start(&[]).await;
    let journal = Journal::default();
    let notifier = receiver.notifier(&journal, "");
    happen(&journal, "the last words");
    notifier.finish(Duration::from_secs(60)).await;
    assert_eq!(receiver.got.try_recv().unwrap()["reason"], "the last words");
}
