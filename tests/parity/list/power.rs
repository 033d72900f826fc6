//! Whether and how the VM runs.

use serde_json::{Value, json};

use covirt::model::{Action, Cause, Code, PowerState};

use crate::parity::behaviour::Backend::Mock;
use crate::parity::behaviour::{Behaviour, Shows, Step, Tells, booted, done, not, off, running};

const PAUSED: Shows = Shows::Power(PowerState::Paused);
const RUNNING: Shows = Shows::Power(PowerState::Running);
const SHUT_OFF: Shows = Shows::Power(PowerState::ShutOff);

pub(super) fn start() -> Step {
    done(Action::PowerStart, Value::Null).shows(&[RUNNING, Shows::NewStart]).tells(&[Tells::Changed(Cause::Started)])
}

pub(super) fn suspend() -> Step {
    done(Action::PowerSuspend, Value::Null).shows(&[PAUSED]).tells(&[Tells::Power(PowerState::Paused)])
}

pub(super) fn resume() -> Step {
    done(Action::PowerResume, Value::Null).shows(&[RUNNING]).tells(&[Tells::Power(PowerState::Running)])
}

pub(super) fn stop() -> Step {
    done(Action::PowerStop, Value::Null).shows(&[SHUT_OFF]).tells(&[Tells::Changed(Cause::Destroyed)])
}

fn reset() -> Step {
    done(Action::PowerReset, Value::Null).tells(&[Tells::Happened(Cause::Rebooted)]).leaves_no_trace()
}

fn again(step: &Step, code: Code) -> Step {
    step.clone().not_done(code)
}

pub(super) fn list() -> Vec<Behaviour> {
    let short = || json!({ "timeout_s": 60 });
    vec![
        off("it starts, and starts once", vec![start(), again(&start(), Code::StateForbids)]),
        running("it stops, and stops once", vec![stop(), again(&stop(), Code::StateForbids)]),
        running(
            "it is halted and goes on",
            vec![
                suspend(),
                // Asked twice it is as it should be.
                done(Action::PowerSuspend, Value::Null).on(
                    Mock,
                    "calls a VM that is halted already not running",
                    |step| step.not_done(Code::HypervisorFailed),
                ),
                resume(),
                again(&resume(), Code::StateForbids)
                    .on(Mock, "has another error for it", |step| step.not_done(Code::HypervisorFailed)),
            ],
        ),
        running("one that is halted is stopped", vec![suspend(), stop()]),
        running("each start is another", vec![stop(), start(), stop(), start()]),
        running(
            "what was decided for an earlier start is not done to a later one",
            vec![
                stop(),
                not(Action::PowerStop, Value::Null, Code::StateForbids).meant_for_the_first_start(),
                start(),
                not(Action::PowerSuspend, Value::Null, Code::StateForbids).meant_for_the_first_start(),
                // Reading acts on nothing.
                done(Action::InspectRead, Value::Null).gives(json!("*")).trace_undone().meant_for_the_first_start(),
            ],
        ),
        running("it is reset", vec![reset()]),
        running("one that is halted is reset and stays halted", vec![suspend(), reset()]),
        booted(
            "its guest shuts down",
            vec![
                done(Action::PowerShutdown, short()).shows(&[SHUT_OFF]).tells(&[Tells::Changed(Cause::GuestShutdown)]),
                not(Action::PowerShutdown, short(), Code::StateForbids),
            ],
        ),
        booted(
            "its guest restarts",
            vec![done(Action::PowerReboot, short()).tells(&[Tells::Happened(Cause::Rebooted)]).leaves_no_trace()],
        ),
    ]
}
