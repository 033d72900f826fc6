//! Hibernation, definitions and migration on real guests, through covirtd: what libvirt makes of each, and what a
//! provider is told.

#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/stage.rs"]
mod stage;
mod support;

use serde_json::{Value, json};

use stage::{LONG, Stage};
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};

impl Stage<'_> {
    /// Has virsh move the VM back from where it is, and waits until the lane has seen that it is there again.
    #[track_caller]
    fn comes_back(&mut self, from: &PrivateLibvirt, to: &str, through: &str) {
        let seen = self.told("observed").len();
        let flags = ["--live", "--p2p", "--unsafe", "--persistent", "--undefinesource"];
        from.virsh(&[&["migrate", self.guest.name(), to, "--migrateuri", through], &flags[..]].concat());
        until("the lane sees it again", LONG, || (self.told("observed").len() > seen).then_some(()));
    }

    /// Waits until the lane has seen so often that the VM is not there.
    #[track_caller]
    fn vanished(&mut self, times: usize) {
        until("the lane sees that it is gone", LONG, || (self.told("vanished").len() == times).then_some(()));
    }
}

/// Which boot of its kernel the guest is at: as long as its memory is kept, this is.
fn boot_id(libvirt: &PrivateLibvirt, guest: &Guest) -> String {
    let ask = |execute: &str, arguments: Value| -> Value {
        let question = json!({ "execute": execute, "arguments": arguments }).to_string();
        let answer = libvirt.virsh(&["qemu-agent-command", guest.name(), &question]);
        serde_json::from_str::<Value>(&answer).expect("the agent answers JSON")["return"].take()
    };
    let handle = ask("guest-file-open", json!({ "path": "/proc/sys/kernel/random/boot_id" }));
    let read = ask("guest-file-read", json!({ "handle": handle }));
    ask("guest-file-close", json!({ "handle": handle }));
    read["buf-b64"].as_str().expect("a boot id").to_owned()
}

fn info(libvirt: &PrivateLibvirt, domain: &str, field: &str) -> String {
    let info = libvirt.virsh(&["dominfo", domain]);
    let line = info.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_else(|| panic!("{field}: {info}"));
    line.trim_start_matches(':').trim().to_owned()
}

#[test]
fn a_saved_guest_goes_on_where_it_was() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("a_saved_guest_goes_on_where_it_was", &reason),
    };
    let mut stage = Stage::set(&libvirt, Guest::boot(&libvirt, "saved"), "");
    let name = stage.guest.name().to_owned();
    let boot = boot_id(&libvirt, &stage.guest);
    stage.forbidden("power.restore", &json!({}), "");

    stage.done("power.save", &json!({}));
    assert_eq!(stage.domstate(), "shut off");
    assert_eq!(stage.read()["saved"], true);
    stage.done("power.restore", &json!({}));
    stage.guest.await_agent();
    assert_eq!(boot_id(&libvirt, &stage.guest), boot, "its memory was kept");
    let on = stage.read();
    assert_eq!((&on["power"], &on["saved"]), (&json!("running"), &json!(false)), "the image is used up: {on:#}");

    // The agent dies while QEMU is in the middle of it, and finds out what became of it.
    stage.guest.halt();
    let saving = stage.submit("power.save", &json!({}));
    stage.north.until_state(&stage.vm, &saving, &["running"], LONG);
    until("libvirt works on the image", LONG, || (libvirt.virsh(&["domcontrol", &name]).trim() != "ok").then_some(()));
    stage.agent.kill9();
    stage.guest.go_on();
    stage.agent.up();
    let saved = stage.ended(&saving);
    assert_eq!((&saved["state"], &saved["code"]), (&json!("done"), &json!("observed-done")), "{saved:#}");
    assert_eq!(stage.told("started").len(), 1 + 2 + 2, "nothing was repeated");
    // A plain start takes the image, too.
    stage.done("power.start", &json!({}));
    stage.guest.await_agent();
    assert_eq!(boot_id(&libvirt, &stage.guest), boot);

    stage.done("power.save", &json!({}));
    stage.done("power.save-remove", &json!({}));
    assert_eq!(info(&libvirt, &name, "Managed save"), "no");
    for action in ["power.restore", "power.save-remove"] {
        stage.forbidden(action, &json!({}), "no image");
    }
    stage.done("power.start", &json!({}));
    stage.guest.await_agent();
    assert_ne!(boot_id(&libvirt, &stage.guest), boot, "without the image it is a new boot");
}

/// Two commands, the first of which takes the VM away. A VM that has gone takes no commands, so libvirtd holds still until
/// both are there.
fn together(stage: &mut Stage<'_>, commands: [(&str, &Value); 2]) -> [String; 2] {
    stage.libvirt.halt();
    let ids = commands.map(|(action, args)| stage.submit(action, args));
    stage.libvirt.go_on();
    ids
}

#[test]
fn a_definition_is_replaced_renamed_and_removed() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("a_definition_is_replaced_renamed_and_removed", &reason),
    };
    let guest = Guest::define(&libvirt, "defined");
    let name = guest.name().to_owned();
    guest.domain(&libvirt.connect()).create().expect("it starts");
    let mut stage = Stage::set(&libvirt, guest, "");
    let vm = stage.vm.clone();
    let xml = libvirt.virsh(&["dumpxml", "--inactive", &name]);
    let definition = |xml: &str| json!({ "xml": xml });

    let same = stage.done("definition.define", &definition(&xml));
    assert_eq!(same["changed"], false, "{same}");
    assert_eq!(stage.read()["definition"], same["generation"], "the generation that is told is the one that is seen");
    let wider = xml.replace(">4</vcpu>", ">6</vcpu>");
    assert_ne!(wider, xml);
    let changed = stage.done("definition.define", &definition(&wider));
    assert_eq!(changed["changed"], true, "{changed}");
    assert_ne!(changed["generation"], same["generation"]);
    let seen = stage.read();
    assert_eq!((&seen["definition"], &seen["vcpus_max"]), (&changed["generation"], &json!(4)), "it runs on: {seen:#}");

    let foreign = definition(&xml.replace(&vm, "7d2f0d0e-26b7-4b43-9c5c-0b1b62a5c2a1"));
    assert_eq!(stage.refused("definition.define", &foreign), "name-not-yours");
    stage.forbidden("definition.define", &definition(&xml.replace(&name, "another")), "definition.rename");
    // What libvirt does not know is refused, not dropped.
    let odd = definition(&xml.replace("<devices>", "<devices><oops/>"));
    stage.ends("definition.define", &odd, ["failed", "hypervisor-failed", ""]);
    assert_eq!(stage.read()["definition"], changed["generation"]);

    for (enabled, shown) in [(true, "enable"), (false, "disable"), (true, "enable")] {
        let set = stage.done("autostart.set", &json!({ "enabled": enabled }));
        assert_eq!(set["autostart"], enabled);
        assert_eq!(info(&libvirt, &name, "Autostart"), shown);
    }

    stage.forbidden("definition.rename", &json!({ "name": "later" }), "");
    stage.done("power.stop", &json!({}));
    let renamed = format!("{name}-renamed");
    for _ in 0..2 {
        stage.done("definition.rename", &json!({ "name": renamed }));
        assert_eq!(libvirt.virsh(&["domname", &vm]).trim(), renamed);
    }
    stage.done("power.start", &json!({}));
    assert_eq!(stage.read()["vcpus_max"], 6, "the definition counts from the next start");

    stage.done("definition.undefine", &json!({}));
    assert_eq!(info(&libvirt, &vm, "Persistent"), "no");
    assert_eq!(libvirt.virsh(&["domstate", &vm]).trim(), "running");
    assert_eq!(stage.read()["definition"], Value::Null);
    for action in ["definition.undefine", "power.save"] {
        stage.forbidden(action, &json!({}), "");
    }
    stage.forbidden("autostart.set", &json!({ "enabled": true }), "");
    let none = json!({});
    let [stopping, starting] = together(&mut stage, [("power.stop", &none), ("power.start", &none)]);
    assert_eq!(stage.ended(&stopping)["state"], "done");
    let started = stage.ended(&starting);
    assert_eq!((&started["state"], &started["code"]), (&json!("impossible"), &json!("vm-gone")), "{started:#}");
}

#[test]
fn a_vm_that_is_off_goes_with_its_definition() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("a_vm_that_is_off_goes_with_its_definition", &reason),
    };
    let mut stage = Stage::set(&libvirt, Guest::define(&libvirt, "undefined"), "");
    stage.done("snapshot.create", &json!({ "name": "kept" }));
    stage.forbidden("definition.undefine", &json!({}), "snapshot");
    let (with_snapshots, enabled) = (json!({ "snapshots_metadata": true }), json!({ "enabled": true }));
    let [removing, waiting] =
        together(&mut stage, [("definition.undefine", &with_snapshots), ("autostart.set", &enabled)]);
    let removed = stage.ended(&removing);
    assert_eq!(removed["state"], "done", "{removed:#}");
    assert!(!libvirt.virsh(&["list", "--all", "--uuid"]).contains(&stage.vm));
    let ended = stage.ended(&waiting);
    assert_eq!((&ended["state"], &ended["code"]), (&json!("impossible"), &json!("vm-gone")), "{ended:#}");
    stage.vanished(1);
}

#[test]
fn a_guest_moves_to_another_host() {
    let two = PrivateLibvirt::own().and_then(|here| Ok((here, PrivateLibvirt::own()?)));
    let (here, there) = match two {
        Ok(two) => two,
        Err(Skip(reason)) => return skip("a_guest_moves_to_another_host", &reason),
    };
    let sockets = tempfile::Builder::new().prefix("covirt-").tempdir().expect("make a folder");
    let through = |name: &str| format!("unix://{}/{name}", sockets.path().display());
    // As a target, libvirt takes the socket's URI only with the transport in it.
    let uri_of = |libvirt: &PrivateLibvirt| libvirt.uri().replace("qemu://", "qemu+unix://");
    let to = uri_of(&there);
    let mut stage = Stage::set(&here, Guest::boot(&here, "moving"), "");
    let name = stage.guest.name().to_owned();
    let boot = boot_id(&here, &stage.guest);
    let at = |libvirt: &PrivateLibvirt| libvirt.virsh(&["list", "--all", "--name"]).contains(&name);
    let none = json!({});

    // Refused by libvirt, before anything moves.
    let nowhere = json!({ "to": "qemu+unix:///system?socket=/nonexistent", "unsafe": true });
    stage.ends("migrate.begin", &nowhere, ["failed", "hypervisor-failed", "/nonexistent"]);
    // Its disk is not known to be shared.
    let safe = json!({ "to": to, "through": through("safe") });
    stage.ends("migrate.begin", &safe, ["failed", "hypervisor-failed", "nsafe"]);
    stage.forbidden("migrate.abort", &none, "");
    assert_eq!(stage.read()["jobs"], Value::Null);

    // Begun, seen, aborted: it stays.
    let slowly = |name: &str| json!({ "to": to, "through": through(name), "unsafe": true, "bandwidth": 1 });
    let begun = stage.done("migrate.begin", &slowly("aborted"));
    assert_eq!(begun, json!({ "to": to, "over": false }));
    // While libvirt is at the VM, what is open cannot be asked, and is not said to be nothing.
    until("the migration is seen", LONG, || (stage.read()["jobs"] == json!(["migration"])).then_some(()));
    // Who sends it may halt it, so that it arrives.
    stage.done("power.suspend", &none);
    assert_eq!(here.virsh(&["domstate", &name]).trim(), "paused");
    stage.done("migrate.abort", &none);
    assert_eq!(stage.read()["jobs"], Value::Null);
    // libvirt lets it go on, since it ran when that began.
    assert_eq!(here.virsh(&["domstate", &name]).trim(), "running");
    until("the target lets go of it", LONG, || (!at(&there)).then_some(()));
    assert_eq!(boot_id(&here, &stage.guest), boot);
    until("the end is logged", LONG, || stage.agent.log().contains("the migration failed").then_some(()));

    // The agent dies, and libvirtd carries on.
    stage.done("migrate.begin", &slowly("outlived"));
    stage.agent.kill9();
    assert!(here.virsh(&["domjobinfo", &name]).contains("Outgoing migration"), "it goes on without the agent");
    stage.agent.up();
    until("the agent that came back sees it", LONG, || (stage.read()["jobs"] == json!(["migration"])).then_some(()));
    let waiting = stage.submit("power.reset", &none);
    let queued = stage.north.command(&stage.vm, &waiting);
    assert_eq!(queued["state"], "queued", "it waits for the migration: {queued:#}");
    here.virsh(&["migrate-setspeed", &name, "1000"]);
    let ended = stage.ended(&waiting);
    assert_eq!((&ended["state"], &ended["code"]), (&json!("impossible"), &json!("vm-gone")), "{ended:#}");
    assert!(ended["reason"].as_str().is_some_and(|reason| reason.contains(&to)), "it names the target: {ended:#}");
    stage.vanished(1);
    until("it is there", LONG, || (at(&there) && !at(&here)).then_some(()));
    assert_eq!(boot_id(&there, &stage.guest), boot, "it runs on at the target");
    assert_eq!(stage.refused("power.start", &none), "vm-gone");

    // Back by virsh, and away again as fast as it goes.
    stage.comes_back(&there, &uri_of(&here), &through("back"));
    let moved = stage.done("migrate.begin", &json!({ "to": to, "through": through("fast"), "unsafe": true }));
    eprintln!("a fast one was over when it was seen: {}", moved["over"]);
    stage.vanished(2);
    until("it is there", LONG, || (at(&there) && !at(&here)).then_some(()));
    assert_eq!(boot_id(&there, &stage.guest), boot);

    // Back once more, and away with its definition left behind: that is no VM which may be started here.
    stage.comes_back(&there, &uri_of(&here), &through("again"));
    let kept = json!({ "to": to, "through": through("kept"), "unsafe": true, "persistent": false });
    stage.done("migrate.begin", &kept);
    stage.vanished(3);
    assert_eq!(here.virsh(&["domstate", "--reason", &name]).trim(), "shut off (migrated)");
    assert_eq!(stage.refused("power.start", &none), "vm-gone");
    assert_eq!(there.virsh(&["domstate", &name]).trim(), "running");
}

#[test]
fn a_lock_is_between_providers_and_libvirt_knows_nothing_of_it() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("a_lock_is_between_providers_and_libvirt_knows_nothing_of_it", &reason),
    };
    let guest = Guest::define(&libvirt, "locked");
    guest.domain(&libvirt.connect()).create().expect("it starts");
    let mut stage = Stage::set(&libvirt, guest, "");
    stage.delegate(&["metadata.set"], "shared");
    let described = |stage: &Stage<'_>| (stage.virsh(&["dumpxml", "@"]), stage.virsh(&["dumpxml", "--inactive", "@"]));
    let before = described(&stage);

    stage.done("lock.acquire", &json!({ "reason": "moving its disks", "lease_s": 600 }));
    assert_eq!(described(&stage), before);
    let note = json!({ "uri": "https://south.example/", "key": "south", "xml": "<note/>" });
    let waiting = stage.south.submit(&stage.vm, "metadata.set", &note);
    // Its owner's own commands pass it.
    stage.done("power.suspend", &json!({}));
    assert_eq!(stage.domstate(), "paused");
    stage.done("power.resume", &json!({}));
    let queued = stage.south.command(&stage.vm, &waiting);
    assert_eq!(queued["state"], "queued", "{queued:#}");
    assert!(queued["reason"].as_str().is_some_and(|reason| reason.contains("lock")), "{queued:#}");
    assert_eq!(described(&stage), before);

    stage.done("lock.release", &json!({}));
    let noted = stage.south.ended(&stage.vm, &waiting, LONG);
    assert_eq!(noted["state"], "done", "{noted:#}");
    assert!(stage.virsh(&["metadata", "@", "https://south.example/"]).contains("note"));
    // A channel is opened at its door, which is no command.
    for action in ["console.open", "screen.open"] {
        assert_eq!(stage.refused(action, &json!({})), "opens-channel", "{action}");
    }
}
