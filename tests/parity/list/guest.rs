//! What the guest does for its provider, through its agent.

use serde_json::{Value, json};

use covirt::model::{Action, Code};

use crate::parity::behaviour::Backend::{Fake, Mock};
use crate::parity::behaviour::{Behaviour, Step, booted, done, not};

fn freeze() -> Step {
    done(Action::GuestFreeze, json!({ "lease_s": 600 })).gives(json!({ "frozen": 1 }))
}

fn thaw(number: u32) -> Step {
    done(Action::GuestThaw, Value::Null).gives(json!({ "thawed": number }))
}

pub(super) fn list() -> Vec<Behaviour> {
    vec![
        booted(
            "file systems stand still until they are let go",
            vec![
                freeze().ends_on(Mock, "only counts", |step| step.gives(json!({ "frozen": "*" })).leaves_no_trace()),
                freeze().not_done(Code::StateForbids),
                not(Action::GuestTrim, Value::Null, Code::HypervisorFailed),
                thaw(1),
                thaw(0),
            ],
        ),
        booted("unused blocks are given back", vec![done(Action::GuestTrim, Value::Null).leaves_no_trace()]),
        booted(
            "the agent is told something else",
            vec![
                done(Action::GuestCommand, json!({ "execute": "guest-info" }))
                    .gives(json!("*"))
                    .leaves_no_trace()
                    .not_in_mock("has no agent"),
            ],
        ),
        booted(
            "what the agent does not know it refuses",
            vec![not(Action::GuestCommand, json!({ "execute": "guest-nope" }), Code::HypervisorFailed).on(
                Fake,
                "knows no list of commands",
                |step| step.gives(json!("*")).leaves_no_trace(),
            )],
        ),
        booted(
            "its clock and a password are set",
            vec![
                done(Action::GuestSetTime, json!({ "seconds": 1_900_000_000 })).leaves_no_trace(),
                done(Action::GuestSetPassword, json!({ "user": "root", "password": "correct-horse" }))
                    .leaves_no_trace(),
            ],
        ),
    ]
}
