//! The VM as an EC2 instance, and the answer of DescribeInstances.
//!
//! Assumes a checked binding. Guarantees that a field is there only when the VM or the binding has it.
//! *Source*: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Instance.html>.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::binding::{Ec2Binding, in_guest};
use super::interfaces::{Interface, interfaces};
use super::volumes::{Volume, volumes};
use super::wire::Structure;
use super::{id, interface_members};
use crate::artifacts::error::RenderError;
use crate::artifacts::{guest, uuid_of};
use crate::discovery::{Definition, FirmwareKind, Inventory};

/// The most that EC2 takes as user data. *Units*: bytes.
const MOST_USER_DATA: usize = 16 << 10;
/// The longest value of a tag. *Units*: characters.
const LONGEST_TAG: usize = 256;

/// An instance.
#[derive(Debug)]
pub(super) struct Instance<'a> {
    pub(super) vm: Uuid,
    /// `i-…`.
    pub(super) id: String,
    /// `r-…`.
    pub(super) reservation: String,
    pub(super) hostname: String,
    pub(super) user_data: &'a str,
    /// EC2's word, where it has one.
    pub(super) architecture: Option<&'static str>,
    /// EC2's word, where it has one.
    pub(super) boot_mode: Option<&'static str>,
    pub(super) cpu: CpuOptions,
    pub(super) interfaces: Vec<Interface<'a>>,
    pub(super) volumes: Vec<Volume<'a>>,
    /// What happens when the guest powers off, where EC2 has a word for it.
    pub(super) on_power_off: Option<&'static str>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) inventory: &'a Inventory,
    pub(super) binding: &'a Ec2Binding,
}

/// EC2's processors: cores, each of so many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CpuOptions {
    pub(super) cores: u64,
    pub(super) threads: u64,
}

impl<'a> Instance<'a> {
    pub(super) fn of(inventory: &'a Inventory, binding: &'a Ec2Binding) -> Result<Self, RenderError> {
        binding.check(inventory)?;
        let domain = &inventory.domain;
        let vm = uuid_of(inventory)?;
        let user_data = guest::user_data(&binding.guest);
        if user_data.len() > MOST_USER_DATA {
            return Err(RenderError::TooLarge { what: "guest.user_data".to_owned() });
        }
        Ok(Self {
            vm,
            id: id("i-", vm),
            reservation: id("r-", vm),
            hostname: guest::hostname(inventory, &binding.guest).map_err(in_guest)?,
            user_data,
            architecture: domain.platform.arch.as_deref().and_then(architecture),
            boot_mode: boot_mode(&domain.firmware.kind),
            cpu: cpu_options(inventory),
            interfaces: interfaces(vm, inventory, binding),
            volumes: volumes(vm, inventory, binding)?,
            on_power_off: on_power_off(inventory),
            tags: tags(inventory, vm, binding),
            inventory,
            binding,
        })
    }

    /// The volume the VM starts from.
    pub(super) fn root(&self) -> Option<&Volume<'a>> {
        self.volumes.iter().find(|volume| volume.root)
    }

    /// The security groups.
    pub(super) fn groups(&self) -> Vec<Structure> {
        let groups = self.binding.security_groups.iter();
        groups
            .map(|group| Structure::new().with("GroupId", group.id.as_str()).with("GroupName", group.name.as_str()))
            .collect()
    }

    pub(super) fn launch_time(&self) -> Option<&'a str> {
        self.binding.launch_time.as_ref().map(|moment| moment.as_str())
    }

    /// The answer of DescribeInstances.
    pub(super) fn describe(&self) -> Structure {
        let reservation = Structure::new()
            .with("ReservationId", self.reservation.as_str())
            .with("OwnerId", self.binding.account.as_str())
            .renamed("Groups", "groupSet", Vec::new())
            .renamed("Instances", "instancesSet", vec![self.members()]);
        Structure::new().renamed("Reservations", "reservationSet", vec![reservation])
    }

    fn members(&self) -> Structure {
        let binding = self.binding;
        let domain = &self.inventory.domain;
        let (code, state) = binding.state.code();
        let placement = Structure::new()
            .with("AvailabilityZone", binding.availability_zone.as_str())
            .maybe("AvailabilityZoneId", binding.availability_zone_id.as_ref().map(|id| id.as_str()));
        // What must be true of the service for this guest; see the tree.
        let metadata = Structure::new()
            .with("State", "applied")
            .with("HttpTokens", "optional")
            .with("HttpEndpoint", "enabled")
            .with("InstanceMetadataTags", "enabled");
        let (platform, details) = platform(domain.guest_os.as_deref());
        let primary = self.interfaces.first();
        Structure::new()
            .with("AmiLaunchIndex", 0)
            .maybe("Architecture", self.architecture)
            .renamed("BlockDeviceMappings", "blockDeviceMapping", self.mappings())
            .maybe("BootMode", self.boot_mode)
            .with("CpuOptions", self.cpu_members())
            .maybe("CurrentInstanceBootMode", self.boot_mode)
            .with("EbsOptimized", false)
            .with("EnaSupport", false)
            .with("ImageId", binding.image_id.as_str())
            .with("InstanceId", self.id.as_str())
            .with("InstanceType", binding.instance_type.as_str())
            .maybe("KeyName", binding.key_name.as_ref().map(|name| name.as_str()))
            .maybe("LaunchTime", self.launch_time())
            .with("MetadataOptions", metadata)
            .with("Monitoring", Structure::new().with("State", "disabled"))
            .renamed(
                "NetworkInterfaces",
                "networkInterfaceSet",
                self.interfaces.iter().map(|interface| interface_members(self, interface)).collect::<Vec<_>>(),
            )
            .with("Placement", placement)
            .maybe("Platform", platform)
            .maybe("PlatformDetails", details)
            .with("PrivateDnsName", self.hostname.as_str())
            .maybe("PrivateIpAddress", primary.and_then(Interface::primary))
            .maybe("RootDeviceName", self.root().map(|root| root.device.as_str()))
            .maybe("RootDeviceType", self.root().map(|_| "ebs"))
            .renamed("SecurityGroups", "groupSet", self.groups())
            .maybe("SourceDestCheck", primary.map(Interface::checks_source))
            .renamed("State", "instanceState", Structure::new().with("Code", code).with("Name", state))
            .maybe("SubnetId", primary.map(|primary| primary.subnet.as_str()))
            .renamed("Tags", "tagSet", tag_set(&self.tags))
            .maybe("TpmSupport", tpm(self.inventory))
            .maybe("VirtualizationType", virtualization(domain.platform.os_type.as_deref()))
            .with("VpcId", binding.vpc_id.as_str())
    }

    fn mappings(&self) -> Vec<Structure> {
        let mapping = |volume: &Volume<'_>| {
            let ebs = Structure::new()
                .maybe("AttachTime", self.launch_time())
                .with("DeleteOnTermination", false)
                .with("Status", "attached")
                .with("VolumeId", volume.id.as_str());
            Structure::new().with("DeviceName", volume.device.as_str()).with("Ebs", ebs)
        };
        self.volumes.iter().map(mapping).collect()
    }

    fn cpu_members(&self) -> Structure {
        let snp = self.inventory.domain.launch_security.as_ref().filter(|security| security.kind == "sev-snp");
        Structure::new()
            .maybe("AmdSevSnp", snp.map(|_| "enabled"))
            .with("CoreCount", self.cpu.cores)
            .with("ThreadsPerCore", self.cpu.threads)
    }
}

/// Tags as a list.
pub(super) fn tag_set(tags: &BTreeMap<String, String>) -> Vec<Structure> {
    tags.iter().map(|(key, value)| Structure::new().with("Key", key.as_str()).with("Value", value.as_str())).collect()
}

/// EC2's word for an architecture.
fn architecture(arch: &str) -> Option<&'static str> {
    match arch {
        "x86_64" => Some("x86_64"),
        "i686" => Some("i386"),
        "aarch64" => Some("arm64"),
        _ => None,
    }
}

fn boot_mode(kind: &FirmwareKind) -> Option<&'static str> {
    match kind {
        FirmwareKind::Bios => Some("legacy-bios"),
        FirmwareKind::Uefi => Some("uefi"),
        FirmwareKind::Unknown(_) => None,
    }
}

fn virtualization(os_type: Option<&str>) -> Option<&'static str> {
    match os_type {
        Some("hvm") => Some("hvm"),
        Some("xen" | "linux") => Some("paravirtual"),
        Some(_) | None => None,
    }
}

/// EC2's platform and its details, as far as libosinfo's id of the system tells.
fn platform(guest_os: Option<&str>) -> (Option<&'static str>, Option<&'static str>) {
    match guest_os {
        Some(id) if id.contains("//microsoft.com/") => (Some("windows"), Some("Windows")),
        Some(id) if id.contains("//apple.com/") => (None, None),
        Some(_) => (None, Some("Linux/UNIX")),
        None => (None, None),
    }
}

fn tpm(inventory: &Inventory) -> Option<&'static str> {
    inventory.domain.tpm.as_ref().filter(|tpm| tpm.version.as_deref() == Some("2.0")).map(|_| "v2.0")
}

/// The processors plugged now; sockets, dies and clusters are folded into cores.
fn cpu_options(inventory: &Inventory) -> CpuOptions {
    let vcpus = u64::from(inventory.domain.cpu.vcpus);
    let threads = inventory.domain.cpu.topology.map_or(1, |topology| u64::from(topology.threads.max(1)));
    if vcpus.is_multiple_of(threads) {
        CpuOptions { cores: vcpus / threads, threads }
    } else {
        CpuOptions { cores: vcpus, threads: 1 }
    }
}

/// libvirt's `destroy` lets a VM go off; a VM without a definition is gone then.
fn on_power_off(inventory: &Inventory) -> Option<&'static str> {
    let action = inventory.domain.lifecycle.get("on_poweroff").map_or("destroy", String::as_str);
    match (action, &inventory.definition) {
        ("destroy", Definition::Transient) => Some("terminate"),
        ("destroy", Definition::NotAsked | Definition::Persistent { .. }) => Some("stop"),
        _ => None,
    }
}

/// The binding's tags, and what of the VM has no other place.
fn tags(inventory: &Inventory, vm: Uuid, binding: &Ec2Binding) -> BTreeMap<String, String> {
    let identity = &inventory.domain.identity;
    let ours = [
        ("Name", Some(identity.name.clone())),
        ("covirt:libvirt-uuid", Some(vm.to_string())),
        ("covirt:title", identity.title.clone()),
        ("covirt:description", identity.description.clone()),
    ];
    let ours =
        ours.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.filter(|text| fits_a_tag(text))?)));
    binding.tags.clone().into_iter().chain(ours).collect()
}

/// Whether a text can be a tag's value.
pub(super) fn fits_a_tag(text: &str) -> bool {
    text.chars().count() <= LONGEST_TAG && !text.chars().any(char::is_control)
}
