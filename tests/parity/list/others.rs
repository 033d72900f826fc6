//! Moving to another host, locks, channels and reading.

use serde_json::{Value, json};

use covirt::model::{Action, Code};

use super::power::suspend;
use crate::parity::behaviour::Backend::Fake;
use crate::parity::behaviour::{Behaviour, Shows, Step, done, not, off, running};

fn read() -> Step {
    // The runner holds what it gives against what a look shows.
    done(Action::InspectRead, Value::Null).gives(json!("*")).looks_undone()
}

pub(super) fn list() -> Vec<Behaviour> {
    let nowhere = json!({ "to": "qemu+unix:///system?socket=/nonexistent", "unsafe": true });
    vec![
        running(
            "it does not leave for a host that is not there, and there is nothing to abort",
            vec![
                not(Action::MigrateAbort, Value::Null, Code::StateForbids),
                not(Action::MigrateBegin, nowhere, Code::HypervisorFailed).ends_on(
                    Fake,
                    "knows no other hosts: a test says how a migration ends",
                    |step| {
                        step.gives(json!({ "to": "qemu+unix:///system?socket=/nonexistent", "over": false }))
                            .shows(&[Shows::Open("migration")])
                    },
                ),
            ],
        ),
        off(
            "a lock is the lane's alone",
            vec![done(Action::LockAcquire, json!({ "reason": "maintenance" })), done(Action::LockRelease, Value::Null)],
        ),
        off("a look at one that is off", vec![read()]),
        running("a look at one that runs, and at one that is halted", vec![read(), suspend(), read()]),
    ]
}
