//! Whether and how the VM runs.

use serde_json::{Value, json};

use covirt::model::{Action, Cause, Code, PowerState};

use crate::parity::behaviour::Backend::Mock;
use crate::parity::behaviour::{Behaviour, Shows, Step, Tells, booted, done, not, off, running};

const RUNNING: Shows = Shows::Power(PowerState::Running);
const SHUT_OFF: Shows = Shows::Power(PowerState::ShutOff);
const OTHER_ERROR: &str = "has another error for it";

pub(super) fn start() -> Step {
    done(Action::PowerStart, Value::Null)
        .shows(&[RUNNING, Shows::NewStart])
        .tells(&[Tells::Power(PowerState::Running), Tells::Changed(Cause::Started)])
        .on(Mock, "says only that it was started", |step| step.tells(&[Tells::Changed(Cause::Started)]))
}

pub(super) fn suspend() -> Step {
    done(Action::PowerSuspend, Value::Null)
        .shows(&[Shows::Power(PowerState::Paused)])
        .tells(&[Tells::Power(PowerState::Paused)])
}

pub(super) fn resume() -> Step {
    done(Action::PowerResume, Value::Null).shows(&[RUNNING]).tells(&[Tells::Power(PowerState::Running)])
}

pub(super) fn stop() -> Step {
    done(Action::PowerStop, Value::Null)
        .shows(&[SHUT_OFF])
        .tells(&[Tells::PerhapsChanged(Cause::Terminated), Tells::Changed(Cause::Destroyed)])
}

fn reset() -> Step {
    restarts(Action::PowerReset, Value::Null)
}

fn restarts(action: Action, args: Value) -> Step {
    let silent = |step: Step| step.tells(&[]);
    done(action, args).tells(&[Tells::Happened(Cause::Rebooted)]).leaves_no_trace().on(
        Mock,
        "says nothing of it",
        silent,
    )
}

fn forbidden(action: Action) -> Step {
    not(action, Value::Null, Code::StateForbids)
}

pub(super) fn list() -> Vec<Behaviour> {
    let in_time = || json!({ "timeout_s": 60 });
    vec![
        off("it starts, and starts once", vec![start(), forbidden(Action::PowerStart).mock_fails(OTHER_ERROR)]),
        running("it stops, and stops once", vec![stop(), forbidden(Action::PowerStop)]),
        running(
            "it is halted and goes on",
            vec![
                suspend(),
                // Asked twice it is as it should be.
                done(Action::PowerSuspend, Value::Null).mock_fails("calls one that is halted not running"),
                resume(),
                forbidden(Action::PowerResume).mock_fails(OTHER_ERROR),
            ],
        ),
        running("one that is halted is stopped", vec![suspend(), stop()]),
        running("each start is another", vec![stop(), start(), stop(), start()]),
        running(
            "what was decided for an earlier start is not done to a later one",
            vec![
                stop(),
                forbidden(Action::PowerStop).meant_for_the_first_start(),
                start(),
                forbidden(Action::PowerSuspend).meant_for_the_first_start(),
                // Reading acts on nothing.
                done(Action::InspectRead, Value::Null).gives(json!("*")).looks_undone().meant_for_the_first_start(),
            ],
        ),
        running("it is reset", vec![reset()]),
        running("one that is halted is reset and stays halted", vec![suspend(), reset()]),
        booted(
            "its guest shuts down",
            vec![
                done(Action::PowerShutdown, in_time())
                    .shows(&[SHUT_OFF])
                    .tells(&[Tells::Changed(Cause::GuestShutdown)]),
                not(Action::PowerShutdown, in_time(), Code::StateForbids).mock_fails(OTHER_ERROR),
            ],
        ),
        booted("its guest restarts", vec![restarts(Action::PowerReboot, in_time())]),
    ]
}
