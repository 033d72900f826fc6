//! The libvirt adapter from outside, against libvirt's mock driver: every action once, by a lane's own calls.

mod libvirt_calls;

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;
use virt::connect::Connect;
use virt::sys;

use covirt::hypervisor::{Event, Hypervisor, Libvirt, Options};
use covirt::model::{Action, Cause, Code, PowerState, VmId};
use covirt::resolver::{CallResult, Evidence};
use libvirt_calls::{call, done, until_event};

const URI: &str = "test:///default";

/// Defines a VM, on the driver state that all connections of this process share.
fn define(connect: &Connect, name: &str) -> VmId {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes());
    let xml = format!(
        "<domain type='test'><name>{name}</name><uuid>{id}</uuid><memory>65536</memory>\
         <vcpu current='1'>4</vcpu><os><type>hvm</type></os></domain>"
    );
    connect.define_domain_xml(&xml).expect("define");
    VmId(id)
}

fn undefine(connect: &Connect, vm: VmId) {
    let domain = connect.lookup_domain_by_uuid(vm.0).expect("the VM is there");
    let _ = domain.destroy();
    domain.undefine_flags(sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA).expect("undefine");
}

#[tokio::test]
async fn every_action_does_what_it_declares() {
    let libvirt = Libvirt::connect(URI, Options::default()).expect("connect");
    let connect = Connect::open(Some(URI)).expect("connect");
    let vm = define(&connect, "every-action");
    let mut events = libvirt.events();
    let name = json!({ "name": "one" });
    let metadata = json!({ "uri": "https://north.example/", "key": "north", "xml": "<a/>" });
    let steps = [
        (Action::PowerStart, Value::Null),
        (Action::PowerSuspend, Value::Null),
        (Action::PowerResume, Value::Null),
        (Action::SnapshotCreate, name.clone()),
        (Action::CpuSet, json!({ "vcpus": 2 })),
        (Action::MemorySet, json!({ "memory_kib": 32768 })),
        (Action::MetadataSet, metadata),
        (Action::InspectRead, Value::Null),
        (Action::PowerReboot, Value::Null),
        (Action::PowerShutdown, Value::Null),
        (Action::SnapshotRevert, name.clone()),
        (Action::SnapshotDelete, name),
        (Action::PowerStop, Value::Null),
    ];
    for (action, args) in steps {
        done(&libvirt, vm, action, args).await;
        until_quiet(&libvirt, vm, action).await;
    }
    until_event(&mut events, &Event::Changed(vm, Some(Cause::Destroyed)), Duration::from_secs(1)).await;
    undefine(&connect, vm);
    until_event(&mut events, &Event::Gone(vm, Some(Cause::Undefined)), Duration::from_secs(1)).await;
}

/// After each action the VM is as the action declares.
async fn until_quiet(libvirt: &Libvirt, vm: VmId, action: Action) {
    let state = libvirt.observe(vm).await.expect("observe");
    let wanted = match action {
        Action::PowerShutdown | Action::PowerStop => PowerState::ShutOff,
        Action::PowerSuspend => PowerState::Paused,
        _ => PowerState::Running,
    };
    assert_eq!(state.power, wanted, "{action}");
}

#[tokio::test]
async fn a_call_for_an_earlier_start_is_refused_and_its_probe_tells_nothing() {
    let libvirt = Libvirt::connect(URI, Options::default()).expect("connect");
    let connect = Connect::open(Some(URI)).expect("connect");
    let vm = define(&connect, "earlier-start");
    let domain = connect.lookup_domain_by_uuid(vm.0).expect("the VM is there");
    domain.create().expect("create");
    let suspend = call(vm, &libvirt.observe(vm).await.expect("observe"), Action::PowerSuspend, Value::Null);
    assert_eq!(libvirt.probe(suspend.clone()).await.expect("probe"), Evidence::Undone);
    domain.destroy().expect("destroy");
    domain.create().expect("create");
    let CallResult::Failed(outcome) = libvirt.execute(suspend.clone()).await else { panic!() };
    assert_eq!(outcome.code, Code::StateForbids);
    assert_eq!(libvirt.probe(suspend).await.expect("probe"), Evidence::None);
    undefine(&connect, vm);
}
