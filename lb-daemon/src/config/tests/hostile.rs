//! Files that are no configuration, or meant to do harm.

use super::{
    super::{load, yaml::MAX_BYTES},
    problems,
};

const DEEP: &str = "lists and maps are nested more than 32 deep; \
                    no key needs more than 5 levels; mind the brackets";
const NO_ANCHORS: &str = "anchors are not used here; write the value out, or use defaults";

#[test]
fn text_that_is_not_a_configuration() {
    for (text, expected) in [
        ("", "lb.yaml: is empty; give interfaces and services"),
        ("# nothing\n", "lb.yaml: is empty; give interfaces and services"),
        (
            "a: 1\n---\nb: 2\n",
            "lb.yaml:2:1: a second YAML document begins; keep one document in a file",
        ),
        (
            "hello",
            "lb.yaml:1:1: a map of keys and values belongs here; \
             the keys are: interfaces, services, defaults, snat, on_exit, allow_exec, seed, seed_file, control, limits, nat_log, notify, local_clients, dns",
        ),
        (
            "[a]: 1\n",
            "lb.yaml:1:1: a list or map stands where a key belongs; give a word as the key",
        ),
        ("a: !!int 1\n", "lb.yaml:1:4: tags are not used here; write the value without the tag"),
        (
            "interfaces:\n\t- eth0\n",
            "lb.yaml:2:2: a tab is used for indentation; indent with spaces",
        ),
        (
            "interfaces: eth0: eth1\n",
            "lb.yaml:1:17: a second \": \" on the line, or a wrong indentation; \
             put the value in quotes, or line the key up with its neighbours",
        ),
        (
            "interfaces: [eth0]\nservices\nlimits: {}\n",
            "lb.yaml:3:1: a line without \": \" among keys; \
             write key: value, or line it up with what it belongs to",
        ),
        ("a: @b\n", "lb.yaml:1:4: a value cannot begin like this; put it in quotes"),
        (
            "a: *b\n",
            "lb.yaml:1:4: an alias (*) stands here; write the value out, or put it in quotes",
        ),
    ] {
        assert_eq!(problems(text), expected, "{text:?}");
    }
}

#[test]
fn an_alias_bomb_ends_at_its_first_anchor() {
    let mut bomb = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for (name, of) in ('b'..='z').zip('a'..) {
        let aliases = vec![format!("*{of}"); 9].join(", ");
        bomb.push_str(&format!("{name}: &{name} [{aliases}]\n"));
    }
    assert_eq!(problems(&bomb), format!("lb.yaml:1:4: {NO_ANCHORS}"));
}

#[test]
fn deep_nesting_ends_where_it_becomes_too_deep() {
    let many = 1_000_000;
    assert_eq!(problems(&"[".repeat(many)), format!("lb.yaml:1:256: {DEEP}"));
    assert_eq!(problems(&"{a: ".repeat(many)), format!("lb.yaml:1:1021: {DEEP}"));
    assert_eq!(problems(&"- ".repeat(many)), format!("lb.yaml:1:65: {DEEP}"));
    assert_eq!(
        problems(&format!("{}{}", "[".repeat(40), "]".repeat(40))),
        format!("lb.yaml:1:33: {DEEP}")
    );
    let stairs: String = (0..1000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert_eq!(problems(&stairs), format!("lb.yaml:33:33: {DEEP}"));
}

#[test]
fn large_files_are_refused_and_long_values_cut_short() {
    let large = format!("a: {}\n", "x".repeat(MAX_BYTES));
    assert_eq!(
        problems(&large),
        "lb.yaml: is larger than 4 MiB; split the services between balancers"
    );

    let many = format!("[{}]", "a,".repeat((2 << 20) - 1));
    assert!(
        problems(&many)
            .ends_with("the file has too many values; split the services between balancers")
    );

    let long = format!("interfaces: [{}]\nservices: []\n", "x".repeat(1000));
    assert_eq!(
        problems(&long),
        format!(
            "lb.yaml:1:14: interfaces[0]: {}… is not an interface's name; \
             give an interface's name, such as eth0; at most 15 characters, no space, / or :",
            "x".repeat(60)
        )
    );
}

#[test]
fn many_equal_keys_and_many_ports_take_no_square_time() {
    let keys = "a: 1\n".repeat(300_000);
    assert!(problems(&keys).contains("a stands here twice, first at line 1, column 1"));

    let addresses: Vec<String> =
        (0..50_000).map(|n| format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)).collect();
    let ports: Vec<String> = (1..=65_535).map(|port| port.to_string()).collect();
    let text = format!(
        "interfaces: [eth0]\nservices: [{{ name: a, vip: [{}], port: [{}], mode: dsr, backends: [] }}]\n",
        addresses.join(","),
        ports.join(","),
    );
    assert!(problems(&text).contains("3276750000 combinations of VIP, port and protocol"));
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let text = problems("interfaces: [eth0]\nservices: []\n\"\\e[31mred\\n\": 1\n");
    assert!(
        text.starts_with("lb.yaml:3:1: \"\\u{1b}[31mred\\n\": \"\\u{1b}[31mred\\n\" is not a key"),
        "{text}"
    );
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lb.yaml");
    let missing = load(&path, None).expect_err("no file").to_string();
    assert_eq!(
        missing,
        format!(
            "{}: cannot be read: No such file or directory (os error 2); \
             give the path of a readable file with --config",
            path.display()
        )
    );

    std::fs::write(&path, b"interfaces: [eth0]\nseed: \xff\n").expect("a writable directory");
    let binary = load(&path, None).expect_err("not text").to_string();
    assert_eq!(
        binary,
        format!("{}:2:7: this is not UTF-8 text; save the file as UTF-8", path.display())
    );
}
