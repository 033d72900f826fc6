//! What a token is good for, and whom it is said to.

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};

use crate::site::{API, JOIN, Site};
use crate::support::until;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_token_lets_in_once() {
    let site = Site::open("");
    let token = site.invite("south", &[]);
    site.join(&token, "south").ok();
    site.join(&token, "again").refused(3, "[token-spent]");
    assert!(!site.path("again/clientcert.pem").exists());
    // The folder of somebody who has joined is left alone.
    site.join(&token, "south").refused(1, "is there already");
}

#[test]
fn a_token_is_one_providers_and_as_it_was_given_out() {
    let site = Site::open("");
    let token = site.invite("south", &[]);
    site.invite("west", &[]);
    site.join(&token.replace(".south.", ".west."), "west").refused(3, "[token-refused]");
    let secret = token.split('.').nth(3).unwrap();
    let guessed = "A".repeat(secret.len());
    site.join(&token.replace(secret, &guessed), "guess").refused(3, "[token-refused]");
    site.join(&token[..token.len() - 4], "half").refused(1, "this is no token");
    assert!(!site.path("half").exists());
    site.join(&token, "south").ok();
}

#[test]
fn a_token_ends_with_its_time_and_the_port_with_the_last_one() {
    let site = Site::open("");
    let long = site.invite("west", &[]);
    let short = site.invite("south", &["--expires", "1s"]);
    let ended = until("the token ends", SOON, || {
        let waiting = site.operator(&["provider", "list", "-o", "json"]).ok()["providers"][1].clone();
        (waiting["id"] == "south" && waiting.get("tokens").is_none()).then(|| site.join(&short, "south"))
    });
    assert!(ended.code == 3 && ended.err.contains("\"code\":\"token-"), "{ended:#?}");
    site.operator(&["provider", "remove", "west", "-o", "json"]).ok();
    until("the port for joining is closed", SOON, || std::net::TcpStream::connect((site.address, JOIN)).err());
    site.join(&long, "west").refused(4, "no agent answers");
}

#[test]
fn whoever_guesses_is_not_listened_to_for_a_while() {
    let site = Site::open("");
    let token = site.invite("south", &[]);
    let secret = token.split('.').nth(3).unwrap();
    let wrong = token.replace(secret, &"A".repeat(secret.len()));
    for _ in 0..5 {
        site.join(&wrong, "thief").refused(3, "[token-refused]");
    }
    site.join(&wrong, "thief").refused(3, "[too-many-attempts]");
    let lines = site.log().lines().filter(|line| line.contains("somebody was not let in")).count();
    assert_eq!(lines, 5, "what is not listened to is not logged either");
}

#[test]
fn nothing_is_said_to_whoever_stands_in_between() {
    // Somebody else's certificate, for the right name.
    let signed = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let config = config.unwrap().with_no_client_auth().with_single_cert(vec![signed.cert.der().clone()], key).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = port.local_addr().unwrap().to_string();
    let between = std::thread::spawn(move || {
        let (mut stream, _) = port.accept().unwrap();
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        let handshake = connection.complete_io(&mut stream);
        let mut heard = Vec::new();
        let _ = connection.reader().read_to_end(&mut heard);
        (handshake.is_err() || connection.is_handshaking(), heard)
    });
    let site = Site::open("");
    let token = site.invite("south", &[]);
    let dir = site.path("south");
    let ran = Site::run(&["provider", "join", &token, "--to", &to, "--dir", dir.to_str().unwrap()]);
    ran.refused(4, "its certificate is of another authority than the one expected; nothing was sent to it");
    let (broken, heard) = between.join().unwrap();
    assert!(broken && heard.is_empty(), "{heard:?}");
    // The same key joins where it should.
    site.join(&token, "south").ok();
}

#[test]
fn the_port_for_joining_serves_nothing_else() {
    let site = Site::open("");
    site.invite("south", &[]);
    let authority = site.path("state/ca/ca.pem");
    let ask = |path: &str, more: &[&str]| {
        let mut command = std::process::Command::new("curl");
        command.args(["-sS", "--cacert", authority.to_str().unwrap()]).args(more);
        let output = command.arg(format!("https://{}:{JOIN}{path}", site.address)).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for path in ["/", "/v1/whoami", "/healthz", "/openapi.json", "/v1/providers", "/v1/join/", "/v1/../v1/providers"] {
        assert!(ask(path, &["--path-as-is"]).contains("not-found"), "{path}");
    }
    assert!(ask("/v1/join", &[]).contains("method-not-allowed"));
    let malformed = ask("/v1/join", &["-d", r#"{"token":"x","secret":"hunter2"}"#]);
    assert!(malformed.contains("\"malformed\"") && !malformed.contains("hunter2"), "{malformed}");
    let large = format!("{{\"token\":\"{}\"}}", "x".repeat(100_000));
    let file = site.path("large");
    std::fs::write(&file, large).unwrap();
    let said = ask("/v1/join", &["-d", &format!("@{}", file.display())]);
    assert!(said.is_empty() || said.contains("too-large"), "{said}");
    // The API's own port lets nobody in without a certificate.
    let api = std::process::Command::new("curl")
        .args(["-sS", "--cacert", authority.to_str().unwrap(), &format!("https://{}:{API}/healthz", site.address)])
        .output()
        .unwrap();
    assert!(!api.status.success() && api.stdout.is_empty());
}
