//! Backups, checkpoints, disks and block jobs on real guests: what is written is compared bit by bit with what the guest
//! has, and what is refused leaves everything as it was.

#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/stage.rs"]
mod stage;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use serde_json::{Value, json};

use stage::{LONG, Stage};
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};

const MIB: u64 = 1 << 20;

impl Stage<'_> {
    /// The guest writes so much that nobody can guess, and has it on its disk.
    fn write(&self, name: &str, mebibytes: u32) {
        let script = format!(
            "dd if=/dev/urandom of=/mnt/vda/{name} bs=1M count={mebibytes} && sync && echo WRITTEN-{name} >/dev/ttyS0"
        );
        self.guest.exec("/bin/sh", &["-c", &script]);
        self.guest.await_console(&format!("WRITTEN-{name}"), 1);
    }

    /// The same, and the guest stands still afterwards.
    #[track_caller]
    fn write_and_halt(&mut self, name: &str, mebibytes: u32) {
        self.write(name, mebibytes);
        self.done("power.suspend", &json!({}));
    }

    /// What is open, as libvirt says now; while it is busy with the VM it does not, and is asked again.
    #[track_caller]
    fn open(&mut self) -> Value {
        until("libvirt tells what is open", LONG, || match self.read().get("jobs") {
            Some(Value::Null) => None,
            Some(jobs) => Some(jobs.clone()),
            None => Some(json!([])),
        })
    }

    #[track_caller]
    fn checkpoints(&mut self) -> Value {
        self.read()["checkpoints"].clone()
    }

    #[track_caller]
    fn until_nothing_is_open(&mut self) {
        until("everything is over", LONG, || (self.open() == json!([])).then_some(()));
    }

    /// Goes over to what a block job made, as soon as it can.
    #[track_caller]
    fn pivot(&mut self) {
        until("the job is ready", LONG, || {
            let view = self.run("block.abort", &json!({ "disk": "vda", "pivot": true }));
            if view["state"] != "done" {
                assert_eq!(view["code"], "state-forbids", "{view:#}");
                return None;
            }
            Some(())
        });
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.libvirt.folder().join(format!("{}.{suffix}", self.guest.name()))
    }

    /// The file that the guest writes to now.
    #[track_caller]
    fn active(&self) -> PathBuf {
        self.source("vda")
    }

    /// The file that the guest has as this disk now.
    #[track_caller]
    fn source(&self, disk: &str) -> PathBuf {
        let listed = self.virsh(&["domblklist", "@"]);
        let of_disk = listed.lines().find_map(|line| line.trim().strip_prefix(disk));
        of_disk.unwrap_or_else(|| panic!("{disk} is not listed: {listed}")).trim().into()
    }

    #[track_caller]
    fn capacity(&self) -> u64 {
        let info = self.virsh(&["domblkinfo", "@", "vda"]);
        let line = info.lines().find_map(|line| line.strip_prefix("Capacity:")).expect("a capacity");
        line.trim().parse().expect("bytes")
    }
}

#[track_caller]
fn qemu_img(arguments: &[&str]) -> String {
    let output = Command::new("qemu-img").args(arguments).output().expect("run qemu-img");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qemu-img {arguments:?}: {errors}{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

/// Fails unless both hold the same, whatever their formats.
#[track_caller]
fn same(one: &Path, other: &Path) {
    qemu_img(&["compare", "-U", text(one), text(other)]);
}

/// Bytes that the image itself holds, not what is below it.
#[track_caller]
fn held(image: &Path) -> u64 {
    let map: Vec<Value> = serde_json::from_str(&qemu_img(&["map", "-U", "--output=json", text(image)])).expect("JSON");
    let own = map.iter().filter(|extent| extent["depth"] == 0 && extent["data"] == true);
    own.map(|extent| extent["length"].as_u64().expect("a length")).sum()
}

#[track_caller]
fn backing(image: &Path) -> Value {
    let info: Value = serde_json::from_str(&qemu_img(&["info", "-U", "--output=json", text(image)])).expect("JSON");
    info["full-backing-filename"].clone()
}

#[test]
fn backups_hold_what_the_guest_had_and_each_provider_has_its_own_chain() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("backups_hold_what_the_guest_had_and_each_provider_has_its_own_chain", &reason);
        }
    };
    let mut stage = Stage::booted(&libvirt, "backups", "");
    stage.delegate(&["backup.*", "checkpoint.*"], "shared");
    let vm = stage.vm.clone();
    let cursor = stage.north.get("/healthz").ok()["journal"].as_u64().expect("a position");
    let listener = stage.agent.listen("north", cursor);

    stage.write_and_halt("one", 3);
    let (full, live) = (stage.file("full"), stage.active());
    let push = json!({ "mode": "push", "files": { "vda": full }, "checkpoint": "north.one" });
    let begun = stage.done("backup.begin", &push);
    assert_eq!((&begun["disks"]["vda"]["file"], &begun["checkpoint"]), (&json!(full), &json!("north.one")), "{begun}");
    stage.until_nothing_is_open();
    let over = Timestamp::now();
    listener.next("the end of the call", |event| event["kind"] == "ended" && event["fact"].to_string().contains("vda"));
    let (told, _) = listener.next("the end of the backup", |event| {
        event["kind"] == "observed" && event["fact"]["state"].get("jobs").is_none()
    });
    assert!(told.duration_since(over).as_millis() < 1000, "told at {told}, over at {over}");
    same(&full, &live);

    let there = json!({ "mode": "push", "files": { "vda": full } });
    stage.ends("backup.begin", &there, ["failed", "hypervisor-failed", ""]);
    same(&full, &live);

    // Nobody writes over an image, and nobody's checkpoint is made twice.
    stage.forbidden("backup.begin", &json!({ "mode": "push", "files": { "vda": live } }), "is an image of the VM");
    let again = json!({ "mode": "push", "files": { "vda": stage.file("again") }, "checkpoint": "north.one" });
    stage.forbidden("backup.begin", &again, "exists already");

    stage.done("power.resume", &json!({}));
    stage.write_and_halt("two", 2);
    let changes = stage.file("changes");
    let since = json!({ "mode": "push", "files": { "vda": changes }, "incremental": "north.one",
                        "checkpoint": "north.two" });
    stage.done("backup.begin", &since);
    stage.until_nothing_is_open();
    let held = held(&changes);
    assert!((2 * MIB..8 * MIB).contains(&held), "{held} bytes are what was written since");
    qemu_img(&["rebase", "-u", "-F", "qcow2", "-b", text(&full), text(&changes)]);
    same(&changes, &live);

    // One that is read by others holds the moment at which it began, whatever the guest writes meanwhile.
    let (socket, pulled) = (stage.file("sock"), stage.file("pulled"));
    let pull = json!({ "mode": "pull", "socket": socket, "scratch": { "vda": stage.file("scratch") } });
    let begun = stage.done("backup.begin", &pull);
    assert_eq!(stage.open(), json!(["backup"]));
    let uri = begun["disks"]["vda"]["uri"].as_str().expect("where it is read").to_owned();
    qemu_img(&["convert", "-O", "qcow2", &uri, text(&pulled)]);
    same(&pulled, &live);
    stage.done("power.resume", &json!({}));
    stage.write_and_halt("three", 1);
    let later = stage.file("later");
    qemu_img(&["convert", "-O", "qcow2", &uri, text(&later)]);
    same(&later, &pulled);
    stage.done("backup.end", &json!({}));
    assert_eq!(stage.open(), json!([]));
    stage.forbidden("backup.end", &json!({}), "no backup is open");

    // What changed since a checkpoint is served with a bitmap that says where.
    let pull = json!({ "mode": "pull", "socket": socket, "incremental": "north.two", "disks": ["vda"] });
    let begun = stage.done("backup.begin", &pull);
    assert_eq!(begun["disks"]["vda"]["bitmap"], "backup-vda", "{begun}");
    let image = format!(
        "driver=nbd,export=vda,server.type=unix,server.path={},x-dirty-bitmap=qemu:dirty-bitmap:backup-vda",
        text(&socket)
    );
    let map: Vec<Value> =
        serde_json::from_str(&qemu_img(&["map", "--output=json", "--image-opts", &image])).expect("JSON");
    // In this view of QEMU's, what is dirty has no data.
    let dirty: u64 = map.iter().filter(|extent| extent["data"] == false).filter_map(|e| e["length"].as_u64()).sum();
    assert!((MIB..8 * MIB).contains(&dirty), "{dirty} bytes changed since: {map:?}");
    stage.done("backup.end", &json!({}));

    // A chain for each, and nobody cuts another's; what virsh made is seen, and is nobody's here.
    assert_eq!(stage.south.run(&vm, "checkpoint.create", &json!({ "name": "south.a" }))["state"], "done");
    stage.virsh(&["checkpoint-create-as", "@", "outsider", "--diskspec", "vda,checkpoint=bitmap"]);
    assert_eq!(stage.checkpoints(), json!(["north.one", "north.two", "outsider", "south.a"]));
    for name in ["north.one", "outsider"] {
        let args = json!({ "name": name });
        let refused = stage.south.try_submit(&vm, "checkpoint.delete", &args, 0).expect("an answer");
        assert_eq!(refused.code(), "name-not-yours", "{}", refused.body);
    }
    let refused = stage.south.try_submit(&vm, "checkpoint.create", &json!({ "name": "north.x" }), 0);
    assert_eq!(refused.expect("an answer").code(), "name-not-yours");
    stage.done("checkpoint.delete", &json!({ "name": "north.one" }));
    assert_eq!(stage.checkpoints(), json!(["north.two", "outsider", "south.a"]));
    stage.forbidden("checkpoint.delete", &json!({ "name": "north.one" }), "north.one");

    // What is more urgent ends a backup cleanly: its checkpoint goes with it, and its owner is told for whom.
    let chained = json!({ "mode": "pull", "socket": socket, "checkpoint": "south.b" });
    assert_eq!(stage.south.run(&vm, "backup.begin", &chained)["state"], "done");
    let stop = json!({ "id": uuid::Uuid::now_v7(), "action": "power.stop", "class": "critical" });
    stage.north.post(&format!("/v1/vms/{vm}/commands"), &stop).ok();
    assert_eq!(stage.ended(stop["id"].as_str().expect("an id"))["state"], "done");
    let given_up = stage.told("hold-given-up");
    assert_eq!(given_up.last().expect("it yields")["fact"]["why"], json!({ "why": "yielded", "to": stop["id"] }));
    until("the broken chain is cut", LONG, || {
        (stage.checkpoints() == json!(["north.two", "outsider", "south.a"])).then_some(())
    });
    stage.nobody_met_libvirts_lock();
}

#[test]
fn disks_grow_and_are_merged_pulled_and_copied_without_a_bit_lost() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("disks_grow_and_are_merged_pulled_and_copied_without_a_bit_lost", &reason);
        }
    };
    let mut stage = Stage::booted(&libvirt, "disks", "");
    let (own, disk) = (stage.active(), json!({ "disk": "vda" }));

    let before = stage.capacity();
    let larger = before + 32 * MIB;
    let grown = stage.done("disk.resize", &json!({ "disk": "vda", "capacity": larger }));
    assert_eq!((&grown["before"], stage.capacity()), (&json!(before), larger));
    stage.done("disk.resize", &json!({ "disk": "vda", "capacity": larger }));
    stage.forbidden("disk.resize", &json!({ "disk": "vda", "capacity": before }), "not made smaller");
    assert_eq!(stage.capacity(), larger);

    // An overlay, and back into what is below: never further down, where other guests' disks begin.
    stage.forbidden("block.abort", &disk, "no block job is open");
    stage.done("snapshot.create", &json!({ "name": "over", "kind": "disk-only" }));
    assert_ne!(stage.active(), own);
    stage.write_and_halt("four", 2);
    let whole = stage.file("whole");
    qemu_img(&["convert", "-U", "-O", "qcow2", text(&stage.active()), text(&whole)]);
    let below = backing(&own);
    let begun = stage.done("block.commit", &disk);
    assert_eq!(begun["pivot"], true, "{begun}");
    assert_eq!(stage.open(), json!(["block:vda"]));
    stage.pivot();
    assert_eq!(stage.open(), json!([]));
    assert_eq!(stage.active(), own);
    assert_eq!(backing(&own), below);
    same(&own, &whole);

    // What is below now is another guest's, too.
    let neighbour = Guest::define(&libvirt, "neighbour");
    neighbour.domain(&libvirt.connect()).create().expect("start it");
    stage.forbidden("block.commit", &disk, "is an image of the VM neighbour");
    stage.forbidden("block.commit", &json!({ "disk": "vda", "base": "/nowhere" }), "is no image of vda");
    drop(neighbour);

    // A mirror that is given up changes nothing; one that is gone over to is the disk.
    let copy = |to: &Path, bandwidth: u64| json!({ "disk": "vda", "to": to, "bandwidth": bandwidth });
    stage.done("block.copy", &copy(&stage.file("dropped"), MIB));
    assert_eq!(stage.open(), json!(["block:vda"]));
    stage.forbidden("block.abort", &json!({ "disk": "vda", "pivot": true }), "");
    stage.done("block.abort", &disk);
    assert_eq!((stage.open(), stage.active()), (json!([]), own.clone()));
    stage.forbidden("block.copy", &copy(&own, 0), "is an image of the VM");
    let moved = stage.file("moved");
    stage.done("block.copy", &copy(&moved, 0));
    stage.pivot();
    assert_eq!(stage.active(), moved);
    same(&moved, &whole);

    // Everything brought up into one file, and the job's own end is noticed.
    stage.done("snapshot.create", &json!({ "name": "again", "kind": "disk-only" }));
    let top = stage.active();
    assert_eq!(backing(&top), json!(moved));
    stage.done("block.pull", &disk);
    stage.until_nothing_is_open();
    assert_eq!((stage.active(), backing(&top)), (top.clone(), Value::Null));

    // The definition is the same whether the VM runs or not.
    let running = stage.read();
    stage.done("power.stop", &json!({}));
    let off = stage.read();
    assert_eq!((&running["definition"], &running["devices"]), (&off["definition"], &off["devices"]));
    assert!(off["definition"].is_string() && off["devices"].to_string().contains("disk:vda"), "{off:#}");
    // Only now has QEMU written all that it knew of where things are in the image.
    same(&top, &whole);
}

#[test]
fn a_snapshot_leaves_alone_the_disks_that_it_does_not_name() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("a_snapshot_leaves_alone_the_disks_that_it_does_not_name", &reason),
    };
    let mut stage = Stage::booted(&libvirt, "named", "");
    // libvirt names an overlay after the image up to its last dot, so that this is to differ.
    let (first, second) = (stage.active(), libvirt.folder().join(format!("second-{}.qcow2", std::process::id())));
    qemu_img(&["create", "-q", "-f", "qcow2", text(&second), "8M"]);
    let xml = format!(
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/>\
         <target dev='vdb' bus='virtio'/></disk>",
        text(&second)
    );
    stage.done("device.attach", &json!({ "xml": xml }));
    let before = std::fs::read(&second).expect("read the image");

    let of = |name: &str, disks: &[&str]| json!({ "name": name, "kind": "disk-only", "disks": disks });
    stage.forbidden("snapshot.create", &of("none", &["vda", "vdz"]), "disk:vdz");
    stage.done("snapshot.create", &of("first", &["vda"]));
    let overlay = stage.active();
    assert_ne!(overlay, first);
    assert_eq!(backing(&overlay), json!(first));
    assert_eq!(stage.source("vdb"), second);
    assert_eq!(std::fs::read(&second).expect("read the image"), before);

    stage.done("snapshot.create", &of("second", &["vdb"]));
    assert_eq!(stage.active(), overlay);
    assert_eq!(backing(&stage.source("vdb")), json!(second));
    stage.done("snapshot.create", &of("every", &[]));
    assert_eq!(backing(&stage.active()), json!(overlay));
    assert_eq!(stage.read()["snapshots"], json!(["every", "first", "second"]));
    let full = json!({ "name": "full", "disks": ["vda"] });
    assert_eq!(stage.refused("snapshot.create", &full), "malformed", "memory is of no disk alone");
}

#[test]
fn what_is_open_goes_on_when_libvirtd_is_killed_and_what_waits_goes_on_waiting() {
    let test = "what_is_open_goes_on_when_libvirtd_is_killed_and_what_waits_goes_on_waiting";
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip(test, &reason),
    };
    let mut stage = Stage::booted(&libvirt, "midjob", "");
    stage.delegate(&["backup.*"], "shared");
    let vm = stage.vm.clone();
    let pull = json!({ "mode": "pull", "socket": stage.file("sock"), "scratch": { "vda": stage.file("scratch") } });
    let begun = stage.south.run(&vm, "backup.begin", &pull);
    assert_eq!(begun["state"], "done", "{begun:#}");
    let uri = begun["result"]["disks"]["vda"]["uri"].as_str().expect("where it is read").to_owned();

    // libvirt would make each of these wait for its lock, and then refuse it.
    let waiting: Vec<String> = [
        ("snapshot.create", json!({ "name": "meanwhile", "kind": "disk-only" })),
        ("disk.resize", json!({ "disk": "vda", "capacity": stage.capacity() + MIB })),
        ("power.stop", json!({})),
    ]
    .iter()
    .map(|(action, args)| stage.submit(action, args))
    .collect();
    let waits = |stage: &mut Stage<'_>| {
        let views: Vec<Value> = waiting.iter().map(|id| stage.north.command(&vm, id)).collect();
        views.iter().all(|view| view["state"] == "queued").then_some(views)
    };
    let is_open = |stage: &mut Stage<'_>| {
        let list = stage.north.get(&format!("/v1/vms/{vm}/holds")).ok();
        (list["holds"].as_array().expect("holds").len() == 1).then(|| list["holds"][0].clone())
    };
    until("all of them wait", LONG, || {
        let views = waits(&mut stage)?;
        views[0]["reason"].as_str()?.starts_with("the backup of south is open").then_some(())
    });

    libvirt.kill9();
    until("the agent knows", LONG, || stage.agent.log().contains("libvirt is lost").then_some(()));
    libvirt.up();
    // Until then what is read ends at once, because libvirt is not reached.
    until("the agent reaches it again", LONG, || stage.agent.log().contains("every lane looks again").then_some(()));
    assert_eq!(stage.open(), json!(["backup"]), "libvirt knows of it again");
    let hold = is_open(&mut stage).expect("the lane does as well");
    assert_eq!((&hold["hold"], &hold["owner"]), (&json!("backup"), &json!("south")), "{hold:#}");
    assert!(waits(&mut stage).is_some(), "nothing that waits was let go");
    qemu_img(&["info", "--force-share", &uri]);

    // Its owner ends it as if nothing had been, and the others have their turn.
    let ended = stage.south.run(&vm, "backup.end", &json!({}));
    assert_eq!(ended["state"], "done", "{ended:#}");
    let states: Vec<Value> = waiting.iter().map(|id| stage.ended(id)["state"].clone()).collect();
    assert_eq!(states, ["done", "done", "done"]);
    let closed = stage.told("hold-closed");
    assert_eq!((closed.len(), &closed[0]["fact"]["how"]["how"]), (1, &json!("by-command")), "{closed:#?}");
    assert_eq!(stage.domstate(), "shut off");
    stage.nobody_met_libvirts_lock();
}
