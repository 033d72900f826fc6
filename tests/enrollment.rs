//! How a provider on another host comes to its key, uses it, replaces it and loses it: the built binaries over TCP.

#[path = "enrollment/site.rs"]
mod site;
mod support;
#[path = "enrollment/tokens.rs"]
mod tokens;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use site::{API, Site, VM, copy};
use support::until;

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_provider_joins_and_works_over_tls() {
    let site = Site::open("");
    let added = site.operator(&["provider", "add", "south", "--kind", "openstack"]);
    let line = added.out.lines().find(|line| line.starts_with("covirt provider join ")).expect("the line to type");
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[3..].to_vec(), [words[3], "--to", &format!("{}:16516", site.address), "--dir", "south"]);
    let joined = until("the port for joining opens", SOON, || {
        let ran = site.join(words[3], "south");
        (ran.code == 0).then(|| ran.ok())
    });
    assert_eq!((joined["provider"].as_str(), joined["may_enroll"].as_bool()), (Some("south"), Some(false)));
    assert_eq!(joined["url"], format!("https://{}:{API}", site.address));

    assert_eq!(site.remote("south", &["whoami", "-o", "json"]).ok()["provider"], "south");
    site.north(&["vm", "enroll", VM, "-o", "json"]).ok();
    site.north(&["delegate", VM, "--to", "south", "power.suspend", "-o", "json"]).ok();
    let suspended = site.remote("south", &["run", VM, "power.suspend", "-o", "json"]).ok();
    assert_eq!((&suspended["state"], &suspended["provider"]), (&"done".into(), &"south".into()));
    // The key is south's: it speaks for nobody else.
    site.remote("south", &["--as", "north", "whoami"]).refused(3, "[forbidden]");
    site.remote("south", &["provider", "list"]).refused(3, "[forbidden]");
}

#[test]
fn the_identitys_folder_is_private_and_serves_other_clients_too() {
    let site = Site::with_south("");
    let mode = |name: &str| std::fs::metadata(site.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("south"), mode("south/clientkey.pem")), (0o700, 0o600));
    assert_eq!((mode("state/providers.json"), mode("state/ca"), mode("state/ca/ca.key")), (0o600, 0o700, 0o600));
    let file = |name: &str| site.path("south").join(name).to_str().unwrap().to_owned();
    let curl = std::process::Command::new("curl")
        .args([
            "-sS",
            "--cacert",
            &file("cacert.pem"),
            "--cert",
            &file("clientcert.pem"),
            "--key",
            &file("clientkey.pem"),
        ])
        .arg(format!("https://{}:{API}/v1/whoami", site.address))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&curl.stdout).into_owned();
    assert!(said.contains("\"south\""), "{said} {}", String::from_utf8_lossy(&curl.stderr));
}

#[test]
fn a_key_is_replaced_and_the_old_one_ends() {
    let site = Site::with_south("");
    copy(&site.path("south"), &site.path("old"));
    let dir = site.path("south");
    let rotate = |more: &[&str]| {
        let mut words = vec!["provider", "rotate", "--dir", dir.to_str().unwrap(), "-o", "json"];
        words.extend(more);
        Site::run(&words)
    };
    let rotated = rotate(&["--overlap", "1h"]).ok();
    assert_ne!(rotated["old"], rotated["new"]);
    // Both are good, and the old one makes no more keys.
    site.remote("south", &["whoami", "-o", "json"]).ok();
    site.remote("old", &["whoami", "-o", "json"]).ok();
    let old = site.path("old");
    Site::run(&["provider", "rotate", "--dir", old.to_str().unwrap()]).refused(3, "[forbidden]");

    copy(&site.path("south"), &site.path("second"));
    rotate(&["--overlap", "1s"]).ok();
    let ended = until("the second key ends", SOON, || {
        let ran = site.remote("second", &["whoami"]);
        (ran.code != 0).then_some(ran)
    });
    ended.shut_out();
    site.remote("south", &["whoami", "-o", "json"]).ok();
    let keys = site.operator(&["provider", "list", "-o", "json"]).ok()["providers"][1]["keys"].clone();
    let states: Vec<&str> = keys.as_array().unwrap().iter().map(|key| key["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["retiring", "revoked", "active"]);
}

#[test]
fn whoever_is_removed_is_out_at_once() {
    let site = Site::with_south("");
    site.north(&["vm", "enroll", VM, "-o", "json"]).ok();
    site.north(&["delegate", VM, "--to", "south", "power.suspend", "-o", "json"]).ok();
    let identity = site.path("south");
    let mut session = Site::covirt(&["--identity", identity.to_str().unwrap(), "provider", "session", "-o", "json"]);
    let mut session = session.spawn().unwrap();
    let mut lines = BufReader::new(session.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("welcome"));

    let removed = site.operator(&["provider", "remove", "south", "-o", "json"]).ok();
    assert_eq!(removed["keys"].as_array().unwrap().len(), 1);
    assert_eq!(removed["taken_back_on"].as_array().unwrap().len(), 1);
    assert_eq!(session.wait().unwrap().code(), Some(8), "its session is ended by the agent");
    site.remote("south", &["whoami"]).shut_out();
    let delegations = site.north(&["delegations", VM, "-o", "json"]).ok().to_string();
    assert!(!delegations.contains("south"), "{delegations}");
    let list = site.operator(&["provider", "list", "-o", "json"]).ok();
    assert_eq!(list["providers"].as_array().unwrap().len(), 1);
    site.operator(&["provider", "remove", "south"]).refused(3, "[unknown-provider]");
    // A key that was shown out does not come back with a new token.
    let token = site.invite("south", &[]);
    std::fs::remove_file(site.path("south/clientcert.pem")).unwrap();
    site.join(&token, "south").refused(3, "[csr-refused]");
}

#[test]
fn one_key_of_several_is_ended() {
    let site = Site::with_south("");
    let token = site.invite("south", &[]);
    let second = site.join(&token, "second").ok();
    let key = second["key"].as_str().unwrap();
    site.operator(&["provider", "remove", "south", "--key", key, "-o", "json"]).ok();
    site.remote("second", &["whoami"]).shut_out();
    site.remote("south", &["whoami", "-o", "json"]).ok();
}

#[test]
fn a_provider_of_the_file_gets_keys_and_is_not_removed() {
    let site = Site::open("");
    let token = site.invite("north", &[]);
    let joined = site.join(&token, "north").ok();
    assert_eq!(joined["may_enroll"], true, "the file says so");
    site.operator(&["provider", "remove", "north"]).refused(3, "[provider-of-file]");
    site.remote("north", &["whoami", "-o", "json"]).ok();
    site.operator(&["provider", "remove", "north", "--key", joined["key"].as_str().unwrap(), "-o", "json"]).ok();
    site.remote("north", &["whoami"]).shut_out();
    site.north(&["whoami", "-o", "json"]).ok();
}

#[test]
fn everything_is_there_after_a_restart() {
    let mut site = Site::with_south("");
    let token = site.invite("west", &["--uses", "2"]);
    site.join(&token, "west").ok();
    let removed = site.join(&token, "gone").ok();
    site.operator(&["provider", "remove", "west", "--key", removed["key"].as_str().unwrap(), "-o", "json"]).ok();
    let waiting = site.invite("east", &[]);
    let before = site.operator(&["provider", "list", "-o", "json"]).ok();
    site.down();
    site.up();
    assert_eq!(site.operator(&["audit", "verify", "-o", "json"]).ok()["verdict"], "intact");
    assert_eq!(site.operator(&["provider", "list", "-o", "json"]).ok(), before);
    site.remote("south", &["whoami", "-o", "json"]).ok();
    site.remote("west", &["whoami", "-o", "json"]).ok();
    site.remote("gone", &["whoami"]).shut_out();
    until("the port for joining opens again", SOON, || {
        let ran = site.join(&waiting, "east");
        (ran.code == 0).then_some(())
    });
}

#[test]
fn a_damaged_book_is_not_served() {
    let mut site = Site::with_south("");
    site.down();
    let path = site.path("state/providers.json");
    let whole = std::fs::read(&path).unwrap();
    let changed = String::from_utf8(whole.clone()).unwrap().replace("\"may_enroll\": false", "\"may_enroll\": true");
    std::fs::write(&path, changed).unwrap();
    let said = site.try_up().unwrap_err();
    assert!(said.contains("providers.json is damaged: its digest is not that of its content"), "{said}");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(site.try_up().unwrap_err().contains("providers.json is damaged"));
    std::fs::write(&path, whole).unwrap();
    site.up();
    site.remote("south", &["whoami", "-o", "json"]).ok();
}

#[test]
fn nothing_secret_is_in_the_log_or_the_book() {
    let site = Site::open("");
    let token = site.invite("south", &["--uses", "2"]);
    site.join(&token, "south").ok();
    let secret = token.split('.').nth(3).unwrap();
    let wrong = token.replace(secret, &secret.chars().rev().collect::<String>());
    let refused = site.join(&wrong, "thief");
    let dir = site.path("south");
    Site::run(&["provider", "rotate", "--dir", dir.to_str().unwrap(), "-o", "json"]).ok();
    let key = std::fs::read_to_string(site.path("south/clientkey.pem")).unwrap();
    let key = key.lines().nth(1).unwrap();
    let book = std::fs::read_to_string(site.path("state/providers.json")).unwrap();
    let authority = std::fs::read_to_string(site.path("state/ca/ca.key")).unwrap();
    let reversed = secret.chars().rev().collect::<String>();
    for text in [site.log(), book, refused.out, refused.err] {
        for hidden in [secret, &reversed, key, authority.lines().nth(1).unwrap()] {
            assert!(!text.contains(hidden), "{hidden} is in {text}");
        }
    }
    assert!(site.log().contains("a provider joined with a key"));
}

#[test]
fn only_the_operator_says_who_the_providers_are() {
    let site = Site::open("");
    site.north(&["provider", "add", "south", "--kind", "openstack"]).refused(3, "[forbidden]");
    site.north(&["provider", "remove", "north"]).refused(3, "[forbidden]");
    site.north(&["provider", "list"]).refused(3, "[forbidden]");
    site.operator(&["provider", "add", "operator", "--kind", "openstack"]).refused(3, "[malformed]");
    site.operator(&["provider", "add", "south", "--kind", "openstak"]).refused(2, "openstack");
    site.operator(&["provider", "add", "south", "--kind", "other", "--uses", "0"]).refused(3, "[malformed]");
}

#[test]
fn who_is_spoken_to_is_the_agent_that_was_joined() {
    let (site, other) = (Site::with_south(""), Site::with_south(""));
    let url = format!("https://{}:{API}", other.address);
    site.remote("south", &["--url", &url, "whoami"]).refused(4, "of another authority");
    let nobody = format!("https://{}:1", site.address);
    site.remote("south", &["--url", &nobody, "whoami"]).refused(4, "no agent answers at https://");
    Site::run(&["--url", &url, "whoami"]).refused(2, "--identity");
    site.remote("nowhere", &["whoami"]).refused(1, "provider join");
    Site::run(&["--url", "http://127.0.0.1:1", "whoami"]).refused(2, "https://HOST:PORT");
}
