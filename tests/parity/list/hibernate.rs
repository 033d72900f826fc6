//! Put to sleep, and woken where it was.

use serde_json::Value;

use covirt::model::{Action, Cause, Code, PowerState};

use super::power::{start, stop, suspend};
use crate::parity::behaviour::{Behaviour, Shows, Step, Tells, done, not, off, running};

const RUNNING: Shows = Shows::Power(PowerState::Running);

fn save() -> Step {
    done(Action::PowerSave, Value::Null)
        .shows(&[Shows::Power(PowerState::ShutOff), Shows::Saved])
        .tells(&[Tells::Changed(Cause::Saved)])
}

fn restore() -> Step {
    done(Action::PowerRestore, Value::Null)
        .shows(&[RUNNING, Shows::NewStart, Shows::NotSaved])
        .tells(&[Tells::Changed(Cause::Restored)])
}

fn remove() -> Step {
    done(Action::PowerSaveRemove, Value::Null).shows(&[Shows::NotSaved])
}

fn no_image(action: Action) -> Step {
    not(action, Value::Null, Code::StateForbids)
}

pub(super) fn list() -> Vec<Behaviour> {
    vec![
        running("it sleeps and goes on", vec![save(), restore(), no_image(Action::PowerRestore), stop()]),
        running(
            "a start goes on from the image, too",
            vec![
                save(),
                start().shows(&[RUNNING, Shows::NewStart, Shows::NotSaved]).tells(&[Tells::Changed(Cause::Restored)]),
            ],
        ),
        running(
            "one that was halted is halted when it goes on",
            vec![
                suspend(),
                save(),
                restore().shows(&[Shows::Power(PowerState::Paused), Shows::NewStart, Shows::NotSaved]),
            ],
        ),
        running(
            "without its image it boots anew",
            vec![save(), remove(), no_image(Action::PowerSaveRemove), no_image(Action::PowerRestore), start()],
        ),
        off(
            "one that never slept has no image",
            vec![no_image(Action::PowerRestore), no_image(Action::PowerSaveRemove)],
        ),
    ]
}
