//! Backups, and checkpoints that make them incremental.

use serde_json::{Value, json};

use covirt::model::{Action, Cause, Code, PowerState};

use super::power::stop;
use crate::parity::behaviour::{Behaviour, Shows, Step, Tells, done, ends_by_itself, not, running};

const NO_BACKUPS: &str = "has no backups";

fn push(file: &str, more: &Value) -> Value {
    let mut args = json!({ "mode": "push", "disks": ["vda"], "files": { "vda": format!("{{dir}}/{{name}}.{file}") } });
    merge(&mut args, more);
    args
}

fn pull() -> Value {
    json!({ "mode": "pull", "disks": ["vda"], "socket": "{dir}/{name}.nbd", "scratch": { "vda": "{dir}/{name}.scratch" } })
}

fn merge(into: &mut Value, more: &Value) {
    if let (Some(into), Some(more)) = (into.as_object_mut(), more.as_object()) {
        into.extend(more.clone());
    }
}

fn pulled() -> Step {
    done(Action::BackupBegin, pull())
        .gives(json!({
            "mode": "pull", "checkpoint": null, "incremental": null, "socket": "{dir}/{name}.nbd",
            "disks": { "vda": { "export": "vda", "bitmap": null, "uri": "nbd+unix:///vda?socket={dir}/{name}.nbd" } },
        }))
        .shows(&[Shows::Open("backup")])
        .not_in_mock(NO_BACKUPS)
}

fn pushed(file: &str, more: &Value) -> Step {
    let path = format!("{{dir}}/{{name}}.{file}");
    let mut given = json!({
        "mode": "push", "checkpoint": null, "incremental": null, "disks": { "vda": { "file": path, "format": "qcow2" } },
    });
    merge(&mut given, more);
    // It may be over before the call is.
    done(Action::BackupBegin, push(file, more))
        .gives(given)
        .tells(&[Tells::PerhapsChanged(Cause::JobEnded)])
        .not_in_mock(NO_BACKUPS)
}

fn end() -> Step {
    done(Action::BackupEnd, Value::Null).shows(&[Shows::NotOpen("backup")]).tells(&[Tells::Changed(Cause::JobStopped)])
}

fn checkpoint(name: &'static str) -> Step {
    done(Action::CheckpointCreate, json!({ "name": name }))
        .gives(json!({ "name": name }))
        .shows(&[Shows::Checkpoint(name)])
}

pub(super) fn list() -> Vec<Behaviour> {
    vec![
        running(
            "a backup that is read by others is open until it is ended",
            vec![
                pulled(),
                not(Action::BackupBegin, push("other.qcow2", &json!({})), Code::StateForbids),
                end(),
                not(Action::BackupEnd, Value::Null, Code::StateForbids),
            ],
        ),
        running(
            "a backup goes with the process",
            vec![
                pulled(),
                stop().shows(&[Shows::Power(PowerState::ShutOff), Shows::NotOpen("backup")]).tells(&[
                    Tells::PerhapsChanged(Cause::Terminated),
                    Tells::PerhapsChanged(Cause::JobStopped),
                    Tells::Changed(Cause::Destroyed),
                ]),
            ],
        ),
        running(
            "a backup into a file ends by itself, and the next begins at its checkpoint",
            vec![
                pushed("full.qcow2", &json!({ "checkpoint": "n.a" }))
                    .shows(&[Shows::PerhapsOpen("backup"), Shows::Checkpoint("n.a")]),
                ends_by_itself("backup"),
                not(Action::BackupBegin, push("again.qcow2", &json!({ "checkpoint": "n.a" })), Code::HypervisorFailed),
                not(Action::BackupBegin, push("since.qcow2", &json!({ "incremental": "n.0" })), Code::StateForbids),
                pushed("since.qcow2", &json!({ "incremental": "n.a", "checkpoint": "n.b" }))
                    .shows(&[Shows::PerhapsOpen("backup"), Shows::Checkpoint("n.b")]),
                ends_by_itself("backup"),
            ],
        ),
        running(
            "checkpoints come and go",
            vec![
                checkpoint("n.a"),
                not(Action::CheckpointCreate, json!({ "name": "n.a" }), Code::HypervisorFailed),
                done(Action::CheckpointDelete, json!({ "name": "n.a" }))
                    .gives(json!({ "name": "n.a" }))
                    .shows(&[Shows::NoCheckpoint("n.a")]),
                not(Action::CheckpointDelete, json!({ "name": "n.a" }), Code::StateForbids),
            ],
        ),
        running(
            "nothing is backed up of a disk that is not there",
            vec![not(
                Action::BackupBegin,
                json!({ "mode": "push", "disks": ["vdz"], "files": { "vdz": "{dir}/{name}.z" } }),
                Code::StateForbids,
            )],
        ),
    ]
}
