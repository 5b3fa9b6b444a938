//! Durations as they stand in the file: a whole number and a unit.

use std::time::Duration;

use serde::Serializer;

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

/// Reads `500ms`, `1s`, `2m` or `1h`.
pub fn read(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, milliseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let number: u64 = number.parse().ok()?;
    number.checked_mul(*milliseconds).map(Duration::from_millis)
}

/// Writes whole hours as hours, whole seconds as seconds, all else as milliseconds.
pub(super) fn write(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds > 0 && milliseconds.is_multiple_of(3_600_000) {
        format!("{}h", milliseconds / 3_600_000)
    } else if milliseconds.is_multiple_of(1000) {
        format!("{}s", milliseconds / 1000)
    } else {
        format!("{milliseconds}ms")
    }
}

pub(super) fn serialize<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&write(*duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_numbers_are_both_needed() {
        for (text, milliseconds) in
            [("500ms", 500), ("1s", 1000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(read(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "1.5s",
            "-1s",
            "1 s",
            "1d",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for milliseconds in [0, 1, 999, 1000, 3500, 350_000, 86_400_000] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(read(&write(duration)), Some(duration));
        }
    }
}
