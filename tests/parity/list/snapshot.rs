//! Snapshots of disks and memory.

use serde_json::{Value, json};

use covirt::model::{Action, Cause, Code, PowerState};

use super::power::{start, stop, suspend};
use crate::parity::behaviour::{Behaviour, Shows, Step, Tells, done, not, off, running};

fn name() -> Value {
    json!({ "name": "one" })
}

fn create() -> Step {
    done(Action::SnapshotCreate, name()).gives(name()).shows(&[Shows::Snapshot("one")])
}

fn delete() -> Step {
    done(Action::SnapshotDelete, name()).shows(&[Shows::NoSnapshot("one")])
}

fn revert() -> Step {
    done(Action::SnapshotRevert, name()).tells(&[Tells::Changed(Cause::Reverted)]).leaves_no_trace()
}

fn unknown(action: Action) -> Step {
    not(action, name(), Code::StateForbids)
}

pub(super) fn list() -> Vec<Behaviour> {
    let running_again = [Shows::Power(PowerState::Running), Shows::NewStart];
    vec![
        off(
            "a snapshot of one that is off comes and goes",
            vec![
                create(),
                not(Action::SnapshotCreate, name(), Code::HypervisorFailed),
                delete(),
                unknown(Action::SnapshotDelete),
            ],
        ),
        running("a snapshot of one that runs comes and goes", vec![create(), delete()]),
        running("a snapshot of one that is halted leaves it halted", vec![suspend(), create(), delete()]),
        running(
            "a snapshot that is not there is neither gone back to nor deleted",
            vec![unknown(Action::SnapshotRevert), unknown(Action::SnapshotDelete)],
        ),
        running("it goes back to how it ran", vec![create(), revert().shows(&[Shows::NewStart])]),
        running(
            "one that is halted goes back to how it ran",
            vec![create(), suspend(), revert().shows(&running_again)],
        ),
        running("one that is off goes back to how it ran", vec![create(), stop(), revert().shows(&running_again)]),
        off(
            "one that runs goes back to being off",
            vec![create(), start(), revert().shows(&[Shows::Power(PowerState::ShutOff)])],
        ),
    ]
}
