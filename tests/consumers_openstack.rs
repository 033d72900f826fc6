//! OpenStack bundles, read by the software that reads them in a cloud: cloud-init, Nova, Cinder, neutron-lib and
//! Ceilometer, each of which must also refuse a bundle that was broken on purpose.

#[path = "openstack/drive.rs"]
mod drive;
#[path = "openstack/facts.rs"]
mod facts;
#[path = "openstack/services.rs"]
mod services;
#[path = "openstack/setup.rs"]
mod setup;
mod support;
#[path = "openstack/worked_example.rs"]
mod worked_example;

use covirt::artifacts::{BindingText, Format, Syntax};
use covirt::discovery::Inventory;
use serde_json::{Value, json};
use setup::bundle;
use support::bundle::nothing_is_forgotten;
use support::shop;

#[test]
fn the_shop_is_the_golden_one() {
    shop::is_golden(&bundle(), "openstack-shop-front");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(bundle(), bundle());
}

/// A binding that says of every interface and pool which network and backend it is.
fn binding_for(inventory: &Inventory) -> BindingText {
    let ports: serde_json::Map<String, Value> = inventory
        .domain
        .nics
        .iter()
        .filter_map(|nic| nic.mac)
        .map(|mac| (mac.to_string(), json!({"network_id": "6f2d9c1e-5b4a-4f3e-8d7c-1a2b3c4d5e6f"})))
        .collect();
    let binding = json!({
        "project_id": "5d0c2c0a9b7e4f61a3d28e7f60c1b942",
        "user_id": "8e1f7a6b5c4d4e3f9a2b1c0d9e8f7a6b",
        "availability_zone": "nova",
        "ports": ports,
    });
    BindingText { syntax: Syntax::Json, text: binding.to_string() }
}

#[test]
fn every_domain_of_the_corpus_is_rendered_or_refused_and_no_field_is_forgotten() {
    let mut rendered = 0;
    for (name, mut inventory) in shop::corpus("every_domain_of_the_corpus_is_rendered_or_refused") {
        inventory.domain.identity.uuid.get_or_insert(uuid::Uuid::from_u128(1));
        match shop::render(Format::OpenStack, &inventory, &binding_for(&inventory)) {
            Ok(bundle) => {
                rendered += 1;
                nothing_is_forgotten(&name, &bundle);
            }
            Err(error) => assert_eq!(error.code(), "artifact-refused", "{name}: {error}"),
        }
    }
    eprintln!("{rendered} rendered");
}
