//! Put to sleep, and woken where it was.

use serde_json::Value;

use covirt::model::{Action, Cause, Code, PowerState};

use super::power::{start, stop, suspend};
use crate::parity::behaviour::Backend::Mock;
use crate::parity::behaviour::{Behaviour, Shows, Step, Tells, done, not, off, running};

const RUNNING: Shows = Shows::Power(PowerState::Running);
const PAUSED: Shows = Shows::Power(PowerState::Paused);

/// Of one that runs.
pub(super) fn save() -> Step {
    save_of_halted().tells(&[Tells::Power(PowerState::Paused), Tells::Changed(Cause::Saved)]).on(
        Mock,
        "does not halt it first",
        |step| step.tells(&[Tells::Changed(Cause::Saved)]),
    )
}

fn save_of_halted() -> Step {
    done(Action::PowerSave, Value::Null)
        .shows(&[Shows::Power(PowerState::ShutOff), Shows::Saved])
        .tells(&[Tells::Changed(Cause::Saved)])
}

fn woken(action: Action) -> Step {
    done(action, Value::Null)
        .shows(&[RUNNING, Shows::NewStart, Shows::NotSaved])
        // libvirt says of the resume that follows that it is from a snapshot.
        .tells(&[Tells::Changed(Cause::Restored), Tells::PerhapsChanged(Cause::Reverted)])
        .on(Mock, "says that it was started", |step| step.tells(&[Tells::Changed(Cause::Started)]))
}

fn woken_halted() -> Step {
    done(Action::PowerRestore, Value::Null)
        .shows(&[PAUSED, Shows::NewStart, Shows::NotSaved])
        .tells(&[Tells::Changed(Cause::Restored)])
        .on(Mock, "lets it go on, and says that it was started", |step| {
            step.shows(&[RUNNING, Shows::NewStart, Shows::NotSaved]).tells(&[Tells::Changed(Cause::Started)])
        })
}

fn remove() -> Step {
    done(Action::PowerSaveRemove, Value::Null).shows(&[Shows::NotSaved])
}

fn no_image(action: Action) -> Step {
    not(action, Value::Null, Code::StateForbids)
}

pub(super) fn list() -> Vec<Behaviour> {
    vec![
        running(
            "it sleeps and goes on",
            vec![save(), woken(Action::PowerRestore), no_image(Action::PowerRestore), stop()],
        ),
        running("a start goes on from the image, too", vec![save(), woken(Action::PowerStart)]),
        running("one that was halted is halted when it goes on", vec![suspend(), save_of_halted(), woken_halted()]),
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
