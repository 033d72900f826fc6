//! Snapshots of disks and memory.

use serde_json::{Value, json};

use covirt::model::{Action, Cause, Code, PowerState};

use super::power::{start, stop, suspend};
use crate::parity::behaviour::Backend::{Mock, Qemu};
use crate::parity::behaviour::{Behaviour, Shows, Step, Tells, done, not, off, running};

const SHUT_OFF: Shows = Shows::Power(PowerState::ShutOff);
const REVERTED: Tells = Tells::Changed(Cause::Reverted);
const REDEFINED: Tells = Tells::Happened(Cause::Redefined);

fn name() -> Value {
    json!({ "name": "one" })
}

fn create() -> Step {
    done(Action::SnapshotCreate, name()).gives(name()).shows(&[Shows::Snapshot("one")])
}

/// Of one that runs: libvirt halts it for that long.
fn create_of_running() -> Step {
    create().tells(&[Tells::Power(PowerState::Paused), Tells::Power(PowerState::Running)]).on(
        Mock,
        "needs no time for it",
        |step| step.tells(&[]),
    )
}

fn delete() -> Step {
    done(Action::SnapshotDelete, name()).shows(&[Shows::NoSnapshot("one")])
}

fn revert(shows: &[Shows]) -> Step {
    done(Action::SnapshotRevert, name()).shows(shows).tells(&[REVERTED, REDEFINED]).leaves_no_trace().on(
        Mock,
        "says nothing of its definition",
        |step| step.tells(&[REVERTED]),
    )
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
        running("a snapshot of one that runs comes and goes", vec![create_of_running(), delete()]),
        running("a snapshot of one that is halted leaves it halted", vec![suspend(), create(), delete()]),
        running(
            "a snapshot that is not there is neither gone back to nor deleted",
            vec![unknown(Action::SnapshotRevert), unknown(Action::SnapshotDelete)],
        ),
        running("it goes back to how it ran", vec![create_of_running(), revert(&[Shows::NewStart])]),
        running(
            "one that is halted goes back to how it ran",
            vec![create_of_running(), suspend(), revert(&running_again)],
        ),
        running("one that is off goes back to how it ran", vec![create_of_running(), stop(), revert(&running_again)]),
        off(
            "one that runs goes back to being off",
            vec![
                create(),
                start(),
                revert(&[SHUT_OFF]).tells(&[REDEFINED, REVERTED]).on(
                    Qemu,
                    "fills in what its definition left out",
                    |step| step.shows(&[SHUT_OFF, Shows::Redefined]),
                ),
            ],
        ),
    ]
}
