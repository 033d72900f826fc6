//! Where the agent is and how it is reached: its Unix socket, or TLS with a key of ours.
//!
//! Guarantees that nothing is said to an agent that is not the one the identity belongs to: its certificate must be of
//! the authority in the identity's folder, or of the one that a token names, and for the name by which it is called.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::client::CallAgentError;
use super::identity::Identity;
use crate::doors::enrollment::token::Sum;

/// The API's port, unless the URL has another.
const PORT: u16 = 16515;
/// How long a connection and its handshake may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// An open connection.
pub type Connection = Box<dyn Duplex>;

/// What a connection is to those who use it.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A host and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Reads `HOST:PORT`; an IPv6 address stands in brackets.
///
/// *Errors*: a sentence.
pub fn parse_host_port(text: &str) -> Result<HostPort, String> {
    let refuse = || format!("{text:?} is no HOST:PORT");
    let (host, port) = text.rsplit_once(':').ok_or_else(refuse)?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(refuse)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host).map_err(|_| refuse())?;
    Ok(HostPort { host: host.to_owned(), port })
}

/// Reads `https://HOST[:PORT]`.
///
/// *Errors*: a sentence.
pub fn parse_url(text: &str) -> Result<HostPort, String> {
    let refuse = || format!("{text:?} is no URL of an agent: https://HOST:PORT is expected");
    let rest = text.strip_prefix("https://").ok_or_else(refuse)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let has_port = rest.rsplit_once(':').is_some_and(|(host, port)| {
        port.bytes().all(|b| b.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']'))
    });
    let with_port = if has_port { rest.to_owned() } else { format!("{rest}:{PORT}") };
    parse_host_port(&with_port).map_err(|_| refuse())
}

/// Where the agent is.
#[derive(Debug, Clone)]
pub enum Agent {
    /// On this host.
    Socket(PathBuf),
    /// Elsewhere, and who we are there.
    Remote {
        /// Where.
        at: HostPort,
        /// Whom we speak to, and with which key.
        tls: Arc<ClientConfig>,
    },
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Remote { at, .. } => write!(f, "https://{at}"),
        }
    }
}

impl Agent {
    /// The agent at `at`, for whoever holds this identity.
    ///
    /// *Errors*: a sentence.
    pub fn remote(at: HostPort, identity: &Identity) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for authority in &identity.authorities {
            roots
                .add(authority.clone())
                .map_err(|error| format!("cacert.pem has a certificate that is none: {error}"))?;
        }
        let config = tls13()?.with_root_certificates(roots);
        let config = config.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key());
        let config = config.map_err(|error| format!("the key and the certificate cannot be used together: {error}"))?;
        Ok(Self::Remote { at, tls: Arc::new(config) })
    }

    /// The port for joining at `at`, if it is of the authority with this fingerprint.
    ///
    /// *Errors*: a sentence.
    pub fn to_join(at: HostPort, authority: Sum) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(Pinned { authority, provider });
        let config = tls13()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Ok(Self::Remote { at, tls: Arc::new(config) })
    }

    /// What a request says of whom it is for.
    #[must_use]
    pub fn host(&self) -> String {
        match self {
            Self::Socket(_) => "localhost".to_owned(),
            Self::Remote { at, .. } => at.to_string(),
        }
    }

    /// A connection, proved on both sides.
    ///
    /// *Errors*: [`CallAgentError::Unreachable`], [`CallAgentError::Stranger`], [`CallAgentError::Silent`].
    pub async fn connect(&self) -> Result<Connection, CallAgentError> {
        let unreachable = |source| CallAgentError::Unreachable { agent: self.to_string(), source };
        match self {
            Self::Socket(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(unreachable)?)),
            Self::Remote { at, tls } => {
                let connecting = async {
                    let stream = TcpStream::connect((at.host.as_str(), at.port)).await.map_err(unreachable)?;
                    let _ = stream.set_nodelay(true);
                    let name = ServerName::try_from(at.host.clone()).map_err(|_| {
                        unreachable(io::Error::other("the host has no name that a certificate could have"))
                    })?;
                    let connector = TlsConnector::from(tls.clone());
                    let stream = connector.connect(name, stream).await.map_err(|error| self.why_not(error))?;
                    Ok(Box::new(stream) as Connection)
                };
                let silent = |_| CallAgentError::Silent { agent: self.to_string(), after: PATIENCE };
                tokio::time::timeout(PATIENCE, connecting).await.map_err(silent)?
            }
        }
    }

    fn why_not(&self, error: io::Error) -> CallAgentError {
        match tls_error(&error).and_then(in_words) {
            Some(reason) => CallAgentError::Stranger { agent: self.to_string(), reason },
            None => CallAgentError::Unreachable { agent: self.to_string(), source: error },
        }
    }
}

fn tls13() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    builder.map_err(|error| format!("TLS 1.3 cannot be used: {error}"))
}

/// The error of TLS itself in an error of the connection, however deep.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An error of the system holds its cause without naming it as one.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    }
    None
}

/// Why a handshake failed, as a sentence's end; none when it is not about who anybody is.
fn in_words(error: &rustls::Error) -> Option<String> {
    use rustls::AlertDescription as Alert;
    let text = match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is of another authority than the one expected; nothing was sent to it"
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for other names than the one that it was called by; nothing was sent to it",
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has run out, or this host's clock is wrong; nothing was sent to it"
        }
        rustls::Error::InvalidCertificate(_) => "its certificate cannot be believed; nothing was sent to it",
        rustls::Error::AlertReceived(Alert::CertificateRequired) => {
            "it expects a certificate, and this identity has none"
        }
        rustls::Error::AlertReceived(Alert::CertificateExpired) => "it says that our certificate has run out",
        rustls::Error::AlertReceived(Alert::CertificateRevoked) => "it says that our certificate is revoked",
        rustls::Error::AlertReceived(Alert::UnknownCA) => "it does not know who signed our certificate",
        rustls::Error::AlertReceived(
            Alert::AccessDenied | Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnsupportedCertificate,
        ) => "it does not let our key in: it is not known, or not any more",
        rustls::Error::AlertReceived(Alert::ProtocolVersion) => "it does not speak TLS 1.3",
        // A foreign enum.
        _ => return None,
    };
    Some(text.to_owned())
}

/// Why a connection that stood was ended by TLS, if it was.
pub(super) fn refusal_in(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    tls_error(error).and_then(in_words)
}

/// Believes one authority, known by its fingerprint before anything is said.
#[derive(Debug)]
struct Pinned {
    authority: Sum,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let stranger = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let found = intermediates.iter().find(|one| Sum::of(one) == self.authority).ok_or_else(stranger)?;
        let mut roots = RootCertStore::empty();
        roots.add(found.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone()).build();
        let verifier = verifier.map_err(|_| stranger())?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 is expected".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_https_with_a_host() {
        let at = |host: &str, port| Ok(HostPort { host: host.to_owned(), port });
        assert_eq!(parse_url("https://agent.example"), at("agent.example", 16515));
        assert_eq!(parse_url("https://agent.example:1/"), at("agent.example", 1));
        assert_eq!(parse_url("https://[::1]:2"), at("::1", 2));
        assert_eq!(parse_url("https://[::1]"), at("::1", 16515));
        for bad in [
            "",
            "agent.example:1",
            "http://a:1",
            "https://",
            "https://a:0",
            "https://a:x",
            "https://a/b",
            "https://u@a:1",
        ] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_and_port_are_read_as_they_are_written() {
        for good in ["192.0.2.1:16516", "[2001:db8::1]:1", "agent.example:80"] {
            assert_eq!(parse_host_port(good).map(|at| at.to_string()), Ok(good.to_owned()));
        }
        for bad in ["agent.example", ":1", "a b:1", "agent.example:70000"] {
            assert!(parse_host_port(bad).is_err(), "{bad}");
        }
    }
}
