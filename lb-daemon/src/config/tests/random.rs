//! Random and randomly damaged files: whatever comes, reading ends with a
//! configuration or with at least one problem, and what was accepted prints as
//! a file that means the same.

use proptest::prelude::*;

use super::super::{effective_yaml, parse};

const FULL: &str = include_str!("../../../../deploy/examples/dual-stack.yaml");

/// Reads `text` and holds the outcome to what is promised about it.
fn read(text: &str) {
    match parse("lb.yaml", text) {
        Err(refused) => assert!(!refused.problems.is_empty()),
        Ok(loaded) => {
            let printed = effective_yaml(&loaded.config);
            if !printed.starts_with("# seed") {
                let again =
                    parse("lb.yaml", &printed).unwrap_or_else(|p| panic!("{p}\nin\n{printed}"));
                assert_eq!(again.config, loaded.config, "{printed}");
            }
        }
    }
}

/// Pieces that YAML and this file's schema give a meaning.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "\n",
        "\n  ",
        "\n    ",
        "  ",
        "\t",
        "- ",
        ": ",
        ":",
        ",",
        "[",
        "]",
        "{",
        "}",
        "? ",
        "|\n",
        ">\n",
        "&a ",
        "*a",
        "!t ",
        "#",
        "\"",
        "'",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "\r\n",
        "\u{feff}",
        "\u{85}",
        "é",
        "\0",
        "~",
        "<<: ",
        "interfaces: ",
        "services: ",
        "name: ",
        "vip: ",
        "port: ",
        "any",
        "mode: ",
        "dsr",
        "ipip",
        "backends: ",
        "address: ",
        "10.0.0.1",
        "2001:db8::1",
        "weight: ",
        "0",
        "80",
        "99999999999999999999",
        "5s",
        "1h",
        "health: ",
        "type: none",
        "defaults: ",
        "idle: ",
        "tcp",
        "udp",
        "unserved: ",
        "tunnel: ",
        "source: ",
        "limits: ",
    ])
}

proptest! {
    #[test]
    fn any_text(text in "\\PC{0,200}") {
        read(&text);
    }

    #[test]
    fn any_pieces(pieces in prop::collection::vec(piece(), 0..80)) {
        read(&pieces.concat());
    }

    #[test]
    fn a_good_file_with_pieces_put_in(
        edits in prop::collection::vec((0..FULL.len(), 0usize..12, piece()), 1..6),
    ) {
        let mut text = FULL.to_owned();
        for (start, removed, piece) in edits {
            let start = start.min(text.len());
            let end = (start + removed).min(text.len());
            if text.is_char_boundary(start) && text.is_char_boundary(end) {
                text.replace_range(start..end, piece);
            }
        }
        read(&text);
    }
}
