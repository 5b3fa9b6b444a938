//! What the parser's errors mean, in words for someone who wrote a config file.

const DEEP: (&str, &str) = (
    "lists and maps are nested more than 32 deep",
    "no key needs more than 5 levels; mind the brackets",
);

/// What the parser says and what it means. A part of its message is enough.
const KNOWN: [(&str, &str, &str); 8] = [
    ("recursion limit exceeded", DEEP.0, DEEP.1),
    ("unknown anchor", "an alias (*) stands here", "write the value out, or put it in quotes"),
    ("tabs disallowed", "a tab is used for indentation", "indent with spaces"),
    ("unprintable", "a character that no text has", "remove it"),
    (
        "mapping values are not allowed",
        "a second \": \" on the line, or a wrong indentation",
        "put the value in quotes, or line the key up with its neighbours",
    ),
    (
        "simple key expect",
        "a line without \": \" among keys",
        "write key: value, or line it up with what it belongs to",
    ),
    ("invalid indentation", "the indentation fits nothing above", "line it up with its neighbours"),
    ("unexpected character", "a value cannot begin like this", "put it in quotes"),
];

/// The message and the help for one of the parser's errors.
pub(super) fn explain(error: &str) -> (String, &'static str) {
    match KNOWN.iter().find(|(part, ..)| error.contains(part)) {
        Some((_, message, help)) => (message.to_string(), help),
        None => {
            (format!("not YAML: {error}"), "look at this line and at the end of the one before")
        }
    }
}

pub(super) fn too_deep() -> (&'static str, &'static str) {
    DEEP
}
