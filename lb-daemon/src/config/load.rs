//! The way from a file to a [`Config`]: text, tree, typed keys, resolved values,
//! conflicts, warnings.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::{
    advice, conflicts,
    host::{self, Comparison},
    problem::{Loaded, Position, Problems},
    raw,
    report::Report,
    resolve, yaml,
};

/// Reads, validates and completes the file at `path`, and holds it to a host
/// if there is one to compare with.
pub fn load(path: &Path, host: Option<&Comparison>) -> Result<Loaded, Problems> {
    let name = path.display().to_string();
    let mut report = Report::new(&name);
    match text(path, "give the path of a readable file with --config", &mut report) {
        Some(text) => parse_for(&name, &text, host),
        None => report.finish(None),
    }
}

/// The text of the file at `path`, or problems in the report; `help` is for a
/// file that cannot be read.
pub(super) fn text(path: &Path, help: &str, report: &mut Report) -> Option<String> {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.whole_file(format!("cannot be read: {error}"), help);
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let good =
                String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
            report.problem_at(
                end_of(&good),
                "",
                "this is not UTF-8 text",
                "save the file as UTF-8",
            );
            None
        }
    }
}

/// Validates and completes `text`; `source_name` is the file's name in
/// messages and tells where a relative `seed_file` is.
pub fn parse(source_name: &str, text: &str) -> Result<Loaded, Problems> {
    parse_for(source_name, text, None)
}

/// As [`parse`], and held to a host if there is one to compare with.
pub fn parse_for(
    source_name: &str,
    text: &str,
    host: Option<&Comparison>,
) -> Result<Loaded, Problems> {
    let mut report = Report::new(source_name);
    let directory = Path::new(source_name).parent().unwrap_or(Path::new(""));
    let tree = yaml::build(text, &mut report);
    let file = tree.as_ref().and_then(|tree| raw::read(tree.root(), &mut report));
    let Some(file) = file else { return report.finish(None) };
    let config = resolve::resolve(&file, directory, &mut report);
    conflicts::find(&file, &config, &mut report);
    if report.is_clean() {
        advice::give(&file, &config, &mut report);
        if let Some(comparison) = host {
            host::compare(&file, &config, comparison, &mut report);
        }
    }
    report.finish(Some(config))
}

/// Reads no more than is needed to see that the file is too large.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn end_of(text: &str) -> Position {
    let line = text.rsplit('\n').next().unwrap_or_default();
    Position { line: text.matches('\n').count() + 1, column: line.chars().count() + 1 }
}
