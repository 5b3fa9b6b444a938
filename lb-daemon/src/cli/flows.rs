//! `lb-daemon flows`: page after page, printed as it comes.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::{
    Failure, args,
    render::{self, View},
    screen,
};
use crate::{
    api::{
        Instance, RuntimeDir, client,
        protocol::{Reply, Request},
    },
    nat::{FlowReport, Page, Query},
};

/// A page is a look through all the tables at most.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn flows(instance: &Instance, arguments: &args::Flows) -> Result<(), Failure> {
    let dir = RuntimeDir::default();
    let fetch = |query: Query| {
        client::send(&dir.socket(instance), &Request::flows(query), PATIENCE)
            .and_then(|reply| match reply {
                Reply::Flows(page) => Ok(page),
                other => Err(client::Error::unexpected(&other)),
            })
            .map_err(|error| Failure::asking(error, instance, &dir))
    };
    let mut out = io::stdout().lock();
    match print(fetch, arguments, &mut out) {
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Stop::Output(error)) => Err(anyhow::Error::from(error).into()),
        Err(Stop::Answer(failure)) => Err(failure),
        Ok(()) => Ok(()),
    }
}

#[derive(Debug)]
enum Stop {
    Answer(Failure),
    Output(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn print(
    mut fetch: impl FnMut(Query) -> Result<Page, Failure>,
    arguments: &args::Flows,
    out: &mut impl Write,
) -> Result<(), Stop> {
    let view = View { width: screen::width(), colour: screen::colour(), all: true };
    let mut left = if arguments.limit == 0 { usize::MAX } else { arguments.limit };
    let mut from = Some(0);
    let mut more = 0;
    let mut shown = 0;
    while let Some(place) = from.filter(|_| left > 0) {
        let query = Query {
            service: arguments.service.clone(),
            client: arguments.client.clone(),
            backend: arguments.backend.clone(),
            from: place,
            limit: Some(left),
        };
        let mut page = fetch(query).map_err(Stop::Answer)?;
        more = page.more + page.flows.len().saturating_sub(left) as u64;
        page.flows.truncate(left);
        write(&page.flows, arguments.json, &view, out)?;
        left -= page.flows.len();
        shown += page.flows.len();
        from = page.next;
    }
    out.flush()?;
    if arguments.json {
        return Ok(());
    }
    match (shown, more) {
        (0, _) => writeln!(out, "no translated flow")?,
        (_, 0) => {}
        (_, more) => writeln!(
            out,
            "… and {} more; choose with --service, --client or --backend, or show all with --limit 0",
            render::grouped(more)
        )?,
    }
    Ok(())
}

fn write(
    flows: &[FlowReport],
    json: bool,
    view: &View,
    out: &mut impl Write,
) -> Result<(), io::Error> {
    if !json {
        return out.write_all(render::flows(flows, view).as_bytes());
    }
    for flow in flows {
        serde_json::to_writer(&mut *out, flow)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(limit: usize, json: bool) -> args::Flows {
        args::Flows { service: None, client: None, backend: None, limit, json }
    }

    /// Three pages of two flows.
    fn pages(query: Query) -> Result<Page, Failure> {
        let flow = FlowReport { state: "established".to_owned(), ..FlowReport::default() };
        let next = (query.from < 2).then_some(query.from + 1);
        let more = if query.limit.unwrap() <= 2 { 4 - 2 * u64::from(query.from) } else { 0 };
        Ok(Page { flows: vec![flow; 2], next, more })
    }

    fn printed(limit: usize, json: bool) -> String {
        let mut out = Vec::new();
        print(pages, &arguments(limit, json), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pages_are_asked_for_until_the_limit_and_the_rest_is_counted() {
        assert_eq!(printed(0, true).lines().count(), 6);
        assert_eq!(printed(3, true).lines().count(), 3);
        let text = printed(3, false);
        assert_eq!(text.matches("established").count(), 3);
        assert!(text.contains("… and 3 more;"), "{text}");
        assert!(!printed(0, false).contains("more;"));
    }

    #[test]
    fn none_is_said_in_words() {
        let mut out = Vec::new();
        print(|_| Ok(Page::default()), &arguments(1, false), &mut out).unwrap();
        assert_eq!(out, b"no translated flow\n");
    }
}
