//! What a bundle says and leaves out, case by case.

use covirt::artifacts::{Bundle, Fate, Format, Need};
use covirt::discovery::{DiskSource, FirmwareKind, HugePages, ManagerMark};
use covirt::model::units::Kib;
use serde_json::json;

use crate::setup::{SECOND, binding, bundle, demanding, inventory, read};
use crate::support::bundle::{fate, text};
use crate::support::shop;

#[test]
fn a_new_port_has_no_id_of_ours_and_the_switch_is_told_what_must_become_what() {
    let bundle = bundle();
    for nth in 0..2 {
        assert_eq!(read(&bundle, &format!("api/port-{nth}.json"))["port"].get("id"), None);
    }
    let patch = read(&bundle, "api/port-1.patch.json");
    let now = "3b9f0f39-0c9f-4f3e-8d9a-7a0d3c5c2b11";
    assert_eq!(patch["port_id"]["in_these_files"], now);
    let set = patch["set"].as_array().unwrap();
    assert_eq!(set.len(), 2);
    assert!(set.iter().all(|step| step["from"] == now && step["to"].as_str().unwrap().contains("POST /v2.0/ports")));
    assert_eq!(set[0]["record"], "vnet10");
    // libvirt's own id of the port is new at every start.
    assert!(bundle.files.iter().all(|file| !String::from_utf8_lossy(&file.bytes).contains("5a0f7c11-2222")));
    let port = "9f6f9f39-0c9f-4f3e-8d9a-7a0d3c5c2b11";
    let bound = binding().text.replace("physical_network", &format!("port_id = \"{port}\"\nphysical_network"));
    let bundle = shop::render(Format::OpenStack, &inventory(), &shop::toml(bound)).unwrap();
    assert!(bundle.file("api/port-1.json").is_none());
    let patch = read(&bundle, "api/port-1.patch.json");
    assert_eq!((&patch["set"][1]["from"], &patch["set"][1]["to"]), (&json!(now), &json!(port)));
    assert!(matches!(fate(&bundle, &format!("nics[{SECOND}].virtualport")), Fate::Refused { .. }));
}

#[test]
fn a_tag_of_the_host_s_port_is_the_networks_segment_and_no_link_of_the_guests() {
    let bundle = bundle();
    let network = read(&bundle, "api/network-physnet1-vlan42.json");
    assert_eq!(network["network"]["provider:segmentation_id"], 42);
    assert_eq!(network["network"]["mtu"], 1450);
    let data = read(&bundle, "config-2/openstack/latest/network_data.json");
    assert!(data["links"].as_array().unwrap().iter().all(|link| link["type"] != "vlan"));
    assert_eq!(data["links"][1]["type"], "ovs");
    assert_eq!(data.to_string().matches("\"0.0.0.0\"").count(), 2);
}

#[test]
fn only_a_volume_that_a_driver_can_adopt_has_a_body() {
    let bundle = bundle();
    let body = read(&bundle, "api/volume-manage-vdb.json");
    assert_eq!(body["volume"]["host"], "kvm-host-1@lvm#vg0");
    assert_eq!(body["volume"]["ref"], json!({"source-name": "shop-data"}));
    assert!(bundle.file("api/volume-manage-vda.json").is_none());
    let why = |bundle: &Bundle, field: &str| match fate(bundle, field) {
        Fate::Refused { why } => why.clone(),
        other => panic!("{field}: {other:?}"),
    };
    assert!(why(&bundle, "disks[vda].source").contains("NFS"));
    let mut changed = inventory();
    changed.domain.disks[1].format = Some("qcow2".to_owned());
    let bundle = shop::render(Format::OpenStack, &changed, &binding()).unwrap();
    assert!(why(&bundle, "disks[vdb].source").contains("raw"));
    let mut changed = inventory();
    changed.domain.disks[1].volume = None;
    changed.domain.disks[1].source = Some(DiskSource::Network {
        protocol: "rbd".to_owned(),
        name: Some("vms/shop-data".to_owned()),
        hosts: Vec::new(),
    });
    let text = format!("{}\n[volumes.vdb]\ncinder_host = \"ceph@rbd#vms\"\n", binding().text);
    let bundle = shop::render(Format::OpenStack, &changed, &shop::toml(text)).unwrap();
    let body = read(&bundle, "api/volume-manage-vdb.json");
    assert_eq!(body["volume"]["ref"], json!({"source-name": "shop-data"}));
}

#[test]
fn memory_that_is_no_whole_mib_is_rounded_up_and_said() {
    let mut inventory = inventory();
    inventory.domain.memory.max_kib = Kib(1024 * 1024 + 1);
    let bundle = shop::render(Format::OpenStack, &inventory, &binding()).unwrap();
    assert_eq!(read(&bundle, "api/flavor.json")["flavor"]["ram"], 1025);
    assert!(matches!(fate(&bundle, "memory.max_kib"), Fate::Approximate { .. }));
    inventory.domain.memory.max_kib = Kib(0);
    let error = shop::render(Format::OpenStack, &inventory, &binding()).unwrap_err();
    assert_eq!(error.code(), "artifact-refused");
}

#[test]
fn what_nova_has_no_word_for_is_left_out_and_refused() {
    let mut inventory = demanding();
    let domain = &mut inventory.domain;
    domain.tpm.as_mut().unwrap().model = Some("tpm-spapr".to_owned());
    domain.watchdogs[0].action = "inject-nmi".to_owned();
    domain.cpu.numa[1].cpus = None;
    domain.cpu.topology.as_mut().unwrap().cores = 3;
    domain.memory.hugepages.push(HugePages { page_kib: Kib(1_048_576), nodeset: Some("1".to_owned()) });
    domain.nics[0].bandwidth = None;
    domain.nics[0].model = Some("tulip".to_owned());
    domain.firmware.kind = FirmwareKind::Bios;
    let bundle = shop::render(Format::OpenStack, &inventory, &binding()).unwrap();
    for field in [
        "tpm.model",
        "watchdogs[0]",
        "cpu.numa",
        "cpu.topology",
        "memory.hugepages",
        "launch_security.kind",
        "nics[52:54:00:1a:2b:01].model",
        &format!("nics[{SECOND}].bandwidth"),
        &format!("nics[{SECOND}].vlan"),
    ] {
        assert!(matches!(fate(&bundle, field), Fate::Refused { .. }), "{field}: {:?}", fate(&bundle, field));
    }
    let specs = text(&bundle, "api/flavor-extra-specs.json");
    for key in ["tpm", "watchdog", "numa", "cpu_sockets", "mem_page_size", "mem_encryption", "vif_inbound"] {
        assert!(!specs.contains(key), "{key} is in {specs}");
    }
}

#[test]
fn a_domain_that_a_nova_keeps_is_given_no_metadata() {
    let mut inventory = inventory();
    inventory.domain.metadata.push(ManagerMark {
        namespace: "http://openstack.org/xmlns/libvirt/nova/1.1".to_owned(),
        element: "instance".to_owned(),
    });
    let bundle = shop::render(Format::OpenStack, &inventory, &binding()).unwrap();
    assert!(bundle.file("api/nova-instance.xml").is_none());
    let field = "metadata[http://openstack.org/xmlns/libvirt/nova/1.1]";
    assert!(matches!(fate(&bundle, field), Fate::Refused { .. }));
}

#[test]
fn a_binding_that_cannot_hold_is_refused_with_its_field_and_line() {
    let good = binding().text;
    let network = "network_id = \"6f2d9c1e-5b4a-4f3e-8d7c-1a2b3c4d5e6f\"";
    for (bad, code, told) in [
        (good.replace("project_id = \"5d0c", "project_id = \"shop"), "binding-malformed", "line 2"),
        (good.replace("user_id =", "user ="), "binding-malformed", "user"),
        (
            good.replace("created_at = \"2026-01-01T00:00:00Z\"", "created_at = \"lately\""),
            "binding-malformed",
            "line 8",
        ),
        (good.replace(network, "network_id = \"front\""), "binding-malformed", "line 11"),
        (good.replace(network, ""), "binding-malformed", "ports.\"52:54:00:1a:2b:01\".network_id"),
        (good.replace("kvm-host-1@lvm#vg0", "kvm-host-1"), "binding-malformed", "HOST@BACKEND"),
        (format!("{good}\n[ports.\"52:54:00:00:00:09\"]"), "binding-malformed", "no such interface"),
        (format!("{good}\n[volumes.vdz]"), "binding-malformed", "volumes.vdz"),
        (good.replace("shop-front.shop.example\"", "two words\""), "binding-malformed", "guest.hostname"),
        (format!("admin_pass = \"x\"\n{good}"), "binding-malformed", "admin_pass"),
        (
            good.replace("ssh_keys = [", "user_data = \"password: hunter2\"\nssh_keys = ["),
            "artifact-secret",
            "user_data",
        ),
    ] {
        let error = shop::render(Format::OpenStack, &inventory(), &shop::toml(bad.clone())).unwrap_err();
        assert_eq!(error.code(), code, "{error}\n{bad}");
        assert!(error.to_string().contains(told), "{error} does not tell {told:?}");
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn a_draft_names_what_is_needed_for_each_interface_and_pool() {
    let draft = Format::OpenStack.draft(&inventory());
    let path = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let field = |words: &[&str]| draft.iter().find(|field| field.path == path(words));
    assert_eq!(field(&["project_id"]).unwrap().need, Need::Required);
    assert_eq!(field(&["ports", SECOND, "network_id"]).unwrap().need, Need::Required);
    for words in [["volumes", "vda", "volume_id"], ["pools", "vg0", "cinder_host"]] {
        assert_eq!(field(&words).unwrap().need, Need::Optional);
    }
}
