//! The libvirt adapter on real QEMU: what a mock driver cannot show. Skipped, with the reason, where there is none.

mod libvirt_calls;
#[path = "support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use covirt::discovery::AddressOrigin;
use covirt::hypervisor::{AskHypervisorError, Event, Hypervisor, Libvirt, Options};
use covirt::model::{Action, Cause, Code, Happening, Kib, PowerState, VmId};
use covirt::resolver::{CallResult, Evidence};
use libvirt_calls::{act, call, done, until_event};
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::skip;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime")
}

fn adapter(libvirtd: &PrivateLibvirt) -> Libvirt {
    Libvirt::connect(libvirtd.uri(), Options::default()).expect("the adapter starts")
}

fn id_of(libvirtd: &PrivateLibvirt, guest: &Guest) -> VmId {
    VmId(guest.domain(&libvirtd.connect()).uuid().expect("a UUID"))
}

/// Says how long something took; kept in the test's output.
async fn timed<T>(what: &str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let result = work.await;
    eprintln!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    result
}

#[test]
fn a_guest_goes_through_its_life() {
    let libvirtd = match PrivateLibvirt::get() {
        Ok(libvirtd) => libvirtd,
        Err(Skip(reason)) => return skip("a_guest_goes_through_its_life", &reason),
    };
    let guest = Guest::boot(&libvirtd, "life");
    let vm = id_of(&libvirtd, &guest);
    runtime().block_on(async {
        let libvirt = adapter(&libvirtd);
        let mut events = libvirt.events();
        let none = || Value::Null;

        let inventory = timed("inventory", libvirt.inventory(vm)).await.expect("inventory");
        assert!(inventory.domain.disks.iter().any(|disk| disk.size.is_some()), "{:?}", inventory.domain.disks);
        // The guest answers its agent before it has an address, and no event tells of that: it is asked again.
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let inventory = libvirt.inventory(vm).await.expect("inventory");
            let addresses: Vec<_> = inventory.domain.nics.iter().flat_map(|nic| nic.addresses.clone()).collect();
            let from = |origin| addresses.iter().any(|address| address.origin == origin && address.ip.is_ipv4());
            if from(AddressOrigin::Agent) && from(AddressOrigin::Lease) {
                break;
            }
            assert!(Instant::now() < deadline, "from the agent and from the lease: {addresses:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }

        timed("suspend", done(&libvirt, vm, Action::PowerSuspend, none())).await;
        assert_eq!(libvirt.observe(vm).await.expect("observe").power, PowerState::Paused);
        timed("resume", done(&libvirt, vm, Action::PowerResume, none())).await;

        let name = json!({ "name": "before" });
        timed("snapshot.create", done(&libvirt, vm, Action::SnapshotCreate, name.clone())).await;
        let state = libvirt.observe(vm).await.expect("observe");
        assert!(state.snapshots.contains("before"), "{state:?}");
        let again = call(vm, &state, Action::SnapshotDelete, name.clone());
        assert_eq!(libvirt.probe(again).await.expect("probe"), Evidence::Undone);
        timed("snapshot.revert", done(&libvirt, vm, Action::SnapshotRevert, name.clone())).await;
        assert_eq!(libvirt.observe(vm).await.expect("observe").power, PowerState::Running);
        timed("snapshot.delete", done(&libvirt, vm, Action::SnapshotDelete, name)).await;

        let metadata = json!({ "uri": "https://north.example/", "key": "north", "xml": "<note x='1'/>" });
        done(&libvirt, vm, Action::MetadataSet, metadata.clone()).await;
        let state = libvirt.observe(vm).await.expect("observe");
        let again = call(vm, &state, Action::MetadataSet, metadata);
        assert_eq!(libvirt.probe(again).await.expect("probe"), Evidence::Done);

        let smaller = Kib(state.memory_kib.0 - 16 * 1024);
        let set = done(&libvirt, vm, Action::MemorySet, json!({ "memory_kib": smaller }));
        let set = timed("memory.set", set).await;
        assert_eq!(set["guest_memory_kib"], json!(smaller), "{set}");
        assert_eq!(libvirt.observe(vm).await.expect("observe").memory_kib, smaller);

        let metadata = Happening { cause: Cause::MetadataChanged, subject: Some("https://north.example/".to_owned()) };
        until_event(&mut events, &Event::Happened(vm, metadata), Duration::from_secs(1)).await;
        timed("reset", done(&libvirt, vm, Action::PowerReset, none())).await;
        until_event(&mut events, &Event::Happened(vm, Cause::Rebooted.into()), Duration::from_secs(1)).await;
        guest.await_agent();
        timed("reboot", done(&libvirt, vm, Action::PowerReboot, none())).await;
        until_event(&mut events, &Event::Happened(vm, Cause::Rebooted.into()), Duration::from_secs(1)).await;
        guest.await_agent();

        if state.vcpus < state.vcpus_max {
            timed("cpu.set up", done(&libvirt, vm, Action::CpuSet, json!({ "vcpus": state.vcpus + 1 }))).await;
            assert_eq!(libvirt.observe(vm).await.expect("observe").vcpus, state.vcpus + 1);
        }
        timed("shutdown", done(&libvirt, vm, Action::PowerShutdown, json!({ "timeout_s": 60 }))).await;
        let off = libvirt.observe(vm).await.expect("observe");
        assert_eq!((off.power, off.start.0), (PowerState::ShutOff, None));
        timed("start", done(&libvirt, vm, Action::PowerStart, none())).await;
        timed("stop", done(&libvirt, vm, Action::PowerStop, none())).await;
    });
}

#[test]
fn a_guest_that_does_not_answer_fails_its_shutdown_in_time() {
    let libvirtd = match PrivateLibvirt::get() {
        Ok(libvirtd) => libvirtd,
        Err(Skip(reason)) => return skip("a_guest_that_does_not_answer_fails_its_shutdown_in_time", &reason),
    };
    let guest = Guest::define(&libvirtd, "deaf");
    let vm = id_of(&libvirtd, &guest);
    runtime().block_on(async {
        let libvirt = adapter(&libvirtd);
        let mut events = libvirt.events();
        done(&libvirt, vm, Action::PowerStart, Value::Null).await;
        // Its firmware is still at work; nobody hears the power button.
        let result = act(&libvirt, vm, Action::PowerShutdown, json!({ "timeout_s": 1 })).await;
        let CallResult::Failed(outcome) = result else { panic!("{result:?}") };
        assert_eq!(outcome.code, Code::GuestTimeout);

        // What virsh does is seen at once.
        while events.try_recv().is_ok() {}
        let begun = Instant::now();
        guest.domain(&libvirtd.connect()).destroy().expect("destroy");
        until_event(&mut events, &Event::Changed(vm, Some(Cause::Destroyed)), Duration::from_secs(1)).await;
        eprintln!("destroyed and seen: {:?}", begun.elapsed());
        assert_eq!(libvirt.observe(vm).await.expect("observe").power, PowerState::ShutOff);
    });
}

#[test]
fn a_killed_libvirtd_loses_the_call_and_nothing_is_repeated() {
    let libvirtd = match PrivateLibvirt::own() {
        Ok(libvirtd) => libvirtd,
        Err(Skip(reason)) => return skip("a_killed_libvirtd_loses_the_call_and_nothing_is_repeated", &reason),
    };
    let guest = Guest::define(&libvirtd, "deaf");
    let vm = id_of(&libvirtd, &guest);
    let booted = Guest::boot(&libvirtd, "booted");
    let other = id_of(&libvirtd, &booted);
    runtime().block_on(async {
        let libvirt = adapter(&libvirtd);
        let mut events = libvirt.events();
        done(&libvirt, vm, Action::PowerStart, Value::Null).await;
        done(&libvirt, other, Action::CpuSet, json!({ "vcpus": 2 })).await;
        let state = libvirt.observe(vm).await.expect("observe");
        // Neither comes to pass: the one QEMU is halted, and of the other libvirtd awaits the vCPU for five seconds.
        guest.halt();
        let unplug = libvirt.observe(other).await.expect("observe");
        let unplug = call(other, &unplug, Action::CpuSet, json!({ "vcpus": 1 }));
        let shutdown = call(vm, &state, Action::PowerShutdown, json!({ "timeout_s": 60 }));
        let calling = [shutdown.clone(), unplug.clone()].map(|call| tokio::spawn(libvirt.execute(call)));
        // No event tells that libvirtd has begun with a request: it is asked until it has.
        let deadline = Instant::now() + Duration::from_secs(60);
        for busy in [guest.name(), booted.name()] {
            while libvirtd.virsh(&["domcontrol", busy]).trim() == "ok" {
                assert!(Instant::now() < deadline, "libvirtd never began the call for {busy}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        libvirtd.kill9();
        guest.go_on();
        for calling in calling {
            let lost = tokio::time::timeout(Duration::from_secs(2), calling).await.expect("ends").expect("no panic");
            assert!(matches!(lost, CallResult::Lost(_)), "{lost:?}");
        }
        until_event(&mut events, &Event::Disconnected, Duration::from_secs(2)).await;

        let begun = Instant::now();
        assert!(matches!(libvirt.observe(vm).await, Err(AskHypervisorError::Unreachable { .. })));
        assert!(matches!(libvirt.list().await, Err(AskHypervisorError::Unreachable { .. })));
        let refused = libvirt.execute(shutdown.clone()).await;
        let CallResult::Failed(outcome) = refused else { panic!("{refused:?}") };
        assert_eq!(outcome.code, Code::HypervisorUnreachable);
        assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());

        libvirtd.up();
        until_event(&mut events, &Event::Reconnected, Duration::from_secs(7)).await;
        // The guest may have let go of its vCPU meanwhile, but the definition was not written: that is not done.
        assert_eq!(timed("probe", libvirt.probe(unplug)).await.expect("probe"), Evidence::Undone);
        let probing = libvirt.probe(shutdown);
        // Its firmware kept the button's press for the kernel, which may have obeyed by now; off it is either way.
        let _ = guest.domain(&libvirtd.connect()).destroy();
        assert_eq!(timed("probe", probing).await.expect("probe"), Evidence::Done);
        assert_eq!(libvirt.observe(vm).await.expect("observe").power, PowerState::ShutOff);

        // And all is as before.
        done(&libvirt, vm, Action::PowerStart, Value::Null).await;
        done(&libvirt, vm, Action::PowerSuspend, Value::Null).await;
        let state = libvirt.observe(vm).await.expect("observe");
        let resume = call(vm, &state, Action::PowerResume, Value::Null);
        libvirtd.restart();
        until_event(&mut events, &Event::Disconnected, Duration::from_secs(2)).await;
        until_event(&mut events, &Event::Reconnected, Duration::from_secs(7)).await;
        let after = libvirt.observe(vm).await.expect("observe");
        assert_eq!((after.power, after.start), (PowerState::Paused, state.start), "a restart keeps the start");
        assert!(matches!(libvirt.execute(resume).await, CallResult::Done(_)));
        done(&libvirt, vm, Action::PowerStop, Value::Null).await;
    });
}
