use std::sync::Arc;

use super::{super::dns::test_server::Server, *};
use crate::{
    config::{self, Family},
    discovery::{Answers, Endpoint},
};

fn config(server: &Server, entry: &str) -> Config {
    let text = format!(
        "interfaces: [eth0]\ndns: {{servers: '{}', timeout: 300ms}}\nservices:\n- {{name: web, vip: \
         192.0.2.1, port: 80, mode: nat, backends: [{entry}]}}\n",
        server.address()
    );
    config::parse("lb.yaml", &text).unwrap_or_else(|problems| panic!("{problems}")).config
}

/// What is known after one asking.
async fn ask_once(config: &Config, answers: &mut Answers) -> Vec<Endpoint> {
    let rounds = look_up(config, questions(config), Duration::from_secs(60)).await;
    for (question, round) in rounds {
        answers.note(News::Name(question, round), 1);
    }
    answers.names.values().next().unwrap().endpoints.clone()
}

fn shown(endpoints: &[Endpoint]) -> Vec<String> {
    let one = |Endpoint { address, target }: &Endpoint| match target.port {
        Some(port) => {
            let backup = if target.backup { " backup" } else { "" };
            format!("{address} {port} {}{backup}", target.weight.unwrap())
        }
        None => address.to_string(),
    };
    endpoints.iter().map(one).collect()
}

#[tokio::test]
async fn both_families_are_merged_and_kept_while_the_server_is_silent() {
    let server = Server::start().await;
    server.add("web.example", 60, &["10.0.0.2", "10.0.0.1", "2001:db8::1"]);
    let config = config(&server, "{name: w, dns: web.example.}");
    let mut answers = Answers::default();
    let all = ["10.0.0.1", "10.0.0.2", "2001:db8::1"];
    assert_eq!(shown(&ask_once(&config, &mut answers).await), all);
    server.remove("web.example");
    assert_eq!(shown(&ask_once(&config, &mut answers).await), all, "NXDOMAIN");
    server.mute();
    assert_eq!(shown(&ask_once(&config, &mut answers).await), all, "silence");
    let trouble = answers.names.values().next().unwrap().trouble.clone().unwrap();
    assert!(trouble.why.contains("no answer from"), "{trouble:?}");
}

#[tokio::test]
async fn services_have_the_addresses_of_their_hosts_backed_up_by_the_less_preferred() {
    let server = Server::start().await;
    server.service("_http._tcp.example", 60, (10, 5, 8080, "a.example"));
    server.service("_http._tcp.example", 60, (10, 7, 8081, "b.example"));
    server.service("_http._tcp.example", 60, (20, 1, 8082, "backup.example"));
    server.add("a.example", 60, &["10.0.0.1", "2001:db8::1"]);
    server.add("b.example", 60, &["10.0.0.2"]);
    server.add("backup.example", 60, &["10.0.0.3"]);
    let config = config(&server, "{name: w, srv: _http._tcp.example, family: v4}");
    let mut answers = Answers::default();
    let all = ["10.0.0.1 8080 5", "10.0.0.2 8081 7", "10.0.0.3 8082 1 backup"];
    assert_eq!(shown(&ask_once(&config, &mut answers).await), all);
    // A host without addresses keeps those it had.
    server.remove("b.example");
    assert_eq!(shown(&ask_once(&config, &mut answers).await), all);
    server.remove("_http._tcp.example");
    server.service("_http._tcp.example", 60, (10, 5, 8080, "a.example"));
    assert_eq!(shown(&ask_once(&config, &mut answers).await), ["10.0.0.1 8080 5"]);
    assert_eq!(answers.names.values().next().unwrap().trouble, None);
    // "The service is decidedly not available" is no word against its backends.
    server.remove("_http._tcp.example");
    server.service("_http._tcp.example", 60, (0, 0, 0, "."));
    assert_eq!(shown(&ask_once(&config, &mut answers).await), ["10.0.0.1 8080 5"]);
}

#[tokio::test]
async fn a_name_is_asked_for_again_when_its_ttl_is_over_and_not_before() {
    let server = Server::start().await;
    server.add("web.example", 1, &["10.0.0.1"]);
    server.add("other.example", 3600, &["10.0.0.9"]);
    let entries =
        "{name: w, dns: web.example, family: v4}, {name: o, dns: other.example, family: v4}";
    let (_wanted, receiver) = watch::channel(Arc::new(config(&server, entries)));
    let (sender, mut news) = mpsc::channel(4);
    tokio::spawn(follow(receiver, sender));
    let mut asked = Vec::new();
    for _ in 0..4 {
        let Some(News::Name(question, round)) = news.recv().await else { panic!("no news") };
        assert_eq!(question.family, Family::V4);
        assert_eq!(round.trouble(), None);
        asked.push(question.name);
    }
    asked.sort();
    assert_eq!(asked, ["other.example", "web.example", "web.example", "web.example"]);
}
