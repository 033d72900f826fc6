//! Two operations of every action, for whoever walks through all of them. They fit the VM of `world.rs`.
#![allow(dead_code, reason = "each of its users needs another part")]

use covirt::model::action::Way;
use covirt::model::operation::RelayedArgs;
use covirt::model::{Action, ClientCall, Operation, Peer, Resource};
use serde_json::{Value, json};

/// Arguments; `which` tells two of the same action apart. What must be a provider's own is north's, then south's.
pub(crate) fn args(action: Action, which: usize) -> Value {
    let who = ["north", "south"][which];
    match action {
        Action::SnapshotCreate => json!({"name": (["s1", "s2"][which])}),
        Action::SnapshotRevert | Action::SnapshotDelete => json!({"name": "base"}),
        Action::CpuSet => json!({"vcpus": ([4, 6][which])}),
        Action::MemorySet => json!({"memory_kib": ([1024, 2048][which])}),
        Action::MetadataSet => json!({"uri": "urn:x", "key": "x"}),
        Action::NicQos => json!({"mac": "52:54:00:00:00:01", "inbound": {"average": ([100, 200][which])}}),
        Action::DiskIotune => json!({"disk": "vda", "total_iops_sec": ([100, 200][which])}),
        Action::AutostartSet => json!({"enabled": ([true, false][which])}),
        Action::BackupBegin => {
            json!({"mode": "push", "files": {"vda": format!("/backup/{who}.qcow2")}, "checkpoint": format!("{who}.new")})
        }
        Action::CheckpointCreate => json!({"name": format!("{who}.new")}),
        Action::CheckpointDelete => json!({"name": format!("{who}.base")}),
        Action::DiskResize => json!({"disk": "vda", "capacity": ([1 << 31, 1_u64 << 32][which])}),
        Action::BlockCommit | Action::BlockPull | Action::BlockAbort => json!({"disk": "vda"}),
        Action::BlockCopy => json!({"disk": "vda", "to": format!("/copy/{who}.qcow2")}),
        Action::DeviceAttach => json!({"xml": disk(["vdc", "vdd"][which])}),
        Action::DeviceUpdate => json!({"xml": disk("vdb")}),
        Action::DeviceDetach => json!({"device": "disk:vdb"}),
        Action::GuestFreeze => json!({"lease_s": 20}),
        Action::GuestCommand => json!({"execute": "guest-info"}),
        Action::GuestSetTime => json!({"seconds": 1_700_000_000}),
        Action::GuestSetPassword => json!({"user": "root", "password": "not journalled"}),
        Action::DefinitionDefine => {
            let uuid = uuid::Uuid::from_u128(7);
            json!({"xml": format!("<domain type='kvm'><name>vm</name><uuid>{uuid}</uuid></domain>")})
        }
        Action::DefinitionRename => json!({"name": (["one", "two"][which])}),
        Action::MigrateBegin => json!({"to": "qemu+tls://elsewhere/system"}),
        Action::LockAcquire => json!({"reason": "maintenance", "lease_s": 20}),
        _ => Value::Null,
    }
}

/// A disk to attach, as libvirt's XML.
pub(crate) fn disk(target: &str) -> String {
    format!("<disk type='file'><source file='/disk/{target}.qcow2'/><target dev='{target}' bus='virtio'/></disk>")
}

/// One of the two operations.
pub(crate) fn operation(action: Action, which: usize) -> Operation {
    if action.spec().way == Way::Relay {
        let touches = if action == Action::DiskWrite { [Resource::Disk("vda".to_owned())].into() } else { [].into() };
        return Operation::Relayed(RelayedArgs { action, procedure: format!("procedure_{which}"), touches });
    }
    Operation::parse(action, args(action, which)).unwrap()
}

/// The client's call that makes it, for what comes in no other way.
pub(crate) fn call(operation: &Operation) -> Option<ClientCall> {
    let Operation::Relayed(args) = operation else { return None };
    Some(ClientCall { procedure: args.procedure.clone(), peer: Peer::Local { uid: 0, gid: None, pid: Some(1) } })
}
