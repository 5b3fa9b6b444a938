//! Running Rust test binaries and counting what they say.
//!
//! Binaries are built by cargo and run by path, so that the same one can run here, as
//! root, or in a virtual machine. A test that cannot run where it is says so by writing
//! a line `SKIPPED test-name: reason` past the test harness's capture (that is, with
//! `std::io::stderr().write_all`) and returning; it is then counted as skipped, not as
//! passed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{build, repo, sh, toolchain};

/// A test binary that runs longer than this hangs.
const DEADLINE: &str = "900";

/// What became of some tests.
#[derive(Default)]
pub struct Outcome {
    pub passed: usize,
    /// Name, and where.
    pub failed: Vec<String>,
    /// Name and reason.
    pub skipped: Vec<String>,
    pub elapsed: Duration,
}

impl Outcome {
    pub fn skip(what: &str) -> Self {
        Self { skipped: vec![what.to_owned()], ..Self::default() }
    }

    /// Whether nothing was tested.
    pub fn is_empty(&self) -> bool {
        self.passed == 0 && self.failed.is_empty() && self.skipped.is_empty()
    }

    fn in_short(&self) -> String {
        let mut text = format!("{} passed", self.passed);
        for (count, what) in [(self.failed.len(), "FAILED"), (self.skipped.len(), "skipped")] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        text
    }

    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
    }
}

/// A test binary.
pub struct Binary {
    /// Its crate's target, for people.
    pub name: String,
    pub path: PathBuf,
    /// The directory of its package, where cargo would run it.
    pub package: PathBuf,
}

/// Builds the tests that `cargo test SELECTION` would run.
pub fn build(selection: &[&str]) -> Result<Vec<Binary>> {
    let mut command = Command::new(toolchain::host_cargo());
    command.current_dir(repo::root()).args(["test", "--no-run"]).args(selection);
    let binaries = build::artifacts(&mut command)?.into_iter().map(|artifact| Binary {
        name: artifact.name,
        path: artifact.executable,
        package: artifact.manifest.parent().map(Path::to_path_buf).unwrap_or_default(),
    });
    // Executables that tests of the package start are listed too: only tests are in deps/.
    Ok(binaries
        .filter(|binary| binary.path.parent().is_some_and(|dir| dir.ends_with("deps")))
        .collect())
}

/// Runs a test binary on this machine.
pub fn run(binary: &Binary, args: &[&str], env: &[(String, String)]) -> Result<Outcome> {
    let mut command = Command::new("timeout");
    command
        .args(["--foreground", "--kill-after=10", DEADLINE])
        .arg(&binary.path)
        .args(args)
        .current_dir(&binary.package)
        .envs(env.iter().map(|(name, value)| (name, value)));
    judge(&binary.name, &mut command)
}

/// Runs whatever writes like test binaries, says how it went, and shows all of its
/// output if a test failed.
pub fn judge(name: &str, command: &mut Command) -> Result<Outcome> {
    let captured = sh::capture(name, command).with_context(|| format!("cannot run {name}"))?;
    let mut outcome = count(&captured.text);
    if !captured.ok && outcome.failed.is_empty() {
        outcome.failed.push(format!("{name} ended early"));
    }
    if !outcome.failed.is_empty() {
        show_failure(name, &captured.text)?;
        eprintln!("the command was `{}`", sh::describe(command));
    }
    if !outcome.is_empty() {
        sh::say(&format!("{name}: {} ({})", outcome.in_short(), sh::seconds(captured.elapsed)));
    }
    Ok(outcome)
}

/// Shows what failing tests wrote. One verifier log has a thousand lines and comes with
/// every test, so much output is shown at its ends and kept in a file.
fn show_failure(name: &str, text: &str) -> Result<()> {
    const ENDS: usize = 150;
    let lines: Vec<&str> = text.lines().collect();
    let Some(hidden) = lines.len().checked_sub(2 * ENDS).filter(|hidden| *hidden > 0) else {
        eprintln!("{text}");
        return Ok(());
    };
    let logs = repo::target().join("test-logs");
    repo::create_dir(&logs)?;
    let log = logs.join(format!("{}.log", name.replace([' ', '/'], "-")));
    fs::write(&log, text).with_context(|| format!("cannot write {}", log.display()))?;
    eprintln!("{}", lines[..ENDS].join("\n"));
    eprintln!("\n    … {hidden} lines more are in {} …\n", repo::short(&log));
    eprintln!("{}", lines[lines.len() - ENDS..].join("\n"));
    Ok(())
}

/// Reads the test harness's lines.
fn count(text: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let mut self_skipped = 0;
    // The harness says `failures:` twice, first with output, then with names alone.
    let mut failures = Vec::new();
    for line in text.lines() {
        if line == "failures:" {
            failures.clear();
        } else if let Some(result) = line.trim_start().strip_prefix("test result: ") {
            outcome.passed += number_before(result, " passed");
            if result.starts_with("FAILED") {
                outcome.failed.append(&mut failures);
            }
            failures.clear();
        } else if let Some((_, skipped)) = line.split_once("SKIPPED ") {
            outcome.skipped.push(skipped.trim().to_owned());
            self_skipped += 1;
        } else if let Some((name, reason)) = line.split_once(" ... ignored") {
            let name = name.trim_start().trim_start_matches("test ");
            outcome.skipped.push(format!("{name}: ignored{reason}"));
        } else if let Some(name) = line.strip_prefix("    ") {
            failures.push(name.to_owned());
        }
    }
    outcome.passed = outcome.passed.saturating_sub(self_skipped);
    outcome
}

/// The number in front of a word: 12 in `ok. 12 passed; 0 failed`.
fn number_before(text: &str, word: &str) -> usize {
    text.split_once(word)
        .and_then(|(before, _)| before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_is_understood() {
        let outcome = count(
            "running 5 tests\n\
             test a::good ... ok\n\
             test a::bad ... FAILED\n\
             test a::slow ... ignored, takes an hour\n\
             SKIPPED a::tunnel: this kernel has no ipip\n\
             test a::tunnel ... ok\n\
             test a::also_good ... ok\n\
             \n\
             failures:\n\
             \n\
             ---- a::bad stdout ----\n\
             \x20   an indented line of its output\n\
             \n\
             failures:\n\
             \x20   a::bad\n\
             \n\
             test result: FAILED. 3 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out\n",
        );
        assert_eq!(outcome.passed, 2);
        assert_eq!(outcome.failed, ["a::bad"]);
        assert_eq!(
            outcome.skipped,
            ["a::slow: ignored, takes an hour", "a::tunnel: this kernel has no ipip"]
        );
    }

    #[test]
    fn lines_of_a_passing_run_are_no_failures() {
        assert!(count("    indented\ntest result: ok. 1 passed; 0 failed\n").failed.is_empty());
    }

    #[test]
    fn a_single_thread_of_tests_is_understood_too() {
        let outcome =
            count("test a ... SKIPPED a: no bpffs\nok\ntest result: ok. 1 passed; 0 failed\n");
        assert_eq!((outcome.passed, outcome.skipped.len()), (0, 1));
    }

    #[test]
    fn several_binaries_add_up() {
        let text = "test result: ok. 10 passed; 0 failed\ntest result: ok. 4 passed; 0 failed\n";
        assert_eq!(count(text).passed, 14);
    }
}
