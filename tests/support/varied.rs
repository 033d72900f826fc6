//! Twenty VMs as different as libvirt allows, each defined on libvirt's test driver from real XML of the corpus, and a
//! binding for any of them in any format.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use covirt::artifacts::{BindingText, Bundle, Format};
use covirt::discovery::{Discovered, DiskSize, Inventory, Limits, parse_domain};
use covirt::model::Bytes;

use super::sample;

/// Files of the corpus, and what each is here for.
const FILES: [(&str, &str); 20] = [
    ("qemuxml2argvdata--net-openvswitch.xml", "an Open vSwitch trunk with a native tag"),
    ("qemuxml2argvdata--disk-network-rbd-no-colon.xml", "disks in Ceph"),
    ("qemuxml2argvdata--disk-network-source-auth.xml", "disks behind credentials"),
    ("qemuxml2argvdata--hostdev-mdev-display-spice-opengl.xml", "a mediated device"),
    ("qemuxml2argvdata--launch-security-sev-missing-platform-info.xml", "encrypted memory"),
    ("qemuxml2argvdata--vhost-user-fs-fd-memory.xml", "a shared folder"),
    ("qemuxml2argvdata--firmware-auto-efi-nvram.xml", "UEFI that libvirt chooses"),
    ("qemuxml2argvdata--hugepages-shared.xml", "huge pages by NUMA cell, shared"),
    ("qemuxml2argvdata--cputune-iothreads.xml", "pinned processors and I/O threads"),
    ("qemuxml2argvdata--boot-complex.xml", "many disks, floppies and interfaces in a boot order"),
    ("qemuxml2argvdata--luks-disks-source-qcow2.xml", "encrypted disks of every kind of source"),
    ("qemuxml2argvdata--disk-backing-chains-index.xml", "deep backing chains"),
    ("qemuxml2argvdata--aarch64-cpu-passthrough.xml", "an Arm machine"),
    ("qemuhotplugtestdomains--qemuhotplug-base-ccw-live+ccw-virtio.xml", "a mainframe"),
    ("qemuxml2argvdata--disk-virtio-scsi-reservations.xml", "a LUN with reservations"),
    ("qemuxml2argvdata--memory-hotplug-nvdimm-access.xml", "plugged persistent memory"),
    ("qemuxml2argvdata--net-vdpa-multiqueue.xml", "a vDPA interface"),
    ("qemuxml2argvdata--blkdeviotune.xml", "limits of disks"),
    ("qemuxml2argvdata--net-bandwidth2.xml", "limits of interfaces"),
    ("qemuxml2argvdata--tpm-emulator-tpm2.xml", "a TPM"),
];

/// The VMs by the name of their file; none with the reason told when the corpus or virsh is not at hand.
///
/// Their disks' images are nowhere, so that block info is made up: 10 GiB each.
pub(crate) fn varied(test: &str) -> Vec<(&'static str, Inventory)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/domain");
    if !folder.is_dir() {
        super::skip(test, &format!("no corpus at {}", folder.display()));
        return Vec::new();
    }
    if Command::new("virsh").arg("--version").output().is_err() {
        super::skip(test, "virsh is needed (tools/install-deps.sh qemu)");
        return Vec::new();
    }
    FILES.iter().map(|(file, _)| (*file, defined(&folder.join(file)))).collect()
}

/// What libvirt makes of a file when it defines it.
fn defined(file: &Path) -> Inventory {
    let xml = std::fs::read(file).unwrap();
    let name = parse_domain(&xml, Limits::default()).unwrap().identity.name;
    let script = format!("define '{}'; dumpxml --inactive '{name}'", file.display());
    let output = Command::new("virsh").args(["-q", "-c", "test:///default", &script]).output().unwrap();
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let xml = text.get(text.find("<domain").unwrap()..).unwrap();
    let live = parse_domain(xml, Limits::default()).unwrap();
    let size = DiskSize { capacity: Bytes(10 << 30), allocation: Bytes(1 << 30), physical: Bytes(1 << 30) };
    let sizes: BTreeMap<String, DiskSize> =
        live.disks.iter().filter(|disk| disk.source.is_some()).map(|disk| (disk.target.clone(), size)).collect();
    Inventory::build(Discovered { sizes, ..Discovered::from_domain(live) })
}

/// A VM in a format, with nothing but what the format needs in its binding.
pub(crate) fn render(format: Format, inventory: &Inventory) -> Result<Bundle, String> {
    let binding = binding_for(format, inventory);
    super::shop::render(format, inventory, &binding).map_err(|error| format!("{error} [{}]", error.code()))
}

/// What a format needs for this VM: its draft, with what nobody can guess taken from the reference VM's binding.
pub(crate) fn binding_for(format: Format, inventory: &Inventory) -> BindingText {
    let (binding, missing) = sample::binding_for(format, &sample::sample(format), inventory);
    assert!(missing.is_empty(), "{} has no sample for {missing:?}", format.name());
    binding
}
