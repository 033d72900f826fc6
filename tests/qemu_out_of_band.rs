//! What happens to a real guest past covirt: both providers are told who did it and what, within a second of libvirt's
//! own event; what waits is looked at again; and covirt starts, stops and resumes nothing by itself.
//!
//! Figures and attributions are printed; the reference is a `virsh event` beside covirt on the same libvirtd.

#[path = "support/covirtd.rs"]
mod covirtd;
mod libvirt_calls;
#[path = "support/stage.rs"]
mod stage;
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use covirt::hypervisor::{Hypervisor, Libvirt, Options};
use covirt::model::{Action, Ending, PowerState, VmId};
use covirt::resolver::CallResult;
use covirtd::Listener;
use stage::{LONG, Stage};
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};

/// Commands wait this long, so that what happens meanwhile falls into their waiting.
const WAITING: &str = "[lane]\ngather_ms = 4000\ngather_for = 'writes'\nask_timeout_ms = 500\n";

/// libvirt's own events as `virsh event` prints them.
struct Reference {
    virsh: Child,
    lines: Receiver<String>,
}

impl Reference {
    fn listen(libvirt: &PrivateLibvirt) -> Self {
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "virsh", "-q", "-c", libvirt.uri(), "event", "--all", "--loop", "--timestamp"]);
        let mut virsh = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("start virsh");
        let stdout = virsh.stdout.take().expect("stdout is piped");
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        Self { virsh, lines }
    }

    /// When libvirt said this of the guest.
    #[track_caller]
    fn when(&self, guest: &Guest, words: &str) -> Timestamp {
        let of = format!("for domain '{}'", guest.name());
        let mut passed = Vec::new();
        loop {
            let line = self.lines.recv_timeout(LONG).unwrap_or_else(|_| panic!("no {words:?}; but {passed:#?}"));
            if line.contains(&of) && line.contains(words) {
                let stamp = line.split(": event").next().expect("a stamp comes first");
                return Timestamp::strptime("%Y-%m-%d %H:%M:%S%.f%z", stamp).expect("virsh's time");
            }
            passed.push(line);
        }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.virsh.kill();
        let _ = self.virsh.wait();
    }
}

/// A guest that south shares, and all who listen: both providers and virsh.
struct Scene<'a> {
    on: Stage<'a>,
    reference: Reference,
    listeners: [Listener; 2],
}

/// The commands that wait while something happens: north's suspend and south's note.
struct Waiting {
    suspend: String,
    note: String,
}

impl<'a> Scene<'a> {
    fn set(libvirt: &'a PrivateLibvirt, label: &str) -> Self {
        let mut on = Stage::booted(libvirt, label, WAITING);
        on.delegate(&["metadata.set", "power.suspend", "cpu.set"], "shared");
        let cursor = on.north.get("/healthz").ok()["journal"].as_u64().expect("a position");
        let listeners = ["north", "south"].map(|who| on.agent.listen(who, cursor));
        let reference = Reference::listen(libvirt);
        // Nothing else tells that virsh listens: it is there when it tells of something.
        until("virsh listens", LONG, || {
            on.virsh(&["metadata", "@", "urn:probe", "--key", "p", "--set", "<p/>", "--live"]);
            reference.lines.recv_timeout(Duration::from_millis(300)).ok()
        });
        Self { on, reference, listeners }
    }

    fn waiting(&mut self) -> Waiting {
        let suspend = self.on.submit("power.suspend", &json!({}));
        let note = json!({ "uri": "https://south.example/", "key": "south", "xml": "<note/>" });
        let note = self.on.south.submit(&self.on.vm, "metadata.set", &note);
        for id in [&suspend, &note] {
            assert_eq!(self.on.north.command(&self.on.vm, id)["state"], "queued");
        }
        Waiting { suspend, note }
    }

    /// Both are told this within a second of when libvirt said so.
    #[track_caller]
    fn both_told(&self, what: &str, libvirt_says: &str, cause: [&str; 2], is: impl Fn(&Value) -> bool) -> Value {
        let heard = self
            .listeners
            .each_ref()
            .map(|listener| listener.next(what, |event| event["fact"]["origin"]["cause"] == cause[1] && is(event)));
        let said = self.reference.when(&self.on.guest, libvirt_says);
        let late = heard.each_ref().map(|(at, _)| at.duration_since(said).as_millis());
        eprintln!("{what}: told {late:?} ms after libvirt; {}", heard[0].1["text"]);
        assert!(late.iter().all(|late| *late < 1000), "{what}: {late:?} ms after libvirt's event");
        let [(_, one), (_, other)] = heard;
        assert_eq!((&one["fact"], &one["cursor"]), (&other["fact"], &other["cursor"]), "both hear the same");
        assert_eq!(one["fact"]["origin"]["origin"], cause[0], "{one:#}");
        one
    }

    /// What waits ends so: the codes of north's suspend and south's note.
    #[track_caller]
    fn ends(&mut self, waiting: &Waiting, suspend: &str, aside: &str) {
        let suspended = self.on.ended(&waiting.suspend);
        assert_eq!(suspended["state"], suspend, "{suspended:#}");
        let reason = suspended["reason"].as_str().unwrap_or_default();
        assert!(reason.ends_with(aside), "{suspended:#}");
        let noted = self.on.south.ended(&self.on.vm, &waiting.note, LONG);
        assert_eq!(noted["state"], "done", "{noted:#}");
        if suspend == "done" {
            self.on.done("power.resume", &json!({}));
        }
    }

    /// Somebody starts the guest, and it is up.
    #[track_caller]
    fn boot(&self) {
        self.on.virsh(&["start", "@"]);
        self.both_told("virsh start", "Started Booted", ["out-of-band", "started"], |event| {
            event["fact"]["state"]["power"] == "running"
        });
        self.on.guest.await_agent();
    }

    /// The VM ended: both are told, what waits is impossible or done, and it stays off.
    #[track_caller]
    fn ended(&mut self, what: &str, libvirt_says: &str, cause: [&str; 2], act: impl Fn(&Stage<'a>)) {
        let waiting = self.waiting();
        act(&self.on);
        self.both_told(what, libvirt_says, cause, |event| event["fact"]["state"]["power"] == "shut-off");
        let by = match cause[0] {
            "out-of-band" => "out of band",
            "guest" => "by the guest",
            _ => "by the hypervisor",
        };
        self.ends(&waiting, "impossible", &format!("({by}: {})", cause[1]));
        assert_eq!(self.on.domstate(), "shut off", "{what}: nobody but us may start it");
    }
}

#[test]
fn both_providers_are_told_within_a_second_who_ended_the_vm() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("both_providers_are_told_within_a_second_who_ended_the_vm", &reason),
    };
    let mut scene = Scene::set(&libvirt, "ended");

    scene.ended("virsh destroy", "Stopped Destroyed", ["out-of-band", "destroyed"], |stage| {
        stage.virsh(&["destroy", "@"]);
    });
    scene.boot();
    scene.ended("poweroff in the guest", "Stopped Shutdown", ["guest", "guest-shutdown"], |stage| {
        stage.guest.exec("/bin/busybox", &["poweroff", "-f"]);
    });

    // While it is off it is redefined with more vCPUs: a command that was impossible becomes possible as it waits.
    let more = scene.on.submit("cpu.set", &json!({ "vcpus": 6 }));
    assert_eq!(scene.on.north.command(&scene.on.vm, &more)["state"], "queued");
    redefine(&scene.on, 6);
    scene.both_told("virsh define, off", "Defined Updated", ["out-of-band", "redefined"], |event| {
        event["fact"]["state"]["vcpus_max"] == 6
    });
    assert_eq!(scene.on.ended(&more)["state"], "done");
    scene.on.done("cpu.set", &json!({ "vcpus": 1 }));

    scene.boot();
    scene.ended("QEMU killed", "Stopped", ["hypervisor", "crashed"], |stage| stage.guest.kill9());
    let log = scene.on.agent.log();
    assert_eq!(log.matches(" ERROR ").count(), 0, "{log}");
}

/// Somebody defines the VM anew with room for more vCPUs.
fn redefine(stage: &Stage<'_>, vcpus: u32) {
    let xml = stage.virsh(&["dumpxml", "--inactive", "@"]);
    let (before, rest) = xml.split_once("<vcpu ").expect("vCPUs");
    let (_, after) = rest.split_once("</vcpu>").expect("their end");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("more.xml");
    std::fs::write(&file, format!("{before}<vcpu current='1'>{vcpus}</vcpu>{after}")).expect("write");
    stage.virsh(&["define", file.to_str().expect("a path of letters")]);
}

#[test]
fn both_providers_are_told_within_a_second_what_the_state_does_not_show() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("both_providers_are_told_within_a_second_what_the_state_does_not_show", &reason);
        }
    };
    let mut scene = Scene::set(&libvirt, "happened");
    let happened = |event: &Value| event["kind"] == "happened";

    let waiting = scene.waiting();
    redefine(&scene.on, 6);
    scene.both_told("virsh define, running", "Defined Updated", ["out-of-band", "redefined"], happened);
    scene.ends(&waiting, "done", "");

    let disk = format!("{}.pulled.qcow2", scene.on.guest.name());
    let disk = disk_for(&libvirt, &disk, "4M");
    scene.on.virsh(&["attach-disk", "@", &disk, "vdb", "--subdriver", "qcow2", "--live"]);
    let added = scene.both_told("a device plugged", "device-added", ["out-of-band", "device-added"], happened);
    assert_eq!(added["fact"]["subject"], "virtio-disk1", "{added:#}");
    let waiting = scene.waiting();
    scene.on.virsh(&["detach-disk", "@", "vdb", "--live"]);
    let pulled = scene.both_told("a device pulled", "device-removed", ["out-of-band", "device-removed"], happened);
    assert_eq!(pulled["fact"]["subject"], "virtio-disk1", "{pulled:#}");
    scene.ends(&waiting, "done", "");

    let boots = scene.on.guest.console().matches("GUEST-READY").count();
    let waiting = scene.waiting();
    scene.on.guest.exec("/bin/busybox", &["reboot", "-f"]);
    scene.both_told("reboot in the guest", "event 'reboot'", ["guest", "rebooted"], happened);
    scene.ends(&waiting, "done", "");
    scene.on.guest.await_console("GUEST-READY", boots + 1);
    scene.on.guest.await_agent();

    // One of ours is a command's doing, and told as that alone.
    let _ = scene.listeners[1].so_far();
    scene.on.done("power.reset", &json!({}));
    scene.on.guest.await_console("GUEST-READY", boots + 2);
    scene.on.guest.await_agent();
    let told = scene.listeners[1].so_far();
    assert!(told.iter().any(|event| event["kind"] == "ended"), "{told:#?}");
    assert!(!told.iter().any(|event| event["fact"]["origin"]["cause"] == "rebooted"), "{told:#?}");
    assert_eq!(scene.on.domstate(), "running");
}

/// An empty disk image, where libvirtd's guests find it.
fn disk_for(libvirt: &PrivateLibvirt, name: &str, size: &str) -> String {
    let path = libvirt.folder().join(name).display().to_string();
    let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2", &path, size]).status();
    assert!(made.expect("run qemu-img").success());
    path
}

#[test]
fn a_full_disk_pauses_the_vm_and_nobody_of_ours_resumes_it() {
    let name = "a_full_disk_pauses_the_vm_and_nobody_of_ours_resumes_it";
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip(name, &reason),
    };
    let mut scene = Scene::set(&libvirt, "full");
    // A file system of 2 MiB that only libvirtd and its guests see, with a disk on it that believes in 64.
    let small = libvirt.folder().join(format!("{}.small", scene.on.guest.name()));
    std::fs::create_dir_all(&small).expect("make a folder");
    let small = small.display().to_string();
    let inside = |words: &[&str]| {
        let mut command = Command::new("nsenter");
        command.args(["--target", &libvirt.pid(), "--mount", "--"]).args(words);
        command.status().is_ok_and(|status| status.success())
    };
    if !inside(&["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", &small]) {
        return skip(name, "no file system can be mounted for libvirtd here");
    }
    let disk = format!("{small}/small.qcow2");
    assert!(inside(&["qemu-img", "create", "-q", "-f", "qcow2", &disk, "64M"]));
    let xml = format!(
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2' error_policy='enospace'/>\
         <source file='{disk}'/><target dev='vdb' bus='virtio'/></disk>"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("disk.xml");
    std::fs::write(&file, xml).expect("write");
    scene.on.virsh(&["attach-device", "@", file.to_str().expect("a path"), "--live"]);
    scene.both_told("a device plugged", "device-added", ["out-of-band", "device-added"], |_| true);

    let waiting = scene.waiting();
    // The guest takes a moment to find its new disk.
    let fill = "until [ -b /dev/vdb ]; do sleep 0.1; done; dd if=/dev/zero of=/dev/vdb bs=65536 count=100; sync";
    scene.on.guest.exec("/bin/busybox", &["sh", "-c", fill]);
    let full = |event: &Value| event["kind"] == "happened";
    let told = scene.both_told("a full disk", "event 'io-error-reason'", ["hypervisor", "no-space"], full);
    assert_eq!(told["fact"]["subject"], "virtio-disk1", "{told:#}");
    let paused = |event: &Value| event["fact"]["state"]["power"] == "paused";
    scene.both_told("its pause", "Suspended I/O Error", ["hypervisor", "no-space"], paused);
    scene.ends(&waiting, "impossible", "(by the hypervisor: no-space)");
    assert_eq!(scene.on.domstate(), "paused", "covirt resumes nothing by itself");

    // Somebody makes room and lets it go on.
    assert!(inside(&["mount", "-o", "remount,size=128m", &small]));
    scene.on.virsh(&["resume", "@"]);
    scene.both_told("virsh resume", "Resumed Unpaused", ["out-of-band", "resumed"], |event| {
        event["fact"]["state"]["power"] == "running"
    });
    scene.on.virsh(&["destroy", "@"]);
    assert!(inside(&["umount", &small]));
}

#[test]
fn a_vm_is_its_uuid_and_a_start_is_its_id() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("a_vm_is_its_uuid_and_a_start_is_its_id", &reason),
    };
    let guest = Guest::define(&libvirt, "identity");
    let Stage { agent, guest, vm: old, mut north, .. } = Stage::set(&libvirt, guest, "");
    let listener = agent.listen("north", 0);

    // Decided for one start, executed on none: the firmware has no part in this, so the guest need not be up.
    libvirt.virsh(&["start", guest.name()]);
    let (vm, runtime) = (VmId(old.parse().expect("a UUID")), tokio::runtime::Runtime::new().expect("a runtime"));
    let second = runtime.block_on(async {
        let adapter = Libvirt::connect(libvirt.uri(), Options::default()).expect("connect");
        let first = adapter.observe(vm).await.expect("observe");
        let suspend = libvirt_calls::call(vm, &first, Action::PowerSuspend, Value::Null);
        libvirt.virsh(&["destroy", guest.name()]);
        libvirt.virsh(&["start", guest.name()]);
        let second = adapter.observe(vm).await.expect("observe");
        assert_ne!(first.start, second.start);
        let CallResult::Failed(outcome) = adapter.execute(suspend).await else { panic!("it was executed") };
        assert_eq!(outcome.ending, Ending::Impossible);
        assert!(outcome.reason.contains("started again meanwhile"), "{}", outcome.reason);
        assert_eq!(adapter.observe(vm).await.expect("observe").power, PowerState::Running);
        second.start
    });
    // A look may come after both starts.
    let runs = |event: &Value| {
        let state = &event["fact"]["state"];
        state["power"] == "running" && state["start"] == json!(second)
    };
    let started = listener.next("the second start", runs).1;
    assert_eq!(started["fact"]["origin"], json!({ "origin": "out-of-band", "cause": "started" }), "{started:#}");

    // Another UUID is another VM, whatever its name.
    let xml = libvirt.virsh(&["dumpxml", "--inactive", guest.name()]);
    libvirt.virsh(&["destroy", guest.name()]);
    // Undefined at once, it may be gone by the look that the end of its run asked for.
    listener.next("it is off", |event| event["fact"]["state"]["power"] == "shut-off");
    libvirt.virsh(&["undefine", guest.name()]);
    let gone = listener.next("it is gone", |event| event["kind"] == "vanished").1;
    assert_eq!(gone["fact"]["origin"], json!({ "origin": "out-of-band", "cause": "undefined" }), "{gone:#}");
    let new = uuid::Uuid::now_v7().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("anew.xml");
    std::fs::write(&file, xml.replace(&old, &new)).expect("write");
    libvirt.virsh(&["define", file.to_str().expect("a path of letters")]);
    libvirt.virsh(&["start", guest.name()]);

    let refused = north.try_submit(&old, "power.stop", &json!({}), 0).expect("an answer");
    assert_eq!(refused.code(), "vm-gone", "{}", refused.body);
    let refused = north.try_submit(&new, "power.stop", &json!({}), 0).expect("an answer");
    assert_eq!(refused.code(), "unknown-vm", "{}", refused.body);
    assert_eq!(libvirt.virsh(&["domstate", guest.name()]).trim(), "running", "it was left alone");
}

#[test]
fn both_providers_are_told_within_a_second_how_a_job_ended_that_somebody_began() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("both_providers_are_told_within_a_second_how_a_job_ended_that_somebody_began", &reason);
        }
    };
    let scene = Scene::set(&libvirt, "jobs");
    let name = scene.on.guest.name();
    let file = |suffix: &str| libvirt.folder().join(format!("{name}.{suffix}")).display().to_string();
    // No event tells that a job has begun; the next look for another reason shows it.
    let open = |hold: &str| {
        libvirt.virsh(&["metadata", name, "urn:probe", "--key", "p", "--set", "<p/>", "--live"]);
        for listener in &scene.listeners {
            listener.next("it is open", |event| event["fact"]["state"]["jobs"] == json!([hold]));
        }
    };
    let over = |event: &Value| event["kind"] == "observed" && event["fact"]["state"].get("jobs").is_none();

    let write = "dd if=/dev/urandom of=/mnt/vda/much bs=1M count=6 && sync && echo WRITTEN >/dev/ttyS0";
    scene.on.guest.exec("/bin/sh", &["-c", write]);
    scene.on.guest.await_console("WRITTEN", 1);
    let overlay = format!("vda,file={}", file("overlay"));
    libvirt.virsh(&["snapshot-create-as", name, "over", "--disk-only", "--no-metadata", "--diskspec", &overlay]);
    libvirt.virsh(&["blockpull", name, "vda", "--bandwidth", "2"]);
    open("block:vda");
    scene.both_told("a pull that is done", "for vda", ["hypervisor", "job-ended"], over);

    libvirt.virsh(&["blockcopy", name, "vda", "--dest", &file("copy"), "--bandwidth", "1", "--transient-job"]);
    open("block:vda");
    libvirt.virsh(&["blockjob", name, "vda", "--abort"]);
    scene.both_told("a copy that is given up", "for vda", ["out-of-band", "job-stopped"], over);

    let backup = file("backup.xml");
    let text = format!(
        "<domainbackup mode='pull'><server transport='unix' socket='{}'/><disks>\
         <disk name='vda' backup='yes' type='file'><scratch file='{}'/></disk></disks></domainbackup>",
        file("sock"),
        file("scratch")
    );
    std::fs::write(&backup, text).expect("write");
    libvirt.virsh(&["backup-begin", name, &backup]);
    open("backup");
    libvirt.virsh(&["domjobabort", name]);
    scene.both_told("a backup that was read", "event 'job-completed'", ["out-of-band", "job-stopped"], over);
    assert_eq!(scene.on.domstate(), "running");
}
