//! TLS of the HTTPS check: whom to trust, and failures in words.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, InvalidMessage,
    RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::{net::TcpStream, sync::Mutex};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::Failure;
use crate::config::Verify;

/// A certificate that is renewed or added is known after this time.
const READ_EVERY: Duration = Duration::from_secs(60);

/// Clients by whom they trust.
#[derive(Default)]
pub struct Trust(Mutex<HashMap<Verify, Known>>);

struct Known {
    config: Arc<ClientConfig>,
    read: Instant,
}

impl Trust {
    pub async fn config(&self, verify: &Verify) -> Result<Arc<ClientConfig>, Failure> {
        let mut known = self.0.lock().await;
        if let Some(one) = known.get(verify)
            && (*verify == Verify::No || one.read.elapsed() < READ_EVERY)
        {
            return Ok(one.config.clone());
        }
        let wanted = verify.clone();
        let made = tokio::task::spawn_blocking(move || client(&wanted)).await;
        match made.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(config) => {
                let fresh = Known { config: Arc::new(config), read: Instant::now() };
                let config = fresh.config.clone();
                known.insert(verify.clone(), fresh);
                Ok(config)
            }
            // What was read before still holds.
            Err(why) => match known.get(verify) {
                Some(one) => Ok(one.config.clone()),
                None => Err(Failure::NotMade(why)),
            },
        }
    }
}

fn client(verify: &Verify) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let roots = match verify {
        Verify::No => None,
        Verify::System => Some(system_roots()?),
        Verify::File(path) => Some(roots_in(path)?),
    };
    let mut config = match roots {
        Some(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth(),
    };
    // A whole handshake every time: it is part of what is probed.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let roots = store(found.certs);
    match (roots.is_empty(), found.errors.first()) {
        (false, _) => Ok(roots),
        (true, Some(error)) => Err(format!("this host's CA certificates: {error}")),
        (true, None) => Err("this host has no CA certificates: install ca-certificates, or give \
                             verify the path of a file"
            .into()),
    }
}

fn roots_in(path: &Path) -> Result<RootCertStore, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok);
    let roots = store(certificates.collect());
    if roots.is_empty() {
        return Err(format!("{} has no certificate in PEM form", path.display()));
    }
    Ok(roots)
}

/// Those that are understood: stores have odd ones among many good.
fn store(certificates: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    roots
}

/// `name` is what is asked for; without one, an address, which SNI does not have.
pub async fn handshake(
    stream: TcpStream,
    config: Arc<ClientConfig>,
    name: Option<&str>,
    address: IpAddr,
) -> Result<TlsStream<TcpStream>, Failure> {
    let name = match name.map(without_port) {
        Some(name) => ServerName::try_from(name.to_owned())
            .map_err(|_| Failure::NotMade(format!("{name:?} is no name for a TLS server")))?,
        None => ServerName::IpAddress(address.into()),
    };
    TlsConnector::from(config).connect(name, stream).await.map_err(failure)
}

/// As in a Host header: `www.example.com:8443`, `[2001:db8::1]:8443`.
fn without_port(host: &str) -> &str {
    if let Some(v6) = host.strip_prefix('[') {
        return v6.split(']').next().unwrap_or(v6);
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

fn failure(error: io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => Failure::Fails(format!("TLS: {}", words(error))),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            Failure::Fails("TLS: it closed the connection during the handshake".into())
        }
        None => error.into(),
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "the answer is not TLS".into(),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the server does not know that server_name".into()
        }
        Error::AlertReceived(alert) => format!("the server refused: {alert:?}"),
        other => other.to_string(),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("certificate expired {}", date(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("certificate is not valid before {}", date(*not_before))
        }
        CertificateError::UnknownIssuer => "certificate is of an unknown issuer".into(),
        CertificateError::BadSignature => {
            "certificate was not signed by the issuer that it names".into()
        }
        CertificateError::NotValidForNameContext { expected, .. } => {
            format!("certificate is not for {}", expected.to_str())
        }
        other => format!("certificate: {other}"),
    }
}

/// Days since 1970 to a date of the Gregorian calendar, by Howard Hinnant's
/// `civil_from_days`.
fn date(time: UnixTime) -> String {
    let days = time.as_secs() / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

/// Takes whatever certificate is shown: the probe asks whether the server
/// works, not who it is.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_767_225_599, "2025-12-31"),
            (1_767_225_600, "2026-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            assert_eq!(date(time), expected);
        }
    }

    #[test]
    fn failures_in_words() {
        let time = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = CertificateError::ExpiredContext { time: time(9), not_after: time(0) };
        for (error, expected) in [
            (Error::InvalidCertificate(expired), "certificate expired 1970-01-01"),
            (CertificateError::UnknownIssuer.into(), "certificate is of an unknown issuer"),
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                "the server refused: HandshakeFailure",
            ),
        ] {
            assert_eq!(words(&error), expected);
        }
    }

    #[test]
    fn a_hosts_port_is_no_part_of_its_name() {
        for (host, name) in [
            ("www.example.com:8443", "www.example.com"),
            ("www.example.com", "www.example.com"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_proves_nothing_about_a_backend() {
        let trust = Trust::default();
        let missing = Verify::File("/nonexistent/ca.pem".into());
        let failure = trust.config(&missing).await.unwrap_err();
        assert!(matches!(&failure, Failure::NotMade(why) if why.contains("ca.pem")), "{failure:?}");
        let empty = tempfile::NamedTempFile::new().unwrap();
        let failure = trust.config(&Verify::File(empty.path().into())).await.unwrap_err();
        assert!(matches!(&failure, Failure::NotMade(why) if why.contains("PEM")), "{failure:?}");
    }
}
