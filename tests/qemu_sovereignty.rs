//! The host's owner, on a real guest: what a frozen provider's virsh may do at its door, and what is left when covirtd is down.

#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/doors.rs"]
mod doors;
mod support;

use doors::Doors;
use serde_json::json;
use support::qemu::{PrivateLibvirt, Skip};
use support::skip;

#[test]
fn the_guest_notices_nothing_of_an_agent_that_is_killed() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("the_guest_notices_nothing_of_an_agent_that_is_killed", &reason),
    };
    let mut doors = Doors::booted(&libvirt, "down", "");
    doors.delegate(&["power.suspend", "power.resume"], "shared");
    let definition = |doors: &Doors<'_>| libvirt.virsh(&["dumpxml", doors.guest.name()]);
    let (before, beats) = (definition(&doors), doors.guest.console().len());
    doors.agent.kill9();
    assert_eq!(definition(&doors), before, "nothing of the VM has changed");
    assert_eq!(doors.domstate(), "running");
    // It fails closed at the doors, and libvirt itself goes on for whoever may reach it.
    assert_ne!(doors.virsh("south", &["suspend", "@"]).code, Some(0));
    libvirt.virsh(&["suspend", doors.guest.name()]);
    assert_eq!(doors.domstate(), "paused");
    libvirt.virsh(&["resume", doors.guest.name()]);
    doors.guest.exec("/bin/sh", &["-c", "echo STILL-HERE > /dev/console"]);
    doors.guest.await_console("STILL-HERE", 1);
    assert!(doors.guest.console().len() > beats);
    assert_eq!(definition(&doors), before);
    doors.agent.up();
    doors.virsh("south", &["suspend", "@"]).ok();
    assert_eq!(doors.domstate(), "paused");
}

#[test]
fn a_door_shows_nothing_that_is_not_enrolled_and_stops_whoever_is_frozen() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("a_door_shows_nothing_that_is_not_enrolled_and_stops_whoever_is_frozen", &reason);
        }
    };
    let mut doors = Doors::booted(&libvirt, "observed", "");
    let enrollment = format!("/v1/vms/{}/enrollment", doors.vm);
    doors.north.delete(&enrollment).ok();
    let before = libvirt.virsh(&["dumpxml", doors.guest.name()]);
    for words in [["suspend", "@"], ["destroy", "@"], ["dumpxml", "@"]] {
        let said = doors.virsh("south", &words);
        assert!(said.code != Some(0) && said.err.contains("failed to get domain"), "{words:?}: {said:?}");
    }
    assert_eq!(libvirt.virsh(&["dumpxml", doors.guest.name()]), before);
    doors.north.post(&enrollment, &json!({})).ok();
    doors.delegate(&["power.suspend", "power.resume"], "shared");
    let mut operator = doors.agent.client("operator");
    operator.post("/v1/freezes", &json!({ "provider": "south", "reason": "it loops" })).ok();
    let said = doors.virsh("south", &["suspend", "@"]);
    assert!(said.code != Some(0) && said.err.contains("frozen provider south: it loops"), "{said:?}");
    assert_eq!(doors.domstate(), "running");
    doors.virsh("south", &["dominfo", "@"]).ok();
    // What north may do as the host's own is stopped as well.
    operator.post("/v1/freezes", &json!({ "reason": "maintenance" })).ok();
    let pool = ["pool-define-as", "frozen", "dir", "--target", "/nonexistent"];
    let said = doors.virsh("north", &pool);
    assert!(said.code != Some(0) && said.err.contains("frozen the host: maintenance"), "{said:?}");
    operator.delete("/v1/freezes").ok();
    operator.delete("/v1/freezes?provider=south").ok();
    doors.virsh("south", &["suspend", "@"]).ok();
    assert_eq!(doors.domstate(), "paused");
}
