//! The reference and the examples, held to what the code does.

use std::collections::BTreeSet;

use super::{
    super::{effective_yaml, parse, raw::MAPS},
    good, loaded,
};

const REFERENCE: &str = include_str!("../../../../docs/configuration.md");

#[test]
fn every_example_is_good_and_prints_as_itself() {
    for (name, text) in [
        ("dsr", include_str!("../../../../deploy/examples/dsr.yaml")),
        ("ipip", include_str!("../../../../deploy/examples/ipip.yaml")),
        ("nat", include_str!("../../../../deploy/examples/nat.yaml")),
        ("dnat", include_str!("../../../../deploy/examples/dnat.yaml")),
        ("dual-stack", include_str!("../../../../deploy/examples/dual-stack.yaml")),
    ] {
        let loaded = loaded(text);
        assert_eq!(loaded.warnings, [], "{name}");
        assert_eq!(good(&effective_yaml(&loaded.config)), loaded.config, "{name}");
    }
}

#[test]
fn every_yaml_block_of_the_reference_is_good() {
    let blocks: Vec<&str> = REFERENCE
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        assert_eq!(loaded(block).warnings, []);
    }
}

/// One row of the reference's tables.
struct Row {
    /// Such as `services[].health`; empty for the top.
    map: String,
    key: String,
    values: String,
    default: String,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut map = String::new();
    for line in REFERENCE.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            map = heading.trim_matches('`').replace("Top level", "");
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", key, values, default, _, ""] = cells[..]
            && let Some(key) = key.strip_prefix('`').and_then(|key| key.strip_suffix('`'))
        {
            let [key, values, default] = [key, values, default].map(str::to_owned);
            rows.push(Row { map: map.clone(), key, values, default });
        }
    }
    rows
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let keys: BTreeSet<(&str, &str)> = MAPS
        .iter()
        .filter(|(map, _)| *map != "defaults")
        .flat_map(|(map, keys)| keys.iter().map(|key| (*map, *key)))
        .collect();
    let rows = rows();
    let documented: BTreeSet<(&str, &str)> =
        rows.iter().map(|row| (row.map.as_str(), row.key.as_str())).collect();
    assert_eq!(documented, keys);
}

/// A file in which `key` of `map` has the value `value`.
fn file_with(map: &str, key: &str, value: &str) -> String {
    let pair = format!("{key}: {value}");
    let (top, service, backend) = match map {
        "limits" => (format!("limits: {{ {pair} }}"), String::new(), String::new()),
        "nat_log" => {
            (format!("nat_log: {{ path: /nat.jsonl, {pair} }}"), String::new(), String::new())
        }
        "dns" => (format!("dns: {{ {pair} }}"), String::new(), String::new()),
        "services[]" => (String::new(), pair, String::new()),
        "services[].backends[]" => (String::new(), String::new(), format!(", {pair}")),
        _ => {
            let map = map.trim_start_matches("services[].");
            (String::new(), format!("{map}: {{ {pair} }}"), String::new())
        }
    };
    let port = if service.starts_with("port") { "" } else { "port: 80" };
    format!(
        "interfaces: [eth0]
{top}
services:
  - name: a
    vip: 192.0.2.1
    mode: {}
    {port}
    {service}
    backends: [{{ name: b, address: 10.0.0.1{backend} }}]
",
        match map {
            "services[].tunnel" => "ipip",
            "services[].snat" | "services[].udp" | "nat_log" => "nat",
            "services[].backends[]" if key == "port" => "nat",
            _ => "dsr",
        }
    )
}

/// Whether the value itself is in its range, whatever else may be wrong.
fn in_range(row: &Row, value: &str) -> bool {
    let Err(refused) = parse("lb.yaml", &file_with(&row.map, &row.key, value)) else { return true };
    let suffix = if row.map.is_empty() { row.key.clone() } else { format!(".{}", row.key) };
    !refused.problems.iter().any(|problem| {
        problem.key_path.ends_with(&suffix)
            && ["is not a ", "is not an ", "too short", "too long"]
                .iter()
                .any(|part| problem.message.contains(part))
            && !problem.message.contains("prime")
    })
}

/// The value next to `value` that is smaller (`-1`) or larger (`1`).
fn beyond(value: &str, step: i64) -> String {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: i64 = digits.parse().expect("a number");
    format!("{}{}", number + step, &value[digits.len()..])
}

#[test]
fn the_references_ranges_are_the_codes() {
    let mut seen = 0;
    for row in rows() {
        let words: Vec<&str> = row.values.split([' ', ':', ',']).collect();
        let [min, "to", max, ..] = words[..] else { continue };
        seen += 1;
        for (value, expected) in [
            (min.to_owned(), true),
            (max.to_owned(), true),
            (beyond(min, -1), false),
            (beyond(max, 1), false),
        ] {
            assert_eq!(in_range(&row, &value), expected, "{} {}: {value}", row.map, row.key);
        }
    }
    assert_eq!(seen, 34, "rows that give a range");
}

/// What the effective configuration of a file that gives nothing says for `row`.
fn effective(row: &Row) -> Option<String> {
    let translates = row.map.ends_with("snat") || row.key.starts_with("nat_");
    let mode = if translates { "nat" } else { "dsr" };
    let file = file_with("services[]", "scheduler", "maglev");
    let yaml = effective_yaml(&good(&file.replace("mode: dsr", &format!("mode: {mode}"))));
    let tree: serde_yaml::Value = serde_yaml::from_str(&yaml).expect("valid YAML");
    let mut place = &tree;
    for step in row.map.split('.').chain([row.key.as_str()]).filter(|step| !step.is_empty()) {
        place = place.get(step.trim_end_matches("[]"))?;
        if step.ends_with("[]") {
            place = place.get(0)?;
        }
    }
    let place = place.get(0).unwrap_or(place);
    place.as_str().map(str::to_owned).or_else(|| place.as_u64().map(|number| number.to_string()))
}

#[test]
fn the_references_defaults_are_the_codes() {
    let mut seen = 0;
    for row in rows() {
        let words: Vec<&str> = row.default.split([' ', ',']).collect();
        let literal = words[0].trim_matches('`');
        let is_literal =
            words[0].starts_with('`') || literal.starts_with(|c: char| c.is_ascii_digit());
        if let (true, Some(effective)) = (is_literal, effective(&row)) {
            seen += 1;
            assert_eq!(effective, literal, "{} {}", row.map, row.key);
        }
    }
    assert_eq!(seen, 37, "rows that give a default");
}
