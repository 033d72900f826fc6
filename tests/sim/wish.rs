//! What a provider wishes: an action with arguments, by chance.

use covirt::model::{Action, Operation, VmId};
use serde_json::json;

use super::roll::Roll;
use super::samples;

pub(crate) fn operation(roll: &mut Roll, vm: VmId) -> Operation {
    let action = match roll.below(100) {
        0..25 => Action::CpuSet,
        // What rests on itself, and what leaves something open, is more telling than most.
        25..60 => *roll.pick(&Action::ALL[..14]),
        60..75 => *roll.pick(&[Action::BackupBegin, Action::BlockCopy, Action::GuestFreeze, Action::LockAcquire]),
        _ => *roll.pick(&Action::ALL),
    };
    let args = match action {
        Action::SnapshotCreate | Action::SnapshotRevert | Action::SnapshotDelete => {
            json!({"name": roll.pick(&["base", "s1", "s2"])})
        }
        Action::CpuSet => json!({"vcpus": 2 + roll.below(4) * roll.below(3)}),
        Action::MemorySet => json!({"memory_kib": 1024 * (1 + roll.below(8))}),
        Action::MetadataSet => json!({"uri": roll.pick(&["urn:a", "urn:b"]), "key": "k", "xml": null}),
        Action::BackupBegin => json!({"mode": "push", "files": {(*roll.pick(&["vda", "vdb"])): "/backup/disk"}}),
        Action::BlockCopy => json!({"disk": roll.pick(&["vda", "vdb"]), "to": "/copy/disk"}),
        Action::GuestFreeze => json!({"lease_s": 1 + roll.below(3)}),
        Action::LockAcquire => json!({"reason": "simulated", "lease_s": 1 + roll.below(3)}),
        Action::DefinitionDefine => json!({"xml": format!("<domain type='kvm'><uuid>{vm}</uuid></domain>")}),
        other => samples::args(other, usize::from(roll.percent(50))),
    };
    Operation::parse(action, args).unwrap()
}
