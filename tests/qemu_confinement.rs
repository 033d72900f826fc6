//! A provider to whom much is delegated, on a real guest: what it names of the host goes to libvirt only where it is its
//! VM's, by the API and at its libvirt-compatible door; and what is refused leaves no trace.

#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/stage.rs"]
mod stage;
mod support;

use std::path::Path;
use std::process::Command;

use serde_json::json;
use stage::Stage;
use support::qemu::{PrivateLibvirt, Skip};
use support::skip;

/// What south may do: everything by which a path could get to libvirt.
const GIVEN: [&str; 8] =
    ["device.*", "backup.*", "block.*", "definition.define", "memory.dump", "power.*", "snapshot.*", "migrate.*"];

fn file(path: &Path) -> String {
    path.to_str().expect("a plain path").to_owned()
}

fn disk(path: &str, format: &str, target: &str) -> String {
    format!(
        "<disk type='file' device='disk'><driver name='qemu' type='{format}'/><source file='{path}'/>\
         <target dev='{target}' bus='virtio'/></disk>"
    )
}

#[test]
fn what_south_names_of_the_host_is_its_vms_or_is_refused() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("what_south_names_of_the_host_is_its_vms_or_is_refused", &reason),
    };
    // Elsewhere than the VM's disks: a secret of the host's, a folder that is south's, and a way out of it.
    let host = tempfile::Builder::new().prefix("covirt-host-").tempdir().expect("make a folder");
    let secret = host.path().join("secret");
    std::fs::write(&secret, "the host's own").expect("write");
    let given = host.path().join("given");
    std::fs::create_dir(&given).expect("make a folder");
    let data = given.join("data.img");
    std::fs::File::create(&data).and_then(|file| file.set_len(1 << 20)).expect("make an image");
    let trap = given.join("trap.img");
    std::os::unix::fs::symlink(&secret, &trap).expect("make a link");
    let doors = host.path().join("doors");
    let config = format!("door = true\nhost_folders = ['{}']\n[doors]\ndir = '{}'\n", given.display(), doors.display());
    let mut stage = Stage::booted(&libvirt, "confined", &config);
    stage.delegate(&GIVEN, "shared");
    let vm = stage.vm.clone();
    let before = stage.virsh(&["dumpxml", "--inactive", "@"]);

    // By the API.
    let define = |xml: &str| json!({ "xml": xml });
    let commandline = before.replace("<domain ", "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' ");
    let commandline =
        commandline.replace("</domain>", "<qemu:commandline><qemu:arg value='-name'/></qemu:commandline></domain>");
    let hostdev = before.replace(
        "</devices>",
        "<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0' slot='0' function='0'/></source></hostdev></devices>",
    );
    let mut refused = 0;
    for (action, args) in [
        ("device.attach", define(&disk(&file(&secret), "raw", "vdx"))),
        ("device.attach", define(&disk(&file(&trap), "raw", "vdx"))),
        ("device.attach", define(&disk(&file(&data), "qcow2", "vdx"))),
        ("device.attach", define(&disk(&format!("{}/../secret", given.display()), "raw", "vdx"))),
        ("definition.define", define(&commandline)),
        ("definition.define", define(&hostdev)),
        ("backup.begin", json!({ "mode": "push", "files": { "vda": file(&secret) } })),
        ("backup.begin", json!({ "mode": "pull", "socket": "/run/elsewhere" })),
        ("block.copy", json!({ "disk": "vda", "to": file(&secret) })),
        ("migrate.begin", json!({ "to": format!("qemu+ext:///system?command={}", secret.display()) })),
    ] {
        let reply = stage.south.try_submit(&vm, action, &args, 60).expect("an answer");
        assert_eq!((reply.status, reply.code()), (403, "beyond-vm"), "{action}: {}", reply.body);
        refused += 1;
    }
    assert_eq!(refused, 10);
    let told = stage.told("admitted").len();

    // At the door, by an unmodified client.
    let uri = format!("qemu:///system?socket={}/south/libvirt-sock", doors.display());
    let door = |args: &[&str]| {
        let output =
            Command::new("virsh").args(["-q", "-c", &uri]).args(args).env("LC_ALL", "C").output().expect("virsh");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let xml = |name: &str, text: &str| {
        let path = host.path().join(name);
        std::fs::write(&path, text).expect("write");
        file(&path)
    };
    let (evil, commandline) =
        (xml("evil.xml", &disk(&file(&secret), "raw", "vdx")), xml("commandline.xml", &commandline));
    let snapshot = xml(
        "snapshot.xml",
        &format!(
            "<domainsnapshot><name>s</name><disks><disk name='vda' snapshot='external'><source file='{}'/></disk></disks></domainsnapshot>",
            secret.display()
        ),
    );
    let backup = xml(
        "backup.xml",
        "<domainbackup mode='pull'><server transport='tcp' name='127.0.0.1' port='10999'/></domainbackup>",
    );
    for args in [
        vec!["attach-device", &vm, &evil, "--live"],
        vec!["attach-device", &vm, &evil, "--config"],
        vec!["define", &commandline],
        vec!["snapshot-create", &vm, &snapshot, "--disk-only"],
        vec!["backup-begin", &vm, &backup],
        vec!["dump", &vm, &file(&secret)],
        vec!["save", &vm, &file(&secret)],
        vec!["blockcopy", &vm, "vda", &file(&secret)],
        vec!["restore", &file(&secret)],
    ] {
        let (passed, says) = door(&args);
        assert!(!passed, "{args:?}");
        assert!(says.contains("covirt") || args[0] == "restore", "{args:?}: {says}");
    }
    assert_eq!(stage.told("admitted").len(), told, "no lane has heard of any of it");
    assert_eq!(stage.virsh(&["dumpxml", "--inactive", "@"]), before, "nothing has changed");
    assert_eq!(std::fs::read_to_string(&secret).expect("read"), "the host's own");

    // What is south's to name goes through.
    let attached = stage.south.run(&vm, "device.attach", &define(&disk(&file(&data), "raw", "vdx")));
    assert_eq!(attached["state"], "done", "{attached:#}");
    let plain = xml("plain.xml", &disk(&file(&data), "raw", "vdx"));
    let (passed, says) = door(&["detach-device", &vm, &plain, "--live", "--config"]);
    assert!(passed || says.contains("vdx"), "{says}");
    let source = stage.virsh(&["domblklist", "@"]);
    let source =
        source.lines().find_map(|line| line.trim().strip_prefix("vda")).expect("its first disk").trim().to_owned();
    let beside = format!("{source}.copy");
    let copied = stage.south.run(&vm, "backup.begin", &json!({ "mode": "push", "files": { "vda": beside } }));
    assert_eq!(copied["state"], "done", "{copied:#}");
}
