//! The same over TLS, where south plays mallory: what is too many, too large or unfinished is refused.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use crate::authority::Identity;
use crate::idle::resident;
use crate::scene::{End, SOON, heard, say};
use crate::stage::{Stage, Tables};
use crate::support::agent::DEFAULT_VM;

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// By how much the agent may grow. *Units*: KiB. 256 connections over TLS cost 28 KiB each when it was measured:
/// somewhat less than half of this.
const GROWTH_MAX: u64 = 16 * 1024;

struct Client(Arc<ClientConfig>);

impl Client {
    fn of(stage: &Stage, who: &Identity) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&stage.authority.certificate).expect("a file") {
            roots.add(certificate.expect("a certificate")).expect("an authority");
        }
        let chain = CertificateDer::pem_file_iter(&who.certificate).expect("a file");
        let chain = chain.collect::<Result<_, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_file(&who.key).expect("a key");
        let config = ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key);
        Self(Arc::new(config.expect("a client")))
    }

    /// TLS on a connection; the first words travel with the end of the handshake.
    fn on(&self, stream: TcpStream) -> Tls {
        let name = "localhost".try_into().expect("a name");
        StreamOwned::new(ClientConnection::new(self.0.clone(), name).expect("a client"), stream)
    }
}

/// A connection from an address of the loopback.
fn from(last: u8, port: u16) -> TcpStream {
    let made = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket");
    bind(&made, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0)).expect("an address");
    connect(&made, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).expect("connect");
    let stream = TcpStream::from(made);
    stream.set_read_timeout(Some(SOON)).expect("a limit");
    stream.set_write_timeout(Some(SOON)).expect("a limit");
    stream
}

fn whoami() -> &'static [u8] {
    b"GET /v1/whoami HTTP/1.1\r\nhost: localhost\r\n\r\n"
}

fn enroll(stage: &Stage) {
    let mut north = stage.agent.client("north");
    north.post(&format!("/v1/vms/{DEFAULT_VM}/enrollment"), &json!({})).ok();
}

#[track_caller]
fn north_is_served(stage: &Stage) {
    assert_eq!(stage.whoami(&stage.north), "north", "over TLS");
    let mut north = stage.agent.client("north");
    for action in ["power.suspend", "power.resume"] {
        assert_eq!(north.run(DEFAULT_VM, action, &json!({}))["state"], "done");
    }
}

#[test]
fn as_many_idle_connections_over_tls_as_are_let_in_hinder_no_other() {
    // Connections are counted here, and not requests.
    let (tls, more) = ("requests_per_second = 1000000\n".to_owned(), "[limits]\nhead_timeout_ms = 600000\n".to_owned());
    let stage = Stage::with(|_, _| Tables { tls, more, ..Tables::default() });
    enroll(&stage);
    north_is_served(&stage);
    let south = Client::of(&stage, &stage.south);
    let before = resident(&stage.agent);
    // Two addresses have room for the provider's 256; each answers once, so that it is counted, and then says nothing.
    let mut seated: Vec<Tls> = Vec::new();
    for last in [2, 3] {
        for _ in 0..128 {
            let mut tls = south.on(from(last, stage.port));
            let end = say(&mut tls, whoami());
            assert!(matches!(end, End::Answered(200, _)), "{}: {end:?}", seated.len());
            seated.push(tls);
        }
    }
    // One more of the provider, from an address with room, hears it.
    say(&mut south.on(from(4, stage.port)), whoami()).is(429, "too-many-connections");
    // What comes from a full address is closed before any handshake.
    let mut surplus = Vec::new();
    for last in [2, 3].into_iter().cycle().take(10_000 - 256) {
        let mut stream = from(last, stage.port);
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "it is closed");
        surplus.push(stream);
    }
    let grown = resident(&stage.agent).saturating_sub(before);
    eprintln!("256 connections over TLS: the agent has grown by {grown} KiB");
    assert!(grown <= GROWTH_MAX, "{grown} KiB");
    north_is_served(&stage);
    assert!(seated.iter_mut().all(|tls| matches!(say(tls, whoami()), End::Answered(200, _))), "they were kept");
}

#[test]
fn what_is_too_large_is_refused_over_tls_too() {
    let stage = Stage::set();
    enroll(&stage);
    let south = Client::of(&stage, &stage.south);
    let over_tls = |request: &[u8]| say(&mut south.on(from(1, stage.port)), request);
    let post = |length: usize, body: &str| {
        let path = format!("/v1/vms/{DEFAULT_VM}/commands");
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
    };
    let long = "x".repeat(1 << 20);
    over_tls(&post(long.len() + 2, &format!("\"{long}\""))).is(413, "too-large");
    over_tls(&post(1 << 30, "{")).is(413, "too-large");
    let deep = "[".repeat(200_000);
    over_tls(&post(deep.len(), &deep)).is(400, "malformed");
    over_tls(format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", &long[..65536]).as_bytes()).is_one_of(&[400, 414, 431]);
    over_tls(format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", &long[..65536]).as_bytes()).is_one_of(&[400, 431]);
    north_is_served(&stage);
}

#[test]
fn a_hundred_unfinished_handshakes_are_ended_and_keep_nobody_waiting() {
    let tls = "handshake_timeout_ms = 3000\n".to_owned();
    let stage = Stage::with(|_, _| Tables { tls, ..Tables::default() });
    enroll(&stage);
    let mut half: Vec<TcpStream> = (0..100).map(|_| from(2, stage.port)).collect();
    for stream in &mut half {
        stream.write_all(&[22, 3, 1, 2, 0, 1]).expect("begin");
    }
    north_is_served(&stage);
    for stream in &mut half {
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "it is closed");
    }
    stage.said(&["reason=\"stalled\"", "address=127.0.0.2:"]);
    north_is_served(&stage);
}

#[test]
fn a_body_without_an_end_is_refused_over_tls_too() {
    let more = "[limits]\nhead_timeout_ms = 1000\nbody_timeout_ms = 1000\n".to_owned();
    let stage = Stage::with(|_, _| Tables { more, ..Tables::default() });
    enroll(&stage);
    let south = Client::of(&stage, &stage.south);
    let (mut body, mut head) = (south.on(from(1, stage.port)), south.on(from(1, stage.port)));
    let path = format!("/v1/vms/{DEFAULT_VM}/commands");
    write!(body, "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n{{").expect("it is sent");
    write!(head, "GET /v1/whoami HTTP/1.1\r\nx-unfini").expect("it is sent");
    north_is_served(&stage);
    heard(&mut body).is(408, "too-slow");
    heard(&mut head).is_one_of(&[408]);
    north_is_served(&stage);
}
