//! The known word nearest to a mistyped one.

use strsim::osa_distance;

/// Longest word that is compared: what is longer is no typing mistake.
const LONGEST: usize = 40;

/// The word of `known` that few changes make out of `word`, if there is one.
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    if word.len() > LONGEST {
        return None;
    }
    let allowed = 1 + word.len() / 4;
    known
        .iter()
        .map(|key| (osa_distance(&word, key), *key))
        .filter(|(distance, key)| *distance <= allowed && *distance < key.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_find_their_key() {
        let known = ["backends", "interfaces", "vip", "port", "weight", "half_open", "on_exit"];
        for (typed, meant) in [
            ("bakends", "backends"),
            ("backend", "backends"),
            ("interface", "interfaces"),
            ("wieght", "weight"),
            ("half-open", "half_open"),
            ("Port", "port"),
            ("vips", "vip"),
            ("onexit", "on_exit"),
        ] {
            assert_eq!(nearest(typed, &known), Some(meant), "{typed}");
        }
        for typed in ["", "x", "colour", "zzz", &"backends".repeat(100)] {
            assert_eq!(nearest(typed, &known), None, "{typed}");
        }
    }
}
