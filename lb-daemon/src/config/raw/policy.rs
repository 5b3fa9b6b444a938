//! Keys of what a service does when too few of its backends are up.

use super::{
    super::{
        model::{MinHealthy, OnAllDown, Percent},
        problem::shown,
        ranges,
        report::Report,
        yaml::At,
    },
    Given,
    fields::Fields,
    service::word,
    value,
};

/// Of a service, or of `defaults`.
#[derive(Default)]
pub(in super::super) struct PolicyKeys<'t> {
    pub on_all_down: Given<'t, OnAllDown>,
    pub backup_below: Given<'t, Percent>,
    pub min_healthy: Given<'t, MinHealthy>,
}

pub(super) fn keys<'t>(fields: &Fields<'t>, report: &mut Report) -> PolicyKeys<'t> {
    let on_all_down = [
        ("fail-open", OnAllDown::FailOpen),
        ("reject", OnAllDown::Reject),
        ("backup", OnAllDown::Backup),
    ];
    PolicyKeys {
        on_all_down: word(fields, "on_all_down", "a policy", &on_all_down, report),
        backup_below: fields.read("backup_below", report, |at, report| {
            const EXPECTED: &str = "a share of the weight, such as 50%";
            let text = value::text(at, EXPECTED, report)?;
            let share = percent(text);
            if share.is_none() {
                not(at, text, "a share", EXPECTED, report);
            }
            share
        }),
        min_healthy: fields.read("min_healthy", report, min_healthy),
    }
}

fn min_healthy(at: At, report: &mut Report) -> Option<MinHealthy> {
    const EXPECTED: &str = "a number of backends, or a share of them, such as 50%";
    let text = value::text(at, EXPECTED, report)?;
    if text.ends_with('%') {
        let share = percent(text).map(MinHealthy::Share);
        if share.is_none() {
            not(at, text, "a share", EXPECTED, report);
        }
        return share;
    }
    value::number(at, &ranges::MIN_HEALTHY, report).map(MinHealthy::Count)
}

fn not(at: At, text: &str, what: &str, expected: &str, report: &mut Report) {
    report.problem(at, format!("{} is not {what}", shown(text)), format!("give {expected}"));
}

/// `0%` to `100%`.
fn percent(text: &str) -> Option<Percent> {
    let digits = text.strip_suffix('%')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let plain = plain && (digits == "0" || !digits.starts_with('0'));
    let share = digits.parse().ok().filter(|share| plain && *share <= 100);
    share.map(Percent)
}

pub(super) fn backup<'t>(fields: &Fields<'t>, report: &mut Report) -> Given<'t, bool> {
    let words = [("true", true), ("false", false)];
    fields.read("backup", report, |at, r| value::word(at, "true or false", &words, r))
}
