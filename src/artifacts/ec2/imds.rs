//! The tree that the instance metadata service serves.
//!
//! Assumes an instance. Guarantees one file for each key, without a line feed at its end, and for each folder a file
//! `_index` with what the service answers there (EC2 lets no tag have that name), so that any web server that looks
//! for such a file can serve the tree. The identity document has no signature: only EC2 has the key.
//!
//! A guest keeps the UUID it has, so that cloud-init does not take it for one of EC2 and asks for no token: who serves
//! the tree must answer with a token and without one, and refuse a wrong one.
//!
//! *Source*: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html>,
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html>.

use std::collections::{BTreeMap, BTreeSet};

use core::net::IpAddr;
use serde_json::json;

use super::instance::Instance;
use super::interfaces::{Address, Interface, block};
use crate::artifacts::bundle::BundleFile;

/// The file with a folder's listing.
const INDEX: &str = "_index";

/// The tree.
pub(super) fn tree(instance: &Instance<'_>) -> Vec<BundleFile> {
    let mut tree = Tree::default();
    tree.leaf("user-data", instance.user_data);
    tree.leaf("dynamic/instance-identity/document", &identity_document(instance));
    general(&mut tree, instance);
    placement(&mut tree, instance);
    devices(&mut tree, instance);
    keys(&mut tree, instance);
    for interface in &instance.interfaces {
        network(&mut tree, instance, interface);
    }
    for (key, value) in &instance.tags {
        if can_be_a_path(key) {
            tree.leaf(&format!("meta-data/tags/instance/{key}"), value);
        }
    }
    tree.files()
}

/// Files by path.
#[derive(Default)]
struct Tree {
    leaves: BTreeMap<String, String>,
    /// What a folder's listing shows of a child, where that is not the child's name.
    shown: BTreeMap<String, String>,
}

impl Tree {
    fn leaf(&mut self, path: &str, value: &str) {
        self.leaves.insert(path.to_owned(), value.to_owned());
    }

    fn maybe(&mut self, path: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.leaf(path, value);
        }
    }

    /// One value a line; nothing without one.
    fn lines(&mut self, path: &str, values: &[String]) {
        if !values.is_empty() {
            self.leaf(path, &values.join("\n"));
        }
    }

    fn files(self) -> Vec<BundleFile> {
        let mut listings: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for path in self.leaves.keys() {
            let mut child = path.as_str();
            let mut ending = "";
            loop {
                let (folder, name) = child.rsplit_once('/').unwrap_or(("", child));
                let shown = self.shown.get(child).cloned().unwrap_or_else(|| format!("{name}{ending}"));
                listings.entry(folder.to_owned()).or_default().insert(shown);
                if folder.is_empty() {
                    break;
                }
                (child, ending) = (folder, "/");
            }
        }
        let listed = listings.into_iter().map(|(folder, names)| {
            let slash = if folder.is_empty() { "" } else { "/" };
            (format!("{folder}{slash}{INDEX}"), names.into_iter().collect::<Vec<_>>().join("\n"))
        });
        let all: BTreeMap<String, String> = self.leaves.into_iter().chain(listed).collect();
        all.into_iter().map(|(path, text)| BundleFile::new(format!("imds/latest/{path}"), text)).collect()
    }
}

fn general(tree: &mut Tree, instance: &Instance<'_>) {
    let binding = instance.binding;
    for (key, value) in [
        ("ami-id", binding.image_id.as_str()),
        ("ami-launch-index", "0"),
        ("hostname", &instance.hostname),
        ("instance-action", "none"),
        ("instance-id", &instance.id),
        ("instance-life-cycle", "on-demand"),
        ("instance-type", binding.instance_type.as_str()),
        ("local-hostname", &instance.hostname),
        ("reservation-id", &instance.reservation),
    ] {
        tree.leaf(&format!("meta-data/{key}"), value);
    }
    if let Some(primary) = instance.interfaces.first() {
        tree.leaf("meta-data/mac", &primary.mac.to_string());
        tree.maybe("meta-data/local-ipv4", primary.primary().as_deref());
        tree.maybe("meta-data/ipv6", texts(&primary.ipv6()).first().map(String::as_str));
    }
    tree.lines("meta-data/security-groups", &group_names(instance));
}

fn placement(tree: &mut Tree, instance: &Instance<'_>) {
    let binding = instance.binding;
    let region = binding.region.as_str();
    let (partition, domain) = match region.split_once('-') {
        Some(("cn", _)) => ("aws-cn", "amazonaws.com.cn"),
        Some(("us", rest)) if rest.starts_with("gov-") => ("aws-us-gov", "amazonaws.com"),
        Some(_) | None => ("aws", "amazonaws.com"),
    };
    tree.leaf("meta-data/placement/availability-zone", binding.availability_zone.as_str());
    let zone_id = binding.availability_zone_id.as_ref();
    tree.maybe("meta-data/placement/availability-zone-id", zone_id.map(|id| id.as_str()));
    tree.leaf("meta-data/placement/region", region);
    tree.leaf("meta-data/services/partition", partition);
    tree.leaf("meta-data/services/domain", domain);
}

/// The root under both its names, and the others in their order.
fn devices(tree: &mut Tree, instance: &Instance<'_>) {
    let mut nth = 0;
    for volume in &instance.volumes {
        if volume.root {
            tree.leaf("meta-data/block-device-mapping/ami", &volume.device);
            tree.leaf("meta-data/block-device-mapping/root", &volume.device);
        } else {
            nth += 1;
            tree.leaf(&format!("meta-data/block-device-mapping/ebs{nth}"), &volume.disk.target);
        }
    }
}

/// The listing shows a key's number and name, `0=ops`; the first has the name of the key pair.
fn keys(tree: &mut Tree, instance: &Instance<'_>) {
    for (nth, key) in instance.binding.guest.ssh_keys.iter().enumerate() {
        let name = instance.binding.key_name.as_ref().filter(|_| nth == 0);
        let name = name.map_or_else(|| format!("key-{nth}"), |name| name.as_str().to_owned());
        tree.leaf(&format!("meta-data/public-keys/{nth}/openssh-key"), key);
        tree.shown.insert(format!("meta-data/public-keys/{nth}"), format!("{nth}={name}"));
    }
}

fn network(tree: &mut Tree, instance: &Instance<'_>, interface: &Interface<'_>) {
    let binding = instance.binding;
    let at = |key: &str| format!("meta-data/network/interfaces/macs/{}/{key}", interface.mac);
    tree.leaf(&at("device-number"), &interface.number.to_string());
    tree.leaf(&at("interface-id"), &interface.id);
    tree.leaf(&at("local-hostname"), &instance.hostname);
    tree.leaf(&at("mac"), &interface.mac.to_string());
    tree.leaf(&at("owner-id"), binding.account.as_str());
    tree.leaf(&at("subnet-id"), interface.subnet.as_str());
    tree.leaf(&at("vpc-id"), binding.vpc_id.as_str());
    let (ipv4, ipv6) = (interface.ipv4(), interface.ipv6());
    tree.lines(&at("local-ipv4s"), &texts(&ipv4));
    tree.lines(&at("ipv6s"), &texts(&ipv6));
    tree.maybe(&at("subnet-ipv4-cidr-block"), ipv4.first().copied().and_then(block).as_deref());
    tree.lines(&at("subnet-ipv6-cidr-blocks"), &blocks(&ipv6));
    let groups = &binding.security_groups;
    tree.lines(&at("security-groups"), &group_names(instance));
    let ids: Vec<String> = groups.iter().map(|group| group.id.as_str().to_owned()).collect();
    tree.lines(&at("security-group-ids"), &ids);
    let is_ipv4 = |block: &&str| !block.contains(':');
    let of_vpc: Vec<&str> = binding.vpc_cidrs.iter().map(|block| block.as_str()).collect();
    let first: Vec<String> = of_vpc.iter().copied().filter(is_ipv4).map(str::to_owned).collect();
    tree.maybe(&at("vpc-ipv4-cidr-block"), first.first().map(String::as_str));
    tree.lines(&at("vpc-ipv4-cidr-blocks"), &first);
    let second: Vec<String> = of_vpc.iter().copied().filter(|block| !is_ipv4(block)).map(str::to_owned).collect();
    tree.lines(&at("vpc-ipv6-cidr-blocks"), &second);
}

fn group_names(instance: &Instance<'_>) -> Vec<String> {
    instance.binding.security_groups.iter().map(|group| group.name.as_str().to_owned()).collect()
}

fn texts(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(|(ip, _)| IpAddr::to_string(ip)).collect()
}

fn blocks(addresses: &[Address]) -> Vec<String> {
    let blocks: BTreeSet<String> = addresses.iter().copied().filter_map(block).collect();
    blocks.into_iter().collect()
}

/// EC2's own rule for tags that the service shows; and the listing keeps `=` for keys.
fn can_be_a_path(key: &str) -> bool {
    let letters = key.chars().all(|c| c.is_ascii_alphanumeric() || "+-.,_:@".contains(c));
    letters && !matches!(key, "." | ".." | INDEX)
}

fn identity_document(instance: &Instance<'_>) -> String {
    let binding = instance.binding;
    let document = json!({
        "accountId": binding.account.as_str(),
        "architecture": instance.architecture,
        "availabilityZone": binding.availability_zone.as_str(),
        "billingProducts": null,
        "devpayProductCodes": null,
        "marketplaceProductCodes": null,
        "imageId": binding.image_id.as_str(),
        "instanceId": instance.id,
        "instanceType": binding.instance_type.as_str(),
        "kernelId": null,
        "pendingTime": binding.launch_time.as_ref().map(|moment| moment.as_str()),
        "privateIp": instance.interfaces.first().and_then(Interface::primary),
        "ramdiskId": null,
        "region": binding.region.as_str(),
        "version": "2017-09-30",
    });
    format!("{document:#}\n")
}
