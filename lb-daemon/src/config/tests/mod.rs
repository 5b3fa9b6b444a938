//! Tests of whole files, from text to configuration.

mod discovery;
mod documents;
mod health;
mod host;
mod hostile;
mod notify;
mod problems;
mod random;
mod resolved;
mod translation;
mod warnings;

use super::{Config, Loaded, parse};

/// What is said about `text`, one problem a line.
fn problems(text: &str) -> String {
    parse("lb.yaml", text).expect_err("the file is wrong").to_string()
}

fn good(text: &str) -> Config {
    loaded(text).config
}

fn loaded(text: &str) -> Loaded {
    parse("lb.yaml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A file with one service whose further lines are `lines`.
fn with_service(lines: &str) -> String {
    let mut text = "interfaces: [eth0]\nservices:\n  - name: web\n".to_owned();
    for line in lines.lines() {
        text.push_str(&format!("    {line}\n"));
    }
    text
}

const VIP: &str = "vip: 203.0.113.10\nport: 80\nmode: dsr\n";
const BACKENDS: &str = "backends: [{ name: a, address: 10.0.0.1 }]\n";
