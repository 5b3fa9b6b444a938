//! DNS messages of probes (pure).

use std::str::FromStr;

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RData, RecordType},
};

use crate::config::{DnsCheck, Rcode, Record};

/// Answers that are shown when none is the expected one.
const SHOWN: usize = 3;

#[derive(PartialEq, Eq, Debug)]
pub enum Judged {
    /// Not the answer to this query.
    Stray,
    Works,
    Fails(String),
}

/// Or why there is none.
pub fn query(id: u16, check: &DnsCheck) -> Result<Vec<u8>, String> {
    let name = name(check).map_err(|error| format!("query {}: {error}", check.query))?;
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, record_type(check.record)));
    message.to_vec().map_err(|error| error.to_string())
}

/// Judges a datagram.
pub fn judge(id: u16, check: &DnsCheck, datagram: &[u8]) -> Judged {
    if datagram.len() < 2 || datagram[..2] != id.to_be_bytes() {
        return Judged::Stray;
    }
    let message = match Message::from_vec(datagram) {
        Ok(message) => message,
        Err(error) => {
            return Judged::Fails(format!("{} bytes are no DNS answer: {error}", datagram.len()));
        }
    };
    if message.metadata.message_type != MessageType::Response {
        return Judged::Fails("it sent a query back, not an answer".into());
    }
    let asked = |query: &Query| {
        name(check).is_ok_and(|name| name == *query.name())
            && query.query_type() == record_type(check.record)
    };
    // A server that refuses may leave the question out.
    if !message.queries.is_empty() && !message.queries.iter().any(asked) {
        return Judged::Stray;
    }
    let code = u16::from(message.metadata.response_code);
    if code != check.rcode.number() {
        return Judged::Fails(format!(
            "{}, expected {}",
            code_name(code),
            code_name(check.rcode.number())
        ));
    }
    let answers: Vec<String> = message.answers.iter().map(|record| text(&record.data)).collect();
    match check
        .expect
        .iter()
        .find(|wanted| !answers.iter().any(|one| same(check.record, one, wanted)))
    {
        None => Judged::Works,
        Some(_) if message.metadata.truncation => {
            Judged::Fails("the answer was truncated to fit a datagram".into())
        }
        Some(wanted) => {
            Judged::Fails(format!("{wanted} is not among the answers: {}", shown(&answers)))
        }
    }
}

fn name(check: &DnsCheck) -> Result<Name, String> {
    let mut name = Name::from_str(&check.query).map_err(|error| error.to_string())?;
    name.set_fqdn(true);
    Ok(name)
}

const fn record_type(record: Record) -> RecordType {
    match record {
        Record::A => RecordType::A,
        Record::Aaaa => RecordType::AAAA,
        Record::Cname => RecordType::CNAME,
        Record::Mx => RecordType::MX,
        Record::Ns => RecordType::NS,
        Record::Ptr => RecordType::PTR,
        Record::Soa => RecordType::SOA,
        Record::Srv => RecordType::SRV,
        Record::Txt => RecordType::TXT,
    }
}

/// The data of a record, as zone files write it.
fn text(data: &RData) -> String {
    match data {
        RData::TXT(txt) => {
            let parts = txt.txt_data.iter().map(|part| String::from_utf8_lossy(part).into_owned());
            parts.collect()
        }
        RData::OPT(_) => String::new(),
        other => other.to_string(),
    }
}

fn same(record: Record, found: &str, wanted: &str) -> bool {
    use std::net::IpAddr;
    match record {
        Record::A | Record::Aaaa => {
            found.parse::<IpAddr>().is_ok_and(|found| wanted.parse() == Ok(found))
        }
        Record::Txt => found == wanted,
        _ => found.trim_end_matches('.').eq_ignore_ascii_case(wanted.trim_end_matches('.')),
    }
}

fn code_name(code: u16) -> String {
    let known = Rcode::ALL.iter().find(|(_, rcode)| rcode.number() == code);
    known.map_or_else(|| format!("rcode {code}"), |(name, _)| name.to_uppercase())
}

fn shown(answers: &[String]) -> String {
    match answers.len() {
        0 => "there are none".into(),
        count => {
            let first: Vec<_> =
                answers.iter().take(SHOWN).map(|one| one.escape_debug().to_string()).collect();
            let more =
                if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
            format!("{}{more}", first.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::{
        op::ResponseCode,
        rr::{Record as Entry, rdata},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::{config::Check, health::check::testing::check};

    fn dns(keys: &str) -> DnsCheck {
        let Check::Dns(dns) = check(&format!("type: dns, query: www.example.com{keys}")) else {
            panic!()
        };
        dns
    }

    fn answer(check: &DnsCheck, addresses: &[[u8; 4]]) -> Message {
        let mut message = Message::from_vec(&query(7, check).unwrap()).unwrap();
        message.metadata.message_type = MessageType::Response;
        for address in addresses {
            let data = RData::A(rdata::A(Ipv4Addr::from(*address)));
            message.add_answer(Entry::from_rdata(name(check).unwrap(), 60, data));
        }
        message
    }

    fn judged(check: &DnsCheck, message: &Message) -> Judged {
        judge(7, check, &message.to_vec().unwrap())
    }

    fn fails(why: &str) -> Judged {
        Judged::Fails(why.into())
    }

    #[test]
    fn a_query_asks_for_the_record() {
        let message = Message::from_vec(&query(513, &dns(", record: TXT")).unwrap()).unwrap();
        assert_eq!(message.metadata.id, 513);
        assert_eq!(message.queries[0].query_type(), RecordType::TXT);
        assert_eq!(message.queries[0].name().to_string(), "www.example.com.");
    }

    #[test]
    fn all_expected_answers_must_be_there() {
        let any = dns("");
        assert_eq!(judged(&any, &answer(&any, &[])), Judged::Works);
        let two = dns(", expect: [192.0.2.1, 192.0.2.2]");
        assert_eq!(judged(&two, &answer(&two, &[[192, 0, 2, 2], [192, 0, 2, 1]])), Judged::Works);
        assert_eq!(
            judged(&two, &answer(&two, &[[192, 0, 2, 1]])),
            fails("192.0.2.2 is not among the answers: 192.0.2.1")
        );
        assert_eq!(
            judged(&two, &answer(&two, &[])),
            fails("192.0.2.1 is not among the answers: there are none")
        );
        let mut cut = answer(&two, &[]);
        cut.metadata.truncation = true;
        assert_eq!(judged(&two, &cut), fails("the answer was truncated to fit a datagram"));
        assert_eq!(judged(&any, &cut), Judged::Works);
    }

    #[test]
    fn the_response_code_is_part_of_what_is_expected() {
        let check = dns("");
        let mut message = answer(&check, &[]);
        message.metadata.response_code = ResponseCode::ServFail;
        assert_eq!(judged(&check, &message), fails("SERVFAIL, expected NOERROR"));
        assert_eq!(judged(&dns(", rcode: servfail"), &message), Judged::Works);
        message.metadata.response_code = ResponseCode::YXDomain;
        assert_eq!(judged(&check, &message), fails("rcode 6, expected NOERROR"));
    }

    #[test]
    fn other_records_are_compared_as_text() {
        let check = dns(", record: TXT, expect: 'v=1 a'");
        let mut message = answer(&check, &[]);
        let data = RData::TXT(rdata::TXT::new(vec!["v=1".into(), " a".into()]));
        message.add_answer(Entry::from_rdata(name(&check).unwrap(), 60, data));
        assert_eq!(judged(&check, &message), Judged::Works);
        let check = dns(", record: MX, expect: '10 Mail.example.com'");
        let mut message = answer(&check, &[]);
        let mail = Name::from_str("mail.example.com.").unwrap();
        let data = RData::MX(rdata::MX::new(10, mail));
        message.add_answer(Entry::from_rdata(name(&check).unwrap(), 60, data));
        assert_eq!(judged(&check, &message), Judged::Works);
    }

    #[test]
    fn what_was_not_asked_is_no_answer() {
        let check = dns("");
        let message = answer(&check, &[]);
        assert_eq!(judge(8, &check, &message.to_vec().unwrap()), Judged::Stray);
        assert_eq!(judged(&dns(", record: AAAA"), &message), Judged::Stray);
        assert_eq!(judge(7, &check, b"\x00"), Judged::Stray);
        let echo = query(7, &check).unwrap();
        assert_eq!(judge(7, &check, &echo), fails("it sent a query back, not an answer"));
        let Judged::Fails(why) = judge(7, &check, b"\x00\x07 hello") else { panic!() };
        assert!(why.starts_with("8 bytes are no DNS answer: "), "{why}");
    }

    proptest! {
        #[test]
        fn garbage_and_cuts_have_a_verdict(
            mut bytes in prop::collection::vec(any::<u8>(), 2..200),
            cut in 2usize..60,
            flip in (0usize..60, any::<u8>()),
        ) {
            let check = dns(", expect: 192.0.2.1");
            bytes[..2].copy_from_slice(&[0, 7]);
            judge(7, &check, &bytes);
            let whole = answer(&check, &[[192, 0, 2, 1]]).to_vec().unwrap();
            let cut = &whole[..cut.min(whole.len() - 1)];
            prop_assert_ne!(judge(7, &check, cut), Judged::Works);
            let mut wrong = whole.clone();
            let at = flip.0.min(wrong.len() - 1);
            wrong[at] = flip.1;
            judge(7, &check, &wrong);
        }
    }
}
