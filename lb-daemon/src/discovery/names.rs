//! Asks for names when their time is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep_until, timeout},
};

use super::{
    News, Wanted,
    dns::{Client, Lookup, Records, Servers, Value},
    questions,
    round::{Addresses, Host, Hosts, Round, Target},
    schedule::{Bounds, Schedule},
};
use crate::config::{Config, Question, QuestionKind};

/// Questions asked at the same time.
const ROOM: usize = 32;
/// Hosts of one service whose addresses are asked for.
const MOST_HOSTS: usize = 256;
/// A service's many hosts may be asked for at servers that are slow.
const LONGEST_ROUND: Duration = Duration::from_secs(60);
/// When nothing is due.
const LONG: Duration = Duration::from_secs(3600);

/// Asks, and tells `news`, for as long as somebody wants to know.
pub async fn follow(mut wanted: watch::Receiver<Wanted>, news: mpsc::Sender<News>) {
    let mut schedule = Schedule::default();
    let mut running = JoinSet::new();
    wanted.mark_changed();
    loop {
        let due = schedule.take_due(Instant::now(), ROOM.saturating_sub(running.len()));
        if !due.is_empty() {
            let client = client(&wanted.borrow());
            for question in due {
                running.spawn(ask(client.clone(), question));
            }
        }
        let full = running.len() >= ROOM;
        let next = schedule.next_due().unwrap_or_else(|| Instant::now() + LONG);
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let questions = questions(&wanted.borrow_and_update());
                schedule.set(&questions, Instant::now());
            }
            Some(Ok((question, round))) = running.join_next() => {
                let ttl = round.ttl.filter(|_| round.trouble().is_none());
                schedule.ended(&question, ttl, (Instant::now(), bounds(&wanted.borrow())));
                if news.send(News::Name(question, round)).await.is_err() {
                    return;
                }
            }
            () = sleep_until(next.into()), if !full => {}
        }
    }
}

/// Asks once for each, and waits no longer than `patience` for all of them
/// together; what has no answer by then is missing.
pub async fn look_up(
    config: &Config,
    questions: BTreeSet<Question>,
    patience: Duration,
) -> BTreeMap<Question, Round> {
    let mut rounds = BTreeMap::new();
    if questions.is_empty() {
        return rounds;
    }
    let client = client(config);
    let mut running = JoinSet::new();
    let collected = async {
        for question in questions {
            if running.len() >= ROOM
                && let Some(Ok((question, round))) = running.join_next().await
            {
                rounds.insert(question, round);
            }
            running.spawn(ask(client.clone(), question));
        }
        while let Some(asked) = running.join_next().await {
            rounds.extend(asked);
        }
    };
    // What has no answer is asked for again later.
    let _ = timeout(patience, collected).await;
    rounds
}

fn client(config: &Config) -> Client {
    Client { servers: Servers::of(&config.dns), patience: config.dns.timeout }
}

fn bounds(config: &Config) -> Bounds {
    Bounds { min: config.dns.min_refresh, max: config.dns.max_refresh }
}

async fn ask(client: Client, question: Question) -> (Question, Round) {
    let round = timeout(LONGEST_ROUND, async {
        match question.kind {
            QuestionKind::Dns => {
                let target =
                    Target { host: question.name.clone(), port: None, weight: None, backup: false };
                let (host, ttl) = addresses(&client, target, &question).await;
                Round { hosts: Hosts::Known(vec![host]), ttl }
            }
            QuestionKind::Srv => services(&client, &question).await,
        }
    });
    let round = round.await.unwrap_or_else(|_| {
        let why = format!("{}: not answered in full within {LONGEST_ROUND:?}", question.name);
        Round { hosts: Hosts::Unknown(why), ttl: None }
    });
    (question, round)
}

async fn services(client: &Client, question: &Question) -> Round {
    let unknown = |why: String| Round { hosts: Hosts::Unknown(why), ttl: None };
    let (values, mut ttl) = match client.look_up(&question.name, Records::Srv).await {
        Lookup::Found(values, ttl) => (values, Some(ttl)),
        Lookup::Nothing(why) => return unknown(format!("{}: {why}", question.name)),
        Lookup::Failed(why) => return unknown(format!("SRV of {}: {why}", question.name)),
    };
    let targets = targets(values);
    if targets.is_empty() {
        return unknown(format!("{}: the service is not offered there", question.name));
    }
    let mut hosts = Vec::new();
    for target in targets {
        let (host, its_ttl) = addresses(client, target, question).await;
        ttl = ttl.min(its_ttl.or(ttl));
        hosts.push(host);
    }
    Round { hosts: Hosts::Known(hosts), ttl }
}

/// The targets of the smallest priority number come first (RFC 2782); the others
/// back them up.
fn targets(values: Vec<Value>) -> Vec<Target> {
    let records = values.into_iter().filter_map(|value| match value {
        Value::Service { priority, weight, port, host } if !host.is_empty() => {
            let (port, weight) = (Some(port), Some(weight));
            Some((priority, Target { host, port, weight, backup: false }))
        }
        Value::Service { .. } | Value::Address(_) => None,
    });
    let mut records: Vec<_> = records.collect();
    records.sort();
    let first = records.first().map(|(priority, _)| *priority);
    let ranked = records
        .into_iter()
        .map(|(priority, target)| Target { backup: Some(priority) != first, ..target });
    ranked.take(MOST_HOSTS).collect()
}

async fn addresses(
    client: &Client,
    target: Target,
    question: &Question,
) -> (Host, Option<Duration>) {
    let family = question.family;
    let (v4, v6) = tokio::join!(
        one_family(client, &target.host, family.has_v4().then_some(Records::A)),
        one_family(client, &target.host, family.has_v6().then_some(Records::Aaaa)),
    );
    let ttl = [v4.1, v6.1].into_iter().flatten().min();
    (Host { target, v4: v4.0, v6: v6.0 }, ttl)
}

async fn one_family(
    client: &Client,
    host: &str,
    records: Option<Records>,
) -> (Addresses, Option<Duration>) {
    let Some(records) = records else { return (Addresses::NotAsked, None) };
    match client.look_up(host, records).await {
        Lookup::Found(values, ttl) => {
            let addresses = values.into_iter().filter_map(|value| match value {
                Value::Address(address) => Some(address),
                Value::Service { .. } => None,
            });
            (Addresses::Found(addresses.collect()), Some(ttl))
        }
        Lookup::Nothing(why) => (Addresses::None(why), None),
        Lookup::Failed(why) => (Addresses::Failed(why), None),
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
