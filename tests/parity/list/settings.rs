//! Values that a later write replaces whole.

use serde_json::{Value, json};

use covirt::model::{Action, Cause, Code};
use covirt::resolver::Evidence;

use super::power::suspend;
use crate::parity::behaviour::Backend::Mock;
use crate::parity::behaviour::{Behaviour, Need, Shows, Step, Tells, booted, done, not, off, running};

const URI: &str = "https://north.example/";

fn vcpus(number: u32) -> Step {
    done(Action::CpuSet, json!({ "vcpus": number })).shows(&[Shows::Vcpus(number), Shows::Redefined])
}

fn memory(kib: u64) -> Step {
    done(Action::MemorySet, json!({ "memory_kib": kib })).shows(&[Shows::Memory(kib), Shows::Redefined])
}

fn metadata(xml: &Value) -> Step {
    done(Action::MetadataSet, json!({ "uri": URI, "key": "north", "xml": xml }))
        .tells(&[Tells::About(Cause::MetadataChanged, URI)])
}

fn qos(average: u32) -> Step {
    done(Action::NicQos, json!({ "mac": "{mac}", "inbound": { "average": average } }))
}

fn iotune(bytes: u64) -> Step {
    done(Action::DiskIotune, json!({ "disk": "vda", "total_bytes_sec": bytes }))
}

pub(super) fn list() -> Vec<Behaviour> {
    let none = || json!({ "disk": "vdz", "total_bytes_sec": 1 });
    vec![
        off(
            "vCPUs are set for later",
            vec![vcpus(3), vcpus(3).shows(&[]), not(Action::CpuSet, json!({ "vcpus": 9 }), Code::HypervisorFailed)],
        ),
        running(
            "vCPUs are set for now and later",
            vec![vcpus(2), vcpus(2).shows(&[]), not(Action::CpuSet, json!({ "vcpus": 9 }), Code::HypervisorFailed)],
        ),
        off(
            "memory is set for later",
            vec![
                memory(61_440),
                not(Action::MemorySet, json!({ "memory_kib": 1_000_000_000 }), Code::HypervisorFailed),
            ],
        ),
        booted(
            "memory is set for now and later",
            vec![
                memory(122_880)
                    .gives(json!({ "memory_kib": 122_880, "guest_memory_kib": 122_880 }))
                    .tells(&[Tells::Changed(Cause::Ballooned)])
                    .on(Mock, "says nothing of it", |step| step.tells(&[])),
                not(Action::MemorySet, json!({ "memory_kib": 1_000_000_000 }), Code::HypervisorFailed),
            ],
        ),
        off(
            "an element of the metadata comes, is written over and goes",
            vec![
                metadata(&json!("<note x='1'/>")),
                metadata(&json!("<note x='1'/>")),
                metadata(&json!("<note x='2'/>")),
                metadata(&Value::Null),
            ],
        ),
        running("metadata of one that runs", vec![metadata(&json!("<note x='1'/>")), metadata(&Value::Null)]),
        off("an interface's bandwidth for later", vec![qos(1000).shows(&[Shows::Redefined]), qos(1000)]),
        running("an interface's bandwidth", vec![qos(1000).shows(&[Shows::Redefined]), qos(1000)])
            .needs(Need::TrafficControl),
        off(
            "a disk's limits for later",
            vec![
                iotune(1_048_576).shows(&[Shows::Redefined]).not_in_mock("takes no limit without one for bursts"),
                iotune(1_048_576),
            ],
        ),
        running(
            "a disk's limits",
            vec![
                iotune(1_048_576)
                    .shows(&[Shows::Redefined])
                    .tells(&[Tells::Happened(Cause::Tuned)])
                    .not_in_mock("takes no limit without one for bursts"),
                iotune(1_048_576).tells(&[Tells::Happened(Cause::Tuned)]),
            ],
        ),
        running(
            "limits of what is not there",
            vec![
                not(Action::DiskIotune, none(), Code::StateForbids),
                not(
                    Action::NicQos,
                    json!({ "mac": "52:54:00:99:99:99", "inbound": { "average": 1 } }),
                    Code::StateForbids,
                ),
            ],
        ),
        off(
            "it is started with its host or not",
            [true, true, false]
                .map(|enabled| {
                    done(Action::AutostartSet, json!({ "enabled": enabled })).gives(json!({ "autostart": enabled }))
                })
                .into(),
        ),
        running(
            "settings of one that is halted",
            vec![
                suspend(),
                vcpus(2),
                // Its guest gives nothing back while its vCPUs stand still: a look alone does not tell that it was asked.
                memory(61_440).gives(json!("*")).shows(&[Shows::Redefined]).looks_undone().on(
                    Mock,
                    "has no guest: its memory is set at once",
                    |step| Step { trace: Evidence::Done, ..step.shows(&[Shows::Memory(61_440), Shows::Redefined]) },
                ),
            ],
        ),
    ]
}
