//! The persistent definition: replaced, renamed, removed.

use serde_json::{Value, json};

use covirt::model::{Action, Cause, Code, PowerState};

use super::hibernate::save;
use super::power::{start, stop};
use crate::parity::behaviour::Backend::Mock;
use crate::parity::behaviour::{Behaviour, Shows, Step, Tells, done, not, off, running};

fn define(xml: &str, changed: bool) -> Step {
    done(Action::DefinitionDefine, json!({ "xml": xml }))
        .gives(json!({ "generation": "*", "changed": changed }))
        .tells(&[Tells::Happened(Cause::Redefined)])
}

fn undefine(args: Value) -> Step {
    done(Action::DefinitionUndefine, args)
}

fn rename(to: &str) -> Step {
    done(Action::DefinitionRename, json!({ "name": to })).gives(json!({ "name": to }))
}

pub(super) fn list() -> Vec<Behaviour> {
    let gone = [Tells::Gone(Cause::Undefined)];
    let snapshot = || {
        done(Action::SnapshotCreate, json!({ "name": "kept" }))
            .gives(json!({ "name": "kept" }))
            .shows(&[Shows::Snapshot("kept")])
    };
    vec![
        off(
            "a definition is replaced, and one that is the same changes nothing",
            vec![
                define("{xml}", false),
                define("{wider}", true).shows(&[Shows::Redefined, Shows::MostVcpus(6)]),
                define("{wider}", false),
                not(Action::DefinitionDefine, json!({ "xml": "{renamed}" }), Code::StateForbids),
            ],
        ),
        running(
            "one that runs goes on as it is, and the next start is as defined",
            vec![
                define("{xml}", false),
                define("{wider}", true).shows(&[Shows::Redefined]),
                stop().shows(&[Shows::Power(PowerState::ShutOff), Shows::MostVcpus(6)]),
            ],
        ),
        off(
            "it gets another name, once",
            vec![
                rename("{name}-b").tells(&[Tells::Happened(Cause::Renamed)]).shows(&[Shows::Redefined]),
                rename("{name}-b"),
                rename("{name}").tells(&[Tells::Happened(Cause::Renamed)]).shows(&[Shows::Redefined]),
            ],
        ),
        running(
            "one that runs keeps its name",
            vec![not(Action::DefinitionRename, json!({ "name": "x" }), Code::StateForbids)],
        ),
        off(
            "one that is off goes with its definition",
            vec![
                undefine(Value::Null).shows(&[Shows::Gone]).tells(&gone),
                not(Action::PowerStart, Value::Null, Code::VmGone),
            ],
        ),
        running(
            "one that runs goes when it stops",
            vec![
                undefine(Value::Null).shows(&[Shows::Transient]).tells(&[Tells::Happened(Cause::Undefined)]),
                not(Action::DefinitionUndefine, Value::Null, Code::StateForbids).on(
                    Mock,
                    "forgets it once more",
                    |step| step.gives(Value::Null).tells(&[Tells::Happened(Cause::Undefined)]),
                ),
                not(Action::AutostartSet, json!({ "enabled": true }), Code::StateForbids),
                not(Action::PowerSave, Value::Null, Code::StateForbids),
                stop()
                    .shows(&[Shows::Gone])
                    .tells(&[Tells::PerhapsChanged(Cause::Terminated), Tells::Gone(Cause::Destroyed)]),
            ],
        ),
        running(
            "one that runs is defined again",
            vec![
                undefine(Value::Null).shows(&[Shows::Transient]).tells(&[Tells::Happened(Cause::Undefined)]),
                define("{xml}", true).shows(&[Shows::Redefined]),
                stop(),
                start(),
            ],
        ),
        off(
            "what it has snapshots of is not forgotten by the way",
            vec![
                snapshot(),
                not(Action::DefinitionUndefine, Value::Null, Code::StateForbids),
                undefine(json!({ "snapshots_metadata": true })).shows(&[Shows::Gone]).tells(&gone),
            ],
        ),
        running(
            "nor is the image it sleeps in",
            vec![
                save(),
                not(Action::DefinitionUndefine, Value::Null, Code::StateForbids),
                undefine(json!({ "saved_image": true })).shows(&[Shows::Gone]).tells(&gone),
            ],
        ),
    ]
}
