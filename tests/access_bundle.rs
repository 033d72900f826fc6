//! `covirt access bundle`: whole, the same each time, and nothing secret in it.

mod access;
#[path = "support/covirtd.rs"]
mod covirtd;
mod support;

use std::collections::BTreeMap;
use std::io::Read;

use covirtd::Covirtd;
use serde_json::{Value, json};

/// What is planted wherever a definition can hold a secret.
const SECRET: &str = "pl4nted0";

fn unpacked(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(bytes);
    let mut files = BTreeMap::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        assert_eq!(entry.header().mtime().expect("a time"), 0);
        let path = entry.path().expect("a path").display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        files.insert(path, text);
    }
    files
}

#[test]
fn a_bundle_has_nothing_secret_and_is_the_same_each_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = folder.path().join("host.xml");
    let vm = "00000000-0000-0000-0000-000000000042";
    let definition = format!(
        "<node><domain type='test'><name>web</name><uuid>{vm}</uuid><memory>1048576</memory><vcpu>1</vcpu>\
         <os><type arch='i686'>hvm</type></os>\
         <metadata><x:a xmlns:x='urn:x' password='{SECRET}'/></metadata>\
         <devices><graphics type='vnc' passwd='{SECRET}'/></devices></domain></node>"
    );
    std::fs::write(&host, definition).expect("a host");
    let agent = Covirtd::start(env!("CARGO_BIN_EXE_covirtd"), &format!("test://{}", host.display()), "");
    let (mut north, socket) = (agent.client("north"), agent.socket());
    north.post(&format!("/v1/vms/{vm}/enrollment"), &json!({})).ok();
    let words = |out: &str| {
        let words =
            ["access", "bundle", vm, "--for", "south", "--api", "https://host:16515", "--format", "ovf", "-o", out];
        words.map(str::to_owned)
    };
    let make = |name: &str| {
        let out = folder.path().join(name);
        let words = words(out.to_str().unwrap());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        (access::covirt(&socket, "north", &words), out)
    };
    let (said, _) = make("none.tar");
    assert_eq!(said.code, Some(2), "south has no part yet: {}", said.err);
    let grant = json!({ "to": "south", "actions": ["console.open", "power.start"], "mode": "shared", "lease_s": 3600 });
    north.post(&format!("/v1/vms/{vm}/delegations"), &grant).ok();
    let ((first, one), (second, two)) = (make("one.tar"), make("two.tar"));
    first.ok();
    second.ok();
    let bytes = std::fs::read(one).expect("the bundle");
    assert!(bytes == std::fs::read(two).expect("the bundle"), "the same words give the same bytes");
    let files = unpacked(&bytes);
    for (path, text) in &files {
        assert!(!text.contains(SECRET), "{path} has the secret");
    }
    let access: Value = serde_json::from_str(&files["access.json"]).expect("JSON");
    let actions: Vec<&str> =
        access["actions"].as_array().unwrap().iter().map(|held| held["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["power.start", "console.open"], "{access:#}");
    assert!(access["actions"][0]["expires_at"].is_string(), "{access:#}");
    assert_eq!(access["endpoints"]["api"], json!(["https://host:16515"]));
    assert!(files.contains_key("artifacts/ovf/manifest.json") && files.contains_key("README.md"), "{:?}", files.keys());
}
