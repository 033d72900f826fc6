//! What a guest is to be told, whatever the format: its name, keys, and how each interface gets its addresses.
//!
//! Assumes an inventory and what the operator adds. Guarantees that an interface gets fixed addresses only when the
//! operator or a DHCP host entry of its libvirt network says them for its MAC, and that no password and no private key
//! passes.

mod check;
mod plan;

use std::collections::BTreeMap;

use core::net::{IpAddr, Ipv6Addr};
use serde::{Deserialize, Serialize};

pub(super) use check::{check_nics, check_no_secret, read_address, vlan_name};
pub(super) use plan::{AutoIpv6, Fixed, Plan, auto_ipv6, mtu, network_of, plan};

use super::binding::{BindingFault, DraftField};
use super::error::RenderError;
use crate::discovery::Inventory;
use crate::model::units::Mac;

/// What the operator knows of the guest's own configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guest {
    /// The guest's host name; without one it is made from the domain's name.
    pub hostname: Option<String>,
    /// Public keys in OpenSSH's one-line form.
    pub ssh_keys: Vec<String>,
    /// The whole `user-data`, in any of cloud-init's forms.
    pub user_data: Option<String>,
    /// DNS servers for every interface with fixed addresses.
    pub dns: Vec<IpAddr>,
    /// DNS search domains for the same.
    pub search: Vec<String>,
    /// Settings of single interfaces.
    pub nics: BTreeMap<Mac, GuestNic>,
}

/// What the operator knows of one interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuestNic {
    /// Its name in the guest; the guest is told to use it.
    pub name: Option<String>,
    /// Fixed addresses as `ADDRESS/PREFIX`, of either family; without any the interface asks DHCP.
    pub addresses: Vec<String>,
    /// Its gateway, of either family.
    pub gateway: Option<IpAddr>,
    /// Its IPv6 gateway, where `gateway` is the IPv4 one.
    pub gateway6: Option<Ipv6Addr>,
    /// Its DNS servers.
    pub dns: Vec<IpAddr>,
    /// Its other routes.
    pub routes: Vec<GuestRoute>,
    /// VLANs that the guest is to set up on it; a tag that the host's port adds and removes is none of them.
    pub vlans: Vec<GuestVlan>,
}

/// One route of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestRoute {
    /// Where to, as `ADDRESS/PREFIX`.
    pub to: String,
    /// Through whom.
    pub via: IpAddr,
}

/// One VLAN on an interface that carries tagged frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestVlan {
    /// Its tag.
    pub id: u16,
    /// Fixed addresses as `ADDRESS/PREFIX`; without any it asks DHCP.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Its gateway.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Its DNS servers.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
}

/// The binding's host name when it is one, else the domain's name made into one.
pub(super) fn hostname(inventory: &Inventory, guest: &Guest) -> Result<String, RenderError> {
    if let Some(name) = &guest.hostname {
        let valid = name.len() <= 253 && name.split('.').all(is_label);
        return if valid {
            Ok(name.clone())
        } else {
            let fault = BindingFault::new("hostname", "this is not a host name of RFC 1123");
            Err(fault.hint("letters, digits and dashes, in parts of 63 at most with dots between them").into())
        };
    }
    let spelled: String = inventory
        .domain
        .identity
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let label: String = spelled.trim_matches('-').chars().take(63).collect();
    let label = label.trim_end_matches('-');
    Ok(if label.is_empty() { "vm".to_owned() } else { label.to_owned() })
}

/// The host name stays the guest's own: it runs already, and this provider is not its first.
const QUIET_USER_DATA: &str = "#cloud-config\npreserve_hostname: true\n";
const NAMED_USER_DATA: &str = "#cloud-config\npreserve_hostname: false\n";

/// The binding's `user-data`, else one that only says whose the host name is.
pub(super) fn user_data(guest: &Guest) -> &str {
    match (&guest.user_data, &guest.hostname) {
        (Some(text), _) => text,
        (None, Some(_)) => NAMED_USER_DATA,
        (None, None) => QUIET_USER_DATA,
    }
}

/// Whether `text` is one label of a host name.
fn is_label(text: &str) -> bool {
    let inside = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    !text.is_empty() && text.len() <= 63 && inside && !text.starts_with('-') && !text.ends_with('-')
}

/// The draft of this part of a binding, under `prefix`.
pub(super) fn draft(prefix: &[&str], inventory: &Inventory) -> Vec<DraftField> {
    fn join<'a>(prefix: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
        [prefix, rest].concat()
    }
    let optional = |rest: &[&str], help: &str| DraftField::optional(&join(prefix, rest), help);
    let mut fields = vec![
        optional(&["hostname"], "the guest's host name; made from the domain's name when left out"),
        optional(&["ssh_keys"], "public keys in OpenSSH's one-line form"),
        optional(&["user_data"], "the whole user-data, in any of cloud-init's forms; no passwords"),
        optional(&["dns"], "DNS servers for interfaces with fixed addresses"),
        optional(&["search"], "DNS search domains for the same"),
    ];
    for nic in &inventory.domain.nics {
        let Some(mac) = nic.mac.map(|mac| mac.to_string()) else { continue };
        let known: Vec<String> = nic.addresses.iter().filter_map(|a| Some(format!("{}/{}", a.ip, a.prefix?))).collect();
        let field = optional(
            &["nics", &mac, "addresses"],
            "fixed addresses as ADDRESS/PREFIX; without any the interface asks DHCP, or has what its network reserves",
        );
        fields.push(if known.is_empty() { field } else { field.guess(known) });
        fields.push(optional(
            &["nics", &mac, "gateway"],
            "its gateway; the first interface with one has the default route",
        ));
        fields.push(optional(&["nics", &mac, "gateway6"], "its IPv6 gateway, where the other is the IPv4 one"));
        fields.push(optional(&["nics", &mac, "dns"], "its DNS servers"));
        fields.push(optional(&["nics", &mac, "routes"], "its other routes: {to = ADDRESS/PREFIX, via = ADDRESS}"));
        fields.push(optional(&["nics", &mac, "name"], "its name in the guest, which renames it there"));
        fields.push(optional(
            &["nics", &mac, "vlans"],
            "VLANs the guest sets up on it: {id = TAG, addresses = […], gateway = ADDRESS, dns = […]}",
        ));
    }
    fields
}

#[cfg(test)]
mod tests;
