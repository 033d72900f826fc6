//! Disks' sizes, and jobs that move their contents.

use serde_json::{Value, json};

use covirt::model::{Action, Cause, Code, PowerState};

use super::power::stop;
use crate::parity::behaviour::Backend::Mock;
use crate::parity::behaviour::{Behaviour, Shows, Step, Tells, done, ends_by_itself, is_ready, not, running};

const NO_JOBS: &str = "has no block jobs";
const MIB: u64 = 1024 * 1024;

fn disk() -> Value {
    json!({ "disk": "vda" })
}

fn overlay() -> Step {
    done(Action::SnapshotCreate, json!({ "name": "over", "kind": "disk-only" }))
        .gives(json!({ "name": "over" }))
        .shows(&[Shows::Snapshot("over"), Shows::Redefined])
        .not_in_mock("has snapshots of everything only")
}

/// Slow enough to be open for as long as nobody ends it.
fn copy() -> Step {
    done(Action::BlockCopy, json!({ "disk": "vda", "to": "{dir}/{name}.copy", "bandwidth": MIB }))
        .gives(json!({ "disk": "vda", "job": "copy", "pivot": true, "to": "{dir}/{name}.copy", "format": "qcow2" }))
        .shows(&[Shows::Open("block:vda")])
        .not_in_mock(NO_JOBS)
}

fn abort(pivot: bool) -> Step {
    done(Action::BlockAbort, json!({ "disk": "vda", "pivot": pivot }))
        .gives(json!({ "disk": "vda", "pivot": pivot }))
        .shows(&[Shows::NotOpen("block:vda")])
        .tells(&[Tells::Changed(Cause::JobStopped)])
}

pub(super) fn list() -> Vec<Behaviour> {
    let resize = |capacity: u64| done(Action::DiskResize, json!({ "disk": "vda", "capacity": capacity }));
    let larger = 1024 * MIB;
    vec![
        running(
            "a disk is made larger, never smaller",
            vec![
                resize(larger).gives(json!({ "disk": "vda", "capacity": larger, "before": "*" })).ends_on(
                    Mock,
                    "has disks of one size",
                    |step| step.not_done(Code::StateForbids),
                ),
                resize(larger).gives(json!({ "disk": "vda", "capacity": larger, "before": larger })),
                not(Action::DiskResize, json!({ "disk": "vda", "capacity": MIB }), Code::StateForbids),
            ],
        ),
        running(
            "a mirror is open until it is given up",
            vec![
                copy(),
                not(Action::BlockAbort, json!({ "disk": "vda", "pivot": true }), Code::StateForbids),
                not(Action::BlockPull, disk(), Code::StateForbids),
                abort(false),
                not(Action::BlockAbort, disk(), Code::StateForbids),
            ],
        ),
        running(
            "a mirror goes with the process",
            vec![
                copy(),
                stop().shows(&[Shows::Power(PowerState::ShutOff), Shows::NotOpen("block:vda")]).tells(&[
                    Tells::PerhapsChanged(Cause::Terminated),
                    Tells::PerhapsChanged(Cause::JobStopped),
                    Tells::PerhapsChanged(Cause::JobFailed),
                    Tells::Changed(Cause::Destroyed),
                ]),
            ],
        ),
        running(
            "an overlay is merged down, and the VM goes over to what is below",
            vec![
                overlay(),
                done(Action::BlockCommit, disk())
                    .gives(json!({ "disk": "vda", "job": "commit", "pivot": true }))
                    .shows(&[Shows::Open("block:vda")])
                    .not_in_mock(NO_JOBS),
                is_ready("block:vda"),
                abort(true).shows(&[Shows::NotOpen("block:vda"), Shows::Redefined]).leaves_no_trace(),
            ],
        ),
        running(
            "what is below is brought up, and that ends by itself",
            vec![
                overlay(),
                done(Action::BlockPull, disk())
                    .gives(json!({ "disk": "vda", "job": "pull", "pivot": false }))
                    .shows(&[Shows::PerhapsOpen("block:vda")])
                    .tells(&[Tells::PerhapsChanged(Cause::JobEnded)])
                    .not_in_mock(NO_JOBS),
                ends_by_itself("block:vda"),
            ],
        ),
        running(
            "no job begins on a disk that is not there",
            vec![not(Action::BlockPull, json!({ "disk": "vdz" }), Code::StateForbids)],
        ),
    ]
}
