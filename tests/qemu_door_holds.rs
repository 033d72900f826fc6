//! Calls that are held for long, whose clients go, and an agent that is killed while one runs.

#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/doors.rs"]
mod doors;
mod support;

use std::time::{Duration, Instant};

use doors::Doors;
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};

/// How long a call is held: longer than libvirt's clients and libvirtd wait for a sign of life. `COVIRT_HOLD_S=300` holds
/// it as long as anybody has asked for.
fn hold() -> Duration {
    let asked = std::env::var("COVIRT_HOLD_S").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(asked.unwrap_or(40))
}

#[test]
fn a_held_call_survives_and_everything_else_flows() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("a_held_call_survives_and_everything_else_flows", &reason),
    };
    let mut doors = Doors::booted(&libvirt, "held", "");
    doors.delegate(&["power.*"], "shared");
    doors.lock(3600);
    // The reads have a connection of their own: with two threads on one, libvirt 9.0's client library can lose a wake-up and
    // never send the second call. That reads flow beside a held call of the same connection is asked by `rpc_courier`.
    let (connection, reads) = (doors.connect("south"), doors.connect("south"));
    let domain = doors.guest.domain(&connection);
    let held = std::thread::spawn(move || domain.suspend());
    doors.command("south", "power.suspend", "queued");
    // virsh with signs of life each 5 seconds, and 5 of them unanswered.
    let mut virsh = doors.begin("south", &["-k5", "-K5", "resume", "@"]);
    doors.command("south", "power.resume", "queued");
    let end = Instant::now() + hold();
    while Instant::now() < end {
        let asked = Instant::now();
        doors.guest.domain(&reads).info().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(5), "a read waits: {:?}", asked.elapsed());
        assert!(!held.is_finished() && !virsh.has_ended(), "a call was not held");
        std::thread::sleep(Duration::from_secs(1).min(end.saturating_duration_since(Instant::now())));
    }
    doors.unlock();
    held.join().unwrap().unwrap();
    virsh.end().ok();
    doors.command("south", "power.resume", "done");
    assert_eq!(doors.domstate(), "running");
}

#[test]
fn a_client_that_is_killed_while_its_call_is_held_takes_the_call_with_it() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("a_client_that_is_killed_while_its_call_is_held_takes_the_call_with_it", &reason);
        }
    };
    let mut doors = Doors::booted(&libvirt, "killed", "");
    doors.delegate(&["power.*"], "shared");
    doors.lock(3600);
    let virsh = doors.begin("south", &["destroy", "@"]);
    doors.command("south", "power.stop", "queued");
    virsh.kill();
    let command = doors.command("south", "power.stop", "cancelled");
    assert_eq!(command["code"], "client-gone", "{command:#}");
    doors.unlock();
    assert_eq!(doors.domstate(), "running");
    assert!(doors.explain(&command).contains("the client's connection ended"), "{}", doors.explain(&command));
}

#[test]
fn an_agent_that_is_killed_while_a_call_runs_tells_afterwards_what_became_of_it() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("an_agent_that_is_killed_while_a_call_runs_tells_afterwards_what_became_of_it", &reason);
        }
    };
    let mut doors = Doors::booted(&libvirt, "restart", "");
    doors.delegate(&["power.*"], "shared");
    // QEMU answers nobody, so that the call is at libvirtd for as long as that is so.
    doors.guest.halt();
    let virsh = doors.begin("south", &["suspend", "@"]);
    doors.command("south", "power.suspend", "running");
    doors.agent.kill9();
    let said = virsh.end();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("error: Disconnected from") || said.err.contains("end of file"), "{said:?}");
    doors.agent.up();
    let id = doors.commands("south")[0]["id"].clone();
    assert_eq!(doors.domstate(), "running", "nobody knows yet");
    doors.guest.go_on();
    let command = until("it is settled", doors::LONG, || {
        let command = doors.south.command(&doors.vm, id.as_str().unwrap());
        (command["state"] == "done").then_some(command)
    });
    assert_eq!(command["code"], "observed-done", "{command:#}");
    assert!(doors.explain(&command).contains("the answer was lost"), "{}", doors.explain(&command));
    assert_eq!(doors.domstate(), "paused");
    // The door is open again.
    doors.virsh("south", &["resume", "@"]).ok();
    assert_eq!(doors.domstate(), "running");
}

#[test]
fn libvirtd_that_goes_closes_its_clients_and_the_call_is_settled_by_a_look() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("libvirtd_that_goes_closes_its_clients_and_the_call_is_settled_by_a_look", &reason);
        }
    };
    let mut doors = Doors::set(&libvirt, Guest::boot(&libvirt, "upstream"), "");
    doors.delegate(&["power.*"], "shared");
    doors.lock(3600);
    let virsh = doors.begin("south", &["suspend", "@"]);
    doors.command("south", "power.suspend", "queued");
    libvirt.kill9();
    let said = virsh.end();
    assert_eq!(said.code, Some(1), "{said:?}");
    let command = doors.command("south", "power.suspend", "cancelled");
    assert_eq!(command["code"], "client-gone", "{command:#}");
    libvirt.up();
    // Until then a command of north's would end at once, because libvirt is not reached.
    until("the agent knows", doors::LONG, || doors.agent.log().contains("every lane looks again").then_some(()));
    doors.unlock();
    assert_eq!(doors.domstate(), "running");
}
