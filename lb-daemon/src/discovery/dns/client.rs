//! One kind of record of a name, from whichever server answers first in order.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    message::{Records, Reply, Value},
    servers::Servers,
    transport::exchange,
};

/// Times that all servers are asked, as the C library does.
const ATTEMPTS: usize = 2;
/// Aliases that replies leave to be asked for.
const MOST_ALIASES: usize = 8;

#[derive(Clone, Debug)]
pub struct Client {
    pub servers: Servers,
    /// For one server's answer.
    pub patience: Duration,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lookup {
    Found(Vec<Value>, Duration),
    /// There are none, in words.
    Nothing(String),
    /// Nobody could say, and why.
    Failed(String),
}

impl Client {
    pub async fn look_up(&self, name: &str, records: Records) -> Lookup {
        let mut nothing = None;
        for candidate in self.servers.candidates(name) {
            match self.follow(candidate, records).await {
                // The name itself comes last: what is said of it is said.
                Lookup::Nothing(why) => nothing = Some(why),
                other => return other,
            }
        }
        Lookup::Nothing(nothing.unwrap_or_default())
    }

    async fn follow(&self, mut name: String, records: Records) -> Lookup {
        let mut shortest = u32::MAX;
        for _ in 0..=MOST_ALIASES {
            match self.ask(&name, records).await {
                Ok(Reply::Records(values, ttl)) => {
                    return Lookup::Found(values, Duration::from_secs(shortest.min(ttl).into()));
                }
                Ok(Reply::Nothing(why)) => return Lookup::Nothing(why.to_owned()),
                Ok(Reply::Alias(target, ttl)) => {
                    name = target;
                    shortest = shortest.min(ttl);
                }
                Ok(Reply::Truncated) => return Lookup::Failed("the reply was cut short".into()),
                Ok(Reply::Refused(why)) | Err(why) => return Lookup::Failed(why),
            }
        }
        Lookup::Failed(format!("more than {MOST_ALIASES} aliases follow each other"))
    }

    /// The first reply that says something, else what the last server said.
    async fn ask(&self, name: &str, records: Records) -> Result<Reply, String> {
        let mut failure = "there is no server to ask".to_owned();
        for _ in 0..ATTEMPTS {
            for server in &self.servers.addresses {
                failure = match timeout(self.patience, exchange(*server, name, records)).await {
                    Err(_) => format!("no answer from {server} within {:?}", self.patience),
                    Ok(Err(error)) => format!("{server}: {error}"),
                    Ok(Ok(Reply::Refused(code))) => format!("{server} says: {code}"),
                    Ok(Ok(reply)) => return Ok(reply),
                };
            }
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::ResponseCode;

    use super::{super::test_server::Server, *};

    const PATIENCE: Duration = Duration::from_millis(300);

    fn client(servers: &[&Server]) -> Client {
        let addresses = servers.iter().map(|server| server.address()).collect();
        let servers = Servers { addresses, search: vec!["example".into()] };
        Client { servers, patience: PATIENCE }
    }

    fn addresses(list: &[&str]) -> Vec<Value> {
        list.iter().map(|one| Value::Address(one.parse().unwrap())).collect()
    }

    fn found(list: &[&str], ttl: u64) -> Lookup {
        Lookup::Found(addresses(list), Duration::from_secs(ttl))
    }

    #[tokio::test]
    async fn addresses_of_both_families_are_asked_for_one_by_one() {
        let server = Server::start().await;
        server.add("web.example", 60, &["10.0.0.1", "2001:db8::1", "10.0.0.2"]);
        let client = client(&[&server]);
        assert_eq!(
            client.look_up("web.example", Records::A).await,
            found(&["10.0.0.1", "10.0.0.2"], 60)
        );
        assert_eq!(client.look_up("web.example", Records::Aaaa).await, found(&["2001:db8::1"], 60));
        assert_eq!(client.look_up("web", Records::Aaaa).await, found(&["2001:db8::1"], 60));
    }

    #[tokio::test]
    async fn a_name_that_is_not_there_is_no_failure() {
        let server = Server::start().await;
        server.add("web.example", 60, &["10.0.0.1"]);
        let client = client(&[&server]);
        for (name, records) in [("none.example", Records::A), ("web.example", Records::Aaaa)] {
            let lookup = client.look_up(name, records).await;
            assert!(matches!(lookup, Lookup::Nothing(_)), "{lookup:?}");
        }
    }

    #[tokio::test]
    async fn the_next_server_is_asked_when_one_is_silent_or_refuses() {
        let (silent, refusing, good) =
            (Server::start().await, Server::start().await, Server::start().await);
        silent.mute();
        refusing.say(ResponseCode::Refused);
        good.add("web.example", 60, &["10.0.0.1"]);
        let lookup = client(&[&silent, &refusing, &good]).look_up("web.example", Records::A).await;
        assert_eq!(lookup, found(&["10.0.0.1"], 60));
        let lookup = client(&[&silent, &refusing]).look_up("web.example", Records::A).await;
        let Lookup::Failed(why) = lookup else { panic!("{lookup:?}") };
        assert!(why.contains(&refusing.address().to_string()), "{why}");
        let lookup = client(&[&silent]).look_up("web.example", Records::A).await;
        assert!(matches!(lookup, Lookup::Failed(why) if why.contains("no answer")));
    }

    #[tokio::test]
    async fn an_answer_that_fits_no_datagram_comes_by_tcp() {
        let server = Server::start().await;
        let many: Vec<String> = (0..500).map(|n| format!("10.0.{}.{}", n / 250, n % 250)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        server.add("web.example", 60, &many);
        let lookup = client(&[&server]).look_up("web.example", Records::A).await;
        assert_eq!(lookup, found(&many, 60));
    }

    #[tokio::test]
    async fn aliases_that_a_reply_leaves_open_are_followed_to_their_end() {
        let server = Server::start().await;
        server.alias("web.example", "a.example", 20);
        server.alias("a.example", "b.example", 90);
        server.add("b.example", 60, &["10.0.0.1"]);
        server.alias("round.example", "round.example", 60);
        let client = client(&[&server]);
        assert_eq!(client.look_up("web.example", Records::A).await, found(&["10.0.0.1"], 20));
        let circle = client.look_up("round.example", Records::A).await;
        assert!(!matches!(circle, Lookup::Found(..)), "{circle:?}");
    }
}
