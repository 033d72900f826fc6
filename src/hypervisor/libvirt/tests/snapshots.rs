//! Snapshots on the mock driver: what libvirt was asked for, and what is refused.

use super::*;

#[tokio::test]
async fn snapshots_come_and_go_by_name() {
    let (libvirt, vm) = (libvirt(), Vm::running("snapshots"));
    let name = json!({ "name": "before" });
    let args = json!({ "name": "before", "description": "<&> \"quoted\"" });
    assert_eq!(done(act(&libvirt, &vm, Action::SnapshotCreate, args).await), name);
    let state = libvirt.observe(vm.id).await.unwrap();
    assert_eq!(state.snapshots, BTreeSet::from(["before".to_owned()]));
    let listed = libvirt.list().await.unwrap();
    assert_eq!(listed.iter().find(|listing| listing.vm == vm.id).unwrap().state, state);

    done(act(&libvirt, &vm, Action::PowerSuspend, Value::Null).await);
    done(act(&libvirt, &vm, Action::SnapshotRevert, name.clone()).await);
    assert_eq!(power(&libvirt, &vm).await, PowerState::Running);
    done(act(&libvirt, &vm, Action::SnapshotDelete, name.clone()).await);
    let (ending, code, _) = failed(act(&libvirt, &vm, Action::SnapshotDelete, name).await);
    assert_eq!((ending, code), (Ending::Impossible, Code::StateForbids));
}

#[tokio::test]
async fn a_snapshot_of_a_disk_that_is_not_there_is_refused_before_libvirt_is_asked() {
    let disk = |target: &str| {
        format!("<disk type='file' device='disk'><source file='/nowhere/{target}.img'/><target dev='{target}'/></disk>")
    };
    let (libvirt, vm) = (libvirt(), Vm::with_devices("some-disks", &["hda", "hdb"].map(disk).concat()));
    vm.domain().create().unwrap();
    let create = |disks: &[&str]| {
        let args = json!({ "name": "a", "kind": "disk-only", "disks": disks });
        act(&libvirt, &vm, Action::SnapshotCreate, args)
    };
    let refused = failed(create(&["hda", "vdz"]).await);
    assert_eq!(refused, (Ending::Impossible, Code::StateForbids, "the VM has no disk:vdz".to_owned()));
    // The mock driver has no snapshots of this kind, and says so.
    let (ending, code, reason) = failed(create(&["hda"]).await);
    assert_eq!((ending, code), (Ending::Failed, Code::HypervisorFailed));
    assert!(reason.contains("unsupported flags"), "{reason}");
    assert!(libvirt.observe(vm.id).await.unwrap().snapshots.is_empty());
}
