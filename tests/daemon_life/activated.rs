//! The ports of TLS, bound by whoever starts the agent.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};

use crate::authority::{Authority, Identity, Wanted};
use crate::service::Service;
use crate::support::skip;

/// What the agent says over TLS to this client; curl's exit code when it says nothing.
fn whoami(port: u16, authority: &Authority, who: &Identity) -> Result<String, Option<i32>> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "30", "--cacert"]).arg(&authority.certificate);
    curl.arg("--cert").arg(&who.certificate).arg("--key").arg(&who.key);
    curl.arg(format!("https://localhost:{port}/v1/whoami")).stdin(Stdio::null());
    let output = curl.output().expect("run curl");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(said) } else { Err(output.status.code()) }
}

#[test]
fn a_port_of_tls_that_is_passed_is_served_in_place_of_the_configured_one_and_stays_its_managers() {
    let name = "a_port_of_tls_that_is_passed_is_served_in_place_of_the_configured_one_and_stays_its_managers";
    if Command::new("curl").arg("--version").output().is_err() {
        return skip(name, "there is no curl");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let server = authority.issue(&Wanted::server("server"), 1);
    let south = authority.issue(&Wanted::client("south").named("spiffe://example.org/provider/south"), 2);
    // Somebody has the configured port: it is not even tried.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let mut service = Service::new(&format!(
        "[tls]\nlisten = '{}'\ncertificate = '{}'\nkey = '{}'\nclient_ca = '{}'\ntrust_domain = 'example.org'\n",
        taken.local_addr().expect("its address"),
        server.certificate.display(),
        server.key.display(),
        authority.certificate.display(),
    ));
    let passed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let port = passed.local_addr().expect("its address").port();
    service.pass(&passed, "tls");
    service.start();
    assert!(service.log().contains(&format!("127.0.0.1:{port}")), "{}", service.log());
    let said = whoami(port, &authority, &south).expect("an answer");
    assert!(said.contains("\"south\""), "{said}");
    service.signal("TERM");
    assert!(service.ended().success(), "{}", service.log());
    // Whoever comes meanwhile waits for the next start.
    let waiting = std::thread::spawn(move || whoami(port, &authority, &south));
    service.start();
    let said = waiting.join().expect("it ends").expect("an answer");
    assert!(said.contains("\"south\""), "{said}");
}

#[test]
fn a_port_that_the_configuration_does_not_serve_is_closed_and_named() {
    for name in ["tls", "libvirt-tls"] {
        let passed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let mut service = Service::new("");
        service.pass(&passed, name);
        service.start();
        let log = service.log();
        let line = log.lines().find(|line| line.contains("a port was passed")).unwrap_or_else(|| panic!("{log}"));
        assert!(line.contains(&format!("name=\"{name}\"")), "{line}");
    }
}

#[test]
fn a_socket_of_the_wrong_kind_is_no_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = std::os::unix::net::UnixListener::bind(folder.path().join("s")).expect("bind");
    for name in ["tls", "libvirt-tls"] {
        let mut service = Service::new("");
        service.pass(&socket, name);
        let said = service.fails();
        assert!(said.contains(&format!("passed as \"{name}\" cannot be used")), "{said}");
    }
}
