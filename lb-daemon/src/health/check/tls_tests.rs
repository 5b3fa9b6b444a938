//! HTTPS probes against servers with all kinds of certificates.

use std::{net::SocketAddr, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{testing::target, *};

/// A certificate authority, and its certificate in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: NamedTempFile,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// A server for `www.example.com`, whose certificate is good until `year`.
    async fn server(&self, year: i32) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["www.example.com".into()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        serve(certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into())).await
    }
}

async fn serve(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> SocketAddr {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A probe that does not like the certificate hangs up.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read(&mut [0; 1024]).await;
                // Without a farewell, as many servers close.
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nok").await;
                let _ = stream.flush().await;
            });
        }
    });
    address
}

async fn probe(address: SocketAddr, keys: &str) -> Outcome {
    let keys = format!("type: https, interval: 1h, timeout: 20s, {keys}");
    Checks::new(None).probe(&target(address, &keys)).await
}

fn works(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Works(_))
}

fn fails(why: &str) -> Outcome {
    Outcome::Fails(format!("TLS: {why}"))
}

#[tokio::test]
async fn any_certificate_will_do_unless_it_is_to_be_verified() {
    let authority = Authority::new("Example");
    let address = authority.server(2021).await;
    let outcome = probe(address, "body: ok").await;
    assert!(works(&outcome), "{outcome:?}");
    let verified = format!("verify: {}, host: www.example.com", authority.file.path().display());
    assert_eq!(probe(address, &verified).await, fails("certificate expired 2021-01-01"));
}

#[tokio::test]
async fn a_verified_certificate_is_for_the_name_and_of_a_known_issuer() {
    let authority = Authority::new("Example");
    let address = authority.server(2400).await;
    let verified = format!("verify: {}", authority.file.path().display());
    let good = format!("{verified}, server_name: www.example.com, host: other.example");
    let outcome = probe(address, &good).await;
    assert!(works(&outcome), "{outcome:?}");
    assert_eq!(
        probe(address, &format!("{verified}, server_name: other.example")).await,
        fails("certificate is not for other.example")
    );
    assert_eq!(probe(address, &verified).await, fails("certificate is not for 127.0.0.1"));
    let stranger = Authority::new("Stranger").server(2400).await;
    assert_eq!(probe(stranger, &good).await, fails("certificate is of an unknown issuer"));
}

#[tokio::test]
async fn a_server_without_tls_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    assert_eq!(probe(address, "").await, fails("the answer is not TLS"));
}
