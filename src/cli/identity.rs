//! A provider's identity with one agent: a folder with its key, its certificate, the authority's, and where the agent is.
//!
//! The names are libvirt's own, so that the same folder serves an unmodified client: `qemu://HOST:PORT/system?pkipath=DIR`.
//! A key is replaced in an order that an interruption cannot break: the next key waits beside the old one until its
//! certificate is there, and whoever opens the folder finishes what was interrupted.

use std::path::{Path, PathBuf};

use rcgen::PublicKeyData;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

use crate::doors::enrollment::files::{self, KeepFileError, Readers};
use crate::model::{KeyId, ProviderId};

const AUTHORITY: &str = "cacert.pem";
const CERTIFICATE: &str = "clientcert.pem";
const KEY: &str = "clientkey.pem";
const NEXT_KEY: &str = ".clientkey.next.pem";
const ABOUT: &str = "agent.json";

/// Why a folder is no identity.
#[derive(Debug, thiserror::Error)]
pub enum OpenIdentityError {
    /// A file.
    #[error(transparent)]
    File(#[from] KeepFileError),
    /// There is none.
    #[error("{} is not there; `covirt provider join` makes it", .0.display())]
    Missing(PathBuf),
    /// A file is not what it should be.
    #[error("{} {what}", path.display())]
    Unfit {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No key can be made.
    #[error("a key cannot be made")]
    Make(#[from] rcgen::Error),
}

/// Where the agent is, as it was said at joining.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Who we are there.
    pub provider: ProviderId,
    /// The API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// For libvirt's clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libvirt: Option<String>,
}

/// An identity that can be used.
#[derive(Debug)]
pub struct Identity {
    /// Whom to believe.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Our certificate.
    pub chain: Vec<CertificateDer<'static>>,
    /// Our key.
    pub key: PrivateKeyDer<'static>,
    /// The key's name.
    pub id: KeyId,
    /// Where the agent is, if the folder says it.
    pub about: Option<About>,
}

/// A key that waits for its certificate.
pub struct KeyToBe {
    /// Its request, in PEM.
    pub csr: String,
    /// Its name.
    pub id: KeyId,
}

/// The folder.
#[derive(Debug, Clone)]
pub struct IdentityFolder(PathBuf);

impl IdentityFolder {
    /// At this path.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether somebody has joined with it.
    #[must_use]
    pub fn has_joined(&self) -> bool {
        self.0.join(CERTIFICATE).exists()
    }

    fn needed(&self, name: &str, readers: Readers) -> Result<Vec<u8>, OpenIdentityError> {
        let path = self.0.join(name);
        files::read(&path, readers)?.ok_or(OpenIdentityError::Missing(path))
    }

    /// Opens it; a replacement that was interrupted is finished.
    ///
    /// *Errors*: [`OpenIdentityError`].
    pub fn open(&self) -> Result<Identity, OpenIdentityError> {
        let unfit = |name: &str, what| OpenIdentityError::Unfit { path: self.0.join(name), what };
        let chain = certificates(&self.needed(CERTIFICATE, Readers::Everybody)?);
        let leaf = chain.first().ok_or_else(|| unfit(CERTIFICATE, "holds no certificate"))?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(leaf).map_err(|_| unfit(CERTIFICATE, "holds no certificate"))?;
        let id = KeyId::of_spki(parsed.public_key().raw);
        let mut key = self.needed(KEY, Readers::Owner)?;
        // A key of a kind that is not read here is left for TLS to judge.
        if key_id(&key).is_some_and(|found| found != id) {
            let next = files::read(&self.0.join(NEXT_KEY), Readers::Owner)?.filter(|next| key_id(next) == Some(id));
            key = next.ok_or_else(|| unfit(KEY, "is not the key of the certificate beside it"))?;
            self.finish()?;
        }
        let authorities = certificates(&self.needed(AUTHORITY, Readers::Everybody)?);
        if authorities.is_empty() {
            return Err(unfit(AUTHORITY, "holds no certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| unfit(KEY, "holds no private key"))?;
        let about = files::read(&self.0.join(ABOUT), Readers::Everybody)?;
        let about = about.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        let about = about.map_err(|_| unfit(ABOUT, "does not say where the agent is"))?;
        Ok(Identity { authorities, chain, key, id, about })
    }

    /// The key to join with: made now, or left by a join that was interrupted.
    ///
    /// *Errors*: [`OpenIdentityError`].
    pub fn first_key(&self, provider: &ProviderId) -> Result<KeyToBe, OpenIdentityError> {
        files::private_folder(&self.0)?;
        self.key_to_be(KEY, provider)
    }

    /// The key to replace the present one with.
    ///
    /// *Errors*: [`OpenIdentityError`].
    pub fn next_key(&self, provider: &ProviderId) -> Result<KeyToBe, OpenIdentityError> {
        self.key_to_be(NEXT_KEY, provider)
    }

    fn key_to_be(&self, name: &str, provider: &ProviderId) -> Result<KeyToBe, OpenIdentityError> {
        let path = self.0.join(name);
        let known = files::read(&path, Readers::Owner)?.and_then(|pem| String::from_utf8(pem).ok());
        let pair = match known.and_then(|pem| rcgen::KeyPair::from_pem(&pem).ok()) {
            Some(pair) => pair,
            None => {
                let pair = rcgen::KeyPair::generate()?;
                files::replace(&path, pair.serialize_pem().as_bytes(), Readers::Owner)?;
                pair
            }
        };
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, provider.as_str());
        let csr = params.serialize_request(&pair)?.pem()?;
        Ok(KeyToBe { csr, id: KeyId::of_spki(&pair.subject_public_key_info()) })
    }

    /// Keeps what came for the first key. The certificate is written last: with it, the folder is an identity.
    ///
    /// *Errors*: [`OpenIdentityError`].
    pub fn joined(&self, authority: &str, certificate: &str, about: &About) -> Result<(), OpenIdentityError> {
        let about = serde_json::to_vec_pretty(about).unwrap_or_default();
        files::replace(&self.0.join(AUTHORITY), authority.as_bytes(), Readers::Everybody)?;
        files::replace(&self.0.join(ABOUT), &about, Readers::Everybody)?;
        files::replace(&self.0.join(CERTIFICATE), certificate.as_bytes(), Readers::Everybody)?;
        Ok(())
    }

    /// Puts the next key and its certificate in the place of the present ones.
    ///
    /// *Errors*: [`OpenIdentityError`].
    pub fn replaced(&self, certificate: &str) -> Result<(), OpenIdentityError> {
        files::replace(&self.0.join(CERTIFICATE), certificate.as_bytes(), Readers::Everybody)?;
        self.finish()
    }

    fn finish(&self) -> Result<(), OpenIdentityError> {
        let (from, to) = (self.0.join(NEXT_KEY), self.0.join(KEY));
        let renamed = std::fs::rename(&from, &to).and_then(|()| std::fs::File::open(&self.0)?.sync_all());
        renamed.map_err(|source| KeepFileError::Write { path: to, source })?;
        Ok(())
    }
}

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect()
}

fn key_id(pem: &[u8]) -> Option<KeyId> {
    let pair = rcgen::KeyPair::from_pem(std::str::from_utf8(pem).ok()?).ok()?;
    Some(KeyId::of_spki(&pair.subject_public_key_info()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// A certificate for the key in a file, by itself: who signed it is not looked at here.
    fn certified(folder: &Path, name: &str) -> String {
        let pair = rcgen::KeyPair::from_pem(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap();
        rcgen::CertificateParams::default().self_signed(&pair).unwrap().pem()
    }

    fn about() -> About {
        About { provider: "south".parse().unwrap(), url: Some("https://agent.example:1".to_owned()), libvirt: None }
    }

    fn joined() -> (tempfile::TempDir, IdentityFolder, KeyId) {
        let outer = tempfile::tempdir().unwrap();
        let folder = IdentityFolder::at(&outer.path().join("south"));
        let first = folder.first_key(&about().provider).unwrap();
        assert_eq!(
            folder.first_key(&about().provider).unwrap().id,
            first.id,
            "an interrupted join goes on with its key"
        );
        assert!(!folder.has_joined());
        let certificate = certified(folder.path(), KEY);
        folder.joined(&certificate, &certificate, &about()).unwrap();
        (outer, folder, first.id)
    }

    #[test]
    fn a_folder_is_private_and_in_libvirts_layout() {
        let (_outer, folder, id) = joined();
        let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().mode() & 0o777;
        assert_eq!(
            (mode(""), mode("clientkey.pem"), mode("clientcert.pem"), mode("cacert.pem")),
            (0o700, 0o600, 0o644, 0o644)
        );
        let identity = folder.open().unwrap();
        assert_eq!((identity.id, identity.about), (id, Some(about())));
    }

    #[test]
    fn a_replacement_is_whole_wherever_it_is_interrupted() {
        let (_outer, folder, old) = joined();
        let next = folder.next_key(&about().provider).unwrap();
        assert_eq!(folder.open().unwrap().id, old, "before the certificate came");
        assert_eq!(folder.next_key(&about().provider).unwrap().id, next.id, "it is asked for again with the same key");
        let certificate = certified(folder.path(), NEXT_KEY);
        files::replace(&folder.path().join(CERTIFICATE), certificate.as_bytes(), Readers::Everybody).unwrap();
        assert_eq!(folder.open().unwrap().id, next.id, "between the certificate and the key");
        assert!(!folder.path().join(NEXT_KEY).exists());
        assert_eq!(folder.open().unwrap().id, next.id);
    }

    #[test]
    fn what_is_no_identity_is_told() {
        let (_outer, folder, _) = joined();
        let says = || folder.open().map(drop).unwrap_err().to_string();
        let pair = rcgen::KeyPair::generate().unwrap();
        files::replace(&folder.path().join(KEY), pair.serialize_pem().as_bytes(), Readers::Everybody).unwrap();
        assert!(says().contains("can be read by others"));
        files::replace(&folder.path().join(KEY), pair.serialize_pem().as_bytes(), Readers::Owner).unwrap();
        assert!(says().contains("is not the key of the certificate beside it"));
        std::fs::remove_file(folder.path().join(CERTIFICATE)).unwrap();
        assert!(says().contains("provider join"));
    }
}
