//! The program on the interfaces that the configuration lists: attached as
//! soon as an interface is there, and again when it is there anew.

use std::collections::BTreeMap;

use tracing::warn;

use crate::{
    api::types::{Event, EventKind, InterfaceMode, InterfaceState},
    config::{Interface, XdpMode},
    events::Journal,
    loader::{AttachError, Attacher, Attachment, Mode, Request},
    netlink::{Links, Operation},
};

/// Puts the program on interfaces; tests have their own.
pub trait Attach {
    fn attach(
        &self,
        interface: &str,
        ifindex: u32,
        request: Request,
    ) -> Result<Attachment, AttachError>;
    fn detach(&self, interface: &str, ifindex: u32) -> Result<(), AttachError>;
}

impl Attach for Attacher {
    fn attach(
        &self,
        interface: &str,
        ifindex: u32,
        request: Request,
    ) -> Result<Attachment, AttachError> {
        Self::attach(self, interface, ifindex, request)
    }

    fn detach(&self, interface: &str, ifindex: u32) -> Result<(), AttachError> {
        Self::detach(self, interface, ifindex)
    }
}

/// An interface as an operator sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceReport {
    pub name: String,
    pub ifindex: Option<u32>,
    pub mode: InterfaceMode,
    pub state: InterfaceState,
    pub detail: String,
}

#[derive(Debug)]
pub struct Interfaces<A> {
    attacher: A,
    journal: Journal,
    present: BTreeMap<String, Present>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Present {
    request: Request,
    state: State,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Waiting,
    Attached { ifindex: u32, mode: Mode, remark: Option<String> },
    Failed { ifindex: u32, why: String },
}

impl<A: Attach> Interfaces<A> {
    pub fn new(attacher: A, journal: Journal) -> Self {
        Self { attacher, journal, present: BTreeMap::new() }
    }

    /// Detaches from every interface of `linked` that is not wanted: what an
    /// earlier daemon with another configuration left.
    pub fn leave_others(&self, linked: &[u32], links: &Links, wanted: &[Interface]) {
        for ifindex in linked {
            let name = links.get(*ifindex).map_or("", |link| &link.name);
            if !wanted.iter().any(|interface| interface.name == name) {
                self.leave(name, *ifindex);
            }
        }
    }

    /// Does what there is to do. Failures are tried again at every call.
    pub fn follow(&mut self, links: &Links, wanted: &[Interface]) {
        let gone: Vec<_> = self
            .present
            .keys()
            .filter(|name| !wanted.iter().any(|interface| interface.name == **name))
            .cloned()
            .collect();
        for name in gone {
            if let Some(Present { state: State::Attached { ifindex, .. }, .. }) =
                self.present.remove(&name)
            {
                self.leave(&name, ifindex);
            }
        }
        for interface in wanted {
            self.follow_one(links, interface);
        }
    }

    fn follow_one(&mut self, links: &Links, interface: &Interface) {
        let name = &interface.name;
        let request = request(interface.xdp);
        let before = self.present.get(name);
        let now = links.by_name(name).map(|link| link.index);
        if let Some(Present { state: State::Attached { ifindex, .. }, .. }) = before
            && now != Some(*ifindex)
        {
            self.leave(name, *ifindex);
        }
        let state = match now {
            None => State::Waiting,
            Some(index) => match before {
                Some(Present { request: same, state: State::Attached { ifindex, .. } })
                    if *same == request && *ifindex == index =>
                {
                    return;
                }
                _ => self.attach(name, index, request),
            },
        };
        if before.map(|before| &before.state) != Some(&state) {
            self.report_change(name, &state);
        }
        self.present.insert(name.clone(), Present { request, state });
    }

    fn attach(&self, name: &str, ifindex: u32, request: Request) -> State {
        match self.attacher.attach(name, ifindex, request) {
            Ok(Attachment { mode, remark, .. }) => State::Attached { ifindex, mode, remark },
            Err(AttachError::NoInterface { .. }) => State::Waiting,
            Err(error) => State::Failed { ifindex, why: error.to_string() },
        }
    }

    /// An interface that is not listed any more, or has another name now, or is
    /// gone: then only its link is left.
    fn leave(&self, name: &str, ifindex: u32) {
        match self.attacher.detach(name, ifindex) {
            Ok(()) => {
                self.tell(name, "detached", format!("index {ifindex} is let go of"));
            }
            Err(error) => warn!("{error}"),
        }
    }

    fn report_change(&self, name: &str, state: &State) {
        match state {
            State::Waiting => {
                self.tell(name, "waiting", "it is not there (yet): waiting for it".to_owned());
            }
            State::Attached { mode, remark, ifindex } => {
                let found = format!("in {mode} mode, index {ifindex}");
                let remark = remark.as_ref().map(|remark| format!("; {remark}"));
                self.tell(name, "attached", found + &remark.unwrap_or_default());
            }
            State::Failed { why, .. } => self.tell(name, "failed", format!("{why}; trying again")),
        }
    }

    fn tell(&self, name: &str, state: &str, reason: String) {
        let event = Event::new(EventKind::Interface, reason).to(state);
        self.journal.announce(Event { interface: Some(name.to_owned()), ..event });
    }

    /// In the order of the configuration.
    pub fn report(&self, links: &Links, wanted: &[Interface]) -> Vec<InterfaceReport> {
        let reports =
            wanted.iter().filter_map(|one| Some(describe(one, self.present.get(&one.name)?)));
        reports
            .map(|report| InterfaceReport { detail: with_link(&report, links), ..report })
            .collect()
    }
}

fn request(mode: XdpMode) -> Request {
    match mode {
        XdpMode::Native => Request::Only(Mode::Native),
        XdpMode::Generic => Request::Only(Mode::Generic),
        XdpMode::Auto => Request::Auto,
    }
}

/// The report's detail, and that nothing can come in where the link is not up:
/// the program stays attached then.
fn with_link(report: &InterfaceReport, links: &Links) -> String {
    let operation = report.ifindex.and_then(|index| links.get(index)).map(|link| link.operation);
    match operation {
        None | Some(Operation::Up) => report.detail.clone(),
        Some(operation) if report.detail.is_empty() => format!("the link is {operation}"),
        Some(operation) => format!("the link is {operation}; {}", report.detail),
    }
}

fn describe(interface: &Interface, present: &Present) -> InterfaceReport {
    let none = InterfaceMode::None;
    let (ifindex, mode, state, detail) = match &present.state {
        State::Waiting => {
            (None, none, InterfaceState::Waiting, "there is no such interface (yet)".to_owned())
        }
        State::Attached { ifindex, mode, remark } => {
            let mode = match mode {
                Mode::Native => InterfaceMode::Native,
                Mode::Generic => InterfaceMode::Generic,
            };
            (Some(*ifindex), mode, InterfaceState::Attached, remark.clone().unwrap_or_default())
        }
        State::Failed { ifindex, why } => {
            (Some(*ifindex), none, InterfaceState::Failed, why.clone())
        }
    };
    InterfaceReport { name: interface.name.clone(), ifindex, mode, state, detail }
}

#[cfg(test)]
#[path = "interfaces_tests.rs"]
mod tests;
