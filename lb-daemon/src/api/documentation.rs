//! Holds docs/stats.md to the types it documents.

use std::collections::BTreeSet;

use lb_common::{abi::Answer, reason::DropReason};
use serde_json::Value;

use super::{
    protocol::{Command, ErrorCode, Reply, Request, Response},
    types::{Event, EventKind, Stats},
};

use crate::nat::{FlowReport, STATES};

const DOCUMENT: &str = include_str!("../../../docs/stats.md");

/// The JSON blocks of the document.
fn blocks() -> Vec<Value> {
    let parts = DOCUMENT.split("```json\n").skip(1);
    parts.map(|part| serde_json::from_str(part.split("```").next().unwrap()).unwrap()).collect()
}

fn example() -> Stats {
    serde_json::from_value(blocks()[0].clone()).unwrap()
}

#[test]
fn the_example_has_every_field_and_no_other() {
    assert_eq!(serde_json::to_value(example()).unwrap(), blocks()[0]);
}

#[test]
fn the_event_has_every_field_and_every_kind_is_explained() {
    let event: Event = serde_json::from_value(blocks()[3].clone()).unwrap();
    assert_eq!(serde_json::to_value(event).unwrap(), blocks()[3]);
    let rows = DOCUMENT.split("| kind | what has happened |").nth(1).unwrap();
    for kind in EventKind::ALL {
        assert!(rows.contains(&format!("`{}`", kind.name())), "{kind:?}");
    }
}

#[test]
fn the_examples_sums_are_right() {
    let stats = example();
    assert_eq!(stats.drops.values().sum::<u64>(), stats.totals.dropped);
    let totals = stats.totals;
    let ended = totals.forwarded + totals.passed + totals.dropped;
    assert_eq!(totals.received as i64 - ended as i64, totals.residual);
    let slots = stats.services[0].slots;
    assert_eq!(slots.arming + slots.storing + slots.looking, slots.in_transition);
}

#[test]
fn every_reason_and_answer_is_in_the_example_and_explained() {
    let stats = example();
    let reasons: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
    let answers: Vec<_> = Answer::ALL.iter().map(|answer| answer.name()).collect();
    assert_eq!(stats.drops.len(), reasons.len());
    assert_eq!(stats.answers.len(), answers.len());
    for name in reasons.iter().chain(&answers) {
        assert!(DOCUMENT.contains(&format!("\n| `{name}` | ")), "{name} is not explained");
        assert!(stats.drops.contains_key(*name) || stats.answers.contains_key(*name), "{name}");
    }
}

#[test]
fn a_flow_has_every_field_and_every_state_is_in_the_example() {
    let flow: FlowReport = serde_json::from_value(blocks()[1].clone()).unwrap();
    assert_eq!(serde_json::to_value(flow).unwrap(), blocks()[1]);
    let nat = example().nat;
    let states: BTreeSet<_> = STATES.iter().map(|state| state.name().to_owned()).collect();
    assert_eq!(nat.states.keys().cloned().collect::<BTreeSet<_>>(), states);
    assert_eq!(nat.states.values().sum::<u64>(), nat.flows);
}

#[test]
fn every_request_is_documented_as_it_is_sent() {
    for command in Command::ALL {
        let line = serde_json::to_string(&Request::new(command)).unwrap();
        assert!(DOCUMENT.contains(&format!("| `{line}` |")), "{line}");
    }
}

#[test]
fn every_error_code_is_documented_and_the_example_is_one() {
    for code in [
        ErrorCode::BadRequest,
        ErrorCode::UnsupportedVersion,
        ErrorCode::UnknownCommand,
        ErrorCode::NotPermitted,
        ErrorCode::BadConfiguration,
        ErrorCode::NotFound,
        ErrorCode::Failed,
    ] {
        let name = serde_json::to_value(code).unwrap();
        assert!(DOCUMENT.contains(&format!("| `{}` |", name.as_str().unwrap())), "{name}");
    }
    let response: Response = serde_json::from_value(blocks()[2].clone()).unwrap();
    let Reply::Error(error) = response.reply else { panic!("{response:?}") };
    assert_eq!(error.code, ErrorCode::BadConfiguration);
}
