//! Devices that come and go.

use serde_json::{Value, json};

use covirt::model::{Action, Cause, Code};

use crate::parity::behaviour::{Behaviour, Shows, Step, Tells, booted, done, not, off};

const DISK: &str = "disk:vdb";
const NIC: &str = "nic:52:54:00:c0:c1:c2";
const NOT_PLUGGED: &str = "plugs nothing";

fn disk() -> Value {
    json!({ "xml": "{vdb}" })
}

fn nic() -> Value {
    json!({ "xml": "{nic}" })
}

fn attach(xml: Value, name: &'static str) -> Step {
    done(Action::DeviceAttach, xml).shows(&[Shows::Device(name), Shows::Redefined]).not_in_mock(NOT_PLUGGED)
}

fn detach(name: &'static str) -> Step {
    done(Action::DeviceDetach, json!({ "device": name })).shows(&[Shows::NoDevice(name), Shows::Redefined])
}

pub(super) fn list() -> Vec<Behaviour> {
    let there = |xml| not(Action::DeviceAttach, xml, Code::StateForbids);
    let not_there = || not(Action::DeviceDetach, json!({ "device": "disk:vdz" }), Code::StateForbids);
    vec![
        off(
            "devices of one that is off come and go in its definition",
            vec![
                not_there(),
                attach(disk(), DISK),
                there(disk()),
                attach(nic(), NIC),
                done(Action::DeviceUpdate, json!({ "xml": "{nic-down}" })).shows(&[Shows::Redefined]),
                detach(NIC),
                detach(DISK),
                not(Action::DeviceDetach, json!({ "device": DISK }), Code::StateForbids),
            ],
        ),
        booted(
            "devices of a guest come and go, and it says when they are gone",
            vec![
                not_there(),
                attach(disk(), DISK).tells(&[Tells::About(Cause::DeviceAdded, "virtio-disk1")]),
                there(disk()),
                attach(nic(), NIC).tells(&[Tells::About(Cause::DeviceAdded, "net1")]),
                done(Action::DeviceUpdate, json!({ "xml": "{nic-down}" })).shows(&[Shows::Redefined]),
                detach(NIC).tells(&[Tells::About(Cause::DeviceRemoved, "net1")]),
                detach(DISK).tells(&[Tells::About(Cause::DeviceRemoved, "virtio-disk1")]),
                not(Action::DeviceDetach, json!({ "device": DISK }), Code::StateForbids),
            ],
        ),
        off("what is not there is not changed", vec![not(Action::DeviceUpdate, nic(), Code::StateForbids)]),
    ]
}
