//! The adapter against libvirt's mock driver, which is in every libvirt.
//!
//! All connections to `test:///default` in a process share its state, so each test defines a VM of its own.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;

mod devices;
mod snapshots;

use super::*;
use crate::hypervisor::Whole;
use crate::model::{Action, Cause, Code, DeviceName, Ending, Kib, PowerState};

const URI: &str = "test:///default";

/// A VM that a test owns; it is gone when the test ends.
struct Vm {
    id: VmId,
    connect: Connect,
}

impl Vm {
    fn defined(name: &str) -> Self {
        Self::with_devices(name, "")
    }

    fn with_devices(name: &str, devices: &str) -> Self {
        event_loop::ensure_running().unwrap();
        let connect = Connect::open(Some(URI)).unwrap();
        let id = VmId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()));
        let xml = format!(
            "<domain type='test'><name>{name}</name><uuid>{id}</uuid><memory>65536</memory>\
             <currentMemory>65536</currentMemory><vcpu current='1'>4</vcpu><os><type>hvm</type></os>\
             <devices>{devices}</devices></domain>"
        );
        connect.define_domain_xml(&xml).unwrap();
        Self { id, connect }
    }

    fn running(name: &str) -> Self {
        let vm = Self::defined(name);
        vm.domain().create().unwrap();
        vm
    }

    fn domain(&self) -> Domain {
        self.connect.lookup_domain_by_uuid(self.id.0).unwrap()
    }

    fn start(&self) -> StartId {
        look::start_of(&self.domain())
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let Ok(domain) = self.connect.lookup_domain_by_uuid(self.id.0) else { return };
        let _ = domain.destroy();
        let _ = domain.undefine_flags(
            virt::sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | virt::sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE,
        );
    }
}

fn libvirt() -> Libvirt {
    Libvirt::connect(URI, Options::default()).unwrap()
}

fn operation(action: Action, args: Value) -> Operation {
    Operation::parse(action, args).unwrap()
}

#[track_caller]
fn done(result: CallResult) -> Value {
    match result {
        CallResult::Done(value) => value,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn failed(result: CallResult) -> (Ending, Code, String) {
    match result {
        CallResult::Failed(outcome) => (outcome.ending, outcome.code, outcome.reason),
        other => panic!("{other:?}"),
    }
}

/// Performs an action on the VM as it is now.
async fn act(libvirt: &Libvirt, vm: &Vm, action: Action, args: Value) -> CallResult {
    libvirt.perform(vm.id, operation(action, args), vm.start()).await
}

async fn power(libvirt: &Libvirt, vm: &Vm) -> PowerState {
    libvirt.observe(vm.id).await.unwrap().power
}

#[tokio::test]
async fn a_vm_goes_through_its_life() {
    let (libvirt, vm) = (libvirt(), Vm::defined("life"));
    let off = libvirt.observe(vm.id).await.unwrap();
    assert_eq!((off.power, off.start), (PowerState::ShutOff, StartId(None)));
    for (action, after) in [
        (Action::PowerStart, PowerState::Running),
        (Action::PowerSuspend, PowerState::Paused),
        (Action::PowerResume, PowerState::Running),
        (Action::PowerReboot, PowerState::Running),
        (Action::PowerShutdown, PowerState::ShutOff),
        (Action::PowerStart, PowerState::Running),
        (Action::PowerStop, PowerState::ShutOff),
    ] {
        assert_eq!(done(act(&libvirt, &vm, action, Value::Null).await), Value::Null, "{action}");
        assert_eq!(power(&libvirt, &vm).await, after, "{action}");
    }
}

#[tokio::test]
async fn what_the_state_forbids_is_refused_in_libvirts_words() {
    let (libvirt, vm) = (libvirt(), Vm::defined("forbidden"));
    let (ending, code, reason) = failed(act(&libvirt, &vm, Action::PowerStop, Value::Null).await);
    assert_eq!((ending, code), (Ending::Impossible, Code::StateForbids));
    assert!(reason.contains("not running"), "{reason}");
}

#[tokio::test]
async fn a_vm_that_does_not_exist_is_gone() {
    let libvirt = libvirt();
    let vm = VmId(Uuid::from_u128(0xdead));
    let result = libvirt.perform(vm, operation(Action::PowerStop, Value::Null), StartId(Some(1))).await;
    assert_eq!(failed(result).1, Code::VmGone);
    assert!(matches!(libvirt.observe(vm).await, Err(AskHypervisorError::NoSuchVm(gone)) if gone == vm));
}

#[tokio::test]
async fn another_start_is_not_acted_on() {
    let (libvirt, vm) = (libvirt(), Vm::running("restarted"));
    let decided = vm.start();
    vm.domain().destroy().unwrap();
    let stop = || operation(Action::PowerStop, Value::Null);
    let stopped = failed(libvirt.perform(vm.id, stop(), decided).await);
    let reason = format!("the VM has stopped meanwhile (start {} was expected)", decided.0.unwrap());
    assert_eq!(stopped, (Ending::Impossible, Code::StateForbids, reason));
    vm.domain().create().unwrap();
    assert_ne!(vm.start(), decided);
    assert_eq!(failed(libvirt.perform(vm.id, stop(), decided).await).1, Code::StateForbids);
    assert_eq!(power(&libvirt, &vm).await, PowerState::Running);
    // Reading acts on nothing.
    let read = done(libvirt.perform(vm.id, operation(Action::InspectRead, Value::Null), decided).await);
    assert_eq!(read["power"], "running");
    assert_eq!(read["generation"], libvirt.observe(vm.id).await.unwrap().generation());
}

#[tokio::test]
async fn cpus_and_memory_are_set_live_and_for_later() {
    let (libvirt, vm) = (libvirt(), Vm::running("sized"));
    done(act(&libvirt, &vm, Action::CpuSet, json!({ "vcpus": 3 })).await);
    done(act(&libvirt, &vm, Action::MemorySet, json!({ "memory_kib": 32768 })).await);
    let live = libvirt.observe(vm.id).await.unwrap();
    assert_eq!((live.vcpus, live.vcpus_max, live.memory_kib), (3, 4, Kib(32768)));
    let too_many = failed(act(&libvirt, &vm, Action::CpuSet, json!({ "vcpus": 5 })).await);
    assert_eq!((too_many.0, too_many.1), (Ending::Failed, Code::HypervisorFailed));
    done(act(&libvirt, &vm, Action::PowerStop, Value::Null).await);
    assert_eq!(libvirt.observe(vm.id).await.unwrap().vcpus, 3);
}

#[tokio::test]
async fn metadata_is_written_read_back_and_removed() {
    let (libvirt, vm) = (libvirt(), Vm::running("metadata"));
    let set = |xml: Value| json!({ "uri": "https://north.example/v1", "key": "north", "xml": xml });
    let written = set(json!("<note color='red'>\n  <text>hello</text>\n</note>"));
    let removed = set(Value::Null);
    let evidence =
        |args: &Value| libvirt.core.evidence(vm.id, operation(Action::MetadataSet, args.clone()), vm.start());
    assert_eq!(evidence(&written).await, Ok(Evidence::Undone));
    done(act(&libvirt, &vm, Action::MetadataSet, written.clone()).await);
    assert!(vm.domain().xml_desc(0).unwrap().contains("north:note"));
    assert_eq!(evidence(&written).await, Ok(Evidence::Done));
    assert_eq!(evidence(&removed).await, Ok(Evidence::Undone));
    done(act(&libvirt, &vm, Action::MetadataSet, removed.clone()).await);
    assert_eq!(evidence(&removed).await, Ok(Evidence::Done));
    assert!(!vm.domain().xml_desc(0).unwrap().contains("north:note"));
}

#[tokio::test]
async fn a_lost_answer_is_found_out_by_looking() {
    let (libvirt, vm) = (libvirt(), Vm::running("probed"));
    let start = vm.start();
    let look = |action| libvirt.core.evidence(vm.id, operation(action, Value::Null), start);
    assert_eq!(look(Action::PowerSuspend).await, Ok(Evidence::Undone));
    vm.domain().suspend().unwrap();
    assert_eq!(look(Action::PowerSuspend).await, Ok(Evidence::Done));
    assert_eq!(look(Action::PowerReset).await, Ok(Evidence::None));
    assert_eq!(look(Action::PowerStop).await, Ok(Evidence::Undone));
    vm.domain().destroy().unwrap();
    assert_eq!(look(Action::PowerStop).await, Ok(Evidence::Done));
    assert_eq!(look(Action::PowerSuspend).await, Ok(Evidence::None));
}

#[tokio::test]
async fn an_inventory_tells_what_waits_for_the_next_start() {
    use crate::discovery::Definition;
    let (libvirt, vm) = (libvirt(), Vm::running("inventory"));
    let inventory = libvirt.inventory(vm.id).await.unwrap();
    assert_eq!(inventory.domain.identity.name, "inventory");
    let Definition::Persistent { pending, .. } = inventory.definition else { panic!("{:?}", inventory.definition) };
    assert_eq!(pending, Vec::<String>::new());
    vm.domain().set_vcpus_flags(3, virt::sys::VIR_DOMAIN_VCPU_CONFIG).unwrap();
    let Definition::Persistent { pending, .. } = libvirt.inventory(vm.id).await.unwrap().definition else { panic!() };
    assert_eq!(pending, ["cpu.vcpus"]);
    // The mock's own VM is on its own network and has a disk.
    let listed = libvirt.list().await.unwrap();
    let test = listed.iter().find(|listing| listing.name == "test").unwrap();
    libvirt.inventory(test.vm).await.unwrap();
}

#[tokio::test]
async fn a_look_tells_devices_the_definition_and_the_image() {
    let (libvirt, vm) = (libvirt(), Vm::running("looked-at"));
    let before = libvirt.observe(vm.id).await.unwrap();
    assert_eq!((before.devices.len(), before.jobs.len(), before.saved), (0, 0, false));
    assert_eq!(libvirt.progress(vm.id).await.unwrap(), []);
    // What a provider notes is no change of the VM; what the next start will have is.
    let note = json!({ "uri": "https://north.example/v1", "key": "north", "xml": "<note/>" });
    done(act(&libvirt, &vm, Action::MetadataSet, note).await);
    assert_eq!(libvirt.observe(vm.id).await.unwrap(), before);
    vm.domain().set_vcpus_flags(3, virt::sys::VIR_DOMAIN_VCPU_CONFIG).unwrap();
    let redefined = libvirt.observe(vm.id).await.unwrap();
    assert_ne!(redefined.definition, before.definition);
    assert_eq!(VmState { definition: before.definition.clone(), ..redefined.clone() }, before);
    vm.domain().managed_save(0).unwrap();
    let saved = libvirt.observe(vm.id).await.unwrap();
    assert_eq!((saved.power, saved.saved, &saved.definition), (PowerState::ShutOff, true, &redefined.definition));
    let listed = libvirt.list().await.unwrap();
    let listing = listed.iter().find(|listing| listing.vm == vm.id).unwrap();
    assert_eq!((&listing.state, listing.whole), (&saved, Whole::Yes));
    // The mock's own VM has devices.
    let test = listed.iter().find(|listing| listing.name == "test").unwrap();
    let kinds =
        |disk: bool| test.state.devices.iter().filter(|name| matches!(name, DeviceName::Disk(_)) == disk).count();
    assert_eq!((kinds(true), kinds(false)), (1, 1), "{:?}", test.state.devices);
}

#[tokio::test]
async fn what_others_do_is_seen_within_a_second() {
    let (libvirt, vm) = (libvirt(), Vm::running("seen"));
    let mut events = libvirt.events();
    let mut until = async |wanted: Event| {
        let begun = Instant::now();
        let seen = async {
            // Other tests' VMs share the driver.
            while events.recv().await.unwrap() != wanted {}
        };
        timeout(Duration::from_secs(1), seen)
            .await
            .unwrap_or_else(|_| panic!("{wanted:?} after {:?}", begun.elapsed()));
    };
    vm.domain().suspend().unwrap();
    until(Event::Power(vm.id, PowerState::Paused)).await;
    vm.domain().destroy().unwrap();
    until(Event::Changed(vm.id, Some(Cause::Destroyed))).await;
    vm.domain().undefine().unwrap();
    until(Event::Gone(vm.id, Some(Cause::Undefined))).await;
}

#[tokio::test]
async fn without_libvirtd_everything_ends_at_once() {
    let uri = "qemu:///system?socket=/nonexistent/libvirt-sock";
    let libvirt = Libvirt::connect(uri, Options::default()).unwrap();
    let vm = VmId(Uuid::from_u128(1));
    assert!(matches!(libvirt.list().await, Err(AskHypervisorError::Unreachable { .. })));
    assert!(matches!(libvirt.observe(vm).await, Err(AskHypervisorError::Unreachable { .. })));
    let result = libvirt.perform(vm, operation(Action::PowerStart, Value::Null), StartId(None)).await;
    assert_eq!(failed(result).1, Code::HypervisorUnreachable);
}

#[tokio::test]
async fn many_vms_are_listed_quickly() {
    let vms: Vec<Vm> = (0..100).map(|n| Vm::defined(&format!("many-{n}"))).collect();
    let libvirt = libvirt();
    let begun = Instant::now();
    let listed = libvirt.list().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    for vm in &vms {
        let listing = listed.iter().find(|listing| listing.vm == vm.id).unwrap();
        assert_eq!(listing.state, libvirt.observe(vm.id).await.unwrap());
    }
}

#[tokio::test]
async fn a_saved_vm_goes_on_from_its_image() {
    let (libvirt, vm) = (libvirt(), Vm::running("saved"));
    let evidence = |action, start| libvirt.core.evidence(vm.id, operation(action, Value::Null), start);
    let start = vm.start();
    assert_eq!(evidence(Action::PowerSave, start).await, Ok(Evidence::Undone));
    assert_eq!(done(act(&libvirt, &vm, Action::PowerSave, Value::Null).await), Value::Null);
    let off = libvirt.observe(vm.id).await.unwrap();
    assert_eq!((off.power, off.saved), (PowerState::ShutOff, true));
    let listed = libvirt.list().await.unwrap();
    assert_eq!(listed.iter().find(|listing| listing.vm == vm.id).map(|listing| &listing.state), Some(&off));
    assert_eq!(evidence(Action::PowerSave, start).await, Ok(Evidence::Done));
    assert_eq!(evidence(Action::PowerSaveRemove, StartId(None)).await, Ok(Evidence::Undone));
    assert_eq!(evidence(Action::PowerRestore, StartId(None)).await, Ok(Evidence::Undone));
    done(act(&libvirt, &vm, Action::PowerRestore, Value::Null).await);
    let on = libvirt.observe(vm.id).await.unwrap();
    assert_eq!((on.power, on.saved), (PowerState::Running, false));
    assert_eq!(evidence(Action::PowerRestore, StartId(None)).await, Ok(Evidence::Done));
    for action in [Action::PowerRestore, Action::PowerSaveRemove] {
        let (ending, code, reason) = failed(act(&libvirt, &vm, action, Value::Null).await);
        assert_eq!((ending, code), (Ending::Impossible, Code::StateForbids), "{action}");
        assert!(reason.contains("no image"), "{reason}");
    }
}

#[tokio::test]
async fn a_definition_is_read_back_as_it_was_asked_for() {
    let (libvirt, vm) = (libvirt(), Vm::running("redefined"));
    let id = vm.id;
    let asked = |name: &str, vcpus: u32| {
        json!({ "xml": format!("<domain type='test'><name>{name}</name><uuid>{id}</uuid><memory>65536</memory>\
                                <vcpu current='1'>{vcpus}</vcpu><os><type>hvm</type></os></domain>") })
    };
    let evidence = |action, args| libvirt.core.evidence(id, operation(action, args), vm.start());
    let define = |args| act(&libvirt, &vm, Action::DefinitionDefine, args);
    assert_eq!(evidence(Action::DefinitionDefine, asked("redefined", 6)).await, Ok(Evidence::Undone));
    let first = done(define(asked("redefined", 6)).await);
    assert_eq!(first["changed"], true, "{first}");
    let whole = json!({ "xml": vm.domain().xml_desc(virt::sys::VIR_DOMAIN_XML_INACTIVE).unwrap() });
    assert_eq!(evidence(Action::DefinitionDefine, whole).await, Ok(Evidence::Done));
    let second = done(define(asked("redefined", 6)).await);
    assert_eq!((&second["changed"], &second["generation"]), (&json!(false), &first["generation"]));
    let seen = libvirt.observe(id).await.unwrap();
    assert_eq!((json!(seen.definition), seen.vcpus_max), (first["generation"].clone(), 4));
    let (ending, code, reason) = failed(define(asked("another", 6)).await);
    assert_eq!((ending, code), (Ending::Impossible, Code::StateForbids));
    assert!(reason.contains("\"redefined\""), "{reason}");

    for enabled in [true, false] {
        let args = json!({ "enabled": enabled });
        assert_eq!(evidence(Action::AutostartSet, args.clone()).await, Ok(Evidence::Undone));
        done(act(&libvirt, &vm, Action::AutostartSet, args.clone()).await);
        assert_eq!(evidence(Action::AutostartSet, args).await, Ok(Evidence::Done));
    }
    assert_eq!(evidence(Action::DefinitionRename, json!({ "name": "redefined" })).await, Ok(Evidence::Done));
    assert_eq!(evidence(Action::DefinitionRename, json!({ "name": "other" })).await, Ok(Evidence::Undone));

    assert_eq!(evidence(Action::DefinitionUndefine, Value::Null).await, Ok(Evidence::Undone));
    done(act(&libvirt, &vm, Action::DefinitionUndefine, Value::Null).await);
    assert_eq!(libvirt.observe(id).await.unwrap().definition, None);
    assert_eq!(evidence(Action::DefinitionUndefine, Value::Null).await, Ok(Evidence::Done));
    let autostart = failed(act(&libvirt, &vm, Action::AutostartSet, json!({ "enabled": true })).await);
    assert_eq!((autostart.0, autostart.1), (Ending::Impossible, Code::StateForbids));
}
