//! What is behind a door, or the door itself, goes: its clients see what libvirt's own clients see, and what they had
//! asked for is settled as the journal has it.
//!
//! Needs QEMU. A call that runs for as long as the test wants is one on a guest whose QEMU answers nobody.

#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/doors.rs"]
mod doors;
mod support;

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use virt::sys;

use doors::{Doors, Said, Virsh};
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};

/// A guest that runs, and doors at which south may do with its power what it likes.
fn running<'a>(libvirt: &'a PrivateLibvirt, label: &str) -> Doors<'a> {
    let mut doors = Doors::set(libvirt, Guest::firmware(libvirt, label), "");
    doors.delegate(&["power.*"], "shared");
    doors.virsh("south", &["start", "@"]).ok();
    doors.command("south", "power.start", "done");
    doors
}

/// A virsh that listens to the guest, and has heard something.
#[track_caller]
fn listening(doors: &Doors<'_>, uri: &str) -> Virsh {
    use std::io::{BufRead, BufReader};
    let mut virsh = std::process::Command::new("stdbuf");
    virsh.args(["-oL", "virsh", "-q", "-c", uri, "event", "--event", "metadata-change", "--loop"]).env("LC_ALL", "C");
    virsh.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut virsh = virsh.spawn().expect("start virsh");
    let (heard, hears) = std::sync::mpsc::channel();
    let out = virsh.stdout.take().expect("it is piped");
    // To its end, whoever still listens: virsh is ended by a signal when nobody takes its words.
    std::thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).for_each(|line| drop(heard.send(line)));
    });
    until("it hears", doors::LONG, || {
        let name = doors.guest.name();
        doors.libvirt.virsh(&["metadata", name, "--config", "--uri", "urn:covirt:told", "--key", "m", "--set", "<m/>"]);
        hears.recv_timeout(Duration::from_millis(200)).ok()
    });
    Virsh(virsh)
}

/// What a virsh said when its connection ended, without the name of the socket.
#[track_caller]
fn parting(said: &Said, uri: &str) -> String {
    assert_eq!(said.code, Some(1), "{said:?}");
    said.err.replace(uri, "URI")
}

#[test]
fn libvirtd_that_is_killed_parts_with_every_client_and_the_running_call_is_settled_by_a_look() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip(
                "libvirtd_that_is_killed_parts_with_every_client_and_the_running_call_is_settled_by_a_look",
                &reason,
            );
        }
    };
    let mut doors = running(&libvirt, "killed");
    let (north, south) = (doors.uri("north"), doors.uri("south"));
    let idle = [libvirt.uri(), &north, &south].map(|uri| listening(&doors, uri));
    let connection = doors.connect("south");
    let domain = doors.guest.domain(&connection);
    doors.guest.halt();
    let runs = doors.begin("south", &["suspend", "@"]);
    doors.command("south", "power.suspend", "running");
    libvirt.kill9();

    let [direct, at_north, at_south] = idle.map(Virsh::end);
    let direct = parting(&direct, libvirt.uri());
    assert!(direct.contains("Disconnected from URI"), "{direct}");
    assert_eq!(parting(&at_north, &north), direct);
    assert_eq!(parting(&at_south, &south), direct);
    let said = parting(&runs.end(), &south);
    assert!(said.contains("error: Failed to suspend domain") && said.contains("nd of file"), "{said}");
    // On the connection that was there nothing goes any more, and there is no new one.
    let error = domain.info().expect_err("its connection has ended");
    assert!([sys::VIR_ERR_SYSTEM_ERROR, sys::VIR_ERR_INTERNAL_ERROR].contains(&error.code().to_raw()), "{error}");
    let unknown = doors.command("south", "power.suspend", "unknown");
    let said = doors.virsh("south", &["list"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.starts_with("error: failed to connect to the hypervisor\nerror: covirt does not reach"),
        "{said:?}"
    );

    doors.guest.go_on();
    libvirt.up();
    let id = unknown["id"].as_str().expect("an id").to_owned();
    let settled = doors.south.ended(&doors.vm, &id, doors::LONG);
    // What QEMU had read of it by then it has done.
    match doors.domstate().as_str() {
        "paused" => assert_eq!((&settled["state"], &settled["code"]), (&"done".into(), &"observed-done".into())),
        state => assert!(state == "running" && settled["state"] != "done", "{state}: {settled:#}"),
    }
    // The door is as before.
    doors.virsh("south", &["destroy", "@"]).ok();
    doors.command("south", "power.stop", "done");
    assert_eq!(doors.domstate(), "shut off");
}

#[test]
fn an_agent_that_is_told_to_stop_waits_for_what_runs_and_parts_with_its_clients() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("an_agent_that_is_told_to_stop_waits_for_what_runs_and_parts_with_its_clients", &reason);
        }
    };
    let mut doors = running(&libvirt, "stopped");
    let south = doors.uri("south");
    let idle = listening(&doors, &south);
    doors.guest.halt();
    let runs = doors.begin("south", &["suspend", "@"]);
    doors.command("south", "power.suspend", "running");
    let held = doors.begin("south", &["resume", "@"]);
    doors.command("south", "power.resume", "queued");
    let pid = i32::try_from(doors.agent.pid()).expect("a process id");
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("stop covirtd");
    until("it is stopping", doors::LONG, || doors.agent.log().contains("covirtd is stopping").then_some(()));
    let said = doors.virsh("south", &["reset", "@"]);
    assert!(said.code == Some(1) && said.err.contains("shutting down"), "{said:?}");
    doors.guest.go_on();
    // What ran is answered, and only then the others are parted with.
    runs.end().ok();
    assert!(parting(&idle.end(), &south).contains("Disconnected from URI"));
    let said = parting(&held.end(), &south);
    assert!(said.contains("error: Failed to resume domain"), "{said}");
    assert!(said.contains("covirtd closes this connection, and this call was not made; try again later"), "{said}");
    assert!(doors.agent.end().success());

    doors.agent.up();
    doors.command("south", "power.suspend", "done");
    let held = doors.command("south", "power.resume", "cancelled");
    assert_eq!(held["code"], "client-gone", "{held:#}");
    assert_eq!(doors.domstate(), "paused");
    doors.virsh("south", &["resume", "@"]).ok();
    assert_eq!(doors.domstate(), "running");
}
