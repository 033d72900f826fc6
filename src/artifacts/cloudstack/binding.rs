//! What only CloudStack's administrator knows: cluster, offerings, networks, owner.
//!
//! Assumes nothing. Guarantees UUIDs, a host name that CloudStack takes, and nothing named that the VM has not.

use std::collections::BTreeMap;
use std::fmt;

use core::net::Ipv4Addr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::plan::is_listed;
use crate::artifacts::binding::{BindingFault, DraftField};
use crate::artifacts::named::nic_named;
use crate::discovery::{AddressOrigin, Inventory, Nic};
use crate::model::units::Mac;

/// The binding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::artifacts) struct CloudStackBinding {
    /// The cluster of the host the VM runs on.
    pub(super) cluster_id: Uuid,
    /// The compute offering; a custom one, unless its processors and memory are the VM's.
    pub(super) service_offering_id: Uuid,
    /// The disk offering of every disk but the root disk.
    #[serde(default)]
    pub(super) disk_offering_id: Option<Uuid>,
    /// Disk offerings of single disks, by target.
    #[serde(default)]
    pub(super) disk_offerings: BTreeMap<String, Uuid>,
    /// The root disk's target; the first in the boot order when left out.
    #[serde(default)]
    pub(super) root_disk: Option<String>,
    /// The network of each interface, by MAC.
    #[serde(default)]
    pub(super) networks: BTreeMap<Mac, Uuid>,
    /// Addresses that are not what is known here, by MAC.
    #[serde(default)]
    pub(super) addresses: BTreeMap<Mac, Address>,
    /// The host name.
    #[serde(default)]
    pub(super) hostname: Option<String>,
    /// The name people see; the title when left out.
    #[serde(default)]
    pub(super) display_name: Option<String>,
    /// The speed of a processor, for offerings that leave it open. *Units*: MHz.
    #[serde(default)]
    pub(super) cpu_speed: Option<u32>,
    /// Whose it becomes; with `domain_id`.
    #[serde(default)]
    pub(super) account: Option<String>,
    #[serde(default)]
    pub(super) domain_id: Option<Uuid>,
    #[serde(default)]
    pub(super) project_id: Option<Uuid>,
    /// The template it counts as made from.
    #[serde(default)]
    pub(super) template_id: Option<Uuid>,
    /// The type of its operating system (4.22.1 and newer).
    #[serde(default)]
    pub(super) os_type_id: Option<Uuid>,
    /// Whether CloudStack may move it or its disks to where its offerings' tags are.
    #[serde(default)]
    pub(super) migrate_allowed: bool,
    /// Whether to go on when a MAC is known already.
    #[serde(default)]
    pub(super) forced: bool,
}

/// The address of an interface over there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    /// CloudStack chooses.
    Auto,
    /// None: its network is of layer 2.
    Layer2,
    This(Ipv4Addr),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Layer2 => f.write_str("none"),
            Self::This(ip) => ip.fmt(f),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::Layer2),
            text => text.parse().map(Self::This).map_err(|_| {
                serde::de::Error::custom(
                    "an address is an IPv4 address, \"auto\", or \"none\" for a network of layer 2",
                )
            }),
        }
    }
}

impl CloudStackBinding {
    /// Refuses what the request could not mean.
    pub(super) fn check(&self, inventory: &Inventory) -> Result<(), BindingFault> {
        let networks = self.networks.keys().map(|mac| ("networks", mac));
        for (table, mac) in networks.chain(self.addresses.keys().map(|mac| ("addresses", mac))) {
            nic_named(inventory, table, *mac)?;
        }
        for mac in inventory.domain.nics.iter().filter_map(|nic| nic.mac) {
            if !self.networks.contains_key(&mac) {
                let fault =
                    BindingFault::new(format!("networks.\"{mac}\""), "this interface has no network over there");
                return Err(fault.hint("give the UUID of the CloudStack network that is the same network"));
            }
        }
        let named = self.disk_offerings.keys().map(|target| ("disk_offerings", target));
        for (field, target) in named.chain(self.root_disk.iter().map(|target| ("root_disk", target))) {
            if !inventory.domain.disks.iter().any(|disk| disk.target == *target && is_listed(disk)) {
                return Err(BindingFault::new(format!("{field}.{target}"), "CloudStack sees no such disk of the VM"));
            }
        }
        if self.hostname.as_deref().is_some_and(|name| !is_hostname(name)) {
            let fault = BindingFault::new("hostname", "CloudStack does not take this host name");
            return Err(fault.hint("letters, digits and '-', 63 at most, with a letter first and no '-' last"));
        }
        if self.account.is_some() != self.domain_id.is_some() {
            return Err(BindingFault::new("account", "account and domain_id go together"));
        }
        Ok(())
    }
}

/// CloudStack's own rule for names of hosts.
pub(super) fn is_hostname(name: &str) -> bool {
    let inside = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    name.len() <= 63 && inside && name.starts_with(|c: char| c.is_ascii_alphabetic()) && !name.ends_with('-')
}

/// The one IPv4 address that is surely the interface's, or that its guest says it has.
pub(super) fn known_address(nic: &Nic) -> Option<Ipv4Addr> {
    let of = |origin: AddressOrigin| {
        let mut found = nic.addresses.iter().filter(move |address| address.origin == origin);
        found.find_map(|address| match address.ip {
            core::net::IpAddr::V4(ip) => Some(ip),
            core::net::IpAddr::V6(_) => None,
        })
    };
    of(AddressOrigin::StaticHost).or_else(|| of(AddressOrigin::Agent))
}

/// Every field, with what can be guessed.
pub(super) fn draft(inventory: &Inventory) -> Vec<DraftField> {
    let domain = &inventory.domain;
    let mut fields = vec![
        DraftField::required(&["cluster_id"], "the UUID of the cluster of the host the VM runs on"),
        DraftField::required(
            &["service_offering_id"],
            "the UUID of a custom compute offering, or of one with the VM's size",
        ),
    ];
    let listed: Vec<_> = domain.disks.iter().filter(|disk| is_listed(disk)).collect();
    if listed.len() > 1 {
        fields.push(DraftField::required(
            &["disk_offering_id"],
            "the UUID of the disk offering of all disks but the root",
        ));
    }
    if let Some(first) = listed.first() {
        let field = DraftField::optional(&["root_disk"], "the root disk; the first in the boot order when left out");
        fields.push(field.guess(first.target.clone()));
    }
    for nic in &domain.nics {
        let Some(mac) = nic.mac.map(|mac| mac.to_string()) else { continue };
        fields.push(DraftField::required(
            &["networks", &mac],
            "the UUID of the CloudStack network that is the same network",
        ));
        let help = "its IPv4 address there, \"auto\", or \"none\" for a network of layer 2";
        let field = DraftField::optional(&["addresses", &mac], help);
        fields.push(match known_address(nic) {
            Some(ip) => field.guess(ip.to_string()),
            None => field.guess("auto"),
        });
    }
    for (path, help) in [
        ("hostname", "the host name; made from the domain's name when left out"),
        ("display_name", "the name people see; the title, else the domain's name, when left out"),
        ("cpu_speed", "the speed of a processor in MHz, for offerings that leave it open"),
        ("account", "the account that gets the VM; with domain_id"),
        ("domain_id", "the UUID of the account's domain"),
        ("project_id", "the UUID of the project that gets the VM"),
        ("template_id", "the UUID of the template it counts as made from"),
        ("os_type_id", "the UUID of the type of its operating system (4.22.1 and newer)"),
    ] {
        fields.push(DraftField::optional(&[path], help));
    }
    fields.push(
        DraftField::optional(&["migrate_allowed"], "whether CloudStack may move it to fit its offerings").guess(false),
    );
    fields.push(DraftField::optional(&["forced"], "whether to go on when a MAC is known already").guess(false));
    fields
}
