//! What is asked of a pool that it cannot give: backups without anybody they
//! could stand in for, or that there are none of, and more healthy backends
//! than there are.

use super::super::{
    model::{Config, MinHealthy, OnAllDown, Percent, QuestionKind, Service},
    raw::{self, File, Given},
    report::Report,
    yaml::At,
};

pub(super) fn find(file: &File, config: &Config, report: &mut Report) {
    for (typed, service) in file.services.iter().zip(&config.services) {
        backups(typed, service, report);
        min_healthy(typed, file, service, report);
    }
}

/// Whether some backend may be a backup, as far as the file tells.
pub(in super::super) fn may_have_backups(service: &raw::Service) -> bool {
    let is_backup = |given: &Given<bool>| given.value_or(false);
    let may_find =
        |entry: &raw::NameEntry| is_backup(&entry.backup) || entry.kind == QuestionKind::Srv;
    service.backends.iter().any(|one| is_backup(&one.backup))
        || service.names.iter().any(may_find)
        || !matches!(service.backends_file, Given::Absent)
}

fn backups(typed: &raw::Service, service: &Service, report: &mut Report) {
    let own = &typed.common.policy;
    if !may_have_backups(typed) {
        let without = |at: At, key: &str, report: &mut Report| {
            let help = format!("give some backends backup: true, or remove {key}");
            report.problem(at, "no backend is a backup", help);
        };
        if let Some(given) = own.on_all_down.right().filter(|one| one.value == OnAllDown::Backup) {
            without(given.at, "on_all_down", report);
        }
        if let Some(given) = own.backup_below.right().filter(|one| one.value != Percent::NONE) {
            without(given.at, "backup_below", report);
        }
    }
    let all = !service.backends.is_empty() && service.backends.iter().all(|one| one.backup);
    if all && !service.discovery.is_used() {
        let message = "all backends are backups: there is nobody whom they could stand in for";
        let at = typed.name.as_ref().map_or(typed.at, |name| name.at);
        report.problem(at, message, "remove backup: true from those that usually serve");
    }
}

fn min_healthy(typed: &raw::Service, file: &File, service: &Service, report: &mut Report) {
    let given = typed.common.policy.min_healthy.or(&file.defaults.policy.min_healthy);
    let Some((given, MinHealthy::Count(count))) = given.right().map(|one| (one, one.value)) else {
        return;
    };
    let most = match service.discovery.is_used() {
        true => service.discovery.max_backends,
        false => u32::try_from(service.backends.len()).unwrap_or(u32::MAX),
    };
    if most > 0 && count > most {
        let message = format!(
            "service {} has {most} backends at most: with {count} it is never up",
            super::label(typed)
        );
        let help = format!("give {most} or less, or a share such as 50%");
        report.problem(given.at, message, help);
    }
}
