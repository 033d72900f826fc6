//! Certificates made at test time: an authority, what it signs, and what signs itself. No key outlives its test.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use covirt::model::KeyId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};

/// An authority, and the folder that all its files are in.
pub(crate) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: PathBuf,
}

/// A certificate and its key, in two files.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) id: KeyId,
    pub(crate) serial: u64,
}

/// What a certificate is to say.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    name: String,
    usage: ExtendedKeyUsagePurpose,
    uris: Vec<String>,
    /// *Units*: years.
    from: i32,
    until: End,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Year(i32),
    In(Duration),
}

impl Wanted {
    /// For a client.
    pub(crate) fn client(name: &str) -> Self {
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        Self { name: name.to_owned(), usage, uris: Vec::new(), from: 2020, until: End::Year(2100) }
    }

    /// For this agent, at this host.
    pub(crate) fn server(name: &str) -> Self {
        Self { usage: ExtendedKeyUsagePurpose::ServerAuth, ..Self::client(name) }
    }

    pub(crate) fn named(mut self, uri: &str) -> Self {
        self.uris.push(uri.to_owned());
        self
    }

    pub(crate) fn expired(mut self) -> Self {
        self.until = End::Year(2021);
        self
    }

    pub(crate) fn of_the_future(mut self) -> Self {
        self.from = 2090;
        self
    }

    pub(crate) fn for_so_long(mut self, time: Duration) -> Self {
        self.until = End::In(time);
        self
    }

    fn params(&self, serial: u64) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, self.name.as_str());
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = date_time_ymd(self.from, 1, 1);
        params.not_after = match self.until {
            End::Year(year) => date_time_ymd(year, 1, 1),
            End::In(time) => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
                date_time_ymd(1970, 1, 1) + Duration::from_secs((now + time).as_secs())
            }
        };
        params.extended_key_usages = vec![self.usage.clone()];
        // libvirt looks at its own certificate first, and asks for both.
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        let uris = self.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().expect("a URI")));
        params.subject_alt_names.extend(uris);
        if self.usage == ExtendedKeyUsagePurpose::ServerAuth {
            let name = "localhost".try_into().expect("a name");
            params.subject_alt_names.extend([SanType::DnsName(name), SanType::IpAddress(Ipv4Addr::LOCALHOST.into())]);
        }
        params
    }
}

fn write(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).truncate(true).write(true).mode(0o600).open(path);
    std::io::Write::write_all(&mut file.expect("open a file"), text.as_bytes()).expect("write a file");
}

impl Authority {
    /// Its files begin with its name.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = folder.join(format!("{name}.pem"));
        write(&certificate, &params.self_signed(&key).expect("a certificate").pem());
        Self { folder: folder.to_owned(), issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate of this authority.
    pub(crate) fn issue(&self, wanted: &Wanted, serial: u64) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = wanted.params(serial).signed_by(&key, &self.issuer).expect("a certificate");
        Identity::write(&self.folder, wanted, serial, &certificate.pem(), &key)
    }

    /// The list of what it has revoked.
    pub(crate) fn revoke(&self, revoked: &[&Identity]) -> PathBuf {
        let of = |identity: &&Identity| RevokedCertParams {
            serial_number: SerialNumber::from(identity.serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(of).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.folder.join("crl.pem");
        write(&path, &list.signed_by(&self.issuer).expect("a list").pem().expect("PEM"));
        path
    }
}

impl Identity {
    fn write(folder: &Path, wanted: &Wanted, serial: u64, certificate: &str, key: &KeyPair) -> Self {
        let path = |end: &str| folder.join(format!("{}-{serial}.{end}", wanted.name));
        let identity = Self {
            certificate: path("pem"),
            key: path("key"),
            id: KeyId::of_spki(&key.subject_public_key_info()),
            serial,
        };
        write(&identity.certificate, certificate);
        write(&identity.key, &key.serialize_pem());
        identity
    }

    /// A certificate that no authority has made.
    pub(crate) fn of_itself(folder: &Path, wanted: &Wanted) -> Self {
        let key = KeyPair::generate().expect("a key");
        let certificate = wanted.params(1).self_signed(&key).expect("a certificate");
        Self::write(folder, wanted, 1, &certificate.pem(), &key)
    }

    /// Puts another one's files in the place of this one's.
    pub(crate) fn replace_by(&self, other: &Self) {
        std::fs::copy(&other.certificate, &self.certificate).expect("copy a certificate");
        std::fs::copy(&other.key, &self.key).expect("copy a key");
    }
}
