//! What is no table: the header, and the counts of the whole balancer.

use std::collections::BTreeMap;

use super::{
    View,
    style::Style,
    units::{age, grouped},
};
use crate::api::types::{FlowStats, NatStats, NotifyStats, Stats, Totals};

/// Who answers, since when, and what needs attention.
pub fn header(stats: &Stats, view: &View) -> String {
    let name = Style::Title.paint(&format!("lb-daemon {}", stats.instance), view.colour);
    let mut lines = vec![format!(
        "{name}  version {}, up {}, pid {}",
        stats.version,
        age(stats.uptime),
        stats.pid
    )];
    let config = &stats.config;
    let loaded = age(stats.time.saturating_sub(config.loaded_at));
    lines.push(format!("{} read {loaded} ago", config.path));
    let paint = |style: Style, text: String| style.paint(&text, view.colour);
    if let Some(error) = &config.last_error {
        lines.push(paint(Style::Bad, format!("last reload refused: {error}")));
    }
    lines.extend(stats.warnings.iter().map(|w| paint(Style::Doubtful, format!("warning: {w}"))));
    lines.extend(stats.pending.iter().map(|text| format!("pending: {text}")));
    lines.join("\n") + "\n"
}

/// Where packets ended.
pub fn counts(stats: &Stats, view: &View) -> String {
    let mut lines = vec![conservation(&stats.totals)];
    lines.extend(named("dropped", &stats.drops, view));
    lines.extend(named("answered", &stats.answers, view));
    lines.extend(flows(&stats.flows, &stats.totals, view));
    lines.extend(translated(&stats.nat, view));
    lines.extend(told(&stats.notify, view));
    lines.join("\n") + "\n"
}

fn conservation(totals: &Totals) -> String {
    format!(
        "received {} = forwarded {} + passed {} + dropped {} (in flight {})",
        grouped(totals.received),
        grouped(totals.forwarded),
        grouped(totals.passed),
        grouped(totals.dropped),
        totals.residual
    )
}

/// Largest first; nothing when all are zero and zeros are not asked for.
fn named(title: &str, counts: &BTreeMap<String, u64>, view: &View) -> Option<String> {
    let mut shown: Vec<_> = counts.iter().filter(|(_, count)| view.all || **count > 0).collect();
    shown.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
    let parts = shown.iter().map(|(name, count)| format!("{name} {}", grouped(**count)));
    let parts: Vec<_> = parts.collect();
    (!parts.is_empty()).then(|| wrapped(title, &parts, view.width))
}

/// `title: part, part, …` over as many lines as the width asks for.
fn wrapped(title: &str, parts: &[String], width: Option<usize>) -> String {
    let indent = " ".repeat(title.len() + 2);
    let mut lines = vec![format!("{title}: ")];
    for (place, part) in parts.iter().enumerate() {
        let part = if place + 1 < parts.len() { format!("{part}, ") } else { part.clone() };
        let line = lines.last_mut().expect("there is always one");
        let length = line.chars().count() + part.trim_end().chars().count();
        if line.len() > indent.len() && width.is_some_and(|width| length > width) {
            lines.push(indent.clone() + &part);
        } else {
            line.push_str(&part);
        }
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

/// The flow table is of interest only when it was ever used.
fn flows(flows: &FlowStats, totals: &Totals, view: &View) -> Option<String> {
    if !view.all && flows.entries == 0 && flows.looked_up == 0 && flows.stored == 0 {
        return None;
    }
    let share = flows.looked_up as f64 / totals.received.max(1) as f64 * 100.0;
    let parts = [
        format!("{} of {} in use", grouped(flows.entries), grouped(flows.capacity)),
        format!("{} stored", grouped(flows.stored)),
        format!("{} found no room", grouped(flows.store_failed)),
        format!("looked up for {share:.2}% of packets"),
    ];
    Some(wrapped("flow entries", &parts, view.width))
}

/// Of interest only where there are services that translate.
fn translated(nat: &NatStats, view: &View) -> Option<String> {
    if !view.all && nat.flows == 0 && nat.capacity + nat.capacity_wide == 0 {
        return None;
    }
    let room = format!(
        "{} (room for {} in IPv4, {} others)",
        grouped(nat.flows),
        grouped(nat.capacity),
        grouped(nat.capacity_wide)
    );
    let states = nat.states.iter().filter(|(_, count)| view.all || **count > 0);
    let states = states.map(|(state, count)| format!("{state} {}", grouped(*count)));
    let log = nat
        .log
        .as_ref()
        .map(|log| format!("log: {} written, {} lost", grouped(log.written), grouped(log.lost)));
    let parts: Vec<_> = std::iter::once(room).chain(states).chain(log).collect();
    Some(wrapped("translated flows", &parts, view.width))
}

/// Of interest only when some of them miss something; why is among the warnings.
fn told(all: &[NotifyStats], view: &View) -> Vec<String> {
    let shown = all.iter().filter(|one| view.all || one.lost > 0);
    let line = |one: &NotifyStats| {
        let parts = [
            format!("{} events told", grouped(one.told)),
            format!("{} wait", grouped(one.waiting)),
            format!("{} are lost", grouped(one.lost)),
        ];
        wrapped(&format!("notify {}", one.to), &parts, view.width)
    };
    shown.map(line).collect()
}
