//! Each trick to name more than the VM, and each honest command beside it.

use std::collections::BTreeMap;

use super::*;
use crate::model::{Action, Operation};

const VM: &str = "<domain type='kvm'><name>web</name><uuid>1</uuid><memory>1</memory>
  <os><type arch='x86_64'>hvm</type><loader readonly='yes'>/usr/share/ovmf.fd</loader><boot dev='hd'/></os>
  <cpu mode='host-model'/><cputune><shares>1</shares></cputune>
  <devices><emulator>/usr/bin/qemu</emulator>
  <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/images/web.qcow2'/>
    <backingStore type='file'><format type='raw'/><source file='/base/debian.img'/><backingStore/></backingStore>
    <target dev='vda' bus='virtio'/></disk>
  <disk type='block' device='disk'><source dev='/dev/vg/web'/><target dev='vdb' bus='virtio'/></disk>
  <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/><filterref filter='clean'/></interface>
  <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br7'/><filterref filter='clean'/></interface>
  <hostdev mode='subsystem' type='pci'><source><address bus='0x06'/></source></hostdev>
  <serial type='file'><source path='/log/web.log'/></serial>
  </devices></domain>";

/// A host with these files; a value is where a link leads.
struct Host(BTreeMap<&'static str, &'static str>);

impl Look for Host {
    fn at(&self, path: &str) -> Seen {
        if path.starts_with("/hidden/") {
            return Seen::Hidden;
        }
        // Links are followed in the middle, too.
        let link =
            self.0.iter().find(|(from, to)| from != to && (path == **from || path.starts_with(&format!("{from}/"))));
        let real = link.map_or(path.to_owned(), |(from, to)| path.replacen(*from, to, 1));
        if self.0.contains_key(path) || self.0.contains_key(real.as_str()) {
            Seen::Something(real)
        } else {
            Seen::Nothing(real)
        }
    }
}

fn host() -> Host {
    let plain = [
        "/images",
        "/images/web.qcow2",
        "/images/other.qcow2",
        "/etc/shadow",
        "/base/debian.img",
        "/backup/south",
        "/backup/south/cd.iso",
        "/dev/sda",
    ];
    let mut files: BTreeMap<_, _> = plain.into_iter().map(|path| (path, path)).collect();
    files.insert("/backup/south/trap", "/etc/shadow");
    files.insert("/backup/south/way", "/etc");
    Host(files)
}

fn allowed() -> Confinement {
    Confinement { folders: ["/backup/south".to_owned()].into(), networks: ["tenant".to_owned()].into() }
}

fn verdict(asked: &Asked) -> Result<(), String> {
    judge(asked, &Holdings::of([VM]), &allowed(), &host()).map_err(|beyond| beyond.to_string())
}

/// A libvirt client's call with this text.
fn call(action: Action, text: &str) -> Result<(), String> {
    verdict(&Asked::of_texts(action, [text]))
}

fn attach(xml: &str) -> Result<(), String> {
    call(Action::DeviceAttach, xml)
}

fn disk(source: &str, driver: &str) -> String {
    format!(
        "<disk type='file' device='disk'><driver name='qemu' type='{driver}'/><source file='{source}'/><target dev='vdc' bus='virtio'/></disk>"
    )
}

fn define(from: &str, to: &str) -> Result<(), String> {
    assert!(VM.contains(from), "{from}");
    call(Action::DefinitionDefine, &VM.replace(from, to))
}

#[test]
fn what_the_vm_has_may_be_named() {
    attach(&disk("/images/web.qcow2", "qcow2")).unwrap();
    attach(&disk("/base/debian.img", "raw")).unwrap();
    attach("<disk type='block'><source dev='/dev/vg/web'/><target dev='vdc'/></disk>").unwrap();
    attach("<interface type='network'><source network='default'/><model type='virtio'/><filterref filter='clean'/></interface>").unwrap();
    attach("<interface type='bridge'><source bridge='br7'/><filterref filter='clean'/></interface>").unwrap();
    attach("<hostdev mode='subsystem' type='pci'><source><address bus='0x06'/></source></hostdev>").unwrap();
    attach("<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>").unwrap();
    attach("<controller type='usb' model='qemu-xhci'/>").unwrap();
    attach("<input type='tablet' bus='usb'/>").unwrap();
    attach("<memory model='dimm'><target><size>1</size><node>0</node></target></memory>").unwrap();
}

#[test]
fn what_is_allowed_may_be_named() {
    attach(&disk("/backup/south/cd.iso", "raw")).unwrap();
    attach("<interface type='network'><source network='tenant'/><filterref filter='clean'/></interface>").unwrap();
    call(Action::BackupBegin, "<domainbackup><disks><disk name='vda' type='file'><target file='/backup/south/a.qcow2'/><driver type='qcow2'/></disk></disks></domainbackup>").unwrap();
    call(Action::PowerSave, "/backup/south/memory").unwrap();
}

#[test]
fn new_files_may_be_beside_the_vms_disks() {
    call(Action::SnapshotCreate, "<domainsnapshot><name>s</name><disks><disk name='vda' snapshot='external'><source file='/images/web.s'/></disk></disks></domainsnapshot>").unwrap();
    call(Action::PowerSave, "/images/web.save").unwrap();
    call(Action::BackupBegin, "<domainbackup mode='pull'><server transport='unix' socket='/images/sock'/><disks><disk name='vda' type='file'><scratch file='/images/scratch'/></disk></disks></domainbackup>").unwrap();
}

#[test]
fn files_of_others_may_not() {
    for path in [
        "/etc/shadow",
        "/images/other.qcow2",
        "/backup/south/trap",
        "/backup/south/way/shadow",
        "/hidden/x",
        "/backup/southern",
        "/backup/south",
        "/images/../etc/shadow",
        "/backup/south/./x",
        "etc/shadow",
        "/new",
        "/dev/sda",
    ] {
        attach(&disk(path, "raw")).expect_err(path);
        for action in [Action::PowerSave, Action::MemoryDump, Action::BlockCopy, Action::PowerRestore] {
            verdict(&Asked::of_texts(action, [path]).and_file(path)).expect_err(path);
        }
        let backup = format!(
            "<domainbackup><disks><disk name='vda' type='file'><target file='{path}'/></disk></disks></domainbackup>"
        );
        call(Action::BackupBegin, &backup).expect_err(path);
        let snapshot = format!("<domainsnapshot><memory snapshot='external' file='{path}'/></domainsnapshot>");
        call(Action::SnapshotCreate, &snapshot).expect_err(path);
    }
}

#[test]
fn its_own_disk_is_no_place_to_write_anew() {
    for action in [Action::PowerSave, Action::MemoryDump, Action::BlockCopy] {
        call(action, "/images/web.qcow2").unwrap_err();
    }
    call(
        Action::BackupBegin,
        "<domainbackup><disks><disk name='vda'><target file='/images/web.qcow2'/></disk></disks></domainbackup>",
    )
    .unwrap_err();
}

#[test]
fn an_image_is_opened_as_what_it_is() {
    // A guest may write another format's head into a raw disk.
    attach(&disk("/base/debian.img", "qcow2")).unwrap_err();
    attach(&disk("/backup/south/cd.iso", "qcow2")).unwrap_err();
    attach("<disk type='block'><driver type='qcow2'/><source dev='/dev/vg/web'/><target dev='vdc'/></disk>")
        .unwrap_err();
}

#[test]
fn a_disk_says_one_thing() {
    for xml in [
        "<disk type='block'><source file='/images/web.qcow2' dev='/dev/sda'/><target dev='vdc'/></disk>",
        "<disk type='file'><driver type='raw'/><driver type='qcow2'/><source file='/base/debian.img'/><target dev='vdc'/></disk>",
        "<disk type='file'><source file='/base/debian.img'/><source file='/etc/shadow'/><target dev='vdc'/></disk>",
        "<disk xmlns:o='u' o:type='block' type='file'><source file='/base/debian.img'/></disk>",
        "<disk type='file'><source xmlns:o='u' file='/base/debian.img' o:file='/etc/shadow'/></disk>",
        "<disk type='network'><source protocol='nbd' name='x'><host name='10.0.0.1'/></source><target dev='vdc'/></disk>",
        "<disk type='nvme'><source namespace='1'/><target dev='vdc'/></disk>",
        "<disk type='volume'><source pool='default' volume='other.qcow2'/><target dev='vdc'/></disk>",
        "<disk type='dir'><source dir='/etc'/><target dev='vdc'/></disk>",
        "<disk type='block' device='lun'><source dev='/dev/vg/web'/><target dev='vdc'/></disk>",
        "<disk type='block' rawio='yes'><source dev='/dev/vg/web'/><target dev='vdc'/></disk>",
        "<disk type='file'><source file='/base/debian.img'><seclabel relabel='no'/></source><target dev='vdc'/></disk>",
        "<disk type='file'><source file='/images/web.qcow2'/><driver type='qcow2'/><backingStore type='file'><format type='raw'/><source file='/etc/shadow'/></backingStore><target dev='vdc'/></disk>",
        "<disk type='file'><mirror type='file' file='/etc/shadow'/><target dev='vdc'/></disk>",
        "<disk type='file'><encryption format='luks'/><source file='/base/debian.img'/></disk>",
    ] {
        attach(xml).expect_err(xml);
    }
}

#[test]
fn an_interface_stays_where_the_vm_is_and_as_it_is_kept() {
    for xml in [
        "<interface type='network'><source network='other'/><filterref filter='clean'/></interface>",
        "<interface type='network'><source network='default' portgroup='all'/><filterref filter='clean'/></interface>",
        "<interface type='network'><source network='default'/></interface>",
        "<interface type='network'><source network='default'/><filterref filter='none'/></interface>",
        "<interface type='network'><source network='default'/><filterref filter='clean'/><vlan><tag id='7'/></vlan></interface>",
        "<interface type='bridge'><source bridge='br0'/><filterref filter='clean'/></interface>",
        "<interface type='user'><filterref filter='clean'/></interface>",
        "<interface type='ethernet'><script path='/tmp/x'/></interface>",
        "<interface type='hostdev'><source><address type='pci'/></source></interface>",
        "<interface type='network'><source network='default'/><source bridge='br0'/><filterref filter='clean'/></interface>",
        "<interface type='network'><source network='default'/><filterref filter='clean'/><backend tap='/dev/x'/></interface>",
        "<interface type='network'><source network='default'/><filterref filter='clean'/><target dev='eth0'/></interface>",
        "<interface type='network'><source network='default'/><filterref filter='clean'/><rom file='/etc/shadow'/></interface>",
        "<interface type='network' trustGuestRxFilters='yes'><source network='default'/><filterref filter='clean'/></interface>",
    ] {
        attach(xml).expect_err(xml);
    }
}

#[test]
fn devices_of_the_host_may_not_be_added() {
    for xml in [
        "<hostdev mode='subsystem' type='pci'><source><address bus='0x07'/></source></hostdev>",
        "<hostdev mode='capabilities' type='misc'><source><char>/dev/kmsg</char></source></hostdev>",
        "<filesystem type='mount'><source dir='/'/><target dir='x'/></filesystem>",
        "<serial type='file'><source path='/etc/cron.d/x'/></serial>",
        "<channel type='unix'><source path='/run/libvirt/libvirt-sock'/></channel>",
        "<input type='evdev'><source dev='/dev/input/event0'/></input>",
        "<rng model='virtio'><backend model='random'>/dev/mem</backend></rng>",
        "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>",
        "<shmem name='other'/>",
        "<memory model='dimm'><source><path>/etc/shadow</path></source></memory>",
        "<memory model='nvdimm'><source><path>/etc/shadow</path></source></memory>",
        "<graphics type='vnc' listen='0.0.0.0'/>",
        "<redirdev bus='usb' type='tcp'><source host='h' service='1'/></redirdev>",
        "<x:controller xmlns:x='http://libvirt.org/schemas/domain/qemu/1.0'/>",
        "<video><driver vgaconf='/x'/><model type='virtio' rom='/etc/shadow'/></video>",
    ] {
        attach(xml).expect_err(xml);
    }
}

#[test]
fn a_definition_may_change_what_is_the_vms_alone() {
    define("<memory>1</memory>", "<memory>2</memory>").unwrap();
    define("<boot dev='hd'/>", "<boot dev='network'/>").unwrap();
    define(
        "<cpu mode='host-model'/>",
        "<cpu mode='host-passthrough'/><metadata><x:n xmlns:x='urn:n' path='/etc'/></metadata>",
    )
    .unwrap();
    define("</devices>", "<controller type='scsi'/></devices>").unwrap();
    // Written otherwise, it is the same.
    define(
        "<serial type='file'><source path='/log/web.log'/></serial>",
        "<serial type='file'>\n <source path='/log/web.log'></source>\n</serial>",
    )
    .unwrap();
}

#[test]
fn a_definition_may_not_reach_further() {
    for (from, to) in [
        (
            "</domain>",
            "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='-x'/></qemu:commandline></domain>",
        ),
        ("<emulator>/usr/bin/qemu</emulator>", "<emulator>/tmp/evil</emulator>"),
        ("/usr/share/ovmf.fd", "/etc/shadow"),
        ("<boot dev='hd'/>", "<kernel>/etc/shadow</kernel>"),
        ("<boot dev='hd'/>", "<nvram template='/etc/shadow'>/images/x</nvram>"),
        ("type='kvm'", "type='xen'"),
        ("<cputune><shares>1</shares></cputune>", "<cputune><shares>999</shares></cputune>"),
        ("</domain>", "<seclabel type='none'/></domain>"),
        ("</domain>", "<memoryBacking><source type='file'/></memoryBacking></domain>"),
        ("</domain>", "<sysinfo type='fwcfg'><entry name='x' file='/etc/shadow'/></sysinfo></domain>"),
        ("</devices>", "<hostdev mode='subsystem' type='usb'/></devices>"),
        ("</devices>", "</devices><devices><hostdev mode='subsystem' type='usb'/></devices>"),
        ("/images/web.qcow2", "/images/other.qcow2"),
        ("/log/web.log", "/etc/cron.d/x"),
        ("bus='0x06'", "bus='0x07'"),
        ("<memory>1</memory>", "<x:memory xmlns:x='u'>1</x:memory>"),
    ] {
        define(from, to).expect_err(to);
    }
    call(Action::DefinitionDefine, "<domain").unwrap_err();
}

#[test]
fn a_snapshot_brings_no_definition_with_it() {
    for xml in [
        "<domainsnapshot><name>s</name><domain type='kvm'/></domainsnapshot>",
        "<domainsnapshot><inactiveDomain/></domainsnapshot>",
        "<domaincheckpoint><name>c</name><domain/></domaincheckpoint>",
        "<domainbackup mode='pull'><server transport='tcp' name='0.0.0.0' port='1'/></domainbackup>",
        "<domainbackup mode='pull'><server name='x'/></domainbackup>",
        "<unheard-of/>",
    ] {
        call(Action::SnapshotCreate, xml).expect_err(xml);
    }
}

#[test]
fn a_vm_goes_to_another_host_by_no_program_of_this_one() {
    for uri in [
        "qemu+tls://host/system",
        "qemu+tls://host:16514/system",
        "tcp://10.0.0.2:49152",
        "tcp:10.0.0.2",
        "unix:///images/sock",
    ] {
        call(Action::MigrateBegin, uri).expect(uri);
    }
    for uri in [
        "qemu+ext:///system?command=/tmp/evil",
        "qemu+ssh://host/system?netcat=/tmp/evil",
        "qemu+ssh://root@host/system",
        "qemu+unix:///system?socket=/run/other",
        "qemu+tls://host/system?pkipath=/etc/pki",
        "qemu:///system",
        "exec://x",
        "unix:///etc/shadow",
    ] {
        call(Action::MigrateBegin, uri).expect_err(uri);
    }
}

#[test]
fn the_agents_own_commands_are_held_to_the_same() {
    let of = |action: Action, args: serde_json::Value| {
        let asked = Asked::of(&Operation::parse(action, args).unwrap());
        assert!(!asked.is_nothing());
        verdict(&asked)
    };
    let backup = |path: &str| of(Action::BackupBegin, serde_json::json!({ "mode": "push", "files": { "vda": path } }));
    backup("/images/new").unwrap();
    backup("/images/other.qcow2").unwrap_err();
    let pull = |path: &str| of(Action::BackupBegin, serde_json::json!({ "mode": "pull", "socket": path }));
    pull("/images/sock").unwrap();
    pull("/run/sock").unwrap_err();
    of(Action::BlockCopy, serde_json::json!({ "disk": "vda", "to": "/images/new" })).unwrap();
    of(Action::BlockCopy, serde_json::json!({ "disk": "vda", "to": "/images/other.qcow2", "reuse": true }))
        .unwrap_err();
    of(Action::BlockPull, serde_json::json!({ "disk": "vda", "base": "/etc/shadow" })).unwrap_err();
    of(Action::DeviceAttach, serde_json::json!({ "xml": disk("/etc/shadow", "raw") })).unwrap_err();
    of(Action::MigrateBegin, serde_json::json!({ "to": "qemu+ext:///x?command=/tmp/evil" })).unwrap_err();
    let nothing = |action: Action, args| Asked::of(&Operation::parse(action, args).unwrap()).is_nothing();
    assert!(nothing(Action::PowerStop, serde_json::json!({})));
    assert!(nothing(Action::GuestFreeze, serde_json::json!({ "mountpoints": ["/"] })));
}

#[test]
fn whoever_asks_does_not_learn_which_files_the_host_has() {
    let said = ["/etc/shadow", "/etc/nothing", "/hidden/nothing"]
        .map(|path| attach(&disk(path, "raw")).unwrap_err().replace(path, "PATH"));
    assert_eq!(said[0], said[1]);
    assert_eq!(said[0], said[2]);
}
