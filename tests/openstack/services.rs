//! The bodies and the domain's metadata, read by the services themselves.

use std::path::Path;

use covirt::artifacts::Format;
use serde_json::{Value, json};

use crate::setup::{OnDisk, bundle, demanding_bundle, tagged_bundle, verdict};
use crate::support::bundle::nothing_is_forgotten;
use crate::support::consumers::Consumers;
use crate::support::varied;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Nova's, Glance's and Neutron's checks over bundles.
fn by_nova(consumers: &Consumers, disks: &[OnDisk]) -> Vec<Value> {
    let schema = Path::new(ROOT).join("../shared/artifacts/schemas/openstack/network_data.json");
    let folders = disks.iter().map(|disk| disk.folder.path());
    let arguments: Vec<&Path> = std::iter::once(schema.as_path()).chain(folders).collect();
    let verdicts = verdict(&consumers.python("openstack_nova.py", &arguments));
    serde_json::from_value(verdicts).unwrap()
}

/// Cinder's checks over bundles.
fn by_cinder(consumers: &Consumers, disks: &[OnDisk]) -> Vec<Value> {
    let folders: Vec<&Path> = disks.iter().map(|disk| disk.folder.path()).collect();
    serde_json::from_value(verdict(&consumers.python("openstack_cinder.py", &folders))).unwrap()
}

fn all_accept(what: &str, verdict: &Value) {
    let refused: Vec<_> = verdict.as_object().unwrap().iter().filter(|(_, why)| !why.is_null()).collect();
    assert!(refused.is_empty(), "{what}: {refused:#?}");
}

#[test]
fn nova_glance_and_neutron_accept_the_bundles() {
    let Some(consumers) = Consumers::of("nova_glance_and_neutron_accept_the_bundles", "openstack") else { return };
    let disks = [bundle(), demanding_bundle(), tagged_bundle()].map(|bundle| OnDisk::of(&bundle));
    for verdict in by_nova(&consumers, &disks) {
        all_accept("the shop", &verdict);
        for check in ["flavor", "extra_specs", "server", "image", "conflicts", "metadata", "domain", "neutron"] {
            assert!(verdict.as_object().unwrap().contains_key(check), "{check} was not made");
        }
    }
}

#[test]
fn the_services_accept_twenty_varied_vms() {
    let test = "the_services_accept_twenty_varied_vms";
    let varied = varied::varied(test);
    let Some(consumers) = Consumers::of(test, "openstack") else { return };
    let mut names = Vec::new();
    let mut disks = Vec::new();
    for (name, inventory) in &varied {
        let bundle = varied::render(Format::OpenStack, inventory).unwrap_or_else(|why| panic!("{name}: {why}"));
        nothing_is_forgotten(name, &bundle);
        let disk = OnDisk::of(&bundle);
        std::fs::remove_file(disk.path("domain.xml")).unwrap();
        names.push(*name);
        disks.push(disk);
    }
    if disks.is_empty() {
        return;
    }
    for (name, verdict) in names.iter().zip(by_nova(&consumers, &disks)) {
        all_accept(name, &verdict);
    }
    for (name, verdict) in names.iter().zip(by_cinder(&consumers, &disks)) {
        all_accept(name, &verdict);
    }
}

#[test]
fn nova_glance_and_neutron_refuse_broken_bundles() {
    let Some(consumers) = Consumers::of("nova_glance_and_neutron_refuse_broken_bundles", "openstack") else { return };
    let [one, other] = [(); 2].map(|()| OnDisk::of(&bundle()));
    one.break_json("api/flavor.json", |body| body["flavor"]["ram"] = json!(0));
    one.break_json("api/flavor-extra-specs.json", |body| body["extra_specs"]["hw:tpm_model"] = json!("crb"));
    let uuid = "0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f60";
    one.break_json("api/server-create.json", |body| body["server"]["id"] = json!(uuid));
    one.break_json("api/image.json", |body| body["hw_disk_bus"] = json!("virtio-blk"));
    one.break_json("api/port-0.json", |body| body["port"]["id"] = json!(uuid));
    one.break_json("config-2/openstack/latest/network_data.json", |data| {
        data["links"][0]["ethernet_mac_address"] = json!("52:54");
    });
    other.break_text("api/nova-instance.xml", "<nova:vcpus>4<", "<nova:vcpus>5<");
    other.break_json("api/port-1.json", |body| body["port"]["mac_address"] = json!("52:54:00:1A:2B:02"));
    other.break_json("api/flavor-extra-specs.json", |body| body["extra_specs"]["hw:mem_encryption"] = json!("true"));
    other.break_json("api/image.json", |body| body["hw_mem_encryption"] = json!("false"));
    other.break_text("domain.xml", "<uuid>", "<uuid>  </uuid><uuid>");
    let verdicts = by_nova(&consumers, &[one, other]);
    for (verdict, checks) in verdicts.iter().zip([
        ["flavor", "extra_specs", "server", "image", "neutron"].as_slice(),
        ["metadata", "neutron", "conflicts", "domain"].as_slice(),
    ]) {
        for check in checks {
            assert!(verdict[check].is_string(), "{check} was accepted: {verdict}");
        }
    }
    let network_data = verdicts.first().and_then(|verdict| verdict.get("network_data"));
    assert!(network_data.is_none_or(Value::is_string), "{network_data:?}");
    let conflict = verdicts[1]["conflicts"].as_str().unwrap();
    assert!(conflict.contains("FlavorImageConflict"), "{conflict}");
}

#[test]
fn cinder_accepts_the_volumes_and_refuses_a_size() {
    let Some(consumers) = Consumers::of("cinder_accepts_the_volumes_and_refuses_a_size", "openstack") else { return };
    let disk = OnDisk::of(&demanding_bundle());
    let disks = [disk];
    let [disk] = &disks;
    let run = || by_cinder(&consumers, &disks).remove(0);
    let accepted = run();
    assert_eq!(accepted.as_object().unwrap().len(), 3, "{accepted}");
    all_accept("the shop", &accepted);
    disk.break_json("api/volume-manage-vdb.json", |body| body["volume"]["size"] = json!(40));
    disk.break_json("api/volume-qos-vda.json", |body| drop(body["qos_specs"].as_object_mut().unwrap().remove("name")));
    let refused = run();
    assert!(refused["volume-manage-vdb.json"].is_string(), "{refused}");
    assert!(refused["volume-qos-vda.json"].is_string(), "{refused}");
}

#[test]
fn ceilometer_discovers_the_domain_and_skips_one_without_an_owner() {
    let Some(consumers) = Consumers::of("ceilometer_discovers_the_domain", "openstack") else { return };
    let disk = OnDisk::of(&bundle());
    let run = || verdict(&consumers.python("openstack_ceilometer.py", &[disk.folder.path(), &disk.path("domain.xml")]));
    let found = run();
    assert_eq!(found["id"], "0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f60");
    assert_eq!(found["name"], "shop-front");
    assert_eq!(found["tenant_id"], "5d0c2c0a9b7e4f61a3d28e7f60c1b942");
    assert_eq!(found["user_id"], "8e1f7a6b5c4d4e3f9a2b1c0d9e8f7a6b");
    assert_eq!(found["flavor"]["vcpus"], 4);
    assert_eq!(found["flavor"]["ram"], 3072);
    assert_eq!(found["flavor"]["extra_specs"]["hw:cpu_cores"], "2");
    assert_eq!(found["image_meta"]["hw_firmware_type"], "uefi");
    let name = "api/nova-instance.xml";
    disk.break_text(name, "<nova:owner>", "<nova:nobody>");
    disk.break_text(name, "</nova:owner>", "</nova:nobody>");
    assert_eq!(run(), Value::Null);
}
