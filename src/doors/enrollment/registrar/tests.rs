use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData};

use super::super::authority::{AuthoritySettings, later};
use super::super::book::samples::{START, at, invitation, provider};
use super::*;

struct Desk {
    registrar: Registrar,
    notes: Arc<Mutex<Vec<HostFact>>>,
    folder: tempfile::TempDir,
}

struct Notes(Arc<Mutex<Vec<HostFact>>>);

impl Audience for Notes {
    fn joined(&self, _: &Joined) {}

    fn noted(&self, fact: HostFact) {
        self.0.lock().unwrap().push(fact);
    }
}

fn operator() -> By {
    By::of(ProviderId::operator())
}

fn open(dir: &Path, notes: &Arc<Mutex<Vec<HostFact>>>) -> Registrar {
    let settings = AuthoritySettings {
        trust_domain: "covirt.example".parse().unwrap(),
        names: BTreeSet::from(["127.0.0.1".to_owned()]),
        authority_life: Duration::from_secs(100_000_000),
        leaf_life: Duration::from_secs(1_000_000),
    };
    let authority = Authority::open(&dir.join("ca"), settings, START).unwrap();
    let store = Store::open(&dir.join("providers.json")).unwrap();
    Registrar::new(store, Some(authority), Notes(notes.clone()), START).unwrap()
}

impl Desk {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let notes = Arc::default();
        Self { registrar: open(folder.path(), &notes), notes, folder }
    }

    fn invited(&self, uses: u32) -> Token {
        self.registrar.invite(invitation("south", uses), None, operator(), START).unwrap().token
    }

    fn keys(&self, name: &str) -> BTreeSet<KeyId> {
        self.registrar
            .joined()
            .borrow()
            .providers
            .get(&provider(name))
            .map(|(keys, _)| keys.clone())
            .unwrap_or_default()
    }

    fn revoked_on_the_list(&self) -> usize {
        use x509_parser::prelude::FromDer;
        let pem = std::fs::read(self.folder.path().join("ca/crl.pem")).unwrap();
        let der = rustls::pki_types::CertificateRevocationListDer::from(pem_body(&pem));
        let (_, list) = x509_parser::revocation_list::CertificateRevocationList::from_der(&der).unwrap();
        list.iter_revoked_certificates().count()
    }
}

fn pem_body(pem: &[u8]) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateRevocationListDer::from_pem_slice(pem).unwrap().to_vec()
}

/// A new key, and a request for it.
fn request() -> (KeyId, Vec<u8>) {
    let pair = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    (KeyId::of_spki(&pair.subject_public_key_info()), params.serialize_request(&pair).unwrap().der().to_vec())
}

fn join(desk: &Desk, token: &Token, csr: &[u8], from: &str, now: Wall) -> Result<Certified, Code> {
    let address = std::net::SocketAddr::new(from.parse().unwrap(), 40_000);
    let joining = Joining { token: token.id, secret: &token.secret, provider: &token.provider, csr, address };
    desk.registrar.join(&joining, now).map_err(|refusal| refusal.code)
}

#[test]
fn whoever_has_a_token_gets_a_certificate_and_may_speak() {
    let desk = Desk::open();
    let mut joined = desk.registrar.joined();
    let token = desk.invited(1);
    assert_eq!(joined.borrow_and_update().open_until, Some(at(3600)));
    assert_eq!(desk.keys("south"), BTreeSet::new(), "known, and with no key yet");
    let (key, csr) = request();
    let certified = join(&desk, &token, &csr, "192.0.2.1", at(1)).unwrap();
    assert!(certified.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(certified.authority, desk.registrar.authority().unwrap().pem());
    assert_eq!(desk.keys("south"), BTreeSet::from([key]));
    assert_eq!(join(&desk, &token, &csr, "192.0.2.1", at(2)), Ok(certified), "the first answer may have been lost");
    assert_eq!(join(&desk, &token, &request().1, "192.0.2.1", at(2)), Err(Code::TokenSpent));
    let notes: Vec<String> = desk.notes.lock().unwrap().iter().map(|fact| fact.kind().to_owned()).collect();
    assert_eq!(notes, ["provider-added", "token-made", "key-added"]);
    desk.registrar.run_out(at(62));
    assert_eq!(desk.registrar.joined().borrow().open_until, None);
}

#[test]
fn an_address_that_tries_too_often_is_not_listened_to() {
    let desk = Desk::open();
    let token = desk.invited(1);
    let wrong = Token { secret: Secret::from("x".to_owned()), ..token.clone() };
    let (_, csr) = request();
    for _ in 0..5 {
        assert_eq!(join(&desk, &wrong, &csr, "192.0.2.1", at(1)), Err(Code::TokenRefused));
    }
    assert_eq!(join(&desk, &token, &csr, "192.0.2.1", at(1)), Err(Code::TooManyAttempts));
    join(&desk, &token, &csr, "192.0.2.2", at(1)).unwrap();
}

#[test]
fn a_request_that_is_refused_uses_no_token_up() {
    let desk = Desk::open();
    let token = desk.invited(1);
    assert_eq!(join(&desk, &token, b"no request", "192.0.2.1", at(1)), Err(Code::CsrRefused));
    join(&desk, &token, &request().1, "192.0.2.1", at(1)).unwrap();
}

#[test]
fn a_new_key_replaces_the_old_one_after_a_while() {
    let desk = Desk::open();
    let ((old, first), (new, second)) = (request(), request());
    join(&desk, &desk.invited(1), &first, "192.0.2.1", at(1)).unwrap();
    let overlap = Duration::from_secs(10);
    desk.registrar.replace(By::of(provider("south")), old, &second, overlap, at(100)).unwrap();
    assert_eq!(desk.keys("south"), BTreeSet::from([old, new]));
    let files = desk.registrar.joined().borrow().files;
    assert!(desk.registrar.run_out(at(110)).is_some());
    assert_eq!(desk.keys("south"), BTreeSet::from([new]));
    assert!(desk.registrar.joined().borrow().revoked.contains(&old));
    assert!(desk.registrar.joined().borrow().files > files);
    assert_eq!(desk.revoked_on_the_list(), 1);
}

#[test]
fn whoever_is_removed_is_shut_out_and_listed() {
    let desk = Desk::open();
    let (key, csr) = request();
    join(&desk, &desk.invited(2), &csr, "192.0.2.1", at(1)).unwrap();
    assert_eq!(desk.registrar.remove(&provider("south"), operator(), at(2)), Ok(vec![key]));
    assert!(!desk.registrar.joined().borrow().providers.contains_key(&provider("south")));
    assert!(desk.registrar.joined().borrow().revoked.contains(&key));
    assert_eq!(desk.revoked_on_the_list(), 1);
    assert_eq!(desk.registrar.joined().borrow().open_until, None);
    assert_eq!(desk.registrar.remove(&provider("south"), operator(), at(3)).unwrap_err().code, Code::UnknownProvider);
    let noted = desk.notes.lock().unwrap().last().cloned();
    assert_eq!(noted, Some(HostFact::ProviderRemoved { by: operator(), provider: provider("south"), reason: None }));
}

#[test]
fn one_key_ends_and_the_others_stay() {
    let desk = Desk::open();
    let ((one, first), (two, second)) = (request(), request());
    let token = desk.invited(2);
    join(&desk, &token, &first, "192.0.2.1", at(1)).unwrap();
    join(&desk, &token, &second, "192.0.2.1", at(1)).unwrap();
    desk.registrar.revoke(&provider("south"), one, operator(), at(2)).unwrap();
    assert_eq!(desk.keys("south"), BTreeSet::from([two]));
    assert_eq!(desk.registrar.revoke(&provider("south"), one, operator(), at(3)).unwrap_err().code, Code::UnknownKey);
    assert_eq!(desk.registrar.revoke(&provider("north"), two, operator(), at(3)).unwrap_err().code, Code::UnknownKey);
    assert_eq!(desk.keys("south"), BTreeSet::from([two]));
}

#[test]
fn what_counted_counts_after_a_restart() {
    let desk = Desk::open();
    let token = desk.invited(2);
    let ((one, first), (two, second)) = (request(), request());
    join(&desk, &token, &first, "192.0.2.1", at(1)).unwrap();
    join(&desk, &token, &second, "192.0.2.1", at(1)).unwrap();
    desk.registrar.revoke(&provider("south"), one, operator(), at(2)).unwrap();
    let again = open(desk.folder.path(), &desk.notes);
    let joined = again.joined().borrow().clone();
    assert_eq!(joined.providers[&provider("south")].0, BTreeSet::from([two]));
    assert_eq!(joined.revoked, BTreeSet::from([one]));
    assert!(again.authority().unwrap().fingerprint() == desk.registrar.authority().unwrap().fingerprint());
}

#[test]
fn whoever_is_shown_out_stays_out_though_the_disk_is_full() {
    let desk = Desk::open();
    let (key, csr) = request();
    join(&desk, &desk.invited(1), &csr, "192.0.2.1", at(1)).unwrap();
    // A folder in the place of the file that is written beside: nothing can be written any more.
    std::fs::create_dir(desk.folder.path().join(".providers.json.new")).unwrap();
    assert_eq!(
        desk.registrar.revoke(&provider("south"), key, operator(), at(2)).unwrap_err().code,
        Code::StoreUnwritable
    );
    assert_eq!(desk.keys("south"), BTreeSet::new());
    assert!(desk.registrar.joined().borrow().revoked.contains(&key));
    let refused = desk.registrar.invite(invitation("north", 1), None, operator(), at(3)).unwrap_err();
    assert_eq!(refused.code, Code::StoreUnwritable);
    assert!(!desk.registrar.joined().borrow().providers.contains_key(&provider("north")));
}

#[test]
fn the_secret_is_nowhere_in_the_store() {
    let desk = Desk::open();
    let token = desk.invited(1);
    let text = std::fs::read_to_string(desk.folder.path().join("providers.json")).unwrap();
    assert!(text.contains(&token.id.to_string()) && !text.contains(token.secret.reveal().unwrap()));
}

#[test]
fn without_an_authority_nobody_joins_and_who_did_is_known() {
    let desk = Desk::open();
    let (key, csr) = request();
    join(&desk, &desk.invited(1), &csr, "192.0.2.1", at(1)).unwrap();
    let store = Store::open(&desk.folder.path().join("providers.json")).unwrap();
    let without = Registrar::new(store, None, Notes(Arc::default()), at(2)).unwrap();
    assert_eq!(without.joined().borrow().providers[&provider("south")].0, BTreeSet::from([key]));
    assert_eq!(without.joined().borrow().open_until, None);
    assert_eq!(without.invite(invitation("north", 1), None, operator(), at(3)).unwrap_err().code, Code::EnrollmentOff);
    let later = later(at(3), Duration::from_secs(1));
    without.remove(&provider("south"), operator(), later).unwrap();
}
