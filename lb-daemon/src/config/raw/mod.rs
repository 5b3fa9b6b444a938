//! What was typed: the file's keys and values, each checked by itself, each
//! with its place. Nothing is filled in and nothing is compared yet.

mod discovery;
mod fields;
mod health;
mod life;
mod nat;
pub mod nearest;
mod notify;
mod service;
mod top;
mod value;

pub(super) use discovery::{DnsKeys, NameEntry};
pub(super) use health::{CheckKeys, HealthKeys, HealthType};
pub(super) use nat::SnatKeys;
pub(super) use service::{
    Backend, Common, ModeName, Service, TunnelKeys, TypedPorts, backend_entries,
};
pub(super) use top::{File, LimitKeys, read};
pub(super) use value::unusable;

use super::yaml::At;

/// A value and its place.
#[derive(Clone)]
pub(super) struct Typed<'t, T> {
    pub value: T,
    pub at: At<'t>,
}

/// A key that need not be there.
#[derive(Default)]
pub(super) enum Given<'t, T> {
    #[default]
    Absent,
    /// Reported already: whatever depends on it is best left alone.
    Wrong,
    Right(Typed<'t, T>),
}

impl<'t, T> Given<'t, T> {
    /// This, or `defaults` where this is absent.
    pub fn or<'a>(&'a self, defaults: &'a Self) -> &'a Self {
        if matches!(self, Self::Absent) { defaults } else { self }
    }

    pub fn right(&self) -> Option<&Typed<'t, T>> {
        if let Self::Right(typed) = self { Some(typed) } else { None }
    }

    pub fn value_or(&self, default: T) -> T
    where
        T: Clone,
    {
        self.right().map_or(default, |typed| typed.value.clone())
    }
}

/// Every map of the file: where it stands, and its keys.
#[cfg(test)]
pub(super) const MAPS: [(&str, &[&str]); 16] = [
    ("", &top::KEYS),
    ("interfaces[]", &top::INTERFACE_KEYS),
    ("control", &top::CONTROL_KEYS),
    ("limits", &top::LIMIT_KEYS),
    ("nat_log", &nat::LOG_KEYS),
    ("notify[]", &notify::KEYS),
    ("dns", &discovery::KEYS),
    ("defaults", &service::COMMON_KEYS),
    ("services[]", &service::KEYS),
    ("services[]", &service::COMMON_KEYS),
    ("services[].health", &health::HEALTH_KEYS),
    ("services[].idle", &service::IDLE_KEYS),
    ("services[].udp", &nat::UDP_KEYS),
    ("services[].tunnel", &service::TUNNEL_KEYS),
    ("services[].snat", &nat::SNAT_KEYS),
    ("services[].backends[]", &service::BACKEND_KEYS),
];
