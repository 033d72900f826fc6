//! A VM's disks through the agent's API, on real guests: a pull backup over NBD, whole and by increments, and the image of
//! a disk of a VM that is off.

mod access;
#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/stage.rs"]
mod stage;
mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use access::guests::stored;
use access::{Running, covirt, ends, libvirt, refused_web};
use serde_json::{Value, json};
use stage::{LONG, Stage};
use support::{skip, until};

#[track_caller]
fn tool(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Serves the backup of `vm` at a socket of the test's.
#[track_caller]
fn serve(stage: &Stage<'_>, name: &str) -> (Running, PathBuf) {
    let path = stage.agent.folder().join(name);
    let text = path.to_str().unwrap();
    let running =
        Running::begin(&stage.agent.socket(), "south", &["nbd", &stage.vm, "--disk", "vda", "--listen", text]);
    until("covirt nbd listens", LONG, || path.exists().then_some(()));
    (running, path)
}

#[track_caller]
fn south(stage: &mut Stage<'_>, action: &str, args: &Value) {
    let view = stage.south.run(&stage.vm, action, args);
    assert_eq!(view["state"], "done", "{action}: {view:#}");
}

#[test]
fn a_backup_is_read_over_nbd_whole_and_by_increments_and_closes_with_its_delegation() {
    let name = "a_backup_is_read_over_nbd_whole_and_by_increments_and_closes_with_its_delegation";
    let libvirt = libvirt!(name);
    if Command::new("nbdinfo").arg("--version").output().is_err() {
        return skip(name, "there is no nbdinfo (libnbd-bin)");
    }
    let mut stage = Stage::booted(&libvirt, "nbd", &format!("host_folders = ['{}']\n", libvirt.folder().display()));
    let (vm, socket) = (stage.vm.clone(), stage.agent.socket());
    stage.delegate(&["backup.begin", "backup.end", "checkpoint.create"], "shared");
    let nbd = format!("/v1/vms/{vm}/holds/backup/nbd");
    assert_eq!(refused_web(&socket, "south", &nbd)["code"], "unknown-hold");
    let folder = libvirt.folder().join(format!("nbd-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("open to QEMU");
    let export = |number: u32| folder.join(format!("s{number}")).to_str().unwrap().to_owned();
    let begin = |number: u32, since: Option<&str>, checkpoint: &str| {
        json!({ "mode": "pull", "socket": export(number), "disks": ["vda"], "incremental": since,
                "checkpoint": checkpoint, "lease_s": 600 })
    };
    south(&mut stage, "backup.begin", &begin(1, None, "south.one"));
    assert_eq!(refused_web(&socket, "north", &nbd)["code"], "held-by-other", "it is south's");
    let (mut serving, path) = serve(&stage, "nbd1");
    let address = format!("nbd+unix:///vda?socket={}", path.display());
    let info: Value = serde_json::from_str(&tool("nbdinfo", &["--json", &address])).expect("nbdinfo's JSON");
    let size = info["exports"][0]["export-size"].as_u64().expect("a size");
    let full = stage.agent.folder().join("full.raw");
    tool("qemu-img", &["convert", "-f", "raw", "-O", "raw", &address, full.to_str().unwrap()]);
    assert_eq!(full.metadata().unwrap().len(), size);
    let open = stage.south.get("/v1/channels").ok();
    assert!(open["channels"].as_array().unwrap().iter().all(|channel| channel["kind"] == "nbd"), "{open:#}");
    // Its end takes the channels that are open with it.
    let mut idle = access::open_web(&socket, "south", &nbd, Some("binary"));
    south(&mut stage, "backup.end", &json!({}));
    loop {
        if let tokio_tungstenite::tungstenite::Message::Close(Some(frame)) = idle.read().expect("its end") {
            assert!(["backup-over", "vm-left"].contains(&frame.reason.as_str()), "{frame:?}");
            break;
        }
    }
    let _ = serving.0.kill();
    let _ = serving.0.wait();
    // What is written between the two is in the second, and the map of the first says where.
    stage.guest.exec(
        "/bin/sh",
        &["-c", "dd if=/dev/urandom of=/dev/vda bs=4096 seek=2048 count=300 conv=fsync; echo WR''OTE >/dev/ttyS0"],
    );
    stage.guest.await_console("WROTE", 1);
    south(&mut stage, "backup.begin", &begin(2, Some("south.one"), "south.two"));
    let (mut serving, path) = serve(&stage, "nbd2");
    let address = format!("nbd+unix:///vda?socket={}", path.display());
    let map = tool("nbdinfo", &["--json", "--map=qemu:dirty-bitmap:backup-vda", &address]);
    let extents: Vec<Value> = serde_json::from_str(&map).expect("a map");
    let second = stage.agent.folder().join("second.raw");
    tool("qemu-img", &["convert", "-f", "raw", "-O", "raw", &address, second.to_str().unwrap()]);
    let (before, after) = (std::fs::read(&full).unwrap(), std::fs::read(&second).unwrap());
    assert_ne!(before, after, "the guest wrote");
    let mut built = before;
    let mut moved = 0;
    for extent in extents.iter().filter(|extent| extent["type"] == 1) {
        let number = |key: &str| usize::try_from(extent[key].as_u64().unwrap()).unwrap();
        let part = number("offset")..number("offset") + number("length");
        built[part.clone()].copy_from_slice(&after[part.clone()]);
        moved += part.len();
    }
    assert!(moved >= 300 * 4096 && moved < built.len() / 2, "{moved} bytes are dirty");
    assert!(built == after, "full + increment = the disk");
    // The delegation's end is the export's.
    stage.north.delete(&format!("/v1/vms/{vm}/delegations/south?actions=backup.begin")).ok();
    assert_eq!(refused_web(&socket, "south", &nbd)["code"], "not-delegated");
    until("covirt nbd finds itself refused", LONG, || {
        let _ = Command::new("nbdinfo").arg(&address).output();
        serving.0.try_wait().expect("its state")
    });
    assert!(!path.exists(), "the socket goes with it");
    let _ = std::fs::remove_dir_all(&folder);
}

/// A request whose answer is read as the test sees fit; what has come of the body so far.
fn ask(socket: &Path, provider: &str, path: &str, heads: &str) -> (UnixStream, String, Vec<u8>) {
    let mut stream = UnixStream::connect(socket).expect("the agent listens");
    stream.set_read_timeout(Some(LONG)).expect("a limit");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: covirt\r\ncovirt-provider: {provider}\r\n{heads}\r\n").expect("ask");
    let mut came = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = came.windows(4).position(|part| part == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&came[..end]).to_ascii_lowercase();
            return (stream, head, came[end + 4..].to_vec());
        }
        let count = stream.read(&mut chunk).expect("an answer");
        assert!(count > 0, "no answer");
        came.extend_from_slice(&chunk[..count]);
    }
}

#[test]
fn a_disk_of_a_vm_that_is_off_is_downloaded_and_keeps_the_vm_off_meanwhile() {
    let libvirt = libvirt!("a_disk_of_a_vm_that_is_off_is_downloaded_and_keeps_the_vm_off_meanwhile");
    let (guest, file, pool) = stored(&libvirt, "download");
    let mut stage = Stage::set(&libvirt, guest, "");
    let (vm, socket) = (stage.vm.clone(), stage.agent.socket());
    let wanted = std::fs::read(&file).unwrap();
    let copy = stage.agent.folder().join("copy.raw");
    covirt(&socket, "north", &["disk", "download", &vm, "vda", "-o", copy.to_str().unwrap()]).ok();
    assert!(std::fs::read(&copy).unwrap() == wanted, "every byte");
    assert_eq!(covirt(&socket, "north", &["disk", "download", &vm, "vda", "-o", copy.to_str().unwrap()]).code, Some(1));
    until("the lane knows that it is over", LONG, || ends(&mut stage.north, &vm).pop().filter(|how| how == "complete"));
    let path = format!("/v1/vms/{vm}/disks/vda/content");
    let (mut stream, head, mut part) = ask(&socket, "north", &path, "range: bytes=4194300-4194309\r\n");
    let mut chunk = [0; 64];
    while part.len() < 10 {
        let count = stream.read(&mut chunk).expect("the rest");
        assert!(count > 0, "it ended after {} bytes", part.len());
        part.extend_from_slice(&chunk[..count]);
    }
    assert!(head.contains(" 206 ") && head.contains(&format!("bytes 4194300-4194309/{}", wanted.len())), "{head}");
    assert!(head.contains("covirt-image-format: raw"), "{head}");
    assert_eq!(part, &wanted[4_194_300..4_194_310]);
    // What is wrong with the wish, and who may not.
    assert_eq!(stage.north.get(&format!("/v1/vms/{vm}/disks/vdz/content")).code(), "no-such-disk");
    assert_eq!(stage.north.get(&format!("/v1/vms/{vm}/disks/..%2f..%2fetc/content")).code(), "no-such-disk");
    stage.delegate(&["power.start"], "shared");
    assert_eq!(stage.south.get(&path).code(), "not-delegated");
    stage.delegate(&["disk.read"], "shared");
    let souths = stage.agent.folder().join("souths.raw");
    covirt(&socket, "south", &["disk", "download", &vm, "vda", "-o", souths.to_str().unwrap()]).ok();
    assert!(std::fs::read(&souths).unwrap() == wanted, "every byte, to whom it is delegated");
    stage.north.delete(&format!("/v1/vms/{vm}/delegations/south?actions=disk.read")).ok();
    assert_eq!(stage.south.get(&path).code(), "not-delegated");
    // One that is read slowly keeps the VM off, and says so.
    let (mut slow, head, _) = ask(&socket, "north", &path, "");
    assert!(head.contains(" 200 ") && head.contains(&format!("content-length: {}", wanted.len())), "{head}");
    let start = stage.south.submit(&vm, "power.start", &json!({}));
    let waits = stage.south.until_state(&vm, &start, &["queued"], LONG);
    assert!(waits["reason"].as_str().is_some_and(|why| why.contains("north reads disk:vda")), "{waits:#}");
    assert_eq!(stage.domstate(), "shut off");
    let open = stage.north.get("/v1/channels").ok()["channels"][0].clone();
    assert!(open["lease_left_s"].as_u64().is_some() && open["kind"] == "disk:vda", "{open:#}");
    // Its owner takes it away: the answer ends short, and the VM starts.
    let channel = open["channel"].as_str().unwrap();
    stage.north.delete(&format!("/v1/channels/{channel}")).ok();
    let view = stage.south.until_state(&vm, &start, &["done"], LONG);
    assert_eq!(view["state"], "done", "{view:#}");
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(rest.len() < wanted.len(), "it is not taken for whole");
    assert_eq!(stage.north.get(&path).code(), "state-forbids", "it runs");
    libvirt.virsh(&["pool-destroy", &pool]);
}
