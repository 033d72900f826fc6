//! What is asked of a VM that is not in the state for it. A lane that sees the state never lets such a call out; one
//! whose belief is a moment old does.

use serde_json::{Value, json};

use covirt::model::{Action, Code};

use super::power::suspend;
use crate::parity::behaviour::{Behaviour, Step, not, off, running};

fn refused(action: Action, args: Value) -> Step {
    not(action, args, Code::StateForbids)
}

pub(super) fn list() -> Vec<Behaviour> {
    let soon = || json!({ "timeout_s": 1 });
    let disk = || json!({ "disk": "vda" });
    let push = || json!({ "mode": "push", "disks": ["vda"], "files": { "vda": "{dir}/wrong.qcow2" } });
    vec![
        off(
            "one that is off is not halted, let go, restarted or stopped",
            vec![
                refused(Action::PowerSuspend, Value::Null),
                refused(Action::PowerResume, Value::Null),
                refused(Action::PowerShutdown, soon()),
                refused(Action::PowerReboot, soon()),
                refused(Action::PowerReset, Value::Null),
                refused(Action::PowerStop, Value::Null),
                refused(Action::PowerSave, Value::Null),
            ],
        ),
        off(
            "one that is off has no backups and no jobs",
            vec![
                refused(Action::BackupBegin, push()),
                refused(Action::BackupEnd, Value::Null),
                refused(Action::CheckpointCreate, json!({ "name": "n.a" })),
                refused(Action::CheckpointDelete, json!({ "name": "n.a" })),
                refused(Action::BlockCommit, disk()),
                refused(Action::BlockPull, disk()),
                refused(Action::BlockCopy, json!({ "disk": "vda", "to": "{dir}/wrong.copy" })),
                refused(Action::BlockAbort, disk()),
                refused(Action::DiskResize, json!({ "disk": "vda", "capacity": 1_073_741_824_u64 })),
                refused(Action::MigrateBegin, json!({ "to": "qemu+tls://elsewhere/system" })),
                refused(Action::MigrateAbort, Value::Null),
            ],
        ),
        off("one that is off has no agent", of_guest()),
        running("one that is halted has no agent that answers", [vec![suspend()], of_guest()].concat()),
        running(
            "one that is halted is not started, and its guest hears nothing",
            vec![
                suspend(),
                refused(Action::PowerStart, Value::Null),
                not(Action::PowerShutdown, soon(), Code::GuestTimeout),
                not(Action::PowerReboot, soon(), Code::GuestTimeout),
            ],
        ),
        running(
            "one that runs is not restored",
            vec![refused(Action::PowerRestore, Value::Null), refused(Action::PowerSaveRemove, Value::Null)],
        ),
    ]
}

fn of_guest() -> Vec<Step> {
    vec![
        refused(Action::GuestFreeze, Value::Null),
        refused(Action::GuestThaw, Value::Null),
        refused(Action::GuestTrim, Value::Null),
        refused(Action::GuestCommand, json!({ "execute": "guest-info" })),
        refused(Action::GuestSetTime, json!({ "seconds": 1_900_000_000 })),
        refused(Action::GuestSetPassword, json!({ "user": "root", "password": "correct-horse" })),
    ]
}
