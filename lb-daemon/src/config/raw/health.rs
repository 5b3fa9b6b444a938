//! Keys of a service's probes.

use std::time::Duration;

use super::{
    super::{
        model::{Method, Pattern, Payload, Rcode, Record, StatusRange, Verify, Via},
        problem::shown,
        ranges,
        report::Report,
        yaml::{At, Kind},
    },
    Given, Typed,
    fields::Fields,
    service, value,
};

pub(super) const HEALTH_KEYS: [&str; 20] = [
    "type",
    "via",
    "port",
    "interval",
    "timeout",
    "rise",
    "fall",
    "method",
    "path",
    "host",
    "status",
    "body",
    "server_name",
    "verify",
    "send",
    "expect",
    "query",
    "record",
    "rcode",
    "command",
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum HealthType {
    None,
    Tcp,
    Http,
    Https,
    Udp,
    Dns,
    Icmp,
    Exec,
}

impl HealthType {
    pub const ALL: [(&'static str, Self); 8] = [
        ("tcp", Self::Tcp),
        ("http", Self::Http),
        ("https", Self::Https),
        ("udp", Self::Udp),
        ("dns", Self::Dns),
        ("icmp", Self::Icmp),
        ("exec", Self::Exec),
        ("none", Self::None),
    ];

    pub fn name(self) -> &'static str {
        let all = Self::ALL.iter();
        all.filter(|(_, kind)| *kind == self).map(|(name, _)| *name).next().unwrap_or_default()
    }
}

#[derive(Default)]
pub(in super::super) struct HealthKeys<'t> {
    pub at: Option<At<'t>>,
    pub kind: Given<'t, HealthType>,
    pub via: Given<'t, Via>,
    pub port: Given<'t, u16>,
    pub interval: Given<'t, Duration>,
    pub timeout: Given<'t, Duration>,
    pub rise: Given<'t, u32>,
    pub fall: Given<'t, u32>,
    pub check: CheckKeys<'t>,
}

/// Keys that only some types of probe have.
#[derive(Default)]
pub(in super::super) struct CheckKeys<'t> {
    pub method: Given<'t, Method>,
    pub path: Given<'t, String>,
    pub host: Given<'t, String>,
    pub status: Given<'t, Vec<StatusRange>>,
    pub body: Given<'t, Pattern>,
    pub server_name: Given<'t, String>,
    pub verify: Given<'t, Verify>,
    pub send: Given<'t, Payload>,
    /// One text for UDP; what they must be depends on the type.
    pub expect: Given<'t, Vec<Typed<'t, String>>>,
    pub query: Given<'t, String>,
    pub record: Given<'t, Record>,
    pub rcode: Given<'t, Rcode>,
    pub command: Given<'t, Vec<String>>,
    /// All that are there, with their places.
    pub places: Vec<(&'static str, At<'t>)>,
}

pub(super) fn health<'t>(at: At<'t>, report: &mut Report) -> HealthKeys<'t> {
    let Some(fields) = Fields::of(at, &HEALTH_KEYS, report) else { return HealthKeys::default() };
    HealthKeys {
        at: Some(at),
        kind: service::word(&fields, "type", "a type of probe", &HealthType::ALL, report),
        via: service::word(&fields, "via", "a way for probes", &Via::ALL, report),
        port: fields.read("port", report, service::port),
        interval: service::time(&fields, "interval", &ranges::INTERVAL, report),
        timeout: service::time(&fields, "timeout", &ranges::TIMEOUT, report),
        rise: fields.read("rise", report, |at, report| value::number(at, &ranges::RISE, report)),
        fall: fields.read("fall", report, |at, report| value::number(at, &ranges::FALL, report)),
        check: check(&fields, report),
    }
}

fn check<'t>(fields: &Fields<'t>, report: &mut Report) -> CheckKeys<'t> {
    let methods = [Method::Get, Method::Head, Method::Options, Method::Post];
    let methods = methods.map(|method| (method.name(), method));
    CheckKeys {
        method: service::word(fields, "method", "a method of probes", &methods, report),
        path: fields.read("path", report, path),
        host: fields.read("host", report, host),
        status: fields.read("status", report, statuses),
        body: fields.read("body", report, pattern),
        server_name: fields.read("server_name", report, host),
        verify: fields.read("verify", report, verify),
        send: fields.read("send", report, payload),
        expect: fields.read("expect", report, expected),
        query: fields.read("query", report, query),
        record: service::word(fields, "record", "a type of record", &Record::ALL, report),
        rcode: service::word(fields, "rcode", "a DNS response code", &Rcode::ALL, report),
        command: fields.read("command", report, command),
        places: HEALTH_KEYS
            .iter()
            .skip_while(|key| **key != "method")
            .filter_map(|key| Some((*key, fields.get(key)?)))
            .collect(),
    }
}

/// As it stands in a request line: a space or control character would end it.
fn path(at: At, report: &mut Report) -> Option<String> {
    const EXPECTED: &str = "a path and query, such as /healthz; write spaces as %20";
    let text = value::text(at, EXPECTED, report)?;
    let fits = text.starts_with('/')
        && text.len() <= 2048
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    accept(at, fits, text, "a path", EXPECTED, report)
}

fn host(at: At, report: &mut Report) -> Option<String> {
    const EXPECTED: &str = "a host's name, such as www.example.com";
    let text = value::text(at, EXPECTED, report)?;
    let fits = (1..=253).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
    accept(at, fits, text, "a host's name", EXPECTED, report)
}

fn query(at: At, report: &mut Report) -> Option<String> {
    const EXPECTED: &str = "a domain name, such as example.com";
    let text = value::text(at, EXPECTED, report)?;
    let labels = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte))
    };
    let fits = text == "." || (labels.len() <= 253 && labels.split('.').all(label));
    accept(at, fits, text, "a domain name", EXPECTED, report)
}

fn statuses(at: At, report: &mut Report) -> Option<Vec<StatusRange>> {
    let mut all_right = true;
    let list = value::one_or_more(at, report, |at, report| {
        let range = status(at, report);
        all_right &= range.is_some();
        range
    });
    (all_right && !list.is_empty()).then(|| list.into_iter().map(|range| range.value).collect())
}

fn status(at: At, report: &mut Report) -> Option<StatusRange> {
    const EXPECTED: &str = "a status from 100 to 599, or a range such as 200-399";
    let text = value::text(at, EXPECTED, report)?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|number| digits && (100..=599).contains(number))
    };
    let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
    if range.is_none() {
        let message = format!("{} is not an HTTP status", shown(text));
        report.problem(at, message, format!("give {EXPECTED}"));
    }
    range.map(|(first, last)| StatusRange(first..=last))
}

fn pattern(at: At, report: &mut Report) -> Option<Pattern> {
    const EXPECTED: &str = "a text, hex: and digits, or a regular expression between slashes";
    let text = value::text(at, EXPECTED, report)?;
    let why =
        |why| report.problem(at, format!("{} {why}", shown(text)), format!("give {EXPECTED}"));
    Pattern::parse(text).map_err(why).ok()
}

fn payload(at: At, report: &mut Report) -> Option<Payload> {
    const EXPECTED: &str = "at most 1232 bytes: a text, or hex: and digits";
    let text = value::text(at, EXPECTED, report)?;
    let checked = Payload::parse(text).and_then(|payload| match payload.bytes.len() {
        0..=1232 => Ok(payload),
        _ => Err("is too long for a datagram that is to arrive in one piece".to_owned()),
    });
    let why =
        |why| report.problem(at, format!("{} {why}", shown(text)), format!("give {EXPECTED}"));
    checked.map_err(why).ok()
}

fn expected<'t>(at: At<'t>, report: &mut Report) -> Option<Vec<Typed<'t, String>>> {
    let list = value::one_or_more(at, report, |at, report| {
        value::text(at, "what the answer is to contain", report).map(str::to_owned)
    });
    (!list.is_empty()).then_some(list)
}

fn verify(at: At, report: &mut Report) -> Option<Verify> {
    const EXPECTED: &str =
        "false, true, or the absolute path of a file with CA certificates, such as /etc/ssl/ca.pem";
    match value::text(at, EXPECTED, report)? {
        "false" => Some(Verify::No),
        "true" => Some(Verify::System),
        path if path.starts_with('/') => Some(Verify::File(path.into())),
        text => {
            let message = format!("{} is not a way to verify", shown(text));
            report.problem(at, message, format!("give {EXPECTED}"));
            None
        }
    }
}

fn command(at: At, report: &mut Report) -> Option<Vec<String>> {
    const EXPECTED: &str = "a list of a program's absolute path and its arguments";
    let list = match at.kind() {
        Kind::List | Kind::Scalar(_) => value::one_or_more(at, report, |at, report| {
            value::text(at, "a text; quote what YAML could take for something else", report)
                .map(str::to_owned)
        }),
        Kind::Null | Kind::Map => Vec::new(),
    };
    let words: Vec<String> = list.into_iter().map(|word| word.value).collect();
    let fits = words.first().is_some_and(|program| program.starts_with('/'))
        && !words.iter().any(|word| word.contains('\0'));
    if !fits {
        report.problem(at, "this is not a command", format!("give {EXPECTED}"));
    }
    fits.then_some(words)
}

fn accept(
    at: At,
    fits: bool,
    text: &str,
    what: &str,
    expected: &str,
    report: &mut Report,
) -> Option<String> {
    if !fits {
        report.problem(at, format!("{} is not {what}", shown(text)), format!("give {expected}"));
    }
    fits.then(|| text.to_owned())
}
