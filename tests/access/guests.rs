//! Guests with something to reach: a screen, a disk in a pool.

use std::path::PathBuf;

use crate::support::qemu::{Guest, PrivateLibvirt};

/// A guest of firmware that shows what it does on a screen.
pub(crate) fn screened(libvirt: &PrivateLibvirt, label: &str) -> Guest {
    let guest = Guest::firmware(libvirt, label);
    let connection = libvirt.connect();
    let xml = guest.domain(&connection).xml_desc(0).expect("its XML");
    let graphics = "<graphics type='vnc' passwd='s3cr3t-v'><listen type='none'/></graphics>\
                    <video><model type='vga' vram='16384' heads='1'/></video></devices>";
    connection.define_domain_xml(&xml.replace("</devices>", graphics)).expect("define it with a screen");
    guest.domain(&connection).create().expect("start it");
    guest
}

/// A guest that is off, with a raw disk in a pool of its own; the disk's file.
pub(crate) fn stored(libvirt: &PrivateLibvirt, label: &str) -> (Guest, PathBuf, String) {
    let guest = Guest::firmware(libvirt, label);
    let folder = libvirt.folder().join(format!("{}-pool", guest.name()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("disk.raw");
    let mut bytes = vec![0_u8; 48 * 1024 * 1024 + 512];
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    for part in bytes.chunks_mut(8) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        part.copy_from_slice(&word.to_le_bytes()[..part.len()]);
    }
    std::fs::write(&file, bytes).expect("a disk");
    let pool = format!("{}-pool", guest.name());
    libvirt.virsh(&["pool-create-as", &pool, "dir", "--target", folder.to_str().unwrap()]);
    let connection = libvirt.connect();
    let xml = guest.domain(&connection).xml_desc(0).expect("its XML");
    let disk = format!(
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/>\
         <target dev='vda' bus='virtio'/></disk></devices>",
        file.display()
    );
    connection.define_domain_xml(&xml.replace("</devices>", &disk)).expect("define it with a disk");
    (guest, file, pool)
}
