//! The worked example beside the project: another VM, written by hand for OpenStack.

use std::path::Path;

use covirt::artifacts::{BindingText, Format, Syntax};
use covirt::discovery::{Discovered, Inventory, Limits, parse_domain, parse_network};
use serde_json::{Value, json};

use crate::setup::read;
use crate::support::{self, shop};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_worked_example_agrees_in_its_facts() {
    let folder = Path::new(ROOT).join("../shared/artifacts/golden");
    let input = |name: &str| std::fs::read_to_string(folder.join("input").join(name));
    let (Ok(domain), Ok(network)) =
        (input("domain.xml"), input("network-default.xml").or_else(|_| input("network.xml")))
    else {
        return support::skip("the_worked_example_agrees_in_its_facts", "no worked example beside the project");
    };
    let known: Value = serde_json::from_str(&input("binding.json").unwrap()).unwrap();
    let live = parse_domain(domain, Limits::default()).unwrap();
    let network = parse_network(network, Limits::default()).unwrap();
    let mut inventory = Inventory::build(Discovered { networks: vec![network], ..Discovered::from_domain(live) });
    for nic in &mut inventory.domain.nics {
        if nic.source.network().is_none() {
            nic.queues.get_or_insert(4);
        }
    }
    let cloud = &known["openstack"];
    let ports: serde_json::Map<String, Value> = cloud["networks"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(mac, id)| (mac.clone(), json!({"network_id": id})))
        .collect();
    let keys: Vec<&Value> = known["ssh_keys"].as_object().unwrap().values().collect();
    let nics: serde_json::Map<String, Value> = known["nics"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(mac, nic)| {
            (mac.clone(), json!({"addresses": [nic["address"]], "gateway": nic["gateway"], "dns": nic["dns"]}))
        })
        .collect();
    let binding = json!({
        "project_id": cloud["project_id"], "project_name": cloud["project_name"],
        "user_id": cloud["user_id"], "user_name": cloud["user_name"],
        "availability_zone": cloud["availability_zone"], "host": cloud["host"], "flavor": "covirt-4c-4096m",
        "ports": ports,
        "guest": {"hostname": known["hostname"], "ssh_keys": keys, "nics": nics},
    });
    let binding = BindingText { syntax: Syntax::Json, text: binding.to_string() };
    let ours = shop::render(Format::OpenStack, &inventory, &binding).unwrap();
    let theirs = |path: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(folder.join("openstack").join(path)).unwrap()).unwrap()
    };
    let agree = |path: &str, pointers: &[&str]| {
        let (ours, theirs) = (read(&ours, path), theirs(path));
        for pointer in pointers {
            assert_eq!(ours.pointer(pointer), theirs.pointer(pointer), "{path}{pointer}");
        }
    };
    let meta_data = "config-2/openstack/latest/meta_data.json";
    agree(meta_data, &["/uuid", "/name", "/hostname", "/availability_zone", "/project_id", "/meta", "/launch_index"]);
    agree(
        meta_data,
        &["/devices/0/address", "/devices/1/mac", "/devices/2/path", "/devices/3/serial", "/dedicated_cpus"],
    );
    let network_data = "config-2/openstack/latest/network_data.json";
    for nth in 0..2 {
        for member in ["id", "vif_id", "type", "ethernet_mac_address"] {
            agree(network_data, &[&format!("/links/{nth}/{member}")]);
        }
    }
    agree(network_data, &["/links/1/mtu", "/networks/1/ip_address", "/networks/1/netmask", "/networks/1/network_id"]);
    agree("api/flavor.json", &["/flavor/name", "/flavor/id", "/flavor/vcpus", "/flavor/ram", "/flavor/disk"]);
    for key in ["hw:cpu_sockets", "hw:cpu_cores", "hw:cpu_threads"] {
        agree("api/flavor-extra-specs.json", &[&format!("/extra_specs/{key}")]);
    }
    for nth in 0..2 {
        let members =
            ["network_id", "mac_address", "fixed_ips", "device_id", "device_owner", "tenant_id", "admin_state_up"];
        for member in members {
            agree(&format!("api/port-{nth}.json"), &[&format!("/port/{member}")]);
        }
        let members = ["boot_index", "uuid", "source_type", "destination_type", "device_name", "disk_bus"];
        for member in members {
            let pointer = format!("/server/block_device_mapping_v2/{nth}/{member}");
            agree("api/server-create.json", &[&pointer, &format!("/server/networks/{nth}/port")]);
        }
    }
    let (image, golden) = (read(&ours, "api/image.json"), theirs("api/image.json"));
    for (key, value) in golden.as_object().unwrap() {
        // The example repeats the topology and says sizes of volumes, which its domain alone does not tell.
        if !matches!(key.as_str(), "name" | "min_disk" | "architecture" | "hw_qemu_guest_agent")
            && !key.starts_with("hw_cpu_")
            && image.get(key).is_some()
        {
            assert_eq!(image.get(key), Some(value), "image.json: {key}");
        }
    }
}
