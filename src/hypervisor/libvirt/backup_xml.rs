//! The XML that asks for a backup or a checkpoint. *Source*: libvirt, `formatbackup` and `formatcheckpoint`.

use super::xml::{element, escaped, put};
use crate::hypervisor::given::export_bitmap;
use crate::model::operation::{BackupBeginArgs, BackupMode};

/// A `<domainbackup>` of these disks and no others.
pub(super) fn backup_xml<'a>(args: &BackupBeginArgs, disks: impl Iterator<Item = &'a str>) -> String {
    let mode = match args.mode {
        BackupMode::Push => "push",
        BackupMode::Pull => "pull",
    };
    let mut xml = format!("<domainbackup mode='{mode}'>");
    if let Some(since) = &args.incremental {
        element(&mut xml, "incremental", since);
    }
    if let Some(socket) = &args.socket {
        put(&mut xml, format_args!("<server transport='unix' socket='{}'/>", escaped(socket)));
    }
    xml.push_str("<disks>");
    for disk in disks {
        let name = escaped(disk);
        match args.mode {
            BackupMode::Push => {
                put(&mut xml, format_args!("<disk name='{name}' type='file'>"));
                if let Some(file) = args.files.get(disk) {
                    put(&mut xml, format_args!("<driver type='qcow2'/><target file='{}'/>", escaped(file)));
                }
            }
            BackupMode::Pull => {
                put(&mut xml, format_args!("<disk name='{name}' type='file' exportname='{name}'"));
                if args.incremental.is_some() {
                    put(&mut xml, format_args!(" exportbitmap='{}'", escaped(&export_bitmap(disk))));
                }
                xml.push('>');
                if let Some(file) = args.scratch.get(disk) {
                    put(&mut xml, format_args!("<scratch file='{}'/>", escaped(file)));
                }
            }
        }
        xml.push_str("</disk>");
    }
    xml.push_str("</disks></domainbackup>");
    xml
}

/// A `<domaincheckpoint>` of these disks and no others.
pub(super) fn checkpoint_xml<'a>(name: &str, disks: impl Iterator<Item = &'a str>) -> String {
    let mut xml = "<domaincheckpoint>".to_owned();
    element(&mut xml, "name", name);
    xml.push_str("<disks>");
    for disk in disks {
        put(&mut xml, format_args!("<disk name='{}' checkpoint='bitmap'/>", escaped(disk)));
    }
    xml.push_str("</disks></domaincheckpoint>");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_push_backup_names_its_files_and_its_beginning() {
        let args: BackupBeginArgs =
            serde_json::from_value(json!({ "mode": "push", "incremental": "a", "files": { "vda": "/b&c" } })).unwrap();
        assert_eq!(
            backup_xml(&args, ["vda"].into_iter()),
            "<domainbackup mode='push'><incremental>a</incremental><disks><disk name='vda' type='file'>\
             <driver type='qcow2'/><target file='/b&amp;c'/></disk></disks></domainbackup>"
        );
    }

    #[test]
    fn a_pull_backup_names_its_socket_and_exports() {
        let args: BackupBeginArgs = serde_json::from_value(
            json!({ "mode": "pull", "incremental": "a", "socket": "/s", "scratch": { "vda": "/x" } }),
        )
        .unwrap();
        assert_eq!(
            backup_xml(&args, ["vda", "vdb"].into_iter()),
            "<domainbackup mode='pull'><incremental>a</incremental><server transport='unix' socket='/s'/><disks>\
             <disk name='vda' type='file' exportname='vda' exportbitmap='backup-vda'><scratch file='/x'/></disk>\
             <disk name='vdb' type='file' exportname='vdb' exportbitmap='backup-vdb'></disk></disks></domainbackup>"
        );
    }

    #[test]
    fn a_checkpoint_is_of_the_disks_it_names() {
        assert_eq!(
            checkpoint_xml("n.a", ["vda"].into_iter()),
            "<domaincheckpoint><name>n.a</name><disks><disk name='vda' checkpoint='bitmap'/></disks></domaincheckpoint>"
        );
    }
}
