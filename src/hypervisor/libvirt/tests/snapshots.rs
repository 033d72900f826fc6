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
async fn a_snapshot_is_of_the_disks_that_it_names() {
    let disk = |target: &str| {
        format!("<disk type='file' device='disk'><source file='/nowhere/{target}.img'/><target dev='{target}'/></disk>")
    };
    let devices = ["hda", "hdb", "hdc"].map(disk).concat();
    let (libvirt, vm) = (libvirt(), Vm::with_devices("some-disks", &devices));
    vm.domain().create().unwrap();
    let create = |name: &str, disks: &[&str]| {
        let args = json!({ "name": name, "kind": "disk-only", "disks": disks });
        act(&libvirt, &vm, Action::SnapshotCreate, args)
    };
    // Which disks the snapshot has, by libvirt's own account.
    let external = |name: &str| -> Vec<String> {
        let xml = Domain::lookup_snapshot_by_name(&vm.domain(), name, 0).unwrap().xml_desc(0).unwrap();
        let document = roxmltree::Document::parse(&xml).unwrap();
        let disks = document.root_element().children().find(|node| node.has_tag_name("disks")).unwrap();
        let external = disks.children().filter(|disk| disk.attribute("snapshot") == Some("external"));
        external.map(|disk| disk.attribute("name").unwrap().to_owned()).collect()
    };
    done(create("one", &["hdb"]).await);
    assert_eq!(external("one"), ["hdb"]);
    done(create("all", &[]).await);
    assert_eq!(external("all"), ["hda", "hdb", "hdc"]);

    let before = libvirt.observe(vm.id).await.unwrap().snapshots;
    let refused = failed(create("none", &["hda", "vdz"]).await);
    assert_eq!(refused, (Ending::Impossible, Code::StateForbids, "the VM has no disk:vdz".to_owned()));
    assert_eq!(libvirt.observe(vm.id).await.unwrap().snapshots, before);
}
