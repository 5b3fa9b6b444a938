//! An interface: how the program is attached, and its traffic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Traffic;

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceStats {
    pub name: String,
    pub mode: InterfaceMode,
    pub state: InterfaceState,
    /// The program for answers of backends on this host is attached, too.
    pub egress: bool,
    /// Why it is not attached, or what is noteworthy about how it is; may be empty.
    pub detail: String,
    /// All of the interface's traffic, as its driver counts it.
    pub rx: Traffic,
    pub tx: Traffic,
    /// Lost after the verdict: the driver's counter to packets.
    pub losses: BTreeMap<String, u64>,
}

/// How the XDP program is really attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceMode {
    #[default]
    None,
    Native,
    Generic,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceState {
    /// There is no such interface (yet); it is waited for.
    #[default]
    Waiting,
    Attached,
    /// It is there, but the program could not be attached; `detail` says why.
    Failed,
}
