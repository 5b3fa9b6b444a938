//! What stands with backends that are looked up and does not go together.

use super::{
    super::{
        model::{Config, Mode, Ports, Service},
        raw::{self, File, NameEntry},
        report::Report,
    },
    translation::family,
};

pub(super) fn find(file: &File, config: &Config, report: &mut Report) {
    for (typed, service) in file.services.iter().zip(&config.services) {
        for entry in &typed.names {
            port(entry, service, report);
            kept_family(entry, typed, service, report);
        }
        most(typed, service, report);
    }
}

fn port(entry: &NameEntry, service: &Service, report: &mut Report) {
    let Some(at) = entry.port.right().map(|port| port.at) else { return };
    if service.mode.snat().is_none() {
        let message = format!("mode {} does not change ports", service.mode.name());
        let help = "remove port: the backends listen on the service's own port";
        report.problem(at, message, help);
    } else if service.ports == Ports::Any {
        let help = "remove it, or list the service's ports instead of any";
        report.problem(at, "with port any, backends get the port that the client used", help);
    }
}

fn kept_family(entry: &NameEntry, typed: &raw::Service, service: &Service, report: &mut Report) {
    let (Mode::Dnat(_), Some(vip), Some(given)) =
        (&service.mode, typed.vips.first(), entry.family.right())
    else {
        return;
    };
    let useful = if vip.value.is_ipv4() { given.value.has_v4() } else { given.value.has_v6() };
    if !useful {
        let family = family(vip.value);
        let message = format!("mode dnat keeps the family, and {} is {family}", vip.value);
        report.problem(given.at, message, "remove family, or set mode: nat");
    }
}

fn most(typed: &raw::Service, service: &Service, report: &mut Report) {
    let Some(given) = typed.max_backends.right() else { return };
    if typed.names.is_empty() && typed.backends_file.right().is_none() {
        let help = "remove it, or give an entry with dns or srv, or a backends_file";
        report.problem(given.at, "all backends of the service are listed", help);
    } else if service.backends.len() > given.value as usize {
        let message = format!("{} backends are listed already", service.backends.len());
        report.problem(given.at, message, "give more, with room for those that are found");
    }
}
