//! Each rule refuses what breaks it, and a plain instance breaks none.

use serde_json::{Value, json};

use super::causes;

fn plain() -> Value {
    json!({
        "architecture": "amd64",
        "domain": {
            "machine": {"type": "pc-q35-7.2"},
            "firmware": {"serial": "a-1", "bootloader": {"efi": {"secureBoot": true, "persistent": true}}},
            "cpu": {"sockets": 1, "cores": 2, "threads": 1, "features": [{"name": "vmx", "policy": "require"}]},
            "memory": {"guest": "4Gi"},
            "resources": {},
            "features": {"smm": {"enabled": true}, "hyperv": {"vpindex": {"enabled": true}, "synic": {"enabled": true}}},
            "devices": {
                "disks": [{"name": "vda", "bootOrder": 1, "serial": "s", "cache": "none", "disk": {"bus": "virtio"}}],
                "interfaces": [{"name": "net0", "model": "virtio", "masquerade": {}, "bootOrder": 2}],
            },
        },
        "networks": [{"name": "net0", "pod": {}}],
        "volumes": [{"name": "vda", "dataVolume": {"name": "a-vda"}}],
    })
}

#[test]
fn a_plain_instance_is_admitted() {
    assert_eq!(causes(&plain(), &[]), []);
}

#[test]
fn what_breaks_a_rule_is_refused_at_its_field() {
    let disk = "/domain/devices/disks/0";
    let interface = "/domain/devices/interfaces/0";
    for (pointer, key, value, field) in [
        (disk, "disk", json!({"bus": "ide"}), "disks[0].disk.bus"),
        (disk, "disk", json!({"bus": "sata", "readonly": true}), "disks[0].disk.readonly"),
        (disk, "cdrom", json!({"bus": "virtio"}), "disks[0]"),
        (disk, "serial", json!("a b"), "disks[0].serial"),
        (disk, "cache", json!("unsafe"), "disks[0].cache"),
        (disk, "io", json!("io_uring"), "disks[0].io"),
        (disk, "errorPolicy", json!("retry"), "disks[0].errorPolicy"),
        (disk, "blockSize", json!({"custom": {"logical": 4096, "physical": 512}}), "disks[0].blockSize"),
        (disk, "name", json!("VDA"), "disks[0].name"),
        (disk, "bootOrder", json!(0), "disks[0].bootOrder"),
        (interface, "bootOrder", json!(1), "interfaces[0].bootOrder"),
        (interface, "model", json!("vmxnet3"), "interfaces[0].model"),
        (interface, "name", json!("net 0"), "interfaces[0].name"),
        (interface, "macAddress", json!("52:54"), "interfaces[0].macAddress"),
        (interface, "pciAddress", json!("04:00.0"), "interfaces[0].pciAddress"),
        (interface, "bridge", json!({}), "interfaces[0].binding"),
        (interface, "state", json!("sideways"), "interfaces[0].state"),
        ("/domain/machine", "type", json!("pc-i440fx-7.2"), "machine.type"),
        ("/domain/firmware", "serial", json!("a/b"), "firmware.serial"),
        ("/domain/features", "smm", json!({"enabled": false}), "bootloader.efi"),
        ("/domain/features/hyperv", "vpindex", json!({"enabled": false}), "hyperv.synic"),
        ("/domain/features/hyperv", "evmcs", json!({"enabled": true}), "hyperv.evmcs"),
        ("/domain/memory", "guest", json!("4194304KiB"), "memory.guest"),
        ("/domain/memory", "maxGuest", json!("2Gi"), "memory.maxGuest"),
        ("/domain/memory", "hugepages", json!({"pageSize": "2Mi"}), "memory.hugepages"),
        ("/domain/resources", "limits", json!({"memory": "1Gi"}), "limits.memory"),
        ("/domain/cpu", "maxSockets", json!(0), ""),
        ("/domain/cpu", "dedicatedCpuPlacement", json!(true), "resources"),
        ("/domain/cpu", "isolateEmulatorThread", json!(true), "isolateEmulatorThread"),
        ("/domain/cpu", "numa", json!({"guestMappingPassthrough": {}}), "cpu.numa"),
        ("/domain/cpu", "features", json!([{"name": "vmx", "policy": "maybe"}]), "features[0].policy"),
        ("/domain/devices", "watchdog", json!({"name": "w", "diag288": {}}), "watchdog"),
        ("/domain/devices", "sound", json!({"name": "s", "model": "sb16"}), "sound"),
        ("/domain/devices", "video", json!({"type": "qxl"}), "video.type"),
        ("/domain/devices", "inputs", json!([{"name": "m", "type": "mouse"}]), "inputs[0]"),
        ("/domain", "launchSecurity", json!({"sev": {}}), "launchSecurity"),
        ("/networks/0", "multus", json!({"networkName": "a"}), "networks[0]"),
        ("/volumes/0", "persistentVolumeClaim", json!({"claimName": "a"}), "volumes[0]"),
        ("", "evictionStrategy", json!("Never"), "evictionStrategy"),
    ] {
        let mut spec = plain();
        spec.pointer_mut(pointer).and_then(Value::as_object_mut).unwrap().insert(key.to_owned(), value);
        let found = causes(&spec, &[]);
        if field.is_empty() {
            assert_eq!(found, [], "{pointer}/{key}");
        } else {
            assert!(found.iter().any(|cause| cause.field.contains(field)), "{pointer}/{key}: {found:?}");
        }
    }
}

#[test]
fn another_architecture_has_other_rules() {
    let mut spec = plain();
    spec["architecture"] = json!("arm64");
    let found = causes(&spec, &[]);
    for field in ["domain.machine.type", "domain.firmware.bootloader.efi"] {
        assert!(found.iter().any(|cause| cause.field == field), "{field}: {found:?}");
    }
}

#[test]
fn the_cluster_may_admit_other_machines() {
    let mut spec = plain();
    spec["domain"]["machine"]["type"] = json!("pc-i440fx-7.2");
    assert_eq!(causes(&spec, &["pc-i440fx*".to_owned()]), []);
}
