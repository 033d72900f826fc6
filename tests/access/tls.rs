//! The agent over TLS, as a provider on another machine reaches it.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use super::{LIMIT, Web, Wire, web_over};

/// One provider's way in: its certificate, its key, and whom it believes.
pub(crate) struct Remote {
    config: Arc<ClientConfig>,
    port: u16,
}

impl Remote {
    /// *Format*: PEM, all three.
    #[track_caller]
    pub(crate) fn new(port: u16, authority: &Path, certificate: &Path, key: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).expect("an authority")).expect("an authority");
        let chain = CertificateDer::pem_file_iter(certificate).expect("a certificate");
        let chain: Vec<_> = chain.collect::<Result<_, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("TLS").with_root_certificates(roots).with_client_auth_cert(chain, key);
        Self { config: Arc::new(config.expect("a client")), port }
    }

    /// A connection; who is let in shows once something is read.
    #[track_caller]
    pub(crate) fn connect(&self) -> Box<dyn Wire> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the agent listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let name = "localhost".try_into().expect("a name");
        let client = ClientConnection::new(Arc::clone(&self.config), name).expect("a client");
        Box::new(StreamOwned::new(client, stream))
    }

    pub(crate) fn try_web(&self, provider: &str, path: &str, protocol: Option<&str>) -> Result<Web, Value> {
        web_over(self.connect(), provider, path, protocol)
    }

    #[track_caller]
    pub(crate) fn open_web(&self, provider: &str, path: &str, protocol: Option<&str>) -> Web {
        self.try_web(provider, path, protocol).unwrap_or_else(|problem| panic!("{path}: {problem:#}"))
    }
}
