//! DNS messages: a query in bytes, and what a reply says to it.

use std::{net::IpAddr, str::FromStr};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType},
};

/// Fits every path's MTU (as the DNS flag day of 2020 has it).
pub const MAX_DATAGRAM: u16 = 1232;
/// Aliases after each other in one reply.
const MOST_ALIASES: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Records {
    A,
    Aaaa,
    Srv,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    Address(IpAddr),
    Service {
        priority: u16,
        weight: u16,
        port: u16,
        /// Empty: the service is not offered.
        host: String,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    Records(Vec<Value>, u32),
    /// It has none, and why.
    Nothing(&'static str),
    /// Of another name, whose records are not in the reply, for so long.
    Alias(String, u32),
    /// Ask again where there is more room.
    Truncated,
    /// The server cannot say.
    Refused(String),
}

/// Of a name without a dot at its end. `None`: it is none that can be asked for.
pub fn query(id: u16, name: &str, records: Records) -> Option<Vec<u8>> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(absolute(name)?, records.kind()));
    let mut edns = Edns::new();
    edns.set_max_payload(MAX_DATAGRAM);
    message.set_edns(edns);
    message.to_vec().ok()
}

/// What `bytes` say to a query. `None`: they are no reply to it.
pub fn reply(bytes: &[u8], id: u16, name: &str, records: Records) -> Option<Reply> {
    let message = Message::from_vec(bytes).ok()?;
    let name = absolute(name)?;
    let is_reply = message.metadata.id == id
        && message.metadata.message_type == MessageType::Response
        && matches!(&message.queries[..], [query]
            if *query.name() == name && query.query_type() == records.kind());
    is_reply.then(|| match message.metadata.response_code {
        _ if message.metadata.truncation => Reply::Truncated,
        ResponseCode::NoError => answer(&message, name, records),
        ResponseCode::NXDomain => Reply::Nothing("there is no such name (NXDOMAIN)"),
        code => Reply::Refused(code.to_string()),
    })
}

/// Follows aliases from `name` to the records asked for. What else is in the
/// answer is of no matter.
fn answer(message: &Message, mut name: Name, records: Records) -> Reply {
    let mut ttl = u32::MAX;
    for aliases in 0..=MOST_ALIASES {
        let of_name = || message.answers.iter().filter(|record| record.name == name);
        let found: Vec<&Record> =
            of_name().filter(|record| record.record_type() == records.kind()).collect();
        if !found.is_empty() {
            ttl = found.iter().map(|record| record.ttl).fold(ttl, u32::min);
            let values = found.into_iter().filter_map(|record| value(&record.data)).collect();
            return Reply::Records(values, ttl);
        }
        let alias = of_name().find_map(|record| match &record.data {
            RData::CNAME(target) => Some((target.0.clone(), record.ttl)),
            _ => None,
        });
        match alias {
            Some((target, its_ttl)) => {
                name = target;
                ttl = ttl.min(its_ttl);
            }
            None if aliases == 0 || ends_here(message) => break,
            None => return Reply::Alias(text(&name), ttl),
        }
    }
    Reply::Nothing("it has no such records")
}

/// The server says that there is nothing more (RFC 2308).
fn ends_here(message: &Message) -> bool {
    message.authorities.iter().any(|record| record.record_type() == RecordType::SOA)
}

fn value(data: &RData) -> Option<Value> {
    match data {
        RData::A(address) => Some(Value::Address(address.0.into())),
        RData::AAAA(address) => Some(Value::Address(address.0.into())),
        RData::SRV(srv) => Some(Value::Service {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            host: text(&srv.target),
        }),
        _ => None,
    }
}

fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_str(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn text(name: &Name) -> String {
    name.to_lowercase().to_ascii().trim_end_matches('.').to_owned()
}

impl Records {
    pub const fn kind(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Srv => RecordType::SRV,
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{A, CNAME, SOA, SRV};

    use super::*;

    fn name(text: &str) -> Name {
        absolute(text).unwrap()
    }

    /// The reply of a server that has `answers` to a query for A of web.example.
    fn said(answers: Vec<Record>, change: impl FnOnce(&mut Message)) -> Option<Reply> {
        let query = query(7, "web.example", Records::A).unwrap();
        let mut message = Message::from_vec(&query).unwrap().into_response();
        message.add_answers(answers);
        change(&mut message);
        reply(&message.to_vec().unwrap(), 7, "web.example", Records::A)
    }

    fn a(of: &str, last: u8, ttl: u32) -> Record {
        Record::from_rdata(name(of), ttl, RData::A(A([10, 0, 0, last].into())))
    }

    fn alias(of: &str, to: &str, ttl: u32) -> Record {
        Record::from_rdata(name(of), ttl, RData::CNAME(CNAME(name(to))))
    }

    fn addresses(last: &[u8]) -> Vec<Value> {
        last.iter().map(|last| Value::Address([10, 0, 0, *last].into())).collect()
    }

    #[test]
    fn records_come_with_their_shortest_ttl_through_aliases() {
        let answers = vec![
            a("b.example", 1, 300),
            alias("WEB.example", "a.example", 60),
            a("b.example", 2, 200),
            alias("a.example", "b.example", 90),
            a("other.example", 9, 1),
        ];
        assert_eq!(said(answers, |_| ()), Some(Reply::Records(addresses(&[1, 2]), 60)));
    }

    #[test]
    fn aliases_in_a_circle_are_no_records() {
        let answers =
            vec![alias("web.example", "a.example", 60), alias("a.example", "web.example", 60)];
        assert_eq!(said(answers, |_| ()), Some(Reply::Nothing("it has no such records")));
    }

    #[test]
    fn an_alias_alone_is_asked_for_unless_the_server_says_that_there_is_nothing() {
        let answers = || vec![alias("web.example", "a.example", 60)];
        assert_eq!(said(answers(), |_| ()), Some(Reply::Alias("a.example".into(), 60)));
        let soa = SOA::new(name("ns.example"), name("me.example"), 1, 2, 3, 4, 5);
        let nothing = said(answers(), |message| {
            message.add_authority(Record::from_rdata(name("example"), 5, RData::SOA(soa)));
        });
        assert_eq!(nothing, Some(Reply::Nothing("it has no such records")));
    }

    #[test]
    fn codes_and_flags_say_what_there_is() {
        let code = |code| said(vec![], |message| message.metadata.response_code = code);
        assert_eq!(code(ResponseCode::NoError), Some(Reply::Nothing("it has no such records")));
        let no_name = Reply::Nothing("there is no such name (NXDOMAIN)");
        assert_eq!(code(ResponseCode::NXDomain), Some(no_name));
        assert!(matches!(code(ResponseCode::ServFail), Some(Reply::Refused(_))));
        assert!(matches!(code(ResponseCode::Refused), Some(Reply::Refused(_))));
        let cut = said(vec![a("web.example", 1, 60)], |m| m.metadata.truncation = true);
        assert_eq!(cut, Some(Reply::Truncated));
    }

    #[test]
    fn what_is_no_reply_to_the_query_is_ignored() {
        let answers = || vec![a("web.example", 1, 60)];
        assert_eq!(said(answers(), |message| message.metadata.id = 8), None);
        assert_eq!(said(answers(), |m| m.metadata.message_type = MessageType::Query), None);
        let other = Query::query(name("other.example"), RecordType::A);
        assert_eq!(said(answers(), |message| message.queries = vec![other]), None);
        assert_eq!(said(answers(), |message| message.queries.clear()), None);
        assert_eq!(reply(b"nonsense", 7, "web.example", Records::A), None);
    }

    #[test]
    fn services_have_a_host_and_a_port() {
        let query = query(7, "_http._tcp.example", Records::Srv).unwrap();
        let mut message = Message::from_vec(&query).unwrap().into_response();
        for target in ["Web.example", "."] {
            let srv = SRV::new(1, 2, 80, name(target));
            message.add_answer(Record::from_rdata(name("_http._tcp.example"), 9, RData::SRV(srv)));
        }
        let bytes = message.to_vec().unwrap();
        let service =
            |host: &str| Value::Service { priority: 1, weight: 2, port: 80, host: host.into() };
        assert_eq!(
            reply(&bytes, 7, "_http._tcp.example", Records::Srv),
            Some(Reply::Records(vec![service("web.example"), service("")], 9))
        );
    }

    #[test]
    fn a_reply_that_is_cut_short_anywhere_does_no_harm() {
        let query = query(7, "web.example", Records::A).unwrap();
        let mut message = Message::from_vec(&query).unwrap().into_response();
        message.add_answer(a("web.example", 1, 60));
        let bytes = message.to_vec().unwrap();
        for length in 0..bytes.len() {
            let read = reply(&bytes[..length], 7, "web.example", Records::A);
            assert_ne!(read, Some(Reply::Records(addresses(&[1]), 60)), "{length} bytes");
        }
    }
}
