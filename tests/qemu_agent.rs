//! The whole flow on real guests: covirtd as a process, two providers at its socket, and whatever can go wrong on the way.

#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/stage.rs"]
mod stage;
mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use covirtd::Client;
use stage::{LONG, Stage};
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};

/// Every write listens for a rival, so that two commands meet however slow this machine is.
const MEETING: &str = "[lane]\ngather_ms = 3000\ngather_for = 'writes'\nask_timeout_ms = 10000\n\
                       callback_budget_ms = 20000\n";

/// A booted guest with its snapshots in south's hands.
fn shared<'a>(libvirt: &'a PrivateLibvirt, label: &str, config: &str) -> Stage<'a> {
    let mut stage = Stage::booted(libvirt, label, config);
    stage.delegate(&["snapshot.*"], "exclusive");
    stage
}

impl Stage<'_> {
    /// Both commands at nearly the same time: north's and south's ids.
    fn both(&mut self, norths: &(&str, Value), souths: &(&str, Value)) -> (String, String) {
        let north = self.north.submit(&self.vm, norths.0, &norths.1);
        let south = self.south.submit(&self.vm, souths.0, &souths.1);
        (north, south)
    }

    fn kill9_and_up(&mut self) {
        self.agent.kill9();
        self.agent.up();
    }

    fn boots(&self) -> usize {
        self.guest.console().matches("GUEST-READY").count()
    }

    /// How often a fact of this kind was journalled about a command.
    fn told_of(&mut self, kind: &str, command: &str) -> usize {
        self.told(kind).iter().filter(|event| event["fact"]["command"] == command).count()
    }
}

/// Fails unless the first ended before the second was started.
#[track_caller]
fn in_turn(first: &Value, second: &Value) {
    let time = |view: &Value, field: &str| -> jiff::Timestamp {
        view[field].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{field}: {view:#}"))
    };
    assert!(time(first, "finished_at") <= time(second, "started_at"), "{first:#}\n{second:#}");
}

fn snapshots(libvirt: &PrivateLibvirt, guest: &Guest) -> Vec<String> {
    let listed = libvirt.virsh(&["snapshot-list", guest.name(), "--name"]);
    listed.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn snapshot(name: &str) -> (&'static str, Value) {
    ("snapshot.create", json!({ "name": name }))
}

fn reboot() -> (&'static str, Value) {
    ("power.reboot", json!({ "timeout_s": 60 }))
}

#[test]
fn two_providers_act_on_one_running_guest_and_leave_its_definition_alone() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("two_providers_act_on_one_running_guest_and_leave_its_definition_alone", &reason);
        }
    };
    let guest = Guest::boot(&libvirt, "both");
    let dumps = |guest: &Guest| {
        (libvirt.virsh(&["dumpxml", guest.name()]), libvirt.virsh(&["dumpxml", "--inactive", guest.name()]))
    };
    let before = dumps(&guest);
    let connection = libvirt.connect();
    let domain = guest.domain(&connection);
    let start = domain.id();
    let Stage { agent: _agent, guest, vm, mut north, mut south, .. } = Stage::set(&libvirt, guest, "");

    let inventory = north.get(&format!("/v1/vms/{vm}/inventory")).ok();
    assert!(inventory.to_string().contains(guest.name()), "{inventory:#}");
    let foreign = south.try_submit(&vm, "power.suspend", &json!({}), 0).expect("an answer");
    assert_eq!(foreign.code(), "unknown-vm", "south has no part in it yet");
    let grant = json!({ "to": "south", "actions": ["snapshot.*"], "mode": "exclusive" });
    north.post(&format!("/v1/vms/{vm}/delegations"), &grant).ok();

    // Each of our own calls explains one event and no more: what virsh does right after is noticed all the same.
    for round in 0..3 {
        assert_eq!(north.run(&vm, "power.suspend", &json!({}))["state"], "done");
        assert_eq!(libvirt.virsh(&["domstate", guest.name()]).trim(), "paused");
        for (deed, state) in [("resume", "running"), ("suspend", "paused")] {
            libvirt.virsh(&[deed, guest.name()]);
            until(&format!("round {round}: virsh's {deed} is noticed"), Duration::from_secs(1), || {
                (north.get(&format!("/v1/vms/{vm}")).ok()["state"] == state).then_some(())
            });
        }
        assert_eq!(north.run(&vm, "power.resume", &json!({}))["state"], "done");
    }
    assert_eq!(libvirt.virsh(&["domstate", guest.name()]).trim(), "running");
    let taken = south.run(&vm, "snapshot.create", &json!({ "name": "of-south" }));
    assert_eq!(taken["state"], "done", "{taken:#}");
    assert_eq!(snapshots(&libvirt, &guest), ["of-south"]);

    let theirs = north.try_submit(&vm, "snapshot.create", &json!({ "name": "of-north" }), 0).expect("an answer");
    assert_eq!(theirs.status, 403, "{}", theirs.body);
    assert_eq!(theirs.body["holder"], "south", "a refusal names the holder: {}", theirs.body);

    assert_eq!(south.run(&vm, "snapshot.delete", &json!({ "name": "of-south" }))["state"], "done");
    north.delete(&format!("/v1/vms/{vm}/enrollment")).ok();
    assert_eq!(dumps(&guest), before, "release leaves the definition as it was");
    assert_eq!(guest.domain(&connection).id(), start, "the same QEMU all along");
    assert_eq!(guest.console().matches("GUEST-READY").count(), 1, "it was never booted anew");
    guest.await_agent();
}

#[test]
fn both_of_a_conflict_execute_in_the_order_that_the_callback_gave() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("both_of_a_conflict_execute_in_the_order_that_the_callback_gave", &reason);
        }
    };
    let mut stage = shared(&libvirt, "callback", MEETING);
    for (round, south_wins) in [true, false].into_iter().enumerate() {
        let (north_says, south_says) =
            if south_wins { ("theirs-first", "mine-first") } else { ("mine-first", "theirs-first") };
        let sessions = [stage.agent.session("north", Some(north_says)), stage.agent.session("south", Some(south_says))];
        let name = format!("round-{round}");
        let (rebooting, taking) = stage.both(&reboot(), &snapshot(&name));
        let rebooted = stage.north.ended(&stage.vm, &rebooting, LONG);
        let taken = stage.south.ended(&stage.vm, &taking, LONG);
        assert_eq!((&rebooted["state"], &taken["state"]), (&json!("done"), &json!("done")), "{rebooted:#}\n{taken:#}");
        let (first, second) = if south_wins { (&taken, &rebooted) } else { (&rebooted, &taken) };
        in_turn(first, second);

        for session in &sessions {
            let ask = session.asks.recv_timeout(LONG).expect("each provider was asked");
            assert!(session.asks.try_recv().is_err(), "each was asked once");
            assert_eq!(ask["feasible"], json!(["mine-first", "theirs-first"]), "{ask:#}");
        }
        for id in [&rebooting, &taking] {
            let told = stage.north.get(&format!("/v1/commands/{id}/explain")).ok();
            assert_eq!(told["command"]["rule"], "callback", "{told:#}");
            assert_eq!(told["conflicts"][0]["verdict"]["first"], first["id"], "{told:#}");
            let story = told["story"].to_string();
            assert!(story.contains("decided by callback"), "{story}");
        }
        stage.guest.await_console("GUEST-READY", round + 2);
        stage.guest.await_agent();
    }
    assert_eq!(stage.boots(), 3, "each reboot was made once");
    assert_eq!(snapshots(&libvirt, &stage.guest), ["round-0", "round-1"]);

    // A guest that is off has nothing left for a live snapshot to be consistent with: this is no question of taste.
    let down = ("power.shutdown", json!({ "timeout_s": 60 }));
    let (stopping, taking) = stage.both(&down, &snapshot("last"));
    let stopped = stage.north.ended(&stage.vm, &stopping, LONG);
    let taken = stage.south.ended(&stage.vm, &taking, LONG);
    assert_eq!((&stopped["state"], &taken["state"]), (&json!("done"), &json!("done")), "{stopped:#}\n{taken:#}");
    assert_eq!(stage.domstate(), "shut off");
    assert_eq!(snapshots(&libvirt, &stage.guest), ["last", "round-0", "round-1"]);
    eprintln!("shutdown and snapshot were ordered by {}", stopped["rule"]);
}

#[test]
fn a_killed_agent_ends_with_the_same_results_and_repeats_nothing() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("a_killed_agent_ends_with_the_same_results_and_repeats_nothing", &reason);
        }
    };
    let mut stage = shared(&libvirt, "killed", MEETING);
    let vm = stage.vm.clone();
    let mut expected: Vec<String> = Vec::new();

    for (moment, how) in ["decided", "executing", "asked", "free-0", "free-60"].into_iter().enumerate() {
        let answers = if how == "asked" { [None, None] } else { [Some("theirs-first"), Some("mine-first")] };
        let sessions = [stage.agent.session("north", answers[0]), stage.agent.session("south", answers[1])];
        match how {
            // The decision and the intent are durable; libvirtd does not even read the request that precedes the call.
            "decided" => libvirt.halt(),
            // libvirt has the call and QEMU does not answer it.
            "executing" => stage.guest.halt(),
            _ => {}
        }
        let (rebooting, taking) = stage.both(&reboot(), &snapshot(how));
        match how {
            "decided" => {
                stage.south.until_state(&vm, &taking, &["running"], LONG);
                stage.agent.kill9();
                libvirt.go_on();
                stage.agent.up();
            }
            "executing" => {
                stage.south.until_state(&vm, &taking, &["running"], LONG);
                until("libvirt works on the snapshot", LONG, || {
                    (stage.virsh(&["domcontrol", "@"]).trim() != "ok").then_some(())
                });
                stage.agent.kill9();
                stage.guest.go_on();
                stage.agent.up();
            }
            "asked" => {
                sessions[0].asks.recv_timeout(LONG).expect("north is asked");
                stage.kill9_and_up();
            }
            // Wherever it happens to be.
            free => {
                let millis = free.strip_prefix("free-").and_then(|text| text.parse().ok()).expect("a number");
                std::thread::sleep(Duration::from_millis(millis));
                stage.kill9_and_up();
            }
        }
        let taken = stage.south.ended(&vm, &taking, LONG);
        let rebooted = stage.north.ended(&vm, &rebooting, LONG);
        assert_eq!(taken["state"], "done", "{how}: {taken:#}");
        assert_eq!(rebooted["state"], "done", "{how}: {rebooted:#}");
        if taken["rule"] == "callback" {
            in_turn(&taken, &rebooted);
        } else {
            // It was killed before it had heard both answers, and nobody is asked twice: other rules decide.
            assert!(!matches!(how, "decided" | "executing"), "{how}: {taken:#}");
            let snapshot_first = taken["started_at"].as_str() < rebooted["started_at"].as_str();
            let (first, second) = if snapshot_first { (&taken, &rebooted) } else { (&rebooted, &taken) };
            in_turn(first, second);
        }
        let starts = stage.told_of("started", &taking);
        match how {
            "decided" => assert_eq!((starts, stage.told_of("found-undone", &taking)), (2, 1), "seen undone, then done"),
            "executing" => assert_eq!((starts, &taken["code"]), (1, &json!("observed-done")), "{taken:#}"),
            "asked" => assert_eq!(starts, 1),
            _ => {}
        }
        assert_eq!(stage.told_of("started", &rebooting), 1, "{how}: the reboot was given to libvirt once");
        expected.push(how.to_owned());
        expected.sort();
        assert_eq!(snapshots(&libvirt, &stage.guest), expected, "{how}");
        stage.guest.await_console("GUEST-READY", moment + 2);
        stage.guest.await_agent();
        assert_eq!(stage.boots(), moment + 2, "{how}: one reboot, one boot");
    }

    // Nothing at a VM tells whether it was rebooted, so one that was interrupted says so and is not repeated.
    let boots = stage.boots();
    let rebooting = stage.north.submit(&vm, reboot().0, &reboot().1);
    stage.north.until_state(&vm, &rebooting, &["running"], LONG);
    stage.kill9_and_up();
    let rebooted = stage.north.ended(&vm, &rebooting, LONG);
    assert_eq!(
        (&rebooted["state"], &rebooted["code"]),
        (&json!("failed"), &json!("outcome-unknowable")),
        "{rebooted:#}"
    );
    assert_eq!(stage.told_of("started", &rebooting), 1);
    let after = stage.south.run(&vm, "snapshot.create", &json!({ "name": "zz-after" }));
    assert_eq!(after["state"], "done", "the lane goes on: {after:#}");
    assert!(stage.boots() <= boots + 1, "at most one boot of one reboot");
    let audit = Client::new(&stage.agent.socket(), "operator").get("/v1/audit/verify").ok();
    assert_eq!(audit["verdict"], "intact", "{audit}");
}

#[test]
fn what_virsh_destroys_is_told_and_not_started_again() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("what_virsh_destroys_is_told_and_not_started_again", &reason),
    };
    let mut stage = shared(&libvirt, "destroyed", MEETING);
    let vm = stage.vm.clone();
    let other = Guest::define(&libvirt, "bystander");
    let bystander = other.domain(&libvirt.connect()).uuid_string().expect("a UUID");
    stage.north.post(&format!("/v1/vms/{bystander}/enrollment"), &json!({})).ok();

    // Nobody answers, so both commands wait.
    let sessions = [stage.agent.session("north", None), stage.agent.session("south", None)];
    let (suspending, taking) = stage.both(&("power.suspend", json!({})), &snapshot("late"));
    sessions[0].asks.recv_timeout(LONG).expect("north is asked");
    let waiting = stage.north.command(&vm, &suspending);
    assert_eq!(waiting["state"], "queued", "{waiting:#}");

    // Meanwhile another VM is nobody's hostage.
    let begun = Instant::now();
    let note = json!({ "uri": "https://north.example/", "key": "north", "xml": "<note/>" });
    assert_eq!(stage.north.run(&bystander, "metadata.set", &note)["state"], "done");
    assert!(begun.elapsed() < Duration::from_secs(4), "a pending ask of one VM held another up: {:?}", begun.elapsed());

    let cursor = stage.north.get("/healthz").ok()["journal"].as_u64().expect("a position");
    stage.virsh(&["destroy", "@"]);
    let destroyed = Instant::now();
    // libvirt may be seen on its way: then the VM is shutting down for a moment.
    let (told, seen) = until("the end of the VM is told", LONG, || {
        let told = stage.north.get(&format!("/v1/events?after={cursor}&vm={vm}&wait=1")).ok();
        let all = told["events"].as_array().expect("a list").clone();
        all.iter().any(|event| event["fact"]["state"]["power"] == "shut-off").then(|| (all, destroyed.elapsed()))
    });
    for event in told.iter().filter(|event| event["kind"] == "observed") {
        assert_eq!(event["fact"]["origin"]["origin"], "out-of-band", "{told:#?}");
    }
    assert_eq!(told[0]["kind"], "observed", "it is told before anything follows from it: {told:#?}");
    assert!(seen < Duration::from_secs(1), "told after {seen:?}");

    let suspended = stage.north.ended(&vm, &suspending, LONG);
    assert_eq!(suspended["state"], "impossible", "{suspended:#}");
    assert_eq!(suspended["code"], "state-forbids", "{suspended:#}");
    assert!(suspended["reason"].as_str().is_some_and(|reason| reason.contains("shut")), "{suspended:#}");
    // The other is looked at again as things are: a VM that is off can have its snapshot.
    let taken = stage.south.ended(&vm, &taking, LONG);
    assert_eq!(taken["state"], "done", "{taken:#}");
    assert_eq!(stage.domstate(), "shut off", "covirt did not start it again");
}

#[test]
fn a_killed_libvirtd_is_found_again_and_lanes_go_on() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("a_killed_libvirtd_is_found_again_and_lanes_go_on", &reason),
    };
    let mut stage = shared(&libvirt, "outage", "");
    let vm = stage.vm.clone();
    assert_eq!(stage.north.run(&vm, "power.suspend", &json!({}))["state"], "done");
    assert_eq!(stage.north.run(&vm, "power.resume", &json!({}))["state"], "done");

    libvirt.kill9();
    let during = stage.north.try_submit(&vm, "power.suspend", &json!({}), 30).expect("the agent answers");
    assert_eq!(during.body["code"], "hypervisor-unreachable", "{}", during.body);
    assert!(stage.agent.log().contains("libvirt is lost"), "{}", stage.agent.log());

    libvirt.up();
    until("the agent finds libvirt again", Duration::from_secs(30), || {
        let view = stage.north.run(&vm, "power.suspend", &json!({}));
        (view["state"] == "done").then_some(())
    });
    assert_eq!(stage.north.run(&vm, "power.resume", &json!({}))["state"], "done");
    assert_eq!(stage.south.run(&vm, "snapshot.create", &json!({ "name": "after" }))["state"], "done");

    // Lost in the middle of a call: it is looked at, and settled one way or the other.
    stage.guest.halt();
    let taking = stage.south.submit(&vm, "snapshot.create", &json!({ "name": "cut" }));
    stage.south.until_state(&vm, &taking, &["running"], LONG);
    libvirt.kill9();
    let unknown = stage.south.until_state(&vm, &taking, &["unknown", "failed"], LONG);
    eprintln!("during the outage: {} {}", unknown["state"], unknown["reason"]);
    stage.guest.go_on();
    libvirt.up();
    let taken = stage.south.ended(&vm, &taking, LONG);
    eprintln!("the interrupted snapshot ended {}: {}", taken["state"], taken["reason"]);
    let there = snapshots(&libvirt, &stage.guest).contains(&"cut".to_owned());
    assert_eq!(taken["state"] == "done", there, "what is said is what is there: {taken:#}");
    until("commands are done again", Duration::from_secs(60), || {
        let view = stage.north.run(&vm, "inspect.read", &json!({}));
        (view["state"] == "done").then_some(())
    });
    assert_eq!(stage.boots(), 1, "the guest ran on all the time");
}
