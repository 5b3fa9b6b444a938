//! Looking for flows: a filter, and a page of what it lets through.

use std::net::{IpAddr, SocketAddr};

use lb_common::{
    abi::{NatBody, NatMeta},
    nat::{
        sweep::{Seen, peek},
        table::Table,
    },
};
use serde::{Deserialize, Serialize};

use super::{Directory, FlowReport, Mapping, NatTables, flow::Sockets, sweeper::forward_of};
use crate::config::nearest;

/// Flows of a page at most.
pub const LARGEST_PAGE: usize = 1000;

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// An address, or address and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// A name, an address, or address and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// `next` of the page before.
    #[serde(skip_serializing_if = "is_zero")]
    pub from: u32,
    /// Flows that are still wanted, this page's and those of later ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Flows that were found.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    pub flows: Vec<FlowReport>,
    /// Where to go on; `null`: that were all.
    pub next: Option<u32>,
    /// How many there are beyond, when this page is the last one wanted.
    pub more: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FilterError {
    #[error("there is no {what} {name:?}{}; {what}s: {known}", meant(nearest))]
    Unknown { what: &'static str, name: String, nearest: Option<String>, known: String },
    #[error(
        "{0:?} is neither an address nor address:port, such as 10.0.0.1:41234 or [2001:db8::1]:80"
    )]
    NoAddress(String),
}

fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or(String::new(), |name| format!(", did you mean {name:?}?"))
}

/// An address, or one with its port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct End {
    address: IpAddr,
    port: Option<u16>,
}

impl End {
    fn parse(text: &str) -> Option<Self> {
        let whole = text.parse::<SocketAddr>();
        let whole = whole.map(|end| Self { address: end.ip(), port: Some(end.port()) });
        whole.or_else(|_| text.parse().map(|address| Self { address, port: None })).ok()
    }

    fn is(&self, end: SocketAddr) -> bool {
        self.address == end.ip() && self.port.is_none_or(|port| port == end.port())
    }
}

#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Indexes of entries.
    services: Option<Vec<u16>>,
    client: Option<End>,
    backends: Option<Vec<u16>>,
    backend: Option<End>,
}

impl Filter {
    pub fn of(query: &Query, directory: &Directory) -> Result<Self, FilterError> {
        let mut filter = Self::default();
        if let Some(name) = &query.service {
            let named = directory.services.iter().filter(|(_, one)| one.name == *name);
            let found: Vec<_> = named.map(|(entry, _)| *entry).collect();
            let known = directory.services.values().map(|one| one.name.as_str());
            filter.services = Some(some_or("service", name, found, known)?);
        }
        if let Some(text) = &query.client {
            let end = End::parse(text).ok_or_else(|| FilterError::NoAddress(text.clone()))?;
            filter.client = Some(end);
        }
        match &query.backend {
            Some(text) if End::parse(text).is_some() => filter.backend = End::parse(text),
            Some(name) => {
                let all = || {
                    let all = directory.backends.iter();
                    all.filter(|(_, one)| query.service.as_ref().is_none_or(|s| one.service == *s))
                };
                let named = all().filter(|(_, one)| one.name == *name);
                let found: Vec<_> = named.map(|(id, _)| *id).collect();
                let known = all().map(|(_, one)| one.name.as_str());
                filter.backends = Some(some_or("backend", name, found, known)?);
            }
            None => {}
        }
        Ok(filter)
    }

    fn lets_through(&self, reverse: &Seen) -> bool {
        let entry = &reverse.entry;
        self.services.as_ref().is_none_or(|services| services.contains(&entry.service))
            && self.backends.as_ref().is_none_or(|backends| backends.contains(&entry.backend))
            && self.client.is_none_or(|end| end.is(Sockets::of(&entry.to).destination))
            && self.backend.is_none_or(|end| end.is(Sockets::of(&reverse.key).source))
    }
}

/// Names that an error lists at most.
const NAMES: usize = 20;

fn some_or<'a>(
    what: &'static str,
    name: &str,
    found: Vec<u16>,
    known: impl Iterator<Item = &'a str>,
) -> Result<Vec<u16>, FilterError> {
    if !found.is_empty() {
        return Ok(found);
    }
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    known.dedup();
    let nearest = nearest(name, &known).map(str::to_owned);
    let more = if known.len() > NAMES {
        format!(" and {} more", known.len() - NAMES)
    } else {
        String::new()
    };
    known.truncate(NAMES);
    Err(FilterError::Unknown {
        what,
        name: name.to_owned(),
        nearest,
        known: known.join(", ") + &more,
    })
}

/// A look through the tables for one page.
struct Look<'a> {
    filter: &'a Filter,
    directory: &'a Directory,
    now: u64,
    from: u32,
    limit: usize,
    /// Those beyond the page are counted.
    counts: bool,
    page: Page,
}

impl Page {
    /// The next flows of `query`: a bucket's worth more than its limit at most.
    /// Where that is more than a page can hold, another is asked for anyway, and
    /// what is beyond is not counted.
    pub fn find(
        tables: &NatTables,
        directory: &Directory,
        query: &Query,
        now: u64,
    ) -> Result<Self, FilterError> {
        let filter = &Filter::of(query, directory)?;
        let limit = query.limit.unwrap_or(LARGEST_PAGE);
        let mut look = Look {
            filter,
            directory,
            now,
            from: query.from,
            limit: limit.min(LARGEST_PAGE),
            counts: limit <= LARGEST_PAGE,
            page: Self::default(),
        };
        let mut first = 0;
        first = look.through(&tables.narrow_new, first);
        first = look.through(&tables.narrow, first);
        first = look.through(&tables.wide_new, first);
        look.through(&tables.wide, first);
        Ok(look.page)
    }
}

impl Look<'_> {
    /// Buckets are numbered over all tables, those of `table` from `first` on;
    /// returns the number after its last.
    fn through<B: NatBody>(&mut self, table: &Mapping<B>, first: u32) -> u32 {
        let last = first + table.buckets();
        for number in self.from.clamp(first, last)..last {
            let Some(bucket) = table.bucket(number - first) else { break };
            if self.page.next.is_none() && self.page.flows.len() >= self.limit {
                self.page.next = Some(number);
            }
            if self.page.next.is_some() && !self.counts {
                break;
            }
            for (word, body) in bucket.metas.iter().zip(&bucket.bodies) {
                let meta = NatMeta(word.load());
                if !meta.in_use() || meta.expires() < self.now {
                    continue;
                }
                let seen = peek(body, meta);
                let whole = NatMeta(word.load()).is_same_use(meta);
                if !whole || !seen.reverse || !self.filter.lets_through(&seen) {
                    continue;
                }
                if self.page.next.is_some() {
                    self.page.more += 1;
                    continue;
                }
                let forward = forward_of(table, &seen, self.directory);
                let report = FlowReport::of(self.directory, &seen, forward.as_ref(), self.now);
                self.page.flows.push(report);
            }
        }
        last
    }
}
