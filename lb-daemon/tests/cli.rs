//! The binary as a user meets it, as far as it needs neither root nor a kernel
//! object: output, and the exit codes that scripts rely on.

use std::{
    fs,
    process::{Command, Output},
};

const GOOD: &str = "\
interfaces: [eth0]
services:
  - name: web
    vip: 203.0.113.10
    port: 80
    protocol: tcp
    mode: dsr
    backends:
      - { name: web-1, address: 10.0.0.11 }
";

fn lb_daemon(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lb-daemon")).args(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn check(yaml: &str, more: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.yaml");
    fs::write(&path, yaml).unwrap();
    lb_daemon(&[&["check", "--config", path.to_str().unwrap()], more].concat())
}

#[test]
fn a_good_file() {
    let output = check(GOOD, &[]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(text(&output.stdout).contains("ok: 1 service"), "{output:?}");
}

#[test]
fn a_bad_file_is_exit_code_2_with_the_place() {
    let output = check(&GOOD.replace("port: 80", "port: 80x"), &[]);
    assert_eq!(code(&output), 2, "{output:?}");
    assert!(text(&output.stderr).contains("lb.yaml:5:"), "{output:?}");
}

#[test]
fn a_file_that_translates_is_compared_with_this_host_unless_told_not_to() {
    let snat = "mode: nat\n    snat: { addresses: 192.0.2.200 }";
    let nat = GOOD.replace("mode: dsr", snat).replace("[eth0]", "[lo]");
    let compared = check(&nat, &[]);
    assert_eq!(code(&compared), 2, "{compared:?}");
    assert!(text(&compared.stderr).contains("192.0.2.200 is neither"), "{compared:?}");
    let alone = check(&nat, &["--file-only"]);
    assert_eq!(code(&alone), 0, "{alone:?}");
}

#[test]
fn what_show_prints_is_a_good_file() {
    let shown = check(GOOD, &["--show"]);
    assert_eq!(code(&shown), 0, "{shown:?}");
    assert_eq!(code(&check(text(&shown.stdout), &[])), 0);
}

#[test]
fn no_daemon_is_exit_code_3_with_the_next_step() {
    for command in ["stats", "reload"] {
        let output = lb_daemon(&[command, "--instance", "nobody-runs-this-one"]);
        assert_eq!(code(&output), 3, "{output:?}");
        assert!(text(&output.stderr).contains("nobody-runs-this-one"), "{output:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for arguments in [&["dance"][..], &["stats", "--instance", "../etc"], &[]] {
        assert_eq!(code(&lb_daemon(arguments)), 2, "{arguments:?}");
    }
}

#[test]
fn the_version_is_on_stdout() {
    let output = lb_daemon(&["--version"]);
    assert_eq!(text(&output.stdout), concat!("lb-daemon ", env!("CARGO_PKG_VERSION"), "\n"));
}
