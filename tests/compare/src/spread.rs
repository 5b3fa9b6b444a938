//! The median of several windows, and how far they lie apart.

use std::fmt;

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// Nothing without samples.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() {
            0 => return None,
            n if n % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        };
        Some(Self { median, least: sorted[0], most: sorted[sorted.len() - 1] })
    }

    pub fn json(samples: &[f64]) -> Value {
        Self::of(samples).map_or(
            Value::Null,
            |spread| json!({ "median": spread.median, "least": spread.least, "most": spread.most }),
        )
    }
}

/// With as many decimals as make sense for the size of the number.
pub struct Number(pub f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.0.abs() < 20.0 {
            format!("{:.1}", self.0)
        } else {
            thousands(self.0.round() as i64)
        };
        f.pad(&text)
    }
}

/// 12,345
pub fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        assert_eq!(Spread::of(&[]), None);
        let spread = |median, least, most| Some(Spread { median, least, most });
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), spread(2.0, 1.0, 3.0));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), spread(2.5, 1.0, 4.0));
    }

    #[test]
    fn numbers_are_for_people() {
        let shown = [3.12, -0.52, 19.96, 45.4, 1234.5, 1_234_567.0].map(|n| Number(n).to_string());
        assert_eq!(shown, ["3.1", "-0.5", "20.0", "45", "1,235", "1,234,567"]);
        assert_eq!(thousands(-1000), "-1,000");
    }
}
