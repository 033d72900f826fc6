use std::os::unix::fs::MetadataExt;
use std::process::Command;

use super::*;
use crate::doors::enrollment::csr;

const START: Wall = Wall::from_micros(1_790_000_000_000_000);

fn settings(names: &[&str]) -> AuthoritySettings {
    AuthoritySettings {
        trust_domain: "covirt.example".parse().unwrap(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        authority_life: Duration::from_secs(3650 * 86_400),
        leaf_life: Duration::from_secs(90 * 86_400),
    }
}

fn south() -> ProviderId {
    "south".parse().unwrap()
}

fn signed(authority: &Authority, now: Wall) -> Issued {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let proved = csr::check(csr.der(), &south(), &authority.uri_of(&south())).unwrap();
    authority.sign(&south(), &proved, now).unwrap()
}

/// What openssl, which shares no code with us, says of it.
fn openssl(args: &[&str]) -> String {
    let output = Command::new("openssl").args(args).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn an_authority_is_made_once_and_its_key_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ca");
    let first = Authority::open(&dir, settings(&["127.0.0.1"]), START).unwrap();
    assert_eq!(first.renew_server(START).unwrap(), Renewed::Made);
    let mode = |name: &str| std::fs::metadata(dir.join(name)).unwrap().mode() & 0o777;
    assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
    assert_eq!((mode("ca.key"), mode("server.key"), mode("ca.pem"), mode("server.pem")), (0o600, 0o600, 0o644, 0o644));
    let again = Authority::open(&dir, settings(&["127.0.0.1"]), later(START, Duration::from_secs(9))).unwrap();
    assert!(first.fingerprint() == again.fingerprint());
    assert_eq!(again.renew_server(START).unwrap(), Renewed::Unchanged);
}

#[test]
fn what_it_signs_is_what_a_provider_needs_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), settings(&["::1", "agent.example"]), START).unwrap();
    authority.renew_server(START).unwrap();
    let (one, two) = (signed(&authority, START), signed(&authority, START));
    assert_ne!(one.serial, two.serial);
    let path = folder.path().join("one.pem");
    std::fs::write(&path, &one.pem).unwrap();
    let text = openssl(&["x509", "-in", path.to_str().unwrap(), "-noout", "-text", "-serial"]);
    for says in
        ["URI:spiffe://covirt.example/provider/south", "TLS Web Client Authentication", "CA:FALSE", "Digital Signature"]
    {
        assert!(text.contains(says), "{says}: {text}");
    }
    assert!(text.contains(&format!("serial={}", one.serial)) && !text.contains("Server Authentication"), "{text}");
    let server = folder.path().join("server.pem");
    let text = openssl(&["x509", "-in", server.to_str().unwrap(), "-noout", "-text"]);
    assert!(text.contains("DNS:agent.example") && text.contains("IP Address:0:0:0:0:0:0:0:1"), "{text}");
    assert!(text.contains("Server Authentication") && !text.contains("Client Authentication"), "{text}");
    let text = openssl(&["x509", "-in", folder.path().join("ca.pem").to_str().unwrap(), "-noout", "-text"]);
    assert!(text.contains("CA:TRUE, pathlen:0") && text.contains("Certificate Sign, CRL Sign"), "{text}");
}

#[test]
fn openssl_follows_the_chain_and_the_revocation() {
    let folder = tempfile::tempdir().unwrap();
    let now = Wall::from_micros(jiff::Timestamp::now().as_microsecond());
    let authority = Authority::open(folder.path(), settings(&["127.0.0.1"]), now).unwrap();
    let (good, bad) = (signed(&authority, now), signed(&authority, now));
    let revoked = [Revoked { serial: bad.serial, key: bad.key, at: now, not_after: bad.not_after }];
    authority.write_revoked(&revoked, 7, now).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (good, bad) = (file("good.pem", &good.pem), file("bad.pem", &bad.pem));
    let both = file(
        "both.pem",
        &format!("{}{}", authority.pem(), std::fs::read_to_string(folder.path().join("crl.pem")).unwrap()),
    );
    let verify = |path: &str| openssl(&["verify", "-purpose", "sslclient", "-crl_check", "-CAfile", &both, path]);
    assert!(verify(&good).contains(": OK"), "{}", verify(&good));
    assert!(verify(&bad).contains("certificate revoked"), "{}", verify(&bad));
    // A list without anything on it is one, too.
    authority.write_revoked(&[], 8, now).unwrap();
    let list = openssl(&["crl", "-in", folder.path().join("crl.pem").to_str().unwrap(), "-noout", "-text"]);
    assert!(list.contains("No Revoked Certificates"), "{list}");
}

#[test]
fn the_servers_certificate_follows_its_names_and_its_age() {
    let folder = tempfile::tempdir().unwrap();
    let open = |names: &[&str]| Authority::open(folder.path(), settings(names), START).unwrap();
    assert_eq!(open(&["127.0.0.1"]).renew_server(START).unwrap(), Renewed::Made);
    assert_eq!(open(&["127.0.0.1", "agent.example"]).renew_server(START).unwrap(), Renewed::Made);
    let authority = open(&["127.0.0.1", "agent.example"]);
    let day = Duration::from_secs(86_400);
    assert_eq!(authority.renew_server(later(START, day * 80)).unwrap(), Renewed::Unchanged);
    assert_eq!(authority.renew_server(later(START, day * 82)).unwrap(), Renewed::Made);
}

#[test]
fn nothing_outlives_the_authority() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), settings(&["127.0.0.1"]), START).unwrap();
    let late = later(START, Duration::from_secs(3600 * 86_400));
    assert_eq!(signed(&authority, late).not_after, authority.not_after);
}

#[test]
fn a_damaged_authority_is_not_replaced_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let open =
        || Authority::open(folder.path(), settings(&["127.0.0.1"]), START).map(drop).map_err(|error| error.to_string());
    open().unwrap();
    let key = std::fs::read(folder.path().join("ca.key")).unwrap();
    std::fs::remove_file(folder.path().join("ca.key")).unwrap();
    assert!(open().unwrap_err().contains("is not there"));
    files::replace(
        &folder.path().join("ca.key"),
        KeyPair::generate().unwrap().serialize_pem().as_bytes(),
        Readers::Owner,
    )
    .unwrap();
    assert!(open().unwrap_err().contains("not of the key beside it"));
    files::replace(&folder.path().join("ca.key"), &key, Readers::Everybody).unwrap();
    assert!(open().unwrap_err().contains("can be read by others"));
    files::replace(&folder.path().join("ca.key"), &key, Readers::Owner).unwrap();
    open().unwrap();
    files::replace(&folder.path().join("ca.pem"), b"x", Readers::Everybody).unwrap();
    assert!(open().unwrap_err().contains("holds no certificate"));
}

#[test]
fn a_name_is_a_hosts_or_an_address() {
    assert!(matches!(san_of("192.0.2.1"), Ok(SanType::IpAddress(_))));
    assert!(matches!(san_of("agent.example"), Ok(SanType::DnsName(_))));
    for bad in ["", "a b", "https://agent.example", "agent:16515", "ä.example"] {
        assert!(matches!(san_of(bad), Err(UseAuthorityError::Name(_))), "{bad}");
    }
}
