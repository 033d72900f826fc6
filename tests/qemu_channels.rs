//! What cuts a channel off at once, by the built daemon on real guests: a freeze, the broken glass, a lowered ceiling, and,
//! over TLS, its peer's right to speak.

mod access;
#[path = "support/authority.rs"]
mod authority;
#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/stage.rs"]
mod stage;
mod support;

use std::io::{Read, Write};

use access::guests::{screened, stored};
use access::tls::Remote;
use access::{Rfb, ends, libvirt};
use authority::{Authority, Identity, Wanted};
use serde_json::json;
use stage::{LONG, Stage};
use support::qemu::{Guest, PrivateLibvirt};
use support::until;

const STOPPED: &str = "stopped-by-owner";

/// A screen that is open and shows something.
#[track_caller]
fn watch(stage: &Stage<'_>, who: &str) -> Rfb {
    let path = format!("/v1/vms/{}/vnc", stage.vm);
    // What ended a moment ago may not have reached the VM's lane yet.
    let mut rfb = until("the screen opens", LONG, || Rfb::try_open(&stage.agent.socket(), who, &path).ok());
    rfb.begin();
    rfb
}

/// That a screen shows something still.
#[track_caller]
fn shows(rfb: &mut Rfb) {
    assert!(!rfb.update(8, 8).is_empty());
}

#[track_caller]
fn is_cut(rfb: &mut Rfb) {
    assert_eq!(rfb.closed(), (4000, STOPPED.to_owned()));
}

fn why_not(stage: &Stage<'_>, who: &str) -> serde_json::Value {
    access::refused_web(&stage.agent.socket(), who, &format!("/v1/vms/{}/vnc", stage.vm))["code"].clone()
}

#[test]
fn a_freeze_cuts_off_its_providers_screen_and_that_of_the_vm_everybodys() {
    let libvirt = libvirt!("a_freeze_cuts_off_its_providers_screen_and_that_of_the_vm_everybodys");
    let mut stage = Stage::set(&libvirt, screened(&libvirt, "frozen"), "");
    stage.delegate(&["screen.open"], "shared");
    let mut operator = stage.agent.client("operator");
    let (mut souths, mut norths) = (watch(&stage, "south"), watch(&stage, "north"));
    operator.post("/v1/freezes", &json!({ "provider": "south", "reason": "it loops" })).ok();
    is_cut(&mut souths);
    assert_eq!(why_not(&stage, "south"), "frozen");
    shows(&mut norths);
    operator.delete("/v1/freezes?provider=south").ok();
    let (mut souths, mut operators) = (watch(&stage, "south"), watch(&stage, "operator"));
    operator.post("/v1/freezes", &json!({ "vm": stage.vm, "reason": "it burns" })).ok();
    is_cut(&mut souths);
    is_cut(&mut norths);
    shows(&mut operators);
    assert_eq!(why_not(&stage, "north"), "frozen");
    let vm = stage.vm.clone();
    assert_eq!(ends(&mut stage.north, &vm), ["stopped"; 3]);
}

#[test]
fn breaking_the_glass_cuts_off_every_screen_but_the_operators() {
    let libvirt = libvirt!("breaking_the_glass_cuts_off_every_screen_but_the_operators");
    let mut stage = Stage::set(&libvirt, screened(&libvirt, "glass"), "");
    stage.delegate(&["screen.open"], "shared");
    let mut operator = stage.agent.client("operator");
    let mut screens = ["south", "north"].map(|who| watch(&stage, who));
    let mut operators = watch(&stage, "operator");
    let glass = format!("/v1/vms/{}/break-glass", stage.vm);
    operator.post(&glass, &json!({ "reason": "a disk burns", "for_s": 600 })).ok();
    screens.iter_mut().for_each(is_cut);
    shows(&mut operators);
    assert_eq!(why_not(&stage, "north"), "glass-broken");
    operator.delete(&glass).ok();
    shows(&mut watch(&stage, "north"));
}

#[test]
fn a_lowered_ceiling_cuts_off_what_is_above_it_and_nothing_else() {
    let libvirt = libvirt!("a_lowered_ceiling_cuts_off_what_is_above_it_and_nothing_else");
    let mut stage = Stage::set(&libvirt, screened(&libvirt, "ceiling"), "");
    stage.delegate(&["screen.open", "power.suspend"], "shared");
    let (mut souths, mut norths) = (watch(&stage, "south"), watch(&stage, "north"));
    let lower = |text: &str| {
        std::fs::write(stage.agent.folder().join("ceiling.toml"), text).expect("write the ceiling");
        stage.agent.hangup();
    };
    lower("[provider.south]\nactions = ['power.*']\n");
    is_cut(&mut souths);
    assert_eq!(why_not(&stage, "south"), "not-delegated", "it was taken back with it");
    shows(&mut norths);
    // A primary's own is under it, too.
    lower("[host]\nactions = ['power.*']\n");
    is_cut(&mut norths);
    assert_eq!(why_not(&stage, "north"), "above-ceiling");
}

/// An agent that is served over TLS, and the certificates of its clients.
struct Site<'a> {
    stage: Stage<'a>,
    authority: Authority,
    port: u16,
    _folder: tempfile::TempDir,
}

impl<'a> Site<'a> {
    #[track_caller]
    fn set(libvirt: &'a PrivateLibvirt, guest: Guest) -> Self {
        let folder = tempfile::Builder::new().prefix("covirt-").tempdir().expect("make a folder");
        let authority = Authority::new(folder.path(), "authority");
        let server = authority.issue(&Wanted::server("server"), 1);
        let tls = format!(
            "[tls]\nlisten = '127.0.0.1:0'\ncertificate = '{}'\nkey = '{}'\nclient_ca = '{}'\n\
             trust_domain = 'example.org'\ncrl = '{}'\n",
            server.certificate.display(),
            server.key.display(),
            authority.certificate.display(),
            authority.revoke(&[]).display(),
        );
        let stage = Stage::set(libvirt, guest, &tls);
        let said = "the API is served over TLS";
        let line = until(said, LONG, || stage.agent.log().lines().find(|line| line.contains(said)).map(str::to_owned));
        let address = line.split("address=").nth(1).expect("an address").split(' ').next().expect("an address");
        let port = address.parse::<std::net::SocketAddr>().expect("an address").port();
        Self { stage, authority, port, _folder: folder }
    }

    /// A client with a certificate of this serial number.
    fn client(&self, name: &str, serial: u64) -> (Identity, Remote) {
        let wanted = Wanted::client(name).named(&format!("spiffe://example.org/provider/{name}"));
        let who = self.authority.issue(&wanted, serial);
        let remote = Remote::new(self.port, &self.authority.certificate, &who.certificate, &who.key);
        (who, remote)
    }

    /// Takes a provider out of the configuration.
    #[track_caller]
    fn remove(&self, name: &str) {
        let path = self.stage.agent.folder().join("covirt.toml");
        let text = std::fs::read_to_string(&path).expect("read the configuration");
        let table = format!("[[provider]]\nid = '{name}'\nuids = [{}]\n", nix::unistd::getuid());
        assert!(text.contains(&table), "{text}");
        std::fs::write(path, text.replace(&table, "")).expect("write the configuration");
        self.stage.agent.hangup();
    }
}

#[test]
fn a_screen_over_tls_ends_with_its_peers_certificate_and_with_its_provider() {
    let libvirt = libvirt!("a_screen_over_tls_ends_with_its_peers_certificate_and_with_its_provider");
    let mut site = Site::set(&libvirt, screened(&libvirt, "far"));
    site.stage.delegate(&["screen.open"], "shared");
    let vm = site.stage.vm.clone();
    let path = format!("/v1/vms/{vm}/vnc");
    let ((first, old), (_, new), (_, north)) =
        (site.client("south", 11), site.client("south", 12), site.client("north", 10));
    let open = |remote: &Remote, who: &str| {
        let mut rfb = Rfb::over(remote, who, &path);
        rfb.begin();
        rfb
    };
    let (mut olds, mut news, mut norths) = (open(&old, "south"), open(&new, "south"), open(&north, "north"));
    site.authority.revoke(&[&first]);
    site.stage.agent.hangup();
    let refused = (4000, "peer-refused".to_owned());
    assert_eq!(olds.closed(), refused);
    // The same provider's by another key, and another's, go on.
    shows(&mut news);
    shows(&mut norths);
    let opened = site.stage.told("channel-opened");
    assert!(opened.iter().all(|event| event["fact"]["owner"] != "south" || event["fact"].get("from").is_none()));
    let key = json!(first.id.to_string());
    let seen = covirtd::events(&mut site.stage.agent.client("operator"), &vm);
    let whose: Vec<_> = seen.iter().filter(|event| event["fact"]["from"]["key"] == key).collect();
    assert_eq!(whose.len(), 1, "{seen:#?}");
    site.remove("south");
    assert_eq!(news.closed(), refused);
    shows(&mut norths);
    assert_eq!(ends(&mut site.stage.north, &vm), ["peer-refused"; 2]);
}

#[test]
fn a_disk_that_is_read_over_tls_ends_with_its_peers_certificate() {
    let libvirt = libvirt!("a_disk_that_is_read_over_tls_ends_with_its_peers_certificate");
    let (guest, file, pool) = stored(&libvirt, "far-disk");
    let mut site = Site::set(&libvirt, guest);
    site.stage.delegate(&["disk.read"], "shared");
    let vm = site.stage.vm.clone();
    let (who, south) = site.client("south", 11);
    let mut stream = south.connect();
    write!(stream, "GET /v1/vms/{vm}/disks/vda/content HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("ask");
    let mut came = vec![0; 4096];
    let count = stream.read(&mut came).expect("an answer");
    assert!(came[..count].starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&came[..count]));
    // More than every buffer on the way takes is left to come.
    site.authority.revoke(&[&who]);
    site.stage.agent.hangup();
    until("it ends", LONG, || ends(&mut site.stage.north, &vm).pop());
    assert_eq!(ends(&mut site.stage.north, &vm), ["peer-refused"]);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(u64::try_from(rest.len()).unwrap() < file.metadata().expect("the disk").len(), "it is not taken for whole");
    // Nothing keeps the VM off any more.
    site.stage.done("power.start", &json!({}));
    libvirt.virsh(&["pool-destroy", &pool]);
}
