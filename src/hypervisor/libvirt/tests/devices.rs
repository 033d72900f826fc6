//! Devices and the guest's agent, as far as the mock driver has them; what it lacks it refuses in its own words.

use super::*;
use crate::hypervisor::libvirt::detach::{Definition, Detaching};
use crate::hypervisor::libvirt::failure::Fault;
use crate::hypervisor::libvirt::news::News;
use crate::model::Happening;

const DEVICES: &str = "<disk type='file' device='disk'><source file='/nowhere'/><target dev='vda' bus='virtio'/></disk>\
                       <interface type='network'><mac address='52:54:00:0d:0e:0f'/><source network='default'/></interface>";

fn running(name: &str) -> Vm {
    let vm = Vm::with_devices(name, DEVICES);
    vm.domain().create().unwrap();
    vm
}

fn both(vm: &Vm) -> [String; 2] {
    [0, virt::sys::VIR_DOMAIN_XML_INACTIVE].map(|flags| vm.domain().xml_desc(flags).unwrap())
}

#[tokio::test]
async fn a_look_finds_the_devices() {
    let (libvirt, vm) = (libvirt(), running("devices"));
    let state = libvirt.observe(vm.id).await.unwrap();
    let names: Vec<String> = state.devices.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["disk:vda", "nic:52:54:00:0d:0e:0f"]);
    let listed = libvirt.list().await.unwrap();
    assert_eq!(listed.iter().find(|listing| listing.vm == vm.id).unwrap().state, state);
}

#[tokio::test]
async fn a_disks_limits_are_looked_for_in_both_descriptions() {
    let (libvirt, vm) = (libvirt(), running("iotune"));
    let limited = |iops: u64| json!({ "disk": "vda", "read_iops_sec": iops });
    let evidence = |args: Value| libvirt.core.evidence(vm.id, operation(Action::DiskIotune, args), vm.start());
    assert_eq!(evidence(limited(500)).await, Ok(Evidence::Undone));
    done(act(&libvirt, &vm, Action::DiskIotune, limited(0)).await);
    assert_eq!(evidence(limited(0)).await, Ok(Evidence::Done));
    // Unlike QEMU, the mock driver takes no limit without one for bursts.
    let (ending, code, reason) = failed(act(&libvirt, &vm, Action::DiskIotune, limited(500)).await);
    assert_eq!((ending, code), (Ending::Failed, Code::HypervisorFailed), "{reason}");
    assert!(reason.contains("read_iops_sec"), "{reason}");
}

#[tokio::test]
async fn an_interfaces_bandwidth_is_set_and_lifted() {
    let (libvirt, vm) = (libvirt(), running("qos"));
    let qos = |average: u32| json!({ "mac": "52:54:00:0d:0e:0f", "inbound": { "average": average } });
    let evidence = |args: Value| libvirt.core.evidence(vm.id, operation(Action::NicQos, args), vm.start());
    done(act(&libvirt, &vm, Action::NicQos, qos(1000)).await);
    assert!(both(&vm).iter().all(|xml| xml.contains("<inbound average='1000'/>")), "{:?}", both(&vm));
    assert_eq!(evidence(qos(1000)).await, Ok(Evidence::Done));
    assert_eq!(evidence(qos(0)).await, Ok(Evidence::Undone));
    done(act(&libvirt, &vm, Action::NicQos, qos(0)).await);
    assert!(both(&vm).iter().all(|xml| !xml.contains("<inbound")), "{:?}", both(&vm));
    assert_eq!(evidence(qos(0)).await, Ok(Evidence::Done));
}

#[tokio::test]
async fn a_device_that_is_not_there_is_named() {
    let (libvirt, vm) = (libvirt(), running("no-device"));
    let nic = "<interface type='network'><mac address='52:54:00:99:99:99'/><source network='default'/></interface>";
    for (action, args, missing) in [
        (Action::DeviceDetach, json!({ "device": "disk:vdz" }), "the VM has no disk:vdz"),
        (Action::DeviceUpdate, json!({ "xml": nic }), "the VM has no nic:52:54:00:99:99:99"),
        (Action::DiskIotune, json!({ "disk": "vdz", "read_iops_sec": 1 }), "the VM has no disk:vdz"),
    ] {
        let refused = failed(act(&libvirt, &vm, action, args).await);
        assert_eq!(refused, (Ending::Impossible, Code::StateForbids, missing.to_owned()), "{action}");
    }
    let there = "<disk type='file' device='disk'><source file='/elsewhere'/><target dev='vda' bus='virtio'/></disk>";
    let (ending, code, reason) = failed(act(&libvirt, &vm, Action::DeviceAttach, json!({ "xml": there })).await);
    assert_eq!(
        (ending, code, reason.as_str()),
        (Ending::Impossible, Code::StateForbids, "the VM has disk:vda already")
    );
}

#[tokio::test]
async fn what_the_mock_driver_lacks_is_refused_in_its_words() {
    let (libvirt, vm) = (libvirt(), running("lacking"));
    let disk = "<disk type='file' device='disk'><source file='/elsewhere'/><target dev='vdb' bus='virtio'/></disk>";
    for (action, args, words) in [
        (Action::DeviceAttach, json!({ "xml": disk }), "not supported"),
        (Action::GuestCommand, json!({ "execute": "guest-info" }), "not supported"),
    ] {
        let (ending, code, reason) = failed(act(&libvirt, &vm, action, args).await);
        assert_eq!((ending, code), (Ending::Failed, Code::HypervisorFailed), "{reason}");
        assert!(reason.contains(words), "{action}: {reason}");
    }
}

#[tokio::test]
async fn a_password_that_was_lost_is_asked_for_again() {
    let (libvirt, vm) = (libvirt(), running("password"));
    let given = operation(Action::GuestSetPassword, json!({ "user": "root", "password": "hunter2" }));
    let kept: Operation = serde_json::from_str(&serde_json::to_string(&given).unwrap()).unwrap();
    let (ending, code, reason) = failed(libvirt.perform(vm.id, kept, vm.start()).await);
    assert_eq!((ending, code), (Ending::Impossible, Code::StateForbids));
    assert!(reason.contains("send the command again"), "{reason}");
}

#[tokio::test]
async fn the_mock_drivers_file_systems_are_counted() {
    let (libvirt, vm) = (libvirt(), running("frozen"));
    let frozen = done(act(&libvirt, &vm, Action::GuestFreeze, Value::Null).await)["frozen"].clone();
    assert!(frozen.as_u64().is_some_and(|count| count > 0), "{frozen}");
    assert_eq!(done(act(&libvirt, &vm, Action::GuestThaw, Value::Null).await), json!({ "thawed": frozen }));
    // Nothing there tells whether they stand still.
    let freeze = operation(Action::GuestFreeze, Value::Null);
    assert_eq!(libvirt.core.evidence(vm.id, freeze, vm.start()).await, Ok(Evidence::None));
}

/// What the detach of a disk that stays comes to, once all of this was heard about the VM.
async fn detached(name: &str, timeout_s: u32, definition: Definition, heard: Vec<News>) -> Result<Value, Fault> {
    let (libvirt, vm) = (libvirt(), running(name));
    let watch = libvirt.core.notices.watch(vm.id);
    let device = DeviceName::Disk("vda".to_owned());
    let alias = Some("virtio-disk0".to_owned());
    let detaching = Detaching { device, alias, since: Instant::now(), timeout_s, definition };
    heard.into_iter().for_each(|news| libvirt.core.heard(vm.id, news));
    libvirt.core.until_detached(vm.id, vm.start(), &detaching, watch).await
}

fn refusal(alias: &str) -> News {
    News::Happened(Happening { cause: Cause::UnplugRefused, subject: Some(alias.to_owned()) })
}

#[tokio::test]
async fn a_guest_that_refuses_ends_the_detach_at_once() {
    let told = |rest: &str| Err(Fault::GuestTimeout(format!("the guest did not let go of disk:vda: it refused{rest}")));
    let heard = vec![News::Power(PowerState::Running), refusal("virtio-disk7"), refusal("virtio-disk0")];
    let (patient, limit) = (3600, Duration::from_secs(60));
    let refused = timeout(limit, detached("refusing", patient, Definition::Untouched, heard)).await.unwrap();
    assert_eq!(refused, told("; it may yet"));
    let heard = vec![refusal("virtio-disk0")];
    let refused = timeout(limit, detached("refusing-half", patient, Definition::Without, heard)).await.unwrap();
    assert_eq!(refused, told("; the definition is without it, and the guest may yet let go"));
}

#[tokio::test]
async fn what_a_guest_refuses_of_another_device_ends_no_detach() {
    let kept = detached("refusing-another", 0, Definition::Untouched, vec![refusal("virtio-disk7")]).await;
    let reason = "the guest did not let go of disk:vda within 0 s; it may yet";
    assert_eq!(kept, Err(Fault::GuestTimeout(reason.to_owned())));
}
