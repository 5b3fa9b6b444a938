//! Numbers as people read them.

/// Digits in groups: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Two or three digits and a decimal prefix: `0`, `0.4`, `12`, `1.2k`, `340M`.
pub fn short(value: f64) -> String {
    const PREFIXES: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let mut scaled = value;
    let mut prefix = 0;
    while scaled >= 999.5 && prefix + 1 < PREFIXES.len() {
        scaled /= 1000.0;
        prefix += 1;
    }
    let whole =
        scaled >= 9.95 && prefix == 0 || scaled >= 99.95 || scaled == scaled.trunc() && prefix == 0;
    let digits = usize::from(!whole);
    format!("{scaled:.digits$}{}", PREFIXES[prefix])
}

/// `short` for counters.
pub fn short_count(number: u64) -> String {
    short(number as f64)
}

/// Two digits and a unit: `0.4ms`, `12ms`, `340ms`, `1.2s`.
pub fn duration(seconds: f64) -> String {
    let milliseconds = seconds * 1e3;
    match milliseconds {
        ..9.95 => format!("{milliseconds:.1}ms"),
        ..999.5 => format!("{milliseconds:.0}ms"),
        _ => format!("{seconds:.1}s"),
    }
}

/// The largest two units: `42s`, `3m 5s`, `2h 10m`, `6d 3h`.
pub fn age(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let first = UNITS.iter().position(|(size, _)| seconds >= *size).unwrap_or(3);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, unit) in UNITS.iter().skip(first).take(2) {
        if parts.is_empty() || rest / size > 0 {
            parts.push(format!("{}{unit}", rest / size));
        }
        rest %= size;
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (seconds, text) in
            [(0.0, "0.0ms"), (0.000_42, "0.4ms"), (0.0123, "12ms"), (0.34, "340ms"), (1.23, "1.2s")]
        {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn grouping() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn prefixes() {
        for (value, text) in [
            (0.0, "0"),
            (0.4, "0.4"),
            (1.0, "1"),
            (12.3, "12"),
            (999.4, "999"),
            (999.6, "1.0k"),
            (1234.0, "1.2k"),
            (99_960.0, "100k"),
            (340e6, "340M"),
            (9.99e8, "999M"),
            (1.5e9, "1.5G"),
            (4e21, "4000000P"),
        ] {
            assert_eq!(short(value), text, "{value}");
        }
    }

    #[test]
    fn ages() {
        for (seconds, text) in [
            (0, "0s"),
            (42, "42s"),
            (185, "3m 5s"),
            (180, "3m"),
            (7800, "2h 10m"),
            (3601, "1h"),
            (529_200, "6d 3h"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
