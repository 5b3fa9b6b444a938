//! Keys of how backends come and go.

use std::time::Duration;

use super::{
    super::{
        model::{BackendOrder, DrainTime},
        ranges,
        report::Report,
        yaml::{At, Kind},
    },
    Given,
    fields::Fields,
    value,
};

/// Of a service, or of `defaults`.
#[derive(Default)]
pub(in super::super) struct LifeKeys<'t> {
    pub drain: Given<'t, DrainTime>,
    pub slow_start: Given<'t, Duration>,
}

pub(super) fn keys<'t>(fields: &Fields<'t>, report: &mut Report) -> LifeKeys<'t> {
    LifeKeys {
        drain: fields.read("drain", report, drain),
        slow_start: fields
            .read("slow_start", report, |at, report| value::time(at, &ranges::SLOW_START, report)),
    }
}

pub(super) fn drain(at: At, report: &mut Report) -> Option<DrainTime> {
    if let Kind::Scalar("unlimited") = at.kind() {
        return Some(DrainTime::Unlimited);
    }
    value::time(at, &ranges::DRAIN, report).map(DrainTime::At)
}

pub(super) fn order<'t>(fields: &Fields<'t>, report: &mut Report) -> Given<'t, BackendOrder> {
    let orders = [("active", BackendOrder::Active), ("drain", BackendOrder::Drain)];
    fields.read("state", report, |at, report| value::word(at, "a state", &orders, report))
}
