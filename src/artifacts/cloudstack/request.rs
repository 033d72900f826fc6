//! The request: once as JSON with its maps as lists, once as the flat parameters that go over the wire.
//!
//! Assumes a plan. Guarantees that both say the same, and that no parameter is empty.

use serde_json::{Map, Value, json};

use super::binding::{Address, CloudStackBinding};
use super::plan::{Plan, Role};
use crate::discovery::Inventory;

const COMMAND: &str = "importUnmanagedInstance";

/// The request as a client library takes it.
pub(super) fn request(inventory: &Inventory, binding: &CloudStackBinding, plan: &Plan<'_>) -> Value {
    let identity = &inventory.domain.identity;
    let display = binding.display_name.as_ref().or(identity.title.as_ref()).unwrap_or(&identity.name);
    let mut request = Map::new();
    let mut set = |key: &str, value: Value| request.insert(key.to_owned(), value);
    set("command", json!(COMMAND));
    set("clusterid", json!(binding.cluster_id));
    set("name", json!(identity.name));
    set("displayname", json!(display));
    set("hostname", json!(plan.hostname));
    let owners = [
        ("account", binding.account.as_ref().map(|account| json!(account))),
        ("domainid", binding.domain_id.map(|id| json!(id))),
        ("projectid", binding.project_id.map(|id| json!(id))),
        ("templateid", binding.template_id.map(|id| json!(id))),
        ("ostypeid", binding.os_type_id.map(|id| json!(id))),
    ];
    for (key, value) in owners {
        if let Some(value) = value {
            set(key, value);
        }
    }
    set("serviceofferingid", json!(binding.service_offering_id));
    for (key, list) in lists(plan) {
        if !list.is_empty() {
            set(key, Value::Array(list));
        }
    }
    set("migrateallowed", json!(binding.migrate_allowed));
    set("forced", json!(binding.forced));
    Value::Object(request)
}

/// The parameters that are lists of maps.
fn lists(plan: &Plan<'_>) -> [(&'static str, Vec<Value>); 4] {
    let nics = || plan.nics.iter().enumerate();
    let networks = nics().filter_map(|(id, nic)| Some(json!({"nic": id.to_string(), "network": nic.network?})));
    let addresses = nics()
        .filter(|(_, nic)| nic.address != Address::Layer2)
        .map(|(id, nic)| json!({"nic": id.to_string(), "ip4Address": nic.address}));
    let offerings = plan.disks.iter().enumerate().filter_map(|(id, disk)| match disk.role {
        Role::Root => None,
        Role::Data { offering } => Some(json!({"disk": id.to_string(), "diskOffering": offering})),
    });
    let details: Map<String, Value> =
        plan.details.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    [
        ("nicnetworklist", networks.collect()),
        ("nicipaddresslist", addresses.collect()),
        ("datadiskofferinglist", offerings.collect()),
        ("details", vec![Value::Object(details)]),
    ]
}

/// The flat parameters, each with its value and where that came from, in columns.
pub(super) fn table(inventory: &Inventory, binding: &CloudStackBinding, plan: &Plan<'_>) -> String {
    let Value::Object(request) = request(inventory, binding, plan) else {
        return String::new();
    };
    let mut rows = vec![["PARAMETER".to_owned(), "VALUE".to_owned(), "SOURCE".to_owned()]];
    for (key, value) in &request {
        match value {
            Value::Array(list) => {
                for (nth, item) in list.iter().enumerate() {
                    for (inner, value) in item.as_object().into_iter().flatten() {
                        let source = list_source(key, nth, item, inner, binding, plan);
                        rows.push([format!("{key}[{nth}].{inner}"), plain(value), source]);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                rows.push([key.clone(), plain(value), source(key, inventory, binding).to_owned()]);
            }
        }
    }
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let (first, second) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
    rows.iter().map(|[key, value, source]| format!("{key:first$}  {value:second$}  {source}\n")).collect()
}

/// A value as it goes over the wire.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn source(key: &str, inventory: &Inventory, binding: &CloudStackBinding) -> &'static str {
    match key {
        "command" => "the API",
        "name" => "identity.name",
        "displayname" if binding.display_name.is_some() => "binding",
        "displayname" if inventory.domain.identity.title.is_some() => "identity.title",
        "displayname" => "identity.name",
        "hostname" if binding.hostname.is_none() => "identity.name, made into a host name",
        _ => "binding",
    }
}

fn list_source(
    list: &str,
    nth: usize,
    item: &Value,
    key: &str,
    binding: &CloudStackBinding,
    plan: &Plan<'_>,
) -> String {
    let id = |name: &str| item.get(name).and_then(Value::as_str).and_then(|id| id.parse::<usize>().ok());
    let nic = || id("nic").and_then(|id| plan.nics.get(id)).and_then(|nic| nic.nic.mac);
    let disk = || id("disk").and_then(|id| plan.disks.get(id)).map(|disk| disk.disk.target.as_str());
    match (list, key) {
        (_, "nic") => nic().map_or_else(|| format!("interface {nth}"), |mac| format!("the place of nics[{mac}]")),
        (_, "disk") => format!("the place of disks[{}]", disk().unwrap_or_default()),
        ("nicipaddresslist", _) => match nic() {
            Some(mac) if binding.addresses.contains_key(&mac) => "binding".to_owned(),
            Some(mac) if item.get(key).and_then(Value::as_str) != Some("auto") => format!("nics[{mac}].addresses"),
            Some(_) | None => "no address is surely the interface's".to_owned(),
        },
        ("details", "cpuNumber") => "cpu.vcpus".to_owned(),
        ("details", "memory") => "memory.max_kib, in MiB".to_owned(),
        ("details", "rootDiskController" | "dataDiskController") => "disks: bus".to_owned(),
        ("details", "nicAdapter") => "nics: model".to_owned(),
        ("details", "UEFI") => "firmware".to_owned(),
        (_, _) => "binding".to_owned(),
    }
}
