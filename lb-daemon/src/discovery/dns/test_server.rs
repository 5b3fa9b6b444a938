//! A name server for tests, by UDP and TCP, with the records that it is told.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::{Arc, Mutex},
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{
        Name, RData, Record,
        rdata::{A, AAAA, CNAME, SRV},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};

pub struct Server {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

#[derive(Default)]
struct Zone {
    records: HashMap<Name, Vec<Record>>,
    mute: bool,
    code: Option<ResponseCode>,
}

impl Server {
    pub async fn start() -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let zone = Arc::new(Mutex::new(Zone::default()));
        tokio::spawn(serve_udp(udp, zone.clone()));
        tokio::spawn(serve_tcp(tcp, zone.clone()));
        Self { address, zone }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn add(&self, of: &str, ttl: u32, addresses: &[&str]) {
        for address in addresses {
            let data = match address.parse().unwrap() {
                IpAddr::V4(v4) => RData::A(A(v4)),
                IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
            };
            self.record(of, ttl, data);
        }
    }

    pub fn alias(&self, of: &str, to: &str, ttl: u32) {
        self.record(of, ttl, RData::CNAME(CNAME(name(to))));
    }

    pub fn service(
        &self,
        of: &str,
        ttl: u32,
        (priority, weight, port, host): (u16, u16, u16, &str),
    ) {
        self.record(of, ttl, RData::SRV(SRV::new(priority, weight, port, name(host))));
    }

    pub fn remove(&self, of: &str) {
        self.zone.lock().unwrap().records.remove(&name(of));
    }

    pub fn mute(&self) {
        self.zone.lock().unwrap().mute = true;
    }

    /// Answers everything with this from now on.
    pub fn say(&self, code: ResponseCode) {
        self.zone.lock().unwrap().code = Some(code);
    }

    fn record(&self, of: &str, ttl: u32, data: RData) {
        let record = Record::from_rdata(name(of), ttl, data);
        self.zone.lock().unwrap().records.entry(name(of)).or_default().push(record);
    }
}

impl Zone {
    fn answer(&self, query: &[u8]) -> Option<Message> {
        let mut message = Message::from_vec(query).ok()?.into_response();
        let asked = message.queries.first()?.clone();
        match self.records.get(asked.name()) {
            _ if self.mute => return None,
            _ if self.code.is_some() => message.metadata.response_code = self.code?,
            None => message.metadata.response_code = ResponseCode::NXDomain,
            Some(records) => {
                let is_asked = |record: &&Record| {
                    record.record_type() == asked.query_type()
                        || matches!(record.data, RData::CNAME(_))
                };
                message.add_answers(records.iter().filter(is_asked).cloned());
            }
        }
        Some(message)
    }
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let answer = zone.lock().unwrap().answer(&buffer[..length]);
        let Some(message) = answer else { continue };
        let mut bytes = message.to_vec().unwrap();
        if bytes.len() > usize::from(super::message::MAX_DATAGRAM) {
            bytes = message.truncate().to_vec().unwrap();
        }
        drop(socket.send_to(&bytes, client).await);
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let Ok(length) = stream.read_u16().await else { continue };
        let mut query = vec![0; usize::from(length)];
        if stream.read_exact(&mut query).await.is_err() {
            continue;
        }
        let answer = zone.lock().unwrap().answer(&query);
        let Some(message) = answer else { continue };
        let bytes = message.to_vec().unwrap();
        drop(stream.write_u16(bytes.len() as u16).await);
        drop(stream.write_all(&bytes).await);
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_str(text).unwrap();
    name.set_fqdn(true);
    name
}
