//! The top of the file: everything but services.

use std::path::PathBuf;

use super::{
    super::{
        model::{Interface, NatLog, Notify, OnExit, XdpMode},
        problem::shown,
        ranges,
        report::Report,
        yaml::{At, Kind},
    },
    Given, Typed,
    discovery::{self, DnsKeys},
    fields::Fields,
    nat::{self, SnatKeys},
    notify,
    service::{self, Common, Service},
    value,
};

pub(super) const KEYS: [&str; 14] = [
    "interfaces",
    "services",
    "defaults",
    "snat",
    "on_exit",
    "allow_exec",
    "seed",
    "seed_file",
    "control",
    "limits",
    "nat_log",
    "notify",
    "local_clients",
    "dns",
];
pub(super) const INTERFACE_KEYS: [&str; 2] = ["name", "xdp"];
pub(super) const CONTROL_KEYS: [&str; 1] = ["group"];
pub(super) const LIMIT_KEYS: [&str; 9] = [
    "slot_space",
    "flow_entries",
    "nat_flows",
    "nat_flows_wide",
    "reset_rate",
    "unserved_rate",
    "too_big_rate",
    "echo_rate",
    "log_rate",
];

pub(in super::super) struct File<'t> {
    pub at: At<'t>,
    pub interfaces: Vec<Typed<'t, Interface>>,
    pub services_at: Option<At<'t>>,
    pub services: Vec<Service<'t>>,
    pub defaults: Common<'t>,
    pub on_exit: Given<'t, OnExit>,
    pub allow_exec: Given<'t, bool>,
    pub seed: Given<'t, String>,
    pub seed_file: Given<'t, PathBuf>,
    pub group: Given<'t, String>,
    pub limits: LimitKeys<'t>,
    pub snat: SnatKeys<'t>,
    pub nat_log: Given<'t, NatLog>,
    pub notify: Vec<Typed<'t, Notify>>,
    pub local_clients: Given<'t, bool>,
    pub dns: DnsKeys<'t>,
}

#[derive(Default)]
pub(in super::super) struct LimitKeys<'t> {
    pub slot_space: Given<'t, u32>,
    pub flow_entries: Given<'t, u32>,
    pub nat_flows: Given<'t, u32>,
    pub nat_flows_wide: Given<'t, u32>,
    pub reset_rate: Given<'t, u32>,
    pub unserved_rate: Given<'t, u32>,
    pub too_big_rate: Given<'t, u32>,
    pub echo_rate: Given<'t, u32>,
    pub log_rate: Given<'t, u32>,
}

/// Reads the whole file. `None`: it is not a map.
pub(in super::super) fn read<'t>(root: At<'t>, report: &mut Report) -> Option<File<'t>> {
    let fields = Fields::of(root, &KEYS, report)?;
    let interfaces = fields.require("interfaces", "the interfaces that packets come in on", report);
    let services = fields.require("services", "a list of services, or [] for none", report);
    Some(File {
        at: root,
        interfaces: interfaces.map(|at| interface_list(at, report)).unwrap_or_default(),
        services_at: services,
        services: services.map(|at| service_list(at, report)).unwrap_or_default(),
        defaults: fields.get("defaults").map(|at| defaults(at, report)).unwrap_or_default(),
        on_exit: fields.read("on_exit", report, |at, report| {
            value::word(
                at,
                "a way to exit",
                &[("keep", OnExit::Keep), ("unload", OnExit::Unload)],
                report,
            )
        }),
        allow_exec: fields.read("allow_exec", report, |at, report| {
            value::word(at, "true or false", &[("true", true), ("false", false)], report)
        }),
        seed: fields.read("seed", report, |at, report| not_empty(at, "a secret text", report)),
        seed_file: fields.read("seed_file", report, |at, report| {
            not_empty(at, "the path of a file", report).map(PathBuf::from)
        }),
        group: fields.get("control").map(|at| group(at, report)).unwrap_or_default(),
        limits: fields.get("limits").map(|at| limits(at, report)).unwrap_or_default(),
        snat: fields.get("snat").map(|at| nat::snat(at, report)).unwrap_or_default(),
        nat_log: fields.read("nat_log", report, nat::log),
        notify: fields.get("notify").map(|at| notify::list(at, report)).unwrap_or_default(),
        local_clients: fields.read("local_clients", report, |at, report| {
            value::word(at, "yes or no", &[("true", true), ("false", false)], report)
        }),
        dns: fields.get("dns").map(|at| discovery::dns(at, report)).unwrap_or_default(),
    })
}

fn interface_list<'t>(at: At<'t>, report: &mut Report) -> Vec<Typed<'t, Interface>> {
    if let Kind::Null = at.kind() {
        report.problem(at, "no interface is named", "give the interfaces that packets come in on");
        return Vec::new();
    }
    value::one_or_more(at, report, interface)
}

fn interface(at: At, report: &mut Report) -> Option<Interface> {
    if !matches!(at.kind(), Kind::Map) {
        let name = interface_name(at, report)?;
        return Some(Interface { name, xdp: XdpMode::Auto });
    }
    let fields = Fields::of(at, &INTERFACE_KEYS, report)?;
    let modes =
        [("native", XdpMode::Native), ("generic", XdpMode::Generic), ("auto", XdpMode::Auto)];
    let xdp =
        fields.read("xdp", report, |at, report| value::word(at, "an XDP mode", &modes, report));
    let name = fields.require("name", "the interface's name", report)?;
    Some(Interface { name: interface_name(name, report)?, xdp: xdp.value_or(XdpMode::Auto) })
}

/// As the kernel takes them.
fn interface_name(at: At, report: &mut Report) -> Option<String> {
    const EXPECTED: &str = "an interface's name, such as eth0";
    let text = value::text(at, EXPECTED, report)?;
    let fits = (1..=15).contains(&text.len())
        && text != "."
        && text != ".."
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
    if !fits {
        let help = format!("give {EXPECTED}; at most 15 characters, no space, / or :");
        report.problem(at, format!("{} is not an interface's name", shown(text)), help);
        return None;
    }
    Some(text.to_owned())
}

fn service_list<'t>(at: At<'t>, report: &mut Report) -> Vec<Service<'t>> {
    value::list(at, "services", report)
        .into_iter()
        .filter_map(|at| service::read(at, report))
        .collect()
}

fn defaults<'t>(at: At<'t>, report: &mut Report) -> Common<'t> {
    let fields = Fields::of(at, &service::COMMON_KEYS, report);
    fields.map(|fields| service::common(&fields, report)).unwrap_or_default()
}

pub(super) fn not_empty(at: At, expected: &str, report: &mut Report) -> Option<String> {
    let text = value::text(at, expected, report)?;
    if text.trim().is_empty() {
        report.problem(at, "this is empty", format!("give {expected}"));
        return None;
    }
    Some(text.to_owned())
}

fn group<'t>(at: At<'t>, report: &mut Report) -> Given<'t, String> {
    let Some(fields) = Fields::of(at, &CONTROL_KEYS, report) else { return Given::Wrong };
    fields.read("group", report, |at, report| {
        const EXPECTED: &str = "the name of a group of this host";
        let text = value::text(at, EXPECTED, report)?;
        let fits = (1..=32).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !fits {
            report.problem(
                at,
                format!("{} is not a group's name", shown(text)),
                format!("give {EXPECTED}"),
            );
            return None;
        }
        Some(text.to_owned())
    })
}

fn limits<'t>(at: At<'t>, report: &mut Report) -> LimitKeys<'t> {
    let Some(fields) = Fields::of(at, &LIMIT_KEYS, report) else { return LimitKeys::default() };
    let mut number =
        |key, range| fields.read(key, report, |at, report| value::number(at, range, report));
    LimitKeys {
        slot_space: number("slot_space", &ranges::SLOT_SPACE),
        flow_entries: number("flow_entries", &ranges::FLOW_ENTRIES),
        nat_flows: number("nat_flows", &ranges::NAT_FLOWS),
        nat_flows_wide: number("nat_flows_wide", &ranges::NAT_FLOWS),
        reset_rate: number("reset_rate", &ranges::RATE),
        unserved_rate: number("unserved_rate", &ranges::RATE),
        too_big_rate: number("too_big_rate", &ranges::RATE),
        echo_rate: number("echo_rate", &ranges::RATE),
        log_rate: number("log_rate", &ranges::RATE),
    }
}
