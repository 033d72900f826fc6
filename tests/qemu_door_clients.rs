//! Unmodified libvirt clients at a door: the Python binding, `virsh console`, libvirt-dbus, Nova's classes, virt-install,
//! virt-xml and virtnbdbackup.
//!
//! Needs QEMU, and the clients: `tools/rpc-clients-env.sh` for all of them, `tools/consumers-env.sh openstack` for Nova.
//! What can be had both ways is had directly as well, and compared.

#[path = "door/clients.rs"]
mod clients;
#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/door.rs"]
mod door;
mod support;

use std::path::Path;
use std::process::Command;

use clients::{Clients, script, told};
use door::{Door, Manners, socket_of, with_screen};
use support::consumers::Consumers;
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::skip;

/// What a client needs, or none with the reason told.
fn ready(test: &str) -> Option<(PrivateLibvirt, Clients)> {
    match PrivateLibvirt::own() {
        Ok(libvirt) => Some((libvirt, Clients::get(test)?)),
        Err(Skip(reason)) => {
            skip(test, &reason);
            None
        }
    }
}

fn uuid_of(libvirt: &PrivateLibvirt, guest: &Guest) -> String {
    libvirt.virsh(&["domuuid", guest.name()]).trim().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

#[test]
fn the_python_binding_and_a_console_work_at_the_door() {
    let Some((libvirt, clients)) = ready("the_python_binding_and_a_console_work_at_the_door") else { return };
    let door = Door::open(&libvirt);
    let guest = Guest::define(&libvirt, "binding");
    let xml = with_screen(&libvirt.virsh(&["dumpxml", "--inactive", guest.name()]));
    libvirt.connect().define_domain_xml(&xml).expect("it can be defined anew");
    libvirt.virsh(&["start", guest.name()]);
    guest.await_agent();
    door.enroll(&uuid_of(&libvirt, &guest));

    let files = tempfile::tempdir_in(libvirt.folder()).expect("make a folder");
    let manners = match door.manners() {
        Manners::Door => "door",
        Manners::Relay => "relay",
    };
    let (binding, through) = (script("binding.py"), door.uri());
    let arguments = [&binding, libvirt.uri(), &through, guest.name(), text(files.path()), manners];
    eprintln!("{}", told("the Python binding", &clients.run("python3", &arguments)));

    let console = |uri: &str| told(uri, &clients.run("python3", &[&script("console.py"), uri, guest.name()]));
    let (near, far) = (console(libvirt.uri()), console(&through));
    assert!(near.contains("\r\n3999\r\n4000\r\n"), "{near}");
    assert_eq!(near, far, "a console's bytes");
}

#[test]
fn libvirt_dbus_and_nova_work_at_the_door() {
    let test = "libvirt_dbus_and_nova_work_at_the_door";
    let Some((libvirt, clients)) = ready(test) else { return };
    let door = Door::open(&libvirt);
    let guest = Guest::define(&libvirt, "host");
    libvirt.virsh(&["start", guest.name()]);
    door.enroll(&uuid_of(&libvirt, &guest));

    let files = tempfile::tempdir_in(libvirt.folder()).expect("make a folder");
    let dbus = |socket: &Path| {
        let dbus = script("dbus.py");
        let run = clients.run_apart("python3", &[&dbus, text(socket), text(files.path()), guest.name()]);
        told("libvirt-dbus", &run)
    };
    assert_eq!(dbus(&socket_of(libvirt.uri())), dbus(door.socket()), "what D-Bus said");

    let Some(openstack) = Consumers::of(test, "openstack") else { return };
    let python = openstack.folder().join("bin/python");
    let nova = |uri: &str, backend: &str| {
        let mut command = Command::new("timeout");
        command.arg("120").arg(&python).arg("-B").arg(script("nova_host.py")).args([uri, guest.name(), backend]);
        command.env("PYTHONPATH", clients.binding()).env("LC_ALL", "C.UTF-8");
        told("Nova", &command.output().expect("the environment's Python starts"))
    };
    let mut probe = Command::new(&python);
    let binding = probe.args(["-B", "-c", "import libvirt"]).env("PYTHONPATH", clients.binding()).output();
    if !binding.is_ok_and(|output| output.status.success()) {
        return skip(test, "Nova's Python is of another version than Debian's libvirt binding");
    }
    let direct = nova(libvirt.uri(), "threading");
    assert!(direct.contains("launched paused\nrunning running\nevents came"), "{direct}");
    for backend in ["threading", "eventlet"] {
        assert_eq!(direct, nova(&door.uri(), backend), "{backend}");
    }
}

/// A VM that a client made; it ends with the test.
struct Made<'a> {
    libvirt: &'a PrivateLibvirt,
    name: String,
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let virsh = |words: &[&str]| {
            let _ = Command::new("virsh").args(["-q", "-c", self.libvirt.uri()]).args(words).output();
        };
        virsh(&["destroy", &self.name]);
        virsh(&["undefine", &self.name, "--checkpoints-metadata"]);
    }
}

#[track_caller]
fn qemu_img(arguments: &[&str]) {
    let output = Command::new("qemu-img").args(arguments).output().expect("qemu-img starts");
    assert!(output.status.success(), "qemu-img {arguments:?}: {output:?}");
}

#[test]
fn a_vm_is_installed_edited_and_backed_up_at_the_door() {
    let Some((libvirt, clients)) = ready("a_vm_is_installed_edited_and_backed_up_at_the_door") else { return };
    let door = Door::open(&libvirt);
    let uri = door.uri();
    let files = tempfile::tempdir_in(libvirt.folder()).expect("make a folder");
    let file = |name: &str| files.path().join(name).display().to_string();
    let run = |program: &str, arguments: &[&str]| told(program, &clients.run(program, arguments));

    // A disk with something in it, which an increment must not hold.
    let (raw, disk, more) = (file("disk.raw"), file("disk.qcow2"), file("more.qcow2"));
    std::fs::write(&raw, vec![0xa5; 8 << 20]).expect("write a disk");
    qemu_img(&["convert", "-O", "qcow2", &raw, &disk]);
    qemu_img(&["create", "-q", "-f", "qcow2", &more, "1M"]);

    let made = Made { libvirt: &libvirt, name: format!("made-{}", std::process::id()) };
    let name = made.name.as_str();
    let uuid = uuid::Uuid::now_v7().to_string();
    let import = format!("path={disk},format=qcow2,bus=virtio");
    let install = |uri: &str, more: &str| {
        let vm = ["--connect", uri, "--name", name, "--uuid", &uuid, "--memory", "32", "--virt-type", "qemu"];
        let rest = ["--import", "--disk", &import, "--network", "none", "--graphics", "none"];
        run("virt-install", &[&vm[..], &rest, &["--osinfo", "detect=off,require=off", more]].concat())
    };
    assert_eq!(
        install(libvirt.uri(), "--print-xml"),
        install(&uri, "--print-xml"),
        "what virt-install makes of the host"
    );
    install(&uri, "--noautoconsole");
    assert_eq!(libvirt.virsh(&["domstate", name]).trim(), "running");

    run("virt-xml", &["--connect", &uri, name, "--edit", "--memory", "48"]);
    assert!(libvirt.virsh(&["dumpxml", "--inactive", name]).contains("<memory unit='KiB'>49152</memory>"));

    let backup = |level: &str| {
        let paths = ["-o", &file("backup"), "--scratchdir", text(files.path()), "-f", &file("nbd")].map(str::to_owned);
        let paths = paths.each_ref().map(String::as_str);
        run("virtnbdbackup", &[&["-U", &uri, "-d", name, "-l", level, "-n"][..], &paths].concat());
    };
    let size = |name: &str| std::fs::metadata(file(name)).unwrap_or_else(|error| panic!("{name}: {error}")).len();
    backup("full");
    assert!(size("backup/vda.full.data") > 8 << 20);
    // As the guest would write.
    let write = "qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend \"write -P 0x5a 1M 64k\"";
    libvirt.virsh(&["qemu-monitor-command", name, "--hmp", write]);
    backup("inc");
    let increment = size("backup/vda.inc.virtnbdbackup.1.data");
    assert!((64 << 10..1 << 20).contains(&increment), "the increment has {increment} bytes");
    let checkpoints = libvirt.virsh(&["checkpoint-list", name, "--name"]);
    assert_eq!(checkpoints.split_whitespace().collect::<Vec<_>>(), ["virtnbdbackup.0", "virtnbdbackup.1"]);

    let added = format!("path={more},format=qcow2,target.dev=vdb,target.bus=virtio");
    run("virt-xml", &["--connect", &uri, name, "--add-device", "--disk", &added, "--update"]);
    assert!(libvirt.virsh(&["domblklist", name]).contains(&more));

    run("virtnbdrestore", &["-U", &uri, "-i", &file("backup"), "-o", &file("restored"), "-n"]);
    libvirt.virsh(&["destroy", name]);
    qemu_img(&["compare", "-q", &file("restored/disk.qcow2"), &disk]);
}
