//! The bodies and the domain's metadata, read by the services themselves.

use std::path::Path;

use serde_json::{Value, json};

use crate::setup::{OnDisk, bundle, demanding_bundle, verdict};
use crate::support::consumers::Consumers;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Nova's, Glance's and Neutron's checks over a bundle.
fn by_nova(consumers: &Consumers, disk: &OnDisk) -> Value {
    let schema = Path::new(ROOT).join("../shared/artifacts/schemas/openstack/network_data.json");
    verdict(&consumers.python("openstack_nova.py", &[disk.folder.path(), &disk.path("domain.xml"), &schema]))
}

fn all_accept(verdict: &Value) {
    let refused: Vec<_> = verdict.as_object().unwrap().iter().filter(|(_, why)| !why.is_null()).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn nova_glance_and_neutron_accept_the_bundles() {
    let Some(consumers) = Consumers::of("nova_glance_and_neutron_accept_the_bundles", "openstack") else { return };
    for bundle in [bundle(), demanding_bundle()] {
        let verdict = by_nova(&consumers, &OnDisk::of(&bundle));
        all_accept(&verdict);
        for check in ["flavor", "extra_specs", "server", "image", "conflicts", "metadata", "domain", "neutron"] {
            assert!(verdict.as_object().unwrap().contains_key(check), "{check} was not made");
        }
    }
}

#[test]
fn nova_glance_and_neutron_refuse_broken_bundles() {
    let Some(consumers) = Consumers::of("nova_glance_and_neutron_refuse_broken_bundles", "openstack") else { return };
    let bundle = bundle();
    let broken = |changes: &dyn Fn(&OnDisk)| {
        let disk = OnDisk::of(&bundle);
        changes(&disk);
        by_nova(&consumers, &disk)
    };
    let verdict = broken(&|disk| {
        disk.break_json("api/flavor.json", |body| body["flavor"]["ram"] = json!(0));
        disk.break_json("api/flavor-extra-specs.json", |body| body["extra_specs"]["hw:tpm_model"] = json!("crb"));
        disk.break_json("api/server-create.json", |body| {
            body["server"]["id"] = json!("0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f60");
        });
        disk.break_json("api/image.json", |body| body["hw_disk_bus"] = json!("virtio-blk"));
        disk.break_json("api/port-0.json", |body| body["port"]["id"] = json!("0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f60"));
        disk.break_json("config-2/openstack/latest/network_data.json", |data| {
            data["links"][0]["ethernet_mac_address"] = json!("52:54");
        });
    });
    for check in ["flavor", "extra_specs", "server", "image", "neutron"] {
        assert!(verdict[check].is_string(), "{check} was accepted: {verdict}");
    }
    if verdict.as_object().unwrap().contains_key("network_data") {
        assert!(verdict["network_data"].is_string(), "{verdict}");
    }
    let verdict = broken(&|disk| {
        disk.break_text("api/nova-instance.xml", "<nova:vcpus>4<", "<nova:vcpus>5<");
        disk.break_json("api/port-1.json", |body| body["port"]["mac_address"] = json!("52:54:00:1A:2B:02"));
        disk.break_json("api/flavor-extra-specs.json", |body| {
            body["extra_specs"]["hw:cpu_sockets"] = json!("3");
            body["extra_specs"]["hw:cpu_max_sockets"] = json!("3");
            body["extra_specs"]["hw:mem_encryption"] = json!("true");
        });
        disk.break_json("api/image.json", |body| body["hw_mem_encryption"] = json!("false"));
        disk.break_text("domain.xml", "<uuid>", "<uuid>  </uuid><uuid>");
    });
    for check in ["metadata", "neutron", "conflicts", "domain"] {
        assert!(verdict[check].is_string(), "{check} was accepted: {verdict}");
    }
}

#[test]
fn cinder_accepts_the_volumes_and_refuses_a_size() {
    let Some(consumers) = Consumers::of("cinder_accepts_the_volumes_and_refuses_a_size", "openstack") else { return };
    let disk = OnDisk::of(&demanding_bundle());
    let run = || verdict(&consumers.python("openstack_cinder.py", &[disk.folder.path()]));
    let accepted = run();
    assert_eq!(accepted.as_object().unwrap().len(), 3, "{accepted}");
    all_accept(&accepted);
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
