use super::*;
use std::cell::RefCell;

use crate::netlink::{Link, Operation};

/// Attaches wherever `refused` does not say otherwise, and writes it down.
#[derive(Default)]
struct Fake {
    refused: RefCell<Option<&'static str>>,
    done: RefCell<Vec<String>>,
}

impl Attach for &Fake {
    fn attach(
        &self,
        interface: &str,
        ifindex: u32,
        request: Request,
    ) -> Result<Attachment, AttachError> {
        if *self.refused.borrow() == Some(interface) {
            let interface = interface.to_owned();
            return Err(AttachError::Occupied { interface, program: "other".into(), id: 7 });
        }
        self.done.borrow_mut().push(format!("attach {interface} {ifindex}"));
        let mode = if let Request::Only(mode) = request { mode } else { Mode::Native };
        Ok(Attachment { mode, swapped: false, remark: None })
    }

    fn detach(&self, interface: &str, ifindex: u32) -> Result<(), AttachError> {
        self.done.borrow_mut().push(format!("detach {interface} {ifindex}"));
        Ok(())
    }
}

impl Fake {
    fn done(&self) -> Vec<String> {
        self.done.take()
    }
}

fn links(all: &[(u32, &str)]) -> Links {
    all.iter()
        .map(|(index, name)| Link {
            index: *index,
            name: (*name).to_owned(),
            mac: None,
            mtu: 1500,
            operation: Operation::Up,
            loopback: false,
            kind: String::new(),
            master: None,
            lower: None,
            elsewhere: None,
            xdp: None,
        })
        .collect()
}

fn wanted(all: &[(&str, XdpMode)]) -> Vec<Interface> {
    all.iter().map(|(name, xdp)| Interface { name: (*name).to_owned(), xdp: *xdp }).collect()
}

#[test]
fn an_interface_is_waited_for_attached_once_and_again_when_it_is_new() {
    let fake = Fake::default();
    let mut interfaces = Interfaces::new(&fake, Journal::default());
    let eth0 = wanted(&[("eth0", XdpMode::Native)]);
    interfaces.follow(&links(&[]), &eth0);
    assert_eq!(interfaces.report(&links(&[]), &eth0)[0].state, InterfaceState::Waiting);
    interfaces.follow(&links(&[(3, "eth0")]), &eth0);
    interfaces.follow(&links(&[(3, "eth0"), (4, "lo")]), &eth0);
    assert_eq!(fake.done(), ["attach eth0 3"]);
    assert_eq!(interfaces.report(&links(&[]), &eth0)[0].mode, InterfaceMode::Native);
    interfaces.follow(&links(&[(9, "eth0")]), &eth0);
    assert_eq!(fake.done(), ["detach eth0 3", "attach eth0 9"]);
    interfaces.follow(&links(&[(9, "renamed")]), &eth0);
    assert_eq!(fake.done(), ["detach eth0 9"]);
    assert_eq!(interfaces.report(&links(&[]), &eth0)[0].state, InterfaceState::Waiting);
}

#[test]
fn another_mode_is_asked_for_and_an_unlisted_interface_is_left() {
    let fake = Fake::default();
    let mut interfaces = Interfaces::new(&fake, Journal::default());
    let present = links(&[(3, "eth0"), (4, "eth1")]);
    let both = wanted(&[("eth0", XdpMode::Auto), ("eth1", XdpMode::Auto)]);
    interfaces.follow(&present, &both);
    fake.done();
    let one = wanted(&[("eth0", XdpMode::Generic)]);
    interfaces.follow(&present, &one);
    assert_eq!(fake.done(), ["detach eth1 4", "attach eth0 3"]);
    assert_eq!(interfaces.report(&links(&[]), &one)[0].mode, InterfaceMode::Generic);
    interfaces.leave_others(&[3, 4, 8], &present, &one);
    assert_eq!(fake.done(), ["detach eth1 4", "detach  8"]);
}

#[test]
fn a_refusal_is_reported_and_tried_again() {
    let fake = Fake::default();
    *fake.refused.borrow_mut() = Some("eth0");
    let mut interfaces = Interfaces::new(&fake, Journal::default());
    let (present, eth0) = (links(&[(3, "eth0")]), wanted(&[("eth0", XdpMode::Native)]));
    interfaces.follow(&present, &eth0);
    let report = &interfaces.report(&links(&[]), &eth0)[0];
    assert_eq!(report.state, InterfaceState::Failed);
    assert!(report.detail.contains("other (id 7)"), "{}", report.detail);
    *fake.refused.borrow_mut() = None;
    interfaces.follow(&present, &eth0);
    assert_eq!(interfaces.report(&links(&[]), &eth0)[0].state, InterfaceState::Attached);
}

#[test]
fn a_link_that_is_down_is_told_beside_the_attachment() {
    let fake = Fake::default();
    let mut interfaces = Interfaces::new(&fake, Journal::default());
    let eth0 = wanted(&[("eth0", XdpMode::Native)]);
    let up = links(&[(3, "eth0")]);
    interfaces.follow(&up, &eth0);
    assert_eq!(interfaces.report(&up, &eth0)[0].detail, "");
    let down: Links =
        up.iter().map(|link| Link { operation: Operation::Down, ..link.clone() }).collect();
    let report = &interfaces.report(&down, &eth0)[0];
    assert_eq!(
        (report.state, report.detail.as_str()),
        (InterfaceState::Attached, "the link is down")
    );
}
