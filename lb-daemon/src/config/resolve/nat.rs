//! Where a service's translated sources come from.

use super::super::{
    model::Snat,
    ranges,
    raw::{File, Given, SnatKeys},
};

/// Key by key: the service's own, else that in `defaults`, else the file's.
pub(super) fn snat(own: &SnatKeys, file: &File) -> Snat {
    let (defaults, top) = (&file.defaults.snat, &file.snat);
    let addresses = match own.addresses.or(&defaults.addresses).or(&top.addresses) {
        Given::Right(list) => list.value.iter().map(|address| address.value).collect(),
        Given::Absent | Given::Wrong => Vec::new(),
    };
    Snat {
        addresses,
        ports: own.ports.or(&defaults.ports).or(&top.ports).value_or(ranges::DEFAULT_PORTS),
        rest: own.rest.or(&defaults.rest).or(&top.rest).value_or(ranges::REST.default),
    }
}
