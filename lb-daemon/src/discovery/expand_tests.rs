use super::*;
use crate::{
    config::{self, BackendOrder, DrainTime},
    discovery::{Addresses, FileNews, Host, Hosts, News, Round},
};

/// A configuration with one service that has these lines.
fn config(lines: &str) -> Config {
    let text = format!("interfaces: [eth0]\nservices:\n- name: web\n  vip: 192.0.2.1\n{lines}\n");
    config::parse("lb.yaml", &text).unwrap_or_else(|problems| panic!("{problems}")).config
}

const DSR: &str = "  port: 80\n  mode: dsr\n";

fn with_entry(entry: &str) -> Config {
    config(&format!("{DSR}  backends: [{{name: a, address: 10.0.0.1}}, {entry}]"))
}

fn target(port: Option<u16>, weight: Option<u16>) -> Target {
    Target { host: "w.example".into(), port, weight, backup: false }
}

/// The answer to the only question of `config`.
fn answer(config: &Config, hosts: &[(Target, &[&str])]) -> Answers {
    let hosts = hosts.iter().map(|(target, addresses)| Host {
        target: target.clone(),
        v4: Addresses::Found(addresses.iter().map(|one| one.parse().unwrap()).collect()),
        v6: Addresses::NotAsked,
    });
    let round = Round { hosts: Hosts::Known(hosts.collect()), ttl: None };
    let question = config.services[0].discovery.names[0].question.clone();
    let mut answers = Answers::default();
    answers.note(News::Name(question, round), 0);
    answers
}

fn addresses(config: &Config, list: &[&str]) -> Answers {
    answer(config, &[(target(None, None), list)])
}

fn names(expanded: &Expanded) -> Vec<&str> {
    expanded.config.services[0].backends.iter().map(|one| one.name.as_str()).collect()
}

#[test]
fn found_backends_stand_behind_the_listed_ones_whatever_the_order_of_the_answer() {
    let config = with_entry("{name: w, dns: w.example, weight: 3}");
    let one = expand(&config, &addresses(&config, &["10.0.0.12", "10.0.0.11"]));
    assert_eq!(names(&one), ["a", "w@10.0.0.11", "w@10.0.0.12"]);
    assert_eq!(one.config.services[0].backends[1].weight, 3);
    assert_eq!(one.config.services[0].backends[1].origin.to_string(), "dns w.example");
    assert_eq!(one.left_out, [""; 0]);
    let other = expand(&config, &addresses(&config, &["10.0.0.11", "10.0.0.12"]));
    assert_eq!(one, other);
}

#[test]
fn without_answers_there_is_what_is_listed_and_the_table_has_its_size_already() {
    let config = with_entry("{name: w, dns: w.example}");
    let nothing = expand(&config, &Answers::default());
    assert_eq!(nothing.config, config);
    let some = expand(&config, &addresses(&config, &["10.0.0.11"]));
    assert_eq!(some.config.services[0].table_size, config.services[0].table_size);
    assert_eq!(config.services[0].table_size, config::default_table_size(64));
}

#[test]
fn what_a_listed_backend_could_not_be_is_left_out_and_said() {
    let config = with_entry("{name: w, dns: w.example}");
    let found = ["127.0.0.1", "192.0.2.1", "224.0.0.1", "10.0.0.11", "0.0.0.0"];
    let expanded = expand(&config, &addresses(&config, &found));
    assert_eq!(names(&expanded), ["a", "w@10.0.0.11"]);
    assert_eq!(expanded.left_out.len(), 4, "{:?}", expanded.left_out);
    assert!(
        expanded.left_out.iter().any(|one| one
            == "service web: left out: w@192.0.2.1 (dns w.example): 192.0.2.1 is a VIP of this \
                balancer"),
        "{:?}",
        expanded.left_out
    );
}

#[test]
fn records_of_another_priority_are_backups_with_weights_of_their_own() {
    let config = config("  port: 80\n  mode: nat\n  backends: [{name: w, srv: _http._tcp.w}]");
    let backup = |weight| Target { backup: true, ..target(Some(8080), Some(weight)) };
    let hosts: [(Target, &[&str]); 3] = [
        (target(Some(8080), Some(60_000)), &["10.0.0.9"]),
        (backup(2), &["10.0.0.1", "10.0.0.9"]),
        (backup(4), &["10.0.0.2"]),
    ];
    let expanded = expand(&config, &answer(&config, &hosts));
    let found = &expanded.config.services[0].backends;
    let found: Vec<_> = found.iter().map(|b| (b.name.as_str(), b.weight, b.backup)).collect();
    let expected = [("w@10.0.0.9", 1000, false), ("w@10.0.0.1", 2, true), ("w@10.0.0.2", 4, true)];
    assert_eq!(found, expected);
}

#[test]
fn an_address_that_is_listed_stays_as_listed() {
    let config = with_entry("{name: w, dns: w.example}");
    let expanded = expand(&config, &addresses(&config, &["10.0.0.1", "10.0.0.2"]));
    assert_eq!(names(&expanded), ["a", "w@10.0.0.2"]);
    assert_eq!(expanded.left_out, [""; 0]);
}

#[test]
fn there_are_never_more_than_max_backends() {
    let config = config(&format!(
        "{DSR}  max_backends: 3\n  backends: [{{name: a, address: 10.0.0.1}}, {{name: w, dns: w}}]"
    ));
    let found = ["10.0.0.9", "10.0.0.5", "10.0.0.7", "10.0.0.6"];
    let expanded = expand(&config, &addresses(&config, &found));
    assert_eq!(names(&expanded), ["a", "w@10.0.0.5", "w@10.0.0.6"]);
    assert_eq!(expanded.left_out, ["service web: left out: 2 backends beyond max_backends: 3"]);
}

#[test]
fn services_give_ports_and_weights() {
    let config = config("  port: 80\n  mode: nat\n  backends: [{name: w, srv: _http._tcp.w}]");
    let hosts: [(Target, &[&str]); 3] = [
        (target(Some(8080), Some(30_000)), &["10.0.0.2"]),
        (target(Some(8081), Some(60_000)), &["10.0.0.1"]),
        (target(Some(8082), Some(0)), &["10.0.0.3"]),
    ];
    let expanded = expand(&config, &answer(&config, &hosts));
    let found: Vec<_> = expanded.config.services[0]
        .backends
        .iter()
        .map(|one| (one.name.as_str(), one.port, one.weight))
        .collect();
    assert_eq!(
        found,
        [
            ("w@10.0.0.1", Some(8081), 1000),
            ("w@10.0.0.2", Some(8080), 500),
            ("w@10.0.0.3", Some(8082), 1),
        ]
    );
    let hosts: [(Target, &[&str]); 1] = [(target(Some(80), Some(0)), &["10.0.0.2", "10.0.0.3"])];
    let expanded = expand(&config, &answer(&config, &hosts));
    assert!(expanded.config.services[0].backends.iter().all(|one| one.weight == 1));
}

#[test]
fn a_port_that_the_mode_cannot_give_leaves_a_backend_out() {
    let config = with_entry("{name: w, srv: _http._tcp.w}");
    let hosts: [(Target, &[&str]); 2] =
        [(target(Some(80), Some(1)), &["10.0.0.2"]), (target(Some(8080), Some(1)), &["10.0.0.3"])];
    let expanded = expand(&config, &answer(&config, &hosts));
    assert_eq!(names(&expanded), ["a", "w@10.0.0.2"]);
    assert_eq!(expanded.config.services[0].backends[1].port, None);
    assert!(expanded.left_out[0].contains("mode dsr does not change ports"));
}

#[test]
fn what_an_entry_says_of_coming_and_going_holds_for_all_that_it_finds() {
    let config = with_entry("{name: w, dns: w.example, state: drain, drain: unlimited}");
    let expanded = expand(&config, &addresses(&config, &["10.0.0.2", "10.0.0.3"]));
    let said: Vec<_> = expanded.config.services[0]
        .backends
        .iter()
        .map(|backend| (backend.state, backend.drain))
        .collect();
    let found = (BackendOrder::Drain, Some(DrainTime::Unlimited));
    assert_eq!(said, [(BackendOrder::Active, None), found, found]);
}

#[test]
fn a_file_comes_before_names_and_a_bad_one_changes_nothing() {
    let config = config(&format!(
        "{DSR}  backends_file: /run/web.yaml\n  backends: [{{name: w, dns: w.example}}]"
    ));
    let mut answers = addresses(&config, &["10.0.0.1", "10.0.0.2"]);
    let backend = |name: &str, address: &str| Backend {
        backup: false,
        name: name.into(),
        address: address.parse().unwrap(),
        weight: 1,
        port: None,
        state: BackendOrder::Active,
        drain: None,
        origin: Origin::BackendsFile,
    };
    let news = |outcome| {
        News::File(FileNews { service: "web".into(), path: "/run/web.yaml".into(), outcome })
    };
    answers.note(news(Ok(vec![backend("f", "10.0.0.2")])), 5);
    let before = expand(&config, &answers);
    assert_eq!(names(&before), ["f", "w@10.0.0.1"]);
    answers.note(news(Err("web.yaml:1:1: wrong".into())), 9);
    answers.note(news(Err("web.yaml:2:1: wrong".into())), 12);
    assert_eq!(expand(&config, &answers), before);
    let known = &answers.files["web"];
    assert_eq!((known.answered, known.trouble.as_ref().unwrap().since), (Some(5), 9));
    answers.note(news(Ok(vec![])), 15);
    assert_eq!(names(&expand(&config, &answers)), ["w@10.0.0.1", "w@10.0.0.2"]);
    assert_eq!(answers.files["web"].trouble, None);
}
