//! The small authority of this host: it signs this agent's own certificate and those of providers that join it.
//!
//! Nobody trusts it for anything else: a provider keeps its certificate in the folder of its identity with this agent,
//! and the agent pins each key it signs. It has a path length of 0 and may only sign certificates and revocations. It has
//! no name constraints: a provider's name is a URI, and rustls refuses every chain with a constraint on URIs.
//!
//! | file in `state_dir/ca` | mode | |
//! |---|---|---|
//! | `ca.key`, `ca.pem` | 0600, 0644 | the authority |
//! | `server.key`, `server.pem` | 0600, 0644 | this agent's certificate and the authority's, made anew in time |
//! | `crl.pem` | 0644 | what is revoked |

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::PublicKeyData;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams,
    SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::chance::{self, DrawChanceError};
use super::csr::Proved;
use super::files::{self, KeepFileError, Readers};
use super::token::Sum;
use crate::doors::identity::TrustDomain;
use crate::model::{KeyId, ProviderId, Wall};

/// The authority's folder in the state folder.
pub const AUTHORITY_FOLDER: &str = "ca";
/// How far a reader's clock may be behind when a certificate is new.
const BACKDATED: Duration = Duration::from_secs(300);
/// A tenth of a certificate's life is left when this agent makes itself a new one.
const RENEWED_BEFORE: u32 = 10;

/// What the operator says of the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthoritySettings {
    /// The domain in `spiffe://DOMAIN/provider/ID`.
    pub trust_domain: TrustDomain,
    /// The names and addresses by which providers reach this agent.
    pub names: BTreeSet<String>,
    /// How long the authority is valid.
    pub authority_life: Duration,
    /// How long what it signs is valid.
    pub leaf_life: Duration,
}

/// Why the authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UseAuthorityError {
    /// A file.
    #[error(transparent)]
    File(#[from] KeepFileError),
    /// A file is not what it should be.
    #[error("{path} {what}; restore the folder from a backup, or move it away, and every provider joins anew")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No random bytes.
    #[error(transparent)]
    Chance(#[from] DrawChanceError),
    /// A name cannot stand in a certificate.
    #[error("{0:?} is neither a host's name nor an address")]
    Name(String),
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Make(#[from] rcgen::Error),
}

/// A certificate that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    /// In PEM, without the authority's.
    pub(crate) pem: String,
    pub(crate) key: KeyId,
    /// In hexadecimal, as `openssl x509 -serial` shows it.
    pub(crate) serial: Serial,
    pub(crate) not_after: Wall,
}

/// A certificate's serial number: 128 random bits, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct Serial(String);

impl std::fmt::Display for Serial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Serial {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let fits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
        if fits { Ok(Self(text)) } else { Err(serde::de::Error::custom("a serial number is 32 hexadecimal digits")) }
    }
}

impl Serial {
    fn draw() -> Result<Self, DrawChanceError> {
        let mut bytes: [u8; 16] = chance::bytes()?;
        // Positive and of full length in DER, so that every tool writes it alike.
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02X}")).collect()))
    }

    fn number(&self) -> SerialNumber {
        let digits = self.0.as_bytes().chunks(2);
        let bytes: Vec<u8> = digits
            .filter_map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .collect();
        SerialNumber::from_slice(&bytes)
    }
}

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// Which certificate.
    pub serial: Serial,
    /// Of which key.
    pub key: KeyId,
    /// Since when.
    pub at: Wall,
    /// When it would have ended anyway; then it need not be listed any longer.
    pub not_after: Wall,
}

/// The authority.
pub struct Authority {
    dir: PathBuf,
    settings: AuthoritySettings,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    not_after: Wall,
}

impl Authority {
    /// Opens the authority in `dir`; makes it when there is none. The server's certificate is there afterwards, and the
    /// list of what is revoked.
    ///
    /// *Errors*: [`UseAuthorityError`].
    pub fn open(dir: &Path, settings: AuthoritySettings, now: Wall) -> Result<Self, UseAuthorityError> {
        files::private_folder(dir)?;
        let (key_path, pem_path) = (dir.join("ca.key"), dir.join("ca.pem"));
        let damaged = |path: &Path, what| UseAuthorityError::Damaged { path: path.to_owned(), what };
        // The certificate is written last: without it nothing was ever signed, and a key alone is of an interrupted start.
        if files::read(&pem_path, Readers::Everybody)?.is_none() {
            let key = KeyPair::generate()?;
            files::replace(&key_path, key.serialize_pem().as_bytes(), Readers::Owner)?;
            let pem = authority_params(&settings, now)?.self_signed(&key)?.pem();
            files::replace(&pem_path, pem.as_bytes(), Readers::Everybody)?;
            tracing::info!(folder = %dir.display(), "a certificate authority of this host was made");
        }
        let key = files::read(&key_path, Readers::Owner)?.ok_or_else(|| damaged(&key_path, "is not there"))?;
        let key = String::from_utf8(key).ok().and_then(|key| KeyPair::from_pem(&key).ok());
        let key = key.ok_or_else(|| damaged(&key_path, "holds no private key"))?;
        let pem = files::read(&pem_path, Readers::Everybody)?.and_then(|pem| String::from_utf8(pem).ok());
        let pem = pem.ok_or_else(|| damaged(&pem_path, "holds no certificate"))?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes());
        let certificate = certificate.map_err(|_| damaged(&pem_path, "holds no certificate"))?;
        let about = About::of(&certificate).ok_or_else(|| damaged(&pem_path, "holds no certificate"))?;
        if about.key != KeyId::of_spki(&key.subject_public_key_info()) {
            return Err(damaged(&pem_path, "is not of the key beside it"));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        let not_after = about.not_after;
        Ok(Self { dir: dir.to_owned(), settings, issuer, certificate, pem, not_after })
    }

    /// This agent's certificate with the authority's, and its key.
    #[must_use]
    pub fn server_files(&self) -> (PathBuf, PathBuf) {
        server_files(&self.dir)
    }

    /// Its certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.certificate
    }

    /// By what whoever joins knows it.
    #[must_use]
    pub fn fingerprint(&self) -> Sum {
        Sum::of(&self.certificate)
    }

    /// The name of a provider in its certificate.
    #[must_use]
    pub fn uri_of(&self, provider: &ProviderId) -> String {
        self.settings.trust_domain.provider(provider).to_string()
    }

    /// Makes this agent's own certificate anew when its names have changed or its end is near.
    ///
    /// *Errors*: [`UseAuthorityError`].
    pub fn renew_server(&self, now: Wall) -> Result<Renewed, UseAuthorityError> {
        let (pem_path, key_path) = self.server_files();
        let margin = self.settings.leaf_life / RENEWED_BEFORE;
        let key = files::read(&key_path, Readers::Owner)?.and_then(|key| String::from_utf8(key).ok());
        let key = key.and_then(|key| KeyPair::from_pem(&key).ok());
        let pem = files::read(&pem_path, Readers::Everybody)?;
        let about = pem.and_then(|pem| CertificateDer::from_pem_slice(&pem).ok()).and_then(|der| About::of(&der));
        if let (Some(key), Some(about)) = (key, about) {
            let own = about.key == KeyId::of_spki(&key.subject_public_key_info());
            let signed_here = about.authority == self.issuer_id();
            if own && signed_here && about.names == self.settings.names && later(now, margin) < about.not_after {
                return Ok(Renewed::Unchanged);
            }
        }
        let key = KeyPair::generate()?;
        let mut params = self.leaf_params(now, &Serial::draw()?)?;
        let first = self.settings.names.first().map_or("covirt", String::as_str);
        params.distinguished_name.push(DnType::CommonName, first);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = self.settings.names.iter().map(|name| san_of(name)).collect::<Result<_, _>>()?;
        let pem = params.signed_by(&key, &self.issuer)?.pem();
        // The certificate last: a key without its certificate is noticed above, and both are made again.
        files::replace(&key_path, key.serialize_pem().as_bytes(), Readers::Owner)?;
        files::replace(&pem_path, format!("{pem}{}", self.pem).as_bytes(), Readers::Everybody)?;
        Ok(Renewed::Made)
    }

    /// By what a certificate says who signed it.
    fn issuer_id(&self) -> Vec<u8> {
        CertificateParams::default().key_identifier(self.issuer.key())
    }

    /// A certificate for a provider's key.
    ///
    /// *Errors*: [`UseAuthorityError`].
    pub(crate) fn sign(&self, provider: &ProviderId, proved: &Proved, now: Wall) -> Result<Issued, UseAuthorityError> {
        let serial = Serial::draw()?;
        let mut params = self.leaf_params(now, &serial)?;
        params.distinguished_name.push(DnType::CommonName, provider.as_str());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(self.uri_of(provider).try_into()?)];
        let pem = params.signed_by(&proved.spki, &self.issuer)?.pem();
        Ok(Issued { pem, key: proved.key, serial, not_after: self.leaf_end(now) })
    }

    /// Writes the list of what is revoked; `number` rises with every list.
    ///
    /// *Errors*: [`UseAuthorityError`].
    pub fn write_revoked(&self, revoked: &[Revoked], number: u64, now: Wall) -> Result<(), UseAuthorityError> {
        let revoked_certs = revoked.iter().filter(|one| now < one.not_after).map(|one| RevokedCertParams {
            serial_number: one.serial.number(),
            revocation_time: date_time_ymd(1970, 1, 1) + since_epoch(one.at),
            reason_code: Some(RevocationReason::PrivilegeWithdrawn),
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + since_epoch(now),
            // Longer than any certificate that is revoked: a list that nobody wrote anew must not open what it closed.
            next_update: date_time_ymd(1970, 1, 1) + since_epoch(later(now, self.settings.leaf_life)),
            crl_number: SerialNumber::from_slice(&number.to_be_bytes()),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = list.signed_by(&self.issuer)?.pem()?;
        Ok(files::replace(&trust_files(&self.dir).1, pem.as_bytes(), Readers::Everybody)?)
    }

    fn leaf_end(&self, now: Wall) -> Wall {
        later(now, self.settings.leaf_life).min(self.not_after)
    }

    fn leaf_params(&self, now: Wall, serial: &Serial) -> Result<CertificateParams, UseAuthorityError> {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(earlier(now, BACKDATED));
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(self.leaf_end(now));
        params.serial_number = Some(serial.number());
        params.is_ca = IsCa::ExplicitNoCa;
        // TLS 1.3 needs the first alone; libvirt's clients and servers want to see the second in every certificate.
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name = DistinguishedName::new();
        Ok(params)
    }
}

/// This agent's certificate and its key, as an authority in `dir` makes them.
#[must_use]
pub fn server_files(dir: &Path) -> (PathBuf, PathBuf) {
    (dir.join("server.pem"), dir.join("server.key"))
}

/// Whom an authority in `dir` has its certificate say that it is, and what it has revoked.
#[must_use]
pub fn trust_files(dir: &Path) -> (PathBuf, PathBuf) {
    (dir.join("ca.pem"), dir.join("crl.pem"))
}

/// Whether a certificate was made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// It was good.
    Unchanged,
    /// There is a new one; who serves TLS reads it again.
    Made,
}

fn authority_params(settings: &AuthoritySettings, now: Wall) -> Result<CertificateParams, UseAuthorityError> {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(earlier(now, BACKDATED));
    params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(later(now, settings.authority_life));
    let serial = Serial::draw()?;
    params.serial_number = Some(serial.number());
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = DistinguishedName::new();
    // No two are called alike, because a chain is looked for by names.
    let name = format!("covirt authority {} of {}", serial.0.get(..8).unwrap_or_default(), settings.trust_domain);
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// A name as it stands in a certificate.
///
/// *Errors*: [`UseAuthorityError::Name`].
pub fn san_of(name: &str) -> Result<SanType, UseAuthorityError> {
    let refuse = || UseAuthorityError::Name(name.to_owned());
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    rustls::pki_types::DnsName::try_from(name).map_err(|_| refuse())?;
    name.try_into().map(SanType::DnsName).map_err(|_| refuse())
}

/// What is looked at in a certificate of ours.
struct About {
    key: KeyId,
    not_after: Wall,
    names: BTreeSet<String>,
    authority: Vec<u8>,
}

impl About {
    fn of(der: &CertificateDer<'_>) -> Option<Self> {
        use x509_parser::extensions::{GeneralName, ParsedExtension};
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let mut about = Self {
            key: KeyId::of_spki(certificate.public_key().raw),
            not_after: Wall::from_micros(certificate.validity().not_after.timestamp().saturating_mul(1_000_000)),
            names: BTreeSet::new(),
            authority: Vec::new(),
        };
        for extension in certificate.extensions() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
                for name in &names.general_names {
                    match name {
                        GeneralName::DNSName(name) => about.names.insert((*name).to_owned()),
                        GeneralName::IPAddress(bytes) => match address_of(bytes) {
                            Some(address) => about.names.insert(address.to_string()),
                            None => false,
                        },
                        // A foreign enum: nothing else is in a certificate of ours.
                        _ => false,
                    };
                }
            }
            if let ParsedExtension::AuthorityKeyIdentifier(id) = extension.parsed_extension()
                && let Some(id) = &id.key_identifier
            {
                about.authority = id.0.to_vec();
            }
        }
        Some(about)
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let four: Option<[u8; 4]> = bytes.try_into().ok();
    let sixteen: Option<[u8; 16]> = bytes.try_into().ok();
    four.map(IpAddr::from).or_else(|| sixteen.map(IpAddr::from))
}

pub(super) fn later(time: Wall, span: Duration) -> Wall {
    time.shifted(i64::try_from(span.as_micros()).unwrap_or(i64::MAX))
}

fn earlier(time: Wall, span: Duration) -> Wall {
    time.shifted(i64::try_from(span.as_micros()).map_or(i64::MIN, |micros| -micros))
}

/// Whole seconds since the Unix epoch, as certificates count; they have four digits for the year.
fn since_epoch(time: Wall) -> Duration {
    const LAST_SECOND: u64 = 253_402_300_799;
    Duration::from_secs(u64::try_from(time.micros() / 1_000_000).unwrap_or(0).min(LAST_SECOND))
}

#[cfg(test)]
mod tests;
