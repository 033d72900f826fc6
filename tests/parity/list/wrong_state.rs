//! What is asked of a VM that is not in the state for it. A lane that sees the state never lets such a call out; one
//! whose belief is a moment old does.

use serde_json::{Value, json};

use covirt::model::{Action, Cause, Code, PowerState};

use super::power::suspend;
use crate::parity::behaviour::Backend::{Mock, Qemu};
use crate::parity::behaviour::{Behaviour, Shows, Step, Tells, not, off, running};

const INTERNAL: &str = "calls it an internal error";
const LACKS: &str = "lacks it in any state";

fn refused(action: Action, args: Value) -> Step {
    not(action, args, Code::StateForbids)
}

pub(super) fn list() -> Vec<Behaviour> {
    let soon = || json!({ "timeout_s": 1 });
    let disk = || json!({ "disk": "vda" });
    let push = || json!({ "mode": "push", "disks": ["vda"], "files": { "vda": "{dir}/{name}.wrong" } });
    let to = || json!({ "to": "qemu+tls://elsewhere/system" });
    vec![
        off(
            "one that is off is not halted, let go, restarted or stopped",
            vec![
                refused(Action::PowerSuspend, Value::Null).mock_fails(INTERNAL),
                refused(Action::PowerResume, Value::Null).mock_fails(INTERNAL),
                refused(Action::PowerShutdown, soon()).mock_fails(INTERNAL),
                refused(Action::PowerReboot, soon()),
                refused(Action::PowerReset, Value::Null),
                refused(Action::PowerStop, Value::Null),
                refused(Action::PowerSave, Value::Null),
            ],
        ),
        off(
            "one that is off has no backups and no jobs",
            vec![
                // libvirt says that it cannot, not that the state forbids it.
                not(Action::BackupBegin, push(), Code::HypervisorFailed),
                not(Action::CheckpointCreate, json!({ "name": "n.a" }), Code::HypervisorFailed),
                refused(Action::BackupEnd, Value::Null),
                refused(Action::CheckpointDelete, json!({ "name": "n.a" })),
                refused(Action::BlockCommit, disk()),
                refused(Action::BlockPull, disk()).mock_fails(LACKS),
                refused(Action::BlockCopy, json!({ "disk": "vda", "to": "{dir}/{name}.wrong" })).mock_fails(LACKS),
                refused(Action::BlockAbort, disk()),
                refused(Action::DiskResize, json!({ "disk": "vda", "capacity": 1_073_741_824_u64 })),
                refused(Action::MigrateBegin, to()).mock_fails(LACKS),
                refused(Action::MigrateAbort, Value::Null),
            ],
        ),
        off(
            "one that is off has no agent",
            vec![
                refused(Action::GuestFreeze, Value::Null),
                refused(Action::GuestThaw, Value::Null),
                refused(Action::GuestTrim, Value::Null),
                refused(Action::GuestCommand, json!({ "execute": "guest-info" })).mock_fails(LACKS),
                refused(Action::GuestSetTime, set_time())
                    .on(Qemu, "asks first what the process can do", |step| step.not_done(Code::HypervisorFailed)),
                refused(Action::GuestSetPassword, set_password()),
            ],
        ),
        running(
            "one that is halted has no agent that answers",
            vec![
                suspend(),
                refused(Action::GuestCommand, json!({ "execute": "guest-info" })).mock_fails(LACKS),
                refused(Action::GuestFreeze, Value::Null)
                    .ends_on(Mock, "only counts", |step| step.gives(json!("*")).leaves_no_trace()),
                refused(Action::GuestThaw, Value::Null),
                refused(Action::GuestTrim, Value::Null),
                refused(Action::GuestSetTime, set_time()),
                refused(Action::GuestSetPassword, set_password()),
            ],
        ),
        running(
            "one that is halted is not started, and its guest does not restart",
            vec![
                suspend(),
                refused(Action::PowerStart, Value::Null).mock_fails(INTERNAL),
                not(Action::PowerReboot, soon(), Code::GuestTimeout).on(Mock, "has no guest to ask", |step| {
                    step.gives(Value::Null).shows(&[Shows::Power(PowerState::Running)]).leaves_no_trace()
                }),
            ],
        ),
        running(
            "one that is halted does not shut down",
            vec![
                suspend(),
                refused(Action::PowerShutdown, soon()).on(Mock, "has no guest to ask", |step| {
                    step.gives(Value::Null)
                        .shows(&[Shows::Power(PowerState::ShutOff)])
                        .tells(&[Tells::Changed(Cause::GuestShutdown)])
                }),
            ],
        ),
        running(
            "one that runs is not restored",
            vec![refused(Action::PowerRestore, Value::Null), refused(Action::PowerSaveRemove, Value::Null)],
        ),
    ]
}

fn set_time() -> Value {
    json!({ "seconds": 1_900_000_000 })
}

fn set_password() -> Value {
    json!({ "user": "root", "password": "correct-horse" })
}
