//! What a receiver is told: the event, from whom, and what it has missed.

use std::{
    fs::{self, File},
    io::Write,
    process::Stdio,
};

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::Serialize;
use tokio::process::Command;

use crate::{api::types::Event, program};

/// Who tells.
#[derive(Debug)]
pub struct Sender {
    pub instance: String,
    pub host: String,
    /// Of the events, as in [`EventPage`](crate::api::types::EventPage).
    pub numbering: u64,
}

impl Sender {
    pub fn new(instance: &str, numbering: u64) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self { instance: instance.to_owned(), host: host.trim().to_owned(), numbering }
    }
}

#[derive(Serialize)]
pub struct Letter<'a> {
    instance: &'a str,
    host: &'a str,
    numbering: u64,
    /// Events before this one that could not be told.
    pub lost: u64,
    #[serde(flatten)]
    event: &'a Event,
}

impl<'a> Letter<'a> {
    pub fn new(sender: &'a Sender, event: &'a Event, lost: u64) -> Self {
        let Sender { instance, host, numbering } = sender;
        Self { instance, host, numbering: *numbering, lost, event }
    }

    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("an event is text and numbers")
    }

    /// The program, with the event in its environment, and all of it on its
    /// standard input.
    pub fn command(&self, words: &[String]) -> std::io::Result<Command> {
        let mut command = program::command(words);
        let event = self.event;
        let of_backend = [
            ("LB_SERVICE", &event.service),
            ("LB_BACKEND", &event.backend),
            ("LB_ADDRESS", &event.address),
            ("LB_INTERFACE", &event.interface),
            ("LB_FROM", &event.from),
            ("LB_TO", &event.to),
        ];
        for (name, value) in of_backend {
            command.envs(value.as_ref().map(|value| (name, one_line(value))));
        }
        command
            .env("LB_INSTANCE", self.instance)
            .env("LB_KIND", event.kind.name())
            .env("LB_REASON", one_line(&event.reason))
            .env("LB_TIME", event.time.to_string())
            .env("LB_LOST", self.lost.to_string())
            .stdin(input(&self.json())?);
        Ok(command)
    }
}

/// A file in memory: whether the program reads it is its own affair.
fn input(text: &str) -> std::io::Result<Stdio> {
    let mut file = File::from(memfd_create("event", MFdFlags::MFD_CLOEXEC)?);
    writeln!(file, "{text}")?;
    std::io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

/// An environment takes no NUL, and scripts expect no line feed.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
