//! CloudStack's import request, sent by the `cs` client to a server of ours and held against the API's parameters.
//!
//! What cannot run here is skipped with its reason; `tools/consumers-env.sh` fetches what is needed.

mod support;

use std::path::{Path, PathBuf};

use covirt::artifacts::{Bundle, Fate, Format, RenderError};
use covirt::discovery::{Discovered, DiskBus, DiskSize, DiskSource, Inventory, Limits, parse_domain, parse_network};
use covirt::model::units::Bytes;
use serde_json::{Value, json};
use support::bundle::nothing_is_forgotten;
use support::consumers::{Consumers, said};
use support::shop;
use uuid::Uuid;

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/artifacts");
const REQUEST: &str = "importUnmanagedInstance.json";
const LISTING: &str = "listUnmanagedInstances.response.json";
const UUID: &str = "5e2f8a54-7a3b-4a64-9a0e-0c5a3f6f2b01";

/// What is to be found out, and the change that makes it so.
type Case<'a, T> = (&'a str, &'a dyn Fn(&mut T));

fn bundle() -> Bundle {
    shop::shop(Format::CloudStack)
}

fn json_of(bundle: &Bundle, path: &str) -> Value {
    serde_json::from_slice(&bundle.file(path).unwrap().bytes).unwrap()
}

/// What the client sent and what is wrong with it.
fn send(light: &Consumers, request: &Value, listing: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut files: Vec<PathBuf> = Vec::new();
    for (name, value) in [("request.json", request), ("listing.json", listing)] {
        files.push(folder.path().join(name));
        std::fs::write(folder.path().join(name), value.to_string()).unwrap();
    }
    let parameters = Path::new(SHARED).join("schemas/cloudstack/import-api-params.json");
    if parameters.exists() {
        files.push(parameters);
    }
    let arguments: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let output = light.python("cloudstack.py", &arguments);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A binding for any VM: every interface gets the same network.
fn binding_for(inventory: &Inventory) -> String {
    let mut text =
        format!("cluster_id = '{UUID}'\nservice_offering_id = '{UUID}'\ndisk_offering_id = '{UUID}'\n[networks]\n");
    for mac in inventory.domain.nics.iter().filter_map(|nic| nic.mac) {
        if !text.contains(&mac.to_string()) {
            text.push_str(&format!("'{mac}' = '{UUID}'\n"));
        }
    }
    text
}

fn refused(inventory: &Inventory) -> (String, String) {
    match shop::render(Format::CloudStack, inventory, &shop::toml(binding_for(inventory))).unwrap_err() {
        RenderError::Refused { field, why } => (field, why),
        other => panic!("{other}"),
    }
}

#[test]
fn the_files_are_the_golden_ones() {
    shop::is_golden(&bundle(), "cloudstack-shop-front");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(bundle(), bundle());
}

#[test]
fn the_client_sends_every_parameter_where_the_server_looks_for_it() {
    let Some(light) = Consumers::of("the_client_sends_every_parameter_where_the_server_looks_for_it", "light") else {
        return;
    };
    let bundle = bundle();
    let sent = send(&light, &json_of(&bundle, REQUEST), &json_of(&bundle, LISTING));
    assert_eq!(sent["problems"], json!([]));
    let query = sent["query"].as_object().unwrap();
    for (key, value) in [
        ("command", "importUnmanagedInstance"),
        ("name", "shop-front"),
        ("displayname", "Shop front"),
        ("nicnetworklist[0].nic", "0"),
        ("nicnetworklist[1].network", "5e2f8a54-7a3b-4a64-9a0e-0c5a3f6f2b12"),
        ("nicipaddresslist[0].ip4Address", "192.0.2.21"),
        ("datadiskofferinglist[0].disk", "1"),
        ("details[0].cpuNumber", "2"),
        ("details[0].memory", "3072"),
        ("details[0].UEFI", "SECURE"),
    ] {
        assert_eq!(query[key], value, "{key}");
    }
    // The interface on a network of layer 2 gets no address, and all details are under the one index that is read.
    assert!(!query.keys().any(|key| key.starts_with("nicipaddresslist[1]") || key.starts_with("details[1]")));
    // The table says what went over the wire, no more and no less.
    let table = String::from_utf8(bundle.file("parameters.txt").unwrap().bytes.clone()).unwrap();
    for (key, value) in query {
        let row =
            table.lines().find(|line| line.split_whitespace().next() == Some(key)).unwrap_or_else(|| panic!("{key}"));
        let value = value.as_str().unwrap().to_lowercase();
        assert!(row.to_lowercase().contains(&value), "{row}");
    }
    assert_eq!(table.lines().count(), query.len() + 1, "{table}");
}

#[test]
fn a_broken_request_is_found_out() {
    const TEST: &str = "a_broken_request_is_found_out";
    if !Path::new(SHARED).join("schemas/cloudstack").exists() {
        return support::skip(TEST, "no parameters of the API under ../shared");
    }
    let Some(light) = Consumers::of(TEST, "light") else { return };
    let bundle = bundle();
    let (request, listing) = (json_of(&bundle, REQUEST), json_of(&bundle, LISTING));
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut request = request.clone();
        change(&mut request);
        send(&light, &request, &listing)["problems"].as_array().unwrap().clone()
    };
    let cases: &[Case<'_, Value>] = &[
        ("colour: no such parameter", &|request| request["colour"] = json!("red")),
        ("clusterid: missing", &|request| {
            request.as_object_mut().unwrap().remove("clusterid");
        }),
        ("clusterid: no UUID", &|request| request["clusterid"] = json!("here")),
        ("datadiskofferinglist: offerings for ['1', '0'] of ['0', '1']", &|request| {
            let more = json!({"disk": "0", "diskOffering": UUID});
            request["datadiskofferinglist"].as_array_mut().unwrap().push(more);
        }),
        ("details: only the first entry is read", &|request| {
            request["details"].as_array_mut().unwrap().push(json!({"memory": "1"}));
        }),
        ("nicnetworklist: not every interface has a network", &|request| {
            request["nicnetworklist"].as_array_mut().unwrap().pop();
        }),
    ];
    for (what, change) in cases {
        assert_eq!(broken(change), [json!(what)]);
    }
}

#[test]
fn what_the_agent_would_drop_is_refused_by_its_word() {
    let refuse = |change: &dyn Fn(&mut Inventory)| {
        let mut inventory = shop::inventory();
        change(&mut inventory);
        refused(&inventory)
    };
    let cases: &[Case<'_, Inventory>] = &[
        ("nics[52:54:00:1a:2b:01].model", &|i| i.domain.nics[0].model = Some("e1000e".to_owned())),
        ("nics[52:54:00:1a:2b:02].model", &|i| i.domain.nics[1].model = None),
        ("nics[52:54:00:1a:2b:01].source", &|i| i.domain.nics[0].source = covirt::discovery::NicSource::User),
        ("disks[vda].bus", &|i| i.domain.disks[0].bus = Some(DiskBus::Sd)),
        ("disks[vda].bus", &|i| i.domain.disks[0].bus = None),
        ("disks[vda].format", &|i| i.domain.disks[0].format = Some("vmdk".to_owned())),
        ("disks[vda].cache", &|i| {
            i.domain.disks[0].source = Some(ceph());
            i.domain.disks[0].cache = None;
        }),
        ("disks[vdb].source", &|i| {
            let (pool, volume) = ("vg0".to_owned(), "shop-data".to_owned());
            i.domain.disks[1].source = Some(DiskSource::Volume { pool, volume, mode: None });
        }),
        ("disks", &|i| i.domain.disks.clear()),
        ("nics[0].mac", &|i| i.domain.nics[0].mac = None),
    ];
    for (field, change) in cases {
        assert_eq!(refuse(change).0, *field);
    }
    let why = refuse(&|i| i.domain.nics[0].model = Some("e1000e".to_owned())).1;
    assert!(why.contains("\"e1000e\"") && why.contains("vmxnet3"), "{why}");
}

fn ceph() -> DiskSource {
    DiskSource::Network { protocol: "rbd".to_owned(), name: Some("pool/image".to_owned()), hosts: Vec::new() }
}

#[test]
fn the_checks_tell_what_would_fail() {
    let verdicts = |change: &dyn Fn(&mut Inventory)| {
        let mut inventory = shop::inventory();
        change(&mut inventory);
        let bundle = shop::render(Format::CloudStack, &inventory, &shop::binding(Format::CloudStack)).unwrap();
        let mapping = bundle.mapping.clone();
        let refused = move |field: &str| {
            mapping.0.iter().any(|entry| entry.field == field && matches!(entry.fate, Fate::Refused { .. }))
        };
        let checks = json_of(&bundle, "pre-checks.json");
        let of = move |rule: &str| -> Vec<String> {
            let found = checks.as_array().unwrap().iter().filter(|check| check["rule"] == rule);
            found
                .map(|check| {
                    format!("{} {}", check["verdict"].as_str().unwrap(), check["field"].as_str().unwrap_or("-"))
                })
                .collect()
        };
        (of, refused)
    };
    let (sound, refused) = verdicts(&|_| {});
    assert_eq!(sound("interfaces-of-one-model"), ["pass -"]);
    assert_eq!(sound("disk-in-a-pool"), ["ask disks[vda].source", "fail disks[vdb].source"]);
    assert_eq!(sound("disks-of-one-vm"), ["fail disks[vdb].writes"]);
    assert_eq!(sound("power-state"), ["ask definition"]);
    assert!(refused("disks[vdb].source") && refused("disks[vdb].writes") && !refused("disks[vda].source"));
    let (mixed, refused) = verdicts(&|i| i.domain.nics[1].model = Some("rtl8139".to_owned()));
    assert_eq!(mixed("interfaces-of-one-model"), ["fail nics[52:54:00:1a:2b:02].model"]);
    assert!(refused("nics[52:54:00:1a:2b:02].model"));
    let (raw, refused) = verdicts(&|i| i.domain.disks[0].format = Some("raw".to_owned()));
    assert_eq!(raw("disk-format"), ["fail disks[vda].format"]);
    assert!(refused("disks[vda].format"));
    let (odd, _) = verdicts(&|i| i.domain.memory.max_kib.0 += 1);
    assert_eq!(odd("memory-in-mebibytes"), ["warn memory.max_kib"]);
}

#[test]
fn every_corpus_domain_is_requested_or_refused_by_its_word() {
    let mut requested = 0;
    for (name, mut inventory) in shop::corpus("every_corpus_domain_is_requested_or_refused_by_its_word") {
        inventory.domain.identity.uuid.get_or_insert(Uuid::from_u128(7));
        let binding = shop::toml(binding_for(&inventory));
        match shop::render(Format::CloudStack, &inventory, &binding) {
            Ok(bundle) => {
                requested += 1;
                nothing_is_forgotten(&name, &bundle);
            }
            Err(RenderError::Refused { why, .. }) => assert!(!why.is_empty(), "{name}"),
            Err(other) => panic!("{name}: {other}"),
        }
    }
    eprintln!("{requested} domains requested");
}

/// The VM that was worked through by hand.
#[test]
fn the_worked_example_says_the_same() {
    let golden = Path::new(SHARED).join("golden");
    let Ok(domain) = std::fs::read_to_string(golden.join("input/domain.xml")) else {
        return support::skip("the_worked_example_says_the_same", &format!("nothing at {}", golden.display()));
    };
    let network = std::fs::read_to_string(golden.join("input/network-default.xml")).unwrap();
    let live = parse_domain(domain, Limits::default()).unwrap();
    let networks = vec![parse_network(network, Limits::default()).unwrap()];
    let mut inventory = Inventory::build(Discovered { networks, ..Discovered::from_domain(live) });
    for (disk, capacity) in inventory.domain.disks.iter_mut().zip([21_474_836_480, 10_737_418_240]) {
        disk.size = Some(DiskSize { capacity: Bytes(capacity), allocation: Bytes(0), physical: Bytes(0) });
    }
    let read =
        |path: &str| -> Value { serde_json::from_str(&std::fs::read_to_string(golden.join(path)).unwrap()).unwrap() };
    let operator = read("input/binding.json");
    let mut binding = operator["cloudstack"].clone();
    binding.as_object_mut().unwrap().remove("zone_id");
    let mac = "52:54:00:9e:22:02";
    let address = operator["nics"][mac]["address"].as_str().unwrap().split('/').next().unwrap();
    binding["addresses"] = json!({mac: address});
    let binding = covirt::artifacts::BindingText { syntax: covirt::artifacts::Syntax::Json, text: binding.to_string() };
    let bundle = shop::render(Format::CloudStack, &inventory, &binding).unwrap();
    assert_eq!(json_of(&bundle, REQUEST), read("cloudstack/importUnmanagedInstance.json"));
    let mut listed = read("cloudstack/listUnmanagedInstances.response.json");
    // No inventory has the power state.
    listed["listunmanagedinstancesresponse"]["unmanagedinstance"][0].as_object_mut().unwrap().remove("powerstate");
    assert_eq!(json_of(&bundle, LISTING), listed);
}

#[test]
fn a_binding_that_cannot_be_is_refused_with_its_place() {
    let fault = |text: &str| match shop::render(Format::CloudStack, &shop::inventory(), &shop::toml(text)).unwrap_err()
    {
        RenderError::Binding(fault) => fault,
        other => panic!("{text}: {other}"),
    };
    let good = shop::fixture("binding/cloudstack.toml");
    assert!(fault("").to_string().contains("cluster_id"));
    let typed = fault(&good.replace("f2b02\"", "f2b0\""));
    assert_eq!(typed.line, Some(2), "{typed}");
    let address = fault(&good.replace("\"none\"", "\"192.0.2\""));
    assert!(address.line == Some(11) && address.to_string().contains("layer 2"), "{address}");
    let stray = fault(&format!("zone_id = '{UUID}'\n{good}"));
    assert!(stray.line == Some(1) && stray.to_string().contains("zone_id"), "{stray}");
    let missing = fault(&good.replace("\"52:54:00:1a:2b:02\" = \"5e2f", "# \"5e2f"));
    assert_eq!((missing.field.as_str(), missing.hint.is_some()), ("networks.\"52:54:00:1a:2b:02\"", true));
    let offering = fault(&good.replace("disk_offering_id", "# disk_offering_id"));
    assert_eq!(offering.field, "disk_offerings.vdb");
    assert_eq!(fault(&format!("hostname = '7up'\n{good}")).field, "hostname");
    assert_eq!(fault(&format!("account = 'a'\n{good}")).field, "account");
    assert_eq!(fault(&format!("root_disk = 'vdz'\n{good}")).field, "root_disk.vdz");
}
