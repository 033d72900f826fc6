//! Certificates, keys and revocation lists from files. Guarantees that what is wrong is said with the file's name, and
//! that nothing of a key gets into an error.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::certificate::Certificate;
use super::live::provider;

/// The largest file that is read; a revocation list of a hundred thousand certificates fits.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// Where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// This agent's certificate, with the authorities between it and one that clients know, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// The authorities that may make clients' certificates, in PEM. Without them only pinned keys come in.
    pub client_ca: Option<PathBuf>,
    /// What these have revoked, in PEM. With it each of them has a list there.
    pub crl: Option<PathBuf>,
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ReadTlsFileError {
    /// The system refused.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is there, and is not what it should be.
    #[error("{path} {what}")]
    Unfit {
        /// Which.
        path: PathBuf,
        /// What it is not.
        what: String,
    },
}

fn unfit(path: &Path, what: impl Into<String>) -> ReadTlsFileError {
    ReadTlsFileError::Unfit { path: path.to_owned(), what: what.into() }
}

fn read(path: &Path) -> Result<Vec<u8>, ReadTlsFileError> {
    let unreadable = |source| ReadTlsFileError::Unreadable { path: path.to_owned(), source };
    // To open a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unfit(path, "is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX { Err(unfit(path, "is too large")) } else { Ok(bytes) }
}

fn all<T: PemObject>(path: &Path, what: &str) -> Result<Vec<T>, ReadTlsFileError> {
    let bytes = read(path)?;
    let found: Result<Vec<T>, _> = T::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|_| unfit(path, "is not whole PEM"))?;
    if found.is_empty() { Err(unfit(path, format!("has no {what} in PEM"))) } else { Ok(found) }
}

/// This agent's certificate and key.
///
/// *Errors*: [`ReadTlsFileError`], also when the two do not belong together.
pub(super) fn identity(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, ReadTlsFileError> {
    let chain: Vec<CertificateDer<'static>> = all(certificate, "certificate")?;
    let read_key = read(key)?;
    let private = PrivateKeyDer::from_pem_slice(&read_key).map_err(|_| unfit(key, "has no private key in PEM"))?;
    let private = provider().key_provider.load_private_key(private);
    let private = private.map_err(|_| unfit(key, "has a private key of a kind that TLS 1.3 does not take"))?;
    let own = chain.first().and_then(|first| Certificate::read(first).ok());
    let own = own.ok_or_else(|| unfit(certificate, "begins with a certificate that cannot be read"))?;
    let certified = CertifiedKey::new(chain, private);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(_) => {
            return Err(unfit(key, format!("is not the key of the certificate in {}", certificate.display())));
        }
    }
    if own.left(UnixTime::now()) == 0 {
        tracing::warn!(path = %certificate.display(), "this agent's certificate has expired; clients will refuse it");
    }
    if std::fs::metadata(key).is_ok_and(|about| about.permissions().mode() & 0o007 != 0) {
        tracing::warn!(path = %key.display(), "everybody on this host may use this agent's private key");
    }
    Ok(Arc::new(certified))
}

/// Authorities.
///
/// *Errors*: [`ReadTlsFileError`].
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, ReadTlsFileError> {
    let mut store = RootCertStore::empty();
    for authority in all::<CertificateDer<'static>>(path, "certificate")? {
        store.add(authority).map_err(|_| unfit(path, "has a certificate that cannot be an authority's"))?;
    }
    Ok(store)
}

/// Revocation lists.
///
/// *Errors*: [`ReadTlsFileError`].
pub(super) fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, ReadTlsFileError> {
    all(path, "revocation list")
}

/// A revocation list that is no such thing.
pub(super) fn unfit_list(path: &Path) -> ReadTlsFileError {
    unfit(path, "has a revocation list that cannot be used")
}
