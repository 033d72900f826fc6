//! Devices and the guest's agent on real guests, through covirtd: what comes and goes is in libvirt's two descriptions,
//! what a guest does not do in time fails and holds nobody up, and the agent's refusals are told in its own words.

#[path = "support/covirtd.rs"]
mod covirtd;
mod libvirt_calls;
#[path = "support/stage.rs"]
mod stage;
mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use covirt::hypervisor::{Hypervisor, Libvirt, Options};
use covirt::model::{Action, Code, Ending, VmId};
use covirt::resolver::{CallResult, Evidence};
use covirtd::events;
use stage::{LONG, Stage};
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};

const MAC: &str = "52:54:00:c0:c1:c2";

impl Stage<'_> {
    /// Whether the words are in what runs, and in the definition.
    fn described(&self, words: &str) -> (bool, bool) {
        let has = |flags: &[&str]| self.virsh(&[&["dumpxml", "@"][..], flags].concat()).contains(words);
        (has(&[]), has(&["--inactive"]))
    }

    /// What a program in the guest prints.
    #[track_caller]
    fn in_guest(&mut self, program: &str, words: &[&str]) -> String {
        let exec = json!({ "path": program, "arg": words, "capture-output": true });
        let started = self.done("guest.command", &json!({ "execute": "guest-exec", "arguments": exec }));
        let ask = json!({ "execute": "guest-exec-status", "arguments": { "pid": started["pid"] } });
        let ended = until(program, LONG, || Some(self.done("guest.command", &ask)).filter(|it| it["exited"] == true));
        let printed = self.libvirt.folder().join("printed");
        std::fs::write(&printed, ended["out-data"].as_str().unwrap_or("")).expect("write");
        let plain = Command::new("base64").arg("-d").arg(&printed).output().expect("run base64");
        String::from_utf8_lossy(&plain.stdout).into_owned()
    }

    /// That devices went is told as covirt's doing, as it was.
    #[track_caller]
    fn is_nobody_elses_doing(&mut self) {
        let told = events(&mut self.north, &self.vm);
        let strange: Vec<&Value> =
            told.iter().filter(|event| event["fact"]["origin"]["cause"] == "device-removed").collect();
        assert!(strange.is_empty(), "what covirt did is no stranger's doing: {strange:#?}");
    }

    fn disk(&self, label: &str) -> Value {
        let file = self.libvirt.folder().join(format!("{label}-{}.qcow2", std::process::id()));
        let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&file).arg("8M").status();
        assert!(made.is_ok_and(|status| status.success()));
        let xml = format!(
            "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/>\
             <target dev='vdb' bus='virtio'/></disk>",
            file.display()
        );
        json!({ "xml": xml })
    }

    fn disc(&self, name: &str) -> Value {
        let file = self.libvirt.folder().join(format!("{name}-{}.iso", std::process::id()));
        std::fs::write(&file, [0; 4096]).expect("write a disc");
        let xml = format!(
            "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{}'/>\
             <target dev='hda' bus='ide'/><readonly/></disk>",
            file.display()
        );
        json!({ "xml": xml })
    }
}

fn nic() -> Value {
    let xml = format!(
        "<interface type='network'><mac address='{MAC}'/><source network='default'/><model type='virtio'/></interface>"
    );
    json!({ "xml": xml })
}

#[test]
fn disks_and_interfaces_come_change_and_go_in_both_descriptions() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("disks_and_interfaces_come_change_and_go_in_both_descriptions", &reason);
        }
    };
    let guest = Guest::define(&libvirt, "devices");
    let mut stage = Stage::set(&libvirt, guest, "");

    // Off, there is only the definition.
    let (first, second) = (stage.disc("first"), stage.disc("second"));
    stage.done("device.attach", &first);
    assert_eq!(stage.described("first-"), (true, true));
    stage.done("device.attach", &nic());
    stage.done("nic.qos", &json!({ "mac": MAC, "inbound": { "average": 1000, "peak": 2000, "burst": 512 } }));
    let kept = stage.virsh(&["domiftune", "@", MAC, "--config"]);
    assert!(["inbound.average: 1000", "inbound.peak   : 2000"].iter().all(|line| kept.contains(line)), "{kept}");
    stage.done("nic.qos", &json!({ "mac": MAC, "inbound": { "average": 0 }, "outbound": { "average": 0 } }));
    stage.done("device.detach", &json!({ "device": format!("nic:{MAC}") }));
    assert_eq!(stage.described(MAC), (false, false));

    stage.done("power.start", &json!({}));
    stage.guest.await_agent();
    stage.guest.await_console("GUEST-READY", 1);
    stage.done("device.update", &second);
    assert_eq!((stage.described("second-"), stage.described("first-")), ((true, true), (false, false)));

    let disk = stage.disk("added");
    stage.done("device.attach", &disk);
    assert_eq!(stage.described("vdb"), (true, true));
    until("the guest has it", LONG, || stage.in_guest("/bin/ls", &["/sys/block"]).contains("vdb").then_some(()));
    stage.ends("device.attach", &disk, ["impossible", "state-forbids", "disk:vdb already"]);

    stage.done("disk.iotune", &json!({ "disk": "vdb", "read_iops_sec": 500 }));
    stage.done("disk.iotune", &json!({ "disk": "vdb", "write_iops_sec": 400, "total_bytes_sec": 1_048_576 }));
    for which in ["--live", "--config"] {
        let limits = stage.virsh(&["blkdeviotune", "@", "vdb", which]);
        for line in ["read_iops_sec  : 500", "write_iops_sec : 400", "total_bytes_sec: 1048576"] {
            assert!(limits.contains(line), "{which}: {line}: {limits}");
        }
    }

    stage.done("device.attach", &nic());
    assert_eq!(stage.described(MAC), (true, true));
    // Whether the host's kernel can limit traffic, virsh shows.
    let can = stage.virsh_can(&["domiftune", "@", MAC, "--inbound", "1000", "--live"]);
    let qos = json!({ "mac": MAC, "inbound": { "average": 700 } });
    if can {
        stage.done("nic.qos", &qos);
        let limits = stage.virsh(&["domiftune", "@", MAC, "--live"]);
        assert!(limits.contains("inbound.average: 700"), "{limits}");
    } else {
        eprintln!("this kernel cannot limit an interface: the failure is looked at instead");
        stage.ends("nic.qos", &qos, ["failed", "hypervisor-failed", "tc "]);
    }
    let down = nic()["xml"].as_str().expect("XML").replace("</interface>", "<link state='down'/></interface>");
    stage.done("device.update", &json!({ "xml": down }));
    assert!(stage.virsh(&["domif-getlink", "@", MAC]).contains("down"));

    for (device, mark) in [("disk:vdb".to_owned(), "vdb"), (format!("nic:{MAC}"), MAC)] {
        stage.done("device.detach", &json!({ "device": device }));
        assert_eq!(stage.described(mark), (false, false), "{device}");
        stage.ends("device.detach", &json!({ "device": device }), ["impossible", "state-forbids", &device]);
    }
    stage.is_nobody_elses_doing();
}

#[test]
fn a_guest_that_does_not_let_go_fails_the_detach_and_holds_nobody_up() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("a_guest_that_does_not_let_go_fails_the_detach_and_holds_nobody_up", &reason);
        }
    };
    let mut stage = Stage::booted(&libvirt, "keeping", "");
    let disk = stage.disk("kept");
    stage.done("device.attach", &disk);
    stage.done("power.suspend", &json!({}));
    // vCPUs that stand still let go of nothing.
    let begun = Instant::now();
    let kept = ["failed", "guest-timeout", "did not let go of disk:vdb within 7 s; the definition is without it"];
    stage.ends("device.detach", &json!({ "device": "disk:vdb", "timeout_s": 7 }), kept);
    eprintln!("given up after {:?}", begun.elapsed());
    assert!(begun.elapsed() >= Duration::from_secs(7));
    assert_eq!(stage.described("vdb"), (true, false));
    stage.done("power.resume", &json!({}));
    until("the guest lets go of it late", LONG, || (!stage.described("vdb").0).then_some(()));
    until("covirt sees it", LONG, || {
        let view = stage.read();
        (!view["devices"].to_string().contains("vdb")).then_some(())
    });
    stage.is_nobody_elses_doing();

    stage.done("device.attach", &disk);
    stage.done("power.suspend", &json!({}));
    let detach = json!({ "device": "disk:vdb", "timeout_s": 100 });
    let detaching = stage.submit("device.detach", &detach);
    // libvirt writes the definition when it stops waiting for the guest.
    until("libvirt leaves the rest to the event", LONG, || (!stage.described("vdb").1).then_some(()));
    assert_eq!(stage.north.command(&stage.vm, &detaching)["state"], "running", "not complete before the event");
    stage.virsh(&["resume", "@"]);
    let detached = stage.ended(&detaching);
    assert_eq!(detached["state"], "done", "{detached:#}");
    assert_eq!(stage.described("vdb"), (false, false));
}

#[test]
fn a_guest_that_knows_no_unplugging_keeps_its_disk_until_it_starts_anew() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("a_guest_that_knows_no_unplugging_keeps_its_disk_until_it_starts_anew", &reason);
        }
    };
    let guest = Guest::define(&libvirt, "unknowing");
    let mut stage = Stage::set(&libvirt, guest, "roles = ['host']\n");
    stage.delegate(&["device.*", "metadata.set"], "shared");
    stage.done("device.attach", &stage.disk("stuck"));
    // Its kernel hears nothing of what ACPI tells about slots.
    let xml = stage.virsh(&["dumpxml", "--inactive", "@"]);
    let unknowing = xml.replace("</cmdline>", " acpiphp.disable=1</cmdline>");
    assert_ne!(unknowing, xml);
    stage.done("definition.define", &json!({ "xml": unknowing }));
    stage.done("power.start", &json!({}));
    stage.guest.await_agent();
    stage.guest.await_console("GUEST-READY", 1);

    let detach = json!({ "device": "disk:vdb", "timeout_s": 7 });
    let within = "the guest did not let go of disk:vdb within 7 s";
    let rest = format!("{within}; the definition is without it, and the guest may yet let go");
    stage.ends("device.detach", &detach, ["failed", "guest-timeout", &rest]);
    assert_eq!(stage.described("vdb"), (true, false));
    assert!(stage.in_guest("/bin/ls", &["/sys/block"]).contains("vdb"));
    // It stands in nobody's way: what clashes with it goes at once, and there is no second such disk.
    let holds = stage.north.get(&format!("/v1/vms/{}/holds", stage.vm)).ok();
    assert_eq!(holds["holds"], json!([]));
    let begun = Instant::now();
    let again = stage.south.run(&stage.vm, "device.attach", &stage.disk("another"));
    assert_eq!((&again["state"], &again["code"]), (&json!("impossible"), &json!("state-forbids")), "{again:#}");
    let note = json!({ "uri": "https://south.example/", "key": "south", "xml": "<note/>" });
    assert_eq!(stage.south.run(&stage.vm, "metadata.set", &note)["state"], "done");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // Told once more, it still does not.
    let told = stage.submit("device.detach", &detach);
    let kept = stage.ended(&told);
    assert_eq!((&kept["state"], &kept["code"]), (&json!("failed"), &json!("guest-timeout")), "{kept:#}");
    assert_eq!(kept["reason"], format!("{within}; it may yet"), "the definition was without it");

    // QEMU takes the disk away when the machine starts anew.
    stage.done("power.reset", &json!({}));
    let went = until("covirt tells that it is gone", LONG, || {
        stage.told("observed").into_iter().find(|event| {
            let devices = event["fact"]["state"]["devices"].to_string();
            devices.contains("vda") && !devices.contains("vdb")
        })
    });
    assert_eq!(went["fact"]["origin"], json!({ "origin": "command", "command": told }), "{went:#}");
    stage.is_nobody_elses_doing();
    stage.guest.await_console("GUEST-READY", 2);
    stage.guest.await_agent();
    assert!(!stage.in_guest("/bin/ls", &["/sys/block"]).contains("vdb"));
}

#[test]
fn file_systems_stand_still_and_go_on() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("file_systems_stand_still_and_go_on", &reason),
    };
    let mut stage = Stage::booted(&libvirt, "freezing", "");
    let writing = "while echo x >>/mnt/vda/log; do echo TICK >/dev/ttyS0; sleep 0.1; done";
    stage.guest.exec("/bin/sh", &["-c", writing]);
    stage.guest.await_console("TICK", 3);

    assert_eq!(stage.done("guest.freeze", &json!({ "lease_s": 600 })), json!({ "frozen": 1 }));
    let ticks = |stage: &Stage| stage.guest.console().matches("TICK").count();
    let before = ticks(&stage);
    let status = ["qemu-agent-command", "@", "{\"execute\":\"guest-fsfreeze-status\"}"];
    assert!(stage.virsh(&status).contains("frozen"));

    // What the lane would keep from happening: asked of the adapter itself.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
    let id = VmId(stage.vm.parse().expect("a UUID"));
    let libvirt_itself = Libvirt::connect(libvirt.uri(), Options::default()).expect("the adapter starts");
    let again = runtime.block_on(libvirt_calls::act(&libvirt_itself, id, Action::GuestFreeze, json!({})));
    let CallResult::Failed(outcome) = again else { panic!("{again:?}") };
    assert_eq!((outcome.ending, outcome.code), (Ending::Impossible, Code::StateForbids));
    assert!(outcome.reason.contains("stand still already"), "{}", outcome.reason);
    let evidence = |action| {
        runtime.block_on(async {
            let state = libvirt_itself.observe(id).await.expect("observe");
            let call = libvirt_calls::call(id, &state, action, json!({}));
            libvirt_itself.probe(call).await.expect("probe")
        })
    };
    assert_eq!([Action::GuestFreeze, Action::GuestThaw].map(evidence), [Evidence::Done, Evidence::Undone]);
    assert!(ticks(&stage) <= before + 1, "a write waits");

    assert_eq!(stage.done("guest.thaw", &json!({})), json!({ "thawed": 1 }));
    stage.guest.await_console("TICK", before + 5);
    assert!(stage.virsh(&status).contains("thawed"));
    assert_eq!([Action::GuestFreeze, Action::GuestThaw].map(evidence), [Evidence::Undone, Evidence::Done]);
    let thawed = runtime.block_on(libvirt_calls::done(&libvirt_itself, id, Action::GuestThaw, json!({})));
    assert_eq!(thawed, json!({ "thawed": 0 }), "nothing stood still");
    let nowhere = json!({ "mountpoints": ["/nowhere"] });
    stage.ends("guest.freeze", &nowhere, ["failed", "hypervisor-failed", "no file system"]);
    stage.done("guest.trim", &json!({}));
}

#[test]
fn the_agent_obeys_and_refuses_in_its_own_words_and_keeps_no_secret() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("the_agent_obeys_and_refuses_in_its_own_words_and_keeps_no_secret", &reason);
        }
    };
    let mut stage = Stage::booted(&libvirt, "obeying", "");
    let vm = stage.vm.clone();
    let info = stage.done("guest.command", &json!({ "execute": "guest-info" }));
    assert!(info["version"].is_string(), "{info}");
    let around = stage.north.try_submit(&vm, "guest.command", &json!({ "execute": "guest-shutdown" }), 0);
    let around = around.expect("an answer");
    assert_eq!((around.status, around.code()), (400, "malformed"), "{}", around.body);
    assert!(around.body.to_string().contains("power.shutdown"), "{}", around.body);
    let unknown =
        ["failed", "hypervisor-failed", "the guest's agent refuses guest-nope: The command guest-nope has not"];
    stage.ends("guest.command", &json!({ "execute": "guest-nope" }), unknown);

    let later = 1_900_000_000_i64;
    stage.done("guest.set-time", &json!({ "seconds": later }));
    let clock = |stage: &Stage| -> i64 {
        let said = stage.virsh(&["domtime", "@"]);
        said.trim().trim_start_matches("Time: ").parse().unwrap_or_else(|_| panic!("{said}"))
    };
    assert!((later..later + 120).contains(&clock(&stage)));
    stage.in_guest("/bin/date", &["-s", "@1000000000"]);
    assert!(clock(&stage) < later);
    stage.done("guest.set-time", &json!({}));
    assert!((later - 5..later + 600).contains(&clock(&stage)), "the hardware's clock was set, too: {}", clock(&stage));

    let password = "correct-horse-battery";
    let set = |user: &str| json!({ "user": user, "password": password });
    assert!(stage.in_guest("/bin/cat", &["/etc/shadow"]).contains("root:!:"));
    stage.done("guest.set-password", &set("root"));
    let shadow = stage.in_guest("/bin/cat", &["/etc/shadow"]);
    assert!(shadow.starts_with("root:") && !shadow.contains("root:!:"), "{shadow}");
    let refused = ["failed", "hypervisor-failed", "the guest's agent refuses guest-set-user-password"];
    stage.ends("guest.set-password", &set("nobody"), refused);
    let number = json!({ "user": "root", "password": 4_242_424_242_u64 });
    let odd = stage.north.try_submit(&vm, "guest.set-password", &number, 0).expect("an answer");
    assert_eq!(odd.code(), "malformed");
    assert!(!odd.body.to_string().contains("4242424242"), "{}", odd.body);
    let told = events(&mut stage.north, &vm);
    assert!(!Value::from(told).to_string().contains(password));
    for found in files(stage.agent.folder()) {
        let bytes = std::fs::read(&found).unwrap_or_default();
        for secret in [password, "4242424242", "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", found.display());
        }
    }

    // An agent that is there and does not answer.
    stage.guest.exec("/bin/sh", &["-c", "kill -STOP $(cat /run/qga.pid)"]);
    let ping = ["qemu-agent-command", "@", "{\"execute\":\"guest-ping\"}"];
    until("the agent stops", LONG, || (!stage.virsh_can(&ping)).then_some(()));
    let begun = Instant::now();
    let silent = ["failed", "guest-timeout", "agent"];
    stage.ends("guest.command", &json!({ "execute": "guest-ping", "timeout_s": 3 }), silent);
    stage.ends("guest.freeze", &json!({}), silent);
    stage.ends("guest.trim", &json!({}), silent);
    eprintln!("three deeds of a silent agent: {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(60));
    stage.done("power.suspend", &json!({}));
}

#[test]
fn a_password_does_not_outlive_the_agent() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("a_password_does_not_outlive_the_agent", &reason),
    };
    let waiting = "[lane]\ngather_ms = 3000\ngather_for = 'writes'\n";
    let mut stage = Stage::set(&libvirt, Guest::boot(&libvirt, "forgetting"), waiting);
    // Where somebody else could come first, a command waits for a moment.
    stage.delegate(&["guest.set-password"], "shared");
    let id = stage.submit("guest.set-password", &json!({ "user": "root", "password": "forgotten-at-once" }));
    assert_eq!(stage.north.command(&stage.vm, &id)["state"], "queued");
    stage.agent.kill9();
    stage.agent.up();
    let ended = stage.ended(&id);
    assert_eq!((&ended["state"], &ended["code"]), (&json!("impossible"), &json!("state-forbids")), "{ended:#}");
    assert!(ended["reason"].to_string().contains("send the command again"), "{ended:#}");
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("read the folder").filter_map(Result::ok) {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
