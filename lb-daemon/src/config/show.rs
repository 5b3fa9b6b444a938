//! The effective configuration as YAML: what the file says and every default.
//!
//! What is printed is again a valid file, with one exception: a seed that
//! stands in the file is a secret and is left out.

use std::net::IpAddr;

use serde::{Serialize, Serializer, ser::SerializeMap};

use serde_yaml::Value;

use super::{
    duration,
    model::{
        Config, Discovery, DrainTime, Mode, NameSource, OuterSource, PortRange, Ports, Question,
        QuestionKind, Seed, Tunnel, UdpFlows,
    },
};

const HIDDEN_SEED: &str = "# seed: (set in the file, not shown)\n";

/// The configuration with every default filled in, as YAML.
pub fn effective_yaml(config: &Config) -> String {
    let yaml = tree(config).and_then(|tree| serde_yaml::to_string(&tree));
    let yaml = yaml.expect("a map of strings, numbers and lists");
    match config.seed {
        Seed::Text(_) => format!("{HIDDEN_SEED}{yaml}"),
        Seed::Generated | Seed::File(_) => yaml,
    }
}

/// With the entries that stand for a name's backends among the backends.
fn tree(config: &Config) -> Result<Value, serde_yaml::Error> {
    let mut tree = serde_yaml::to_value(config)?;
    let services = tree.get_mut("services").and_then(Value::as_sequence_mut);
    for (shown, service) in services.into_iter().flatten().zip(&config.services) {
        if let Some(backends) = shown.get_mut("backends").and_then(Value::as_sequence_mut) {
            for source in &service.discovery.names {
                backends.push(serde_yaml::to_value(source)?);
            }
        }
    }
    Ok(tree)
}

impl Serialize for Discovery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(file) = &self.file {
            map.serialize_entry("backends_file", file)?;
        }
        if self.is_used() {
            map.serialize_entry("max_backends", &self.max_backends)?;
        }
        map.end()
    }
}

impl Serialize for NameSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Question { kind, name, family } = &self.question;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry(kind.key(), name)?;
        map.serialize_entry("family", family)?;
        if *kind == QuestionKind::Dns {
            map.serialize_entry("weight", &self.weight)?;
        }
        if let Some(port) = self.port {
            map.serialize_entry("port", &port)?;
        }
        map.serialize_entry("state", &self.state)?;
        if self.backup {
            map.serialize_entry("backup", &true)?;
        }
        if let Some(drain) = &self.drain {
            map.serialize_entry("drain", drain)?;
        }
        map.end()
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Self::File(path) = self {
            map.serialize_entry("seed_file", path)?;
        }
        map.end()
    }
}

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("any"),
            Self::List(ports) => ports.serialize(serializer),
        }
    }
}

impl Serialize for DrainTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(time) => duration::serialize(time, serializer),
            Self::Unlimited => serializer.serialize_str("unlimited"),
        }
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for UdpFlows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fast => serializer.serialize_str("fast"),
            Self::Keep => serializer.serialize_str("keep"),
            Self::Responses(responses) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("responses", responses)?;
                map.end()
            }
        }
    }
}

/// The mode's name, and the map of what it needs to know beside it.
impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("mode", self.name())?;
        match self {
            Self::Dsr => {}
            Self::Ipip(tunnel) => map.serialize_entry("tunnel", tunnel)?,
            Self::Nat(snat) | Self::Dnat(snat) => map.serialize_entry("snat", snat)?,
        }
        map.end()
    }
}

impl Serialize for Tunnel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sources = [self.v4, self.v6];
        let fixed: Vec<IpAddr> = sources.iter().filter_map(fixed_source).collect();
        let prefixes: Vec<String> = sources.iter().filter_map(source_prefix).collect();
        let mut map = serializer.serialize_map(None)?;
        if !fixed.is_empty() {
            map.serialize_entry("source", &fixed)?;
        }
        if !prefixes.is_empty() {
            map.serialize_entry("source_prefix", &prefixes)?;
        }
        map.serialize_entry("ttl", &self.ttl)?;
        map.end()
    }
}

fn fixed_source(source: &OuterSource) -> Option<IpAddr> {
    if let OuterSource::Fixed(address) = source { Some(*address) } else { None }
}

fn source_prefix(source: &OuterSource) -> Option<String> {
    if let OuterSource::Prefix(prefix) = source { Some(prefix.to_string()) } else { None }
}
