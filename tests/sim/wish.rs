//! What a provider wishes: an action with arguments, by chance.

use covirt::model::action::Way;
use covirt::model::operation::RelayedArgs;
use covirt::model::{Action, ClientCall, Operation, Peer, Resource, VmId};
use serde_json::json;

use super::roll::Roll;
use super::samples;

pub(crate) fn operation(roll: &mut Roll, vm: VmId) -> Operation {
    let action = match roll.below(100) {
        0..25 => Action::CpuSet,
        // What rests on itself, and what leaves something open, is more telling than most.
        25..60 => *roll.pick(&by_command()[..14]),
        60..75 => *roll.pick(&[Action::BackupBegin, Action::BlockCopy, Action::GuestFreeze, Action::LockAcquire]),
        _ => *roll.pick(&by_command()),
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

/// The same wish as a libvirt client's own call, now and then one whose arguments nobody here knows.
pub(crate) fn carried(roll: &mut Roll, wish: Operation) -> (Operation, Option<ClientCall>) {
    let procedure = "simulated".to_owned();
    let operation = match roll.below(100) {
        0..65 => return (wish, None),
        65..80 => wish,
        80..92 => {
            let named = |resource: &Resource| matches!(resource, Resource::Disk(_) | Resource::Device(_));
            let touches = wish.footprint().writes.into_iter().filter(named).collect();
            Operation::Relayed(RelayedArgs { action: wish.action(), procedure: procedure.clone(), touches })
        }
        _ => {
            let relayed: Vec<Action> = Action::ALL.into_iter().filter(|a| a.spec().way == Way::Relay).collect();
            let action = *roll.pick(&relayed);
            Operation::Relayed(RelayedArgs { action, procedure: procedure.clone(), touches: [].into() })
        }
    };
    (operation, Some(ClientCall { procedure, peer: Peer::Local { uid: 0, gid: None, pid: None } }))
}

/// The actions that a request can ask for, in the order in which seeds draw them.
fn by_command() -> Vec<Action> {
    Action::ALL.into_iter().filter(|action| action.spec().way != Way::Relay).collect()
}
