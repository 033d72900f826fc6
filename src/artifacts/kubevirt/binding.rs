//! What the operator knows of the cluster: namespace, storage, networks, resources of nodes, feature gates.
//!
//! Assumes nothing about the text. Guarantees names that Kubernetes takes, and no URL with a user part in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::name::{is_label, is_subdomain};
use crate::artifacts::binding::{BindingFault, DraftField};
use crate::artifacts::checked::checked;
use crate::artifacts::named::{disk_named, nic_named};
use crate::discovery::Inventory;
use crate::model::units::{Bytes, Mac};

/// The binding.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::artifacts) struct Binding {
    /// The namespace of every object.
    pub(super) namespace: Label,
    /// The VirtualMachine's name; made from the domain's when left out.
    pub(super) name: Option<Label>,
    /// The storage class of every DataVolume that names none.
    pub(super) storage_class: Option<Subdomain>,
    /// The machine type to ask for instead of the domain's.
    pub(super) machine: Option<String>,
    /// The machine types the cluster admits, as patterns with `*`; KubeVirt's default for the architecture when empty.
    #[serde(default)]
    pub(super) emulated_machines: Vec<String>,
    /// The feature gates that are open in the cluster: what needs another is left out.
    #[serde(default)]
    pub(super) feature_gates: BTreeSet<String>,
    /// The time zone of a guest whose clock shows the host's local time.
    pub(super) timezone: Option<String>,
    /// What happens when the node is drained; the cluster's own setting when left out.
    pub(super) eviction_strategy: Option<EvictionStrategy>,
    /// How long a guest may take to shut down. *Units*: seconds.
    pub(super) termination_grace_period_seconds: Option<u32>,
    /// The container image with the kernel, for a guest that is started with one.
    pub(super) kernel: Option<Kernel>,
    /// Where disks come from, by target.
    #[serde(default)]
    pub(super) volumes: BTreeMap<String, VolumeBinding>,
    /// What interfaces are plugged into, by MAC.
    #[serde(default)]
    pub(super) nics: BTreeMap<Mac, NicBinding>,
    /// Which of the cluster's resources stands for a device of the host, by its source in the inventory.
    #[serde(default)]
    pub(super) host_devices: BTreeMap<String, HostDevice>,
    /// The claim behind each shared folder, by the tag the guest mounts it under.
    #[serde(default)]
    pub(super) filesystems: BTreeMap<String, Subdomain>,
}

/// What KubeVirt does with the VM when its node is drained.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) enum EvictionStrategy {
    LiveMigrate,
    LiveMigrateIfPossible,
    None,
    External,
}

impl EvictionStrategy {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::LiveMigrate => "LiveMigrate",
            Self::LiveMigrateIfPossible => "LiveMigrateIfPossible",
            Self::None => "None",
            Self::External => "External",
        }
    }
}

/// A container image with a kernel in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kernel {
    pub(super) image: String,
    pub(super) kernel_path: String,
    pub(super) initrd_path: Option<String>,
}

/// Where one disk comes from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct VolumeBinding {
    /// The source of its DataVolume.
    pub(super) source: VolumeSource,
    /// Its storage class.
    pub(super) storage_class: Option<Subdomain>,
    /// How the storage is shown to the pod.
    pub(super) volume_mode: Option<VolumeMode>,
    /// Who may use the storage at the same time.
    pub(super) access_modes: Vec<AccessMode>,
    /// Its size, where libvirt does not tell. *Units*: bytes.
    pub(super) size_bytes: Option<u64>,
}

/// The source of a DataVolume.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum VolumeSource {
    /// Somebody uploads the image.
    #[default]
    Upload,
    /// Empty.
    Blank,
    /// From a web server.
    Http(Remote),
    /// From an S3 bucket.
    S3(Remote),
    /// From a Google bucket.
    Gcs(Remote),
    /// From a container registry.
    Registry(Remote),
    /// A copy of a claim.
    Pvc(InNamespace),
    /// A copy of a snapshot.
    Snapshot(InNamespace),
    /// No DataVolume: this claim, as it is.
    Claim(Subdomain),
}

/// Something to fetch.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remote {
    pub(super) url: OpenUrl,
    /// The name of the Secret with the credentials.
    pub(super) secret: Option<Subdomain>,
}

/// An object of some namespace.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InNamespace {
    pub(super) name: Subdomain,
    pub(super) namespace: Label,
}

/// How storage is shown to a pod.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) enum VolumeMode {
    Filesystem,
    Block,
}

impl VolumeMode {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Filesystem => "Filesystem",
            Self::Block => "Block",
        }
    }
}

/// Who may use storage at the same time.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) enum AccessMode {
    #[serde(rename = "ReadWriteOnce")]
    OneNode,
    #[serde(rename = "ReadOnlyMany")]
    Readers,
    #[serde(rename = "ReadWriteMany")]
    AllNodes,
    #[serde(rename = "ReadWriteOncePod")]
    OnePod,
}

impl AccessMode {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::OneNode => "ReadWriteOnce",
            Self::Readers => "ReadOnlyMany",
            Self::AllNodes => "ReadWriteMany",
            Self::OnePod => "ReadWriteOncePod",
        }
    }
}

impl VolumeSource {
    /// CDI's word and object; none for a claim that is there.
    pub(super) fn manifest(&self) -> Option<Value> {
        let remote = |kind: &str, Remote { url, secret }: &Remote| match secret {
            Some(secret) => json!({ kind: {"url": url.as_str(), "secretRef": secret.as_str()} }),
            None => json!({ kind: {"url": url.as_str()} }),
        };
        let copy = |kind: &str, from: &InNamespace| {
            let (name, namespace) = (from.name.as_str(), from.namespace.as_str());
            json!({ kind: {"name": name, "namespace": namespace} })
        };
        match self {
            Self::Upload => Some(json!({"upload": {}})),
            Self::Blank => Some(json!({"blank": {}})),
            Self::Http(from) => Some(remote("http", from)),
            Self::S3(from) => Some(remote("s3", from)),
            Self::Gcs(from) => Some(remote("gcs", from)),
            Self::Registry(from) => Some(remote("registry", from)),
            Self::Pvc(from) => Some(copy("pvc", from)),
            Self::Snapshot(from) => Some(copy("snapshot", from)),
            Self::Claim(_) => None,
        }
    }
}

/// What one interface is plugged into.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NicBinding {
    /// Whether it is on the pod network.
    pub(super) pod: Option<bool>,
    /// A NetworkAttachmentDefinition that is there, as `NAME` or `NAMESPACE/NAME`: none is written.
    pub(super) network: Option<NetworkName>,
    /// The name of the definition that is written.
    pub(super) name: Option<Label>,
    /// The plugin of that definition.
    pub(super) cni: Option<Cni>,
    /// The bridge on the nodes, for `bridge` and `ovs`.
    pub(super) bridge: Option<String>,
    /// The resource the nodes offer: `VENDOR/NAME`.
    pub(super) resource: Option<Resource>,
}

/// A network plugin that covirt can write a configuration for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Cni {
    Bridge,
    Ovs,
    Sriov,
    Macvtap,
}

/// A device of the host, as the cluster names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostDevice {
    /// The resource the nodes offer: `VENDOR/NAME`.
    pub(super) resource: Resource,
    /// Whether it is a graphics processor.
    #[serde(default)]
    pub(super) gpu: bool,
}

checked! {
    /// A label of RFC 1123.
    Label: "a name of lower-case letters, digits and dashes, 63 at most (RFC 1123)" if is_label;
    /// A subdomain of RFC 1123.
    Subdomain: "a name of lower-case letters, digits, dashes and dots (RFC 1123)" if is_subdomain;
    /// The name of a network attachment definition.
    NetworkName: "NAME or NAMESPACE/NAME (RFC 1123)" if |text| match text.split_once('/') {
        Some((namespace, name)) => is_label(namespace) && is_subdomain(name),
        None => is_subdomain(text),
    };
    /// An extended resource of Kubernetes.
    Resource: "VENDOR/NAME, as the nodes offer it" if |text| text.split_once('/').is_some_and(|(vendor, name)| {
        let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        is_subdomain(vendor) && !name.is_empty() && name.len() <= 63 && name.bytes().all(letters)
    });
    /// A URL without a user in it: a password there would end in the artifacts.
    OpenUrl: "a URL without user and password; name a Secret instead" if |text| {
        let authority = text.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
        authority.is_some_and(|authority| !authority.is_empty() && !authority.contains('@'))
            && !text.chars().any(|c| c.is_control() || c == ' ')
    };
}

impl Binding {
    /// Whether a feature gate is open.
    pub(super) fn gate(&self, name: &str) -> bool {
        self.feature_gates.contains(name)
    }

    /// Refuses a binding for disks and interfaces that are not there.
    pub(super) fn check(&self, inventory: &Inventory) -> Result<(), BindingFault> {
        for target in self.volumes.keys() {
            disk_named(inventory, "volumes", target)?;
        }
        for mac in self.nics.keys() {
            nic_named(inventory, "nics", *mac)?;
        }
        Ok(())
    }
}

/// The draft of the binding.
pub(super) fn draft(inventory: &Inventory) -> Vec<DraftField> {
    let domain = &inventory.domain;
    let mut fields = vec![
        DraftField::required(&["namespace"], "the namespace of every object"),
        DraftField::optional(&["name"], "the VirtualMachine's name; made from the domain's name")
            .guess(super::name::label(&domain.identity.name)),
        DraftField::optional(&["storage_class"], "the storage class of the disks; the cluster's default"),
        DraftField::optional(&["machine"], "the machine type to ask for instead of the domain's"),
        DraftField::optional(&["emulated_machines"], "machine types the cluster admits, as patterns with *"),
        DraftField::optional(&["feature_gates"], "open feature gates: VideoConfig, HostDevices, NUMA, VSOCK, …"),
        DraftField::optional(&["eviction_strategy"], "LiveMigrate, LiveMigrateIfPossible, None or External"),
        DraftField::optional(&["termination_grace_period_seconds"], "how long the guest may take to shut down"),
    ];
    if domain.clock.offset.as_deref() == Some("localtime") {
        fields.push(DraftField::optional(&["timezone"], "the zone of the guest's clock, like Europe/Vienna"));
    }
    for disk in &domain.disks {
        let target = disk.target.as_str();
        let source = "upload, blank, {http={url=…}}, {pvc={name=…,namespace=…}}, {claim=NAME}, …";
        fields.push(DraftField::optional(&["volumes", target, "source"], source).guess("upload"));
        if inventory.capacity_of(disk).is_none() {
            let help = "its size in bytes, which libvirt did not tell";
            fields.push(DraftField::optional(&["volumes", target, "size_bytes"], help));
        }
    }
    for mac in domain.nics.iter().filter_map(|nic| nic.mac) {
        let mac = mac.to_string();
        let help = "a network attachment definition that is there; without it one is written";
        fields.push(DraftField::optional(&["nics", &mac, "network"], help));
        fields.push(DraftField::optional(&["nics", &mac, "bridge"], "the bridge on the nodes"));
    }
    for device in &domain.hostdevs {
        let help = "the resource that the nodes offer for it: VENDOR/NAME";
        fields.push(DraftField::optional(&["host_devices", &device.source, "resource"], help));
    }
    for tag in domain.filesystems.iter().filter_map(|filesystem| filesystem.target.as_deref()) {
        fields.push(DraftField::optional(&["filesystems", tag], "the claim with the folder's files"));
    }
    fields
}

impl VolumeBinding {
    /// The size the operator says.
    pub(super) fn size(&self) -> Option<Bytes> {
        self.size_bytes.map(Bytes)
    }
}
