//! What one probe does: the keys of its type, and none of another.

use super::super::{
    model::{
        Check, DnsCheck, ExecCheck, HttpCheck, HttpsCheck, Method, Pattern, Rcode, Record,
        StatusRange, UdpCheck, Verify,
    },
    raw::{CheckKeys, Given, HealthKeys, HealthType, Typed},
    report::Report,
    yaml::At,
};

const HTTP: &[HealthType] = &[HealthType::Http, HealthType::Https];
const HTTPS: &[HealthType] = &[HealthType::Https];
const UDP: &[HealthType] = &[HealthType::Udp];
const DNS: &[HealthType] = &[HealthType::Dns];

/// The types that have a key.
fn types_with(key: &str) -> &'static [HealthType] {
    match key {
        "method" | "path" | "host" | "status" | "body" => HTTP,
        "server_name" | "verify" => HTTPS,
        "send" => UDP,
        "expect" => &[HealthType::Udp, HealthType::Dns],
        "query" | "record" | "rcode" => DNS,
        _ => &[HealthType::Exec],
    }
}

/// Reports the service's own keys that its type does not have. Those in
/// `defaults` are for services of other types.
pub(super) fn foreign_keys(kind: HealthType, own: &HealthKeys, report: &mut Report) {
    for (key, at) in &own.check.places {
        let types = types_with(key);
        if !types.contains(&kind) {
            let names: Vec<_> = types.iter().map(|kind| kind.name()).collect();
            let message = format!("type {} has no {key}", kind.name());
            report.problem(*at, message, format!("remove it, or set type: {}", names.join(" or ")));
        }
    }
}

/// Keys of a service and of `defaults`, and whom to blame for missing ones.
pub(super) struct Keys<'a, 't> {
    pub own: &'a CheckKeys<'t>,
    pub defaults: &'a CheckKeys<'t>,
    pub at: At<'t>,
}

impl<'a, 't> Keys<'a, 't> {
    fn get<T: 'a>(&self, key: impl Fn(&'a CheckKeys<'t>) -> &'a Given<'t, T>) -> &'a Given<'t, T> {
        key(self.own).or(key(self.defaults))
    }

    /// A key that must be there; where it is not, the configuration is no good
    /// and `None` stands in.
    fn require<T: Clone + 'a>(
        &self,
        key: impl Fn(&'a CheckKeys<'t>) -> &'a Given<'t, T>,
        name: &str,
        expected: &str,
        report: &mut Report,
    ) -> Option<T> {
        let given = self.get(key);
        if matches!(given, Given::Absent) {
            report.problem(self.at, format!("{name} is missing"), format!("give {expected}"));
        }
        given.right().map(|typed| typed.value.clone())
    }

    /// `None` if a problem was found.
    pub fn resolve(&self, kind: HealthType, report: &mut Report) -> Option<Check> {
        match kind {
            HealthType::None | HealthType::Tcp => Some(Check::Tcp),
            HealthType::Http => Some(Check::Http(self.http(report))),
            HealthType::Https => Some(Check::Https(self.https(report))),
            HealthType::Udp => self.udp(report).map(Check::Udp),
            HealthType::Dns => self.dns(report).map(Check::Dns),
            HealthType::Icmp => Some(Check::Icmp),
            HealthType::Exec => {
                let expected = "a list of a program's absolute path and its arguments";
                let command = self.require(|keys| &keys.command, "command", expected, report)?;
                Some(Check::Exec(ExecCheck { command }))
            }
        }
    }

    fn http(&self, report: &mut Report) -> HttpCheck {
        let method = self.get(|keys| &keys.method).value_or(Method::Get);
        let body = self.get(|keys| &keys.body).right();
        if let (Method::Head, Some(body)) = (method, body) {
            let help = "remove body, or set method: GET";
            report.problem(body.at, "an answer to HEAD has no body", help);
        }
        HttpCheck {
            method,
            path: self.get(|keys| &keys.path).value_or("/".to_owned()),
            host: optional(self.get(|keys| &keys.host)),
            status: self.get(|keys| &keys.status).value_or(vec![StatusRange(200..=399)]),
            body: body.map(|body| body.value.clone()),
        }
    }

    fn https(&self, report: &mut Report) -> HttpsCheck {
        HttpsCheck {
            http: self.http(report),
            server_name: optional(self.get(|keys| &keys.server_name)),
            verify: self.get(|keys| &keys.verify).value_or(Verify::No),
        }
    }

    fn udp(&self, report: &mut Report) -> Option<UdpCheck> {
        let send = self.require(|keys| &keys.send, "send", "what is to be sent", report);
        let expect = match self.get(|keys| &keys.expect).right() {
            None => None,
            Some(list) => Some(udp_expect(list, report)?),
        };
        Some(UdpCheck { send: send?, expect })
    }

    fn dns(&self, report: &mut Report) -> Option<DnsCheck> {
        let query = self.require(|keys| &keys.query, "query", "the name to ask for", report);
        let record = self.get(|keys| &keys.record).value_or(Record::A);
        let expect = self.get(|keys| &keys.expect).right();
        for typed in expect.iter().flat_map(|list| &list.value) {
            let (is_address, what) = match record {
                Record::A => (typed.value.parse::<std::net::Ipv4Addr>().is_ok(), "an IPv4 address"),
                Record::Aaaa => {
                    (typed.value.parse::<std::net::Ipv6Addr>().is_ok(), "an IPv6 address")
                }
                _ => (true, ""),
            };
            if !is_address {
                let message = format!("a record {} is {what}", record.name());
                report.problem(typed.at, message, format!("give {what}, or another record"));
            }
        }
        Some(DnsCheck {
            query: query?,
            record,
            rcode: self.get(|keys| &keys.rcode).value_or(Rcode::NoError),
            expect: expect
                .map(|list| list.value.iter().map(|one| one.value.clone()).collect())
                .unwrap_or_default(),
        })
    }
}

fn udp_expect<'t>(
    list: &Typed<'t, Vec<Typed<'t, String>>>,
    report: &mut Report,
) -> Option<Pattern> {
    let [one] = &list.value[..] else {
        report.problem(list.at, "UDP has one answer", "give one text");
        return None;
    };
    let help = "give a text, hex: and digits, or a regular expression between slashes";
    let why = |why| report.problem(one.at, format!("this {why}"), help);
    Pattern::parse(&one.value).map_err(why).ok()
}

fn optional<T: Clone>(given: &Given<T>) -> Option<T> {
    given.right().map(|typed| typed.value.clone())
}
