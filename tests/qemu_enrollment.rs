//! Whoever joined with a token is a provider for unmodified libvirt clients, too: with the folder that `covirt provider
//! join` made. Needs QEMU.

#[path = "enrollment/site.rs"]
mod site;
mod support;

use std::process::{Command, Output};

use site::Site;
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::skip;

#[test]
fn virsh_works_with_the_folder_that_joining_made_and_not_once_its_key_is_out() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("virsh_works_with_the_folder_that_joining_made_and_not_once_its_key_is_out", &reason);
        }
    };
    let guest = Guest::boot(&libvirt, "joined");
    guest.await_console("GUEST-READY", 1);
    let doors = tempfile::tempdir().expect("make a folder");
    // South is not in the file at all.
    let dir = doors.path().display();
    let more = format!("door = true\nroles = ['host']\n[doors]\ndir = '{dir}'");
    let site = Site::open_before(libvirt.uri(), "libvirt_listen = 'ADDRESS:16514'", "door = true", &more);
    let token = site.invite("south", &[]);
    site.join(&token, "south").ok();
    site.north(&["vm", "enroll", guest.name(), "-o", "json"]).ok();
    site.north(&["delegate", guest.name(), "--to", "south", "power.suspend", "-o", "json"]).ok();

    let pki = site.path("south");
    let virsh = |words: &[&str]| -> Output {
        let uri = format!("qemu://{}:16514/system?pkipath={}", site.address, pki.display());
        Command::new("virsh").args(["-q", "-c", &uri]).args(words).env("LC_ALL", "C").output().expect("run virsh")
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let suspended = virsh(&["suspend", guest.name()]);
    assert!(suspended.status.success(), "{}", said(&suspended));
    assert_eq!(libvirt.virsh(&["domstate", guest.name()]).trim(), "paused");
    // What is not delegated is refused by name, and nothing happens.
    let resumed = virsh(&["resume", guest.name()]);
    assert!(
        !resumed.status.success() && said(&resumed).contains("power.resume is not delegated to south"),
        "{}",
        said(&resumed)
    );
    assert_eq!(libvirt.virsh(&["domstate", guest.name()]).trim(), "paused");

    let keys = site.operator(&["provider", "list", "-o", "json"]).ok();
    let south = keys["providers"].as_array().expect("providers").iter().find(|view| view["id"] == "south");
    let key = south.expect("south is there")["keys"][0]["key"].as_str().expect("a key").to_owned();
    site.operator(&["provider", "remove", "south", "--key", &key, "-o", "json"]).ok();
    let out = virsh(&["list"]);
    assert!(!out.status.success() && out.stdout.is_empty(), "{}", said(&out));
}
