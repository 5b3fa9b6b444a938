//! The name that keeps several balancers on one host apart.

use std::{fmt, str::FromStr};

/// 1 to 32 of `a-z`, `0-9` and `-`: it becomes part of file names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instance(String);

impl Instance {
    const LONGEST: usize = 32;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Instance {
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl FromStr for Instance {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if (1..=Self::LONGEST).contains(&name.len()) && name.chars().all(allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(format!("an instance name is 1 to {} of a-z, 0-9 and -", Self::LONGEST))
        }
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_safe_in_a_path() {
        for good in ["main", "a", "edge-2", &"x".repeat(32)] {
            assert_eq!(good.parse::<Instance>().unwrap().as_str(), good);
        }
        for bad in ["", "Main", "a/b", "..", "a b", "a_b", "ä", &"x".repeat(33)] {
            assert!(bad.parse::<Instance>().is_err(), "{bad}");
        }
    }
}
