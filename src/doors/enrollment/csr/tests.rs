use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::*;

const URI: &str = "spiffe://covirt.example/provider/south";

fn request(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "south");
    change(&mut params);
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn checked(request: &[u8]) -> Result<KeyId, String> {
    check(request, &"south".parse().unwrap(), URI).map(|proved| proved.key).map_err(|refusal| {
        assert_eq!(refusal.code, Code::CsrRefused);
        refusal.message
    })
}

#[track_caller]
fn refused(request: &[u8], says: &str) {
    let said = checked(request).unwrap_err();
    assert!(said.contains(says), "{said}");
}

#[test]
fn a_plain_request_gives_its_public_key() {
    let pair = KeyPair::generate().unwrap();
    let mut csr = CertificateParams::default();
    csr.distinguished_name = DistinguishedName::new();
    let csr = csr.serialize_request(&pair).unwrap();
    let key = KeyId::of_spki(&rcgen::PublicKeyData::subject_public_key_info(&pair));
    assert_eq!(checked(csr.der()), Ok(key));
    assert_eq!(checked(csr.pem().unwrap().as_bytes()), Ok(key));
}

#[test]
fn what_it_would_get_anyway_may_be_asked_for() {
    let asks = request(|params| {
        params.subject_alt_names = vec![SanType::URI(URI.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.is_ca = IsCa::ExplicitNoCa;
    });
    checked(&asks).unwrap();
}

#[test]
fn a_request_for_more_is_refused_as_a_whole() {
    let other = "spiffe://covirt.example/provider/north";
    refused(&request(|params| params.subject_alt_names = vec![SanType::URI(other.try_into().unwrap())]), "names");
    let both = vec![SanType::URI(URI.try_into().unwrap()), SanType::DnsName("host".try_into().unwrap())];
    refused(&request(|params| params.subject_alt_names = both), "names");
    refused(&request(|params| params.distinguished_name.push(DnType::CommonName, "operator")), "subject");
    refused(&request(|params| params.distinguished_name.push(DnType::OrganizationName, "covirt")), "subject");
    refused(&request(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), "authority");
    refused(&request(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]), "sign certificates");
    for usage in [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any] {
        refused(&request(|params| params.extended_key_usages = vec![usage]), "another use");
    }
    let extension = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    refused(&request(|params| params.custom_extensions = vec![extension]), "extension");
}

#[test]
fn a_request_must_be_signed_by_its_own_key() {
    let whole = request(|_| {});
    // Its own key is replaced by another one of the same kind.
    let (mine, theirs) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let mut forged = params.serialize_request(&mine).unwrap().der().to_vec();
    let at = forged.windows(65).position(|window| window == mine.public_key_raw()).unwrap();
    forged[at..at + 65].copy_from_slice(theirs.public_key_raw());
    refused(&forged, "signed by its own key");
    let mut broken = whole.clone();
    *broken.last_mut().unwrap() ^= 1;
    refused(&broken, "signed by its own key");
}

#[test]
fn what_is_no_request_is_refused() {
    let whole = request(|_| {});
    let mut longer = whole.clone();
    longer.push(0);
    refused(&longer, "follows");
    refused(&whole[..whole.len() - 1], "no certificate request");
    refused(b"", "no certificate request");
    refused(b"-----BEGIN CERTIFICATE REQUEST-----\n!\n-----END CERTIFICATE REQUEST-----", "PEM");
    refused(b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", "PEM");
    refused(&vec![0x30; CSR_MAX + 1], "at most");
}

/// Made by openssl: 1024 bits of RSA, and a curve that TLS 1.3 does not know.
#[test]
fn weak_keys_are_refused() {
    for name in ["rsa1024", "secp256k1", "secp224r1"] {
        let pem = std::fs::read(format!("{}/fixtures/csr/{name}.pem", env!("CARGO_MANIFEST_DIR"))).unwrap();
        refused(&pem, "weak");
    }
    let pem = std::fs::read(format!("{}/fixtures/csr/rsa2048.pem", env!("CARGO_MANIFEST_DIR"))).unwrap();
    checked(&pem).unwrap();
}
