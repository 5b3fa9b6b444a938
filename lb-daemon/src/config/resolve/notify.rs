//! Whom events are told, and whether that may be a program.

use super::super::{
    model::{Notify, NotifyWay},
    raw::File,
    report::Report,
};

pub(super) fn resolve(file: &File, report: &mut Report) -> Vec<Notify> {
    let may_run = file.allow_exec.value_or(false);
    for one in &file.notify {
        if let (NotifyWay::Command(_), false) = (&one.value.way, may_run) {
            let help = "set allow_exec: true at the top of the file, or give a url";
            report.problem(one.at, "programs may not be run", help);
        }
    }
    file.notify.iter().map(|one| one.value.clone()).collect()
}
