//! The other answers that EC2's tools ask for after DescribeInstances.
//!
//! Assumes an instance. Guarantees what is true of the VM, and no more than the tools need.
//! *Source*: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Operations.html>.

use super::instance::{Instance, tag_set};
use super::interfaces::{Address, Interface};
use super::sizes::{burstable, size_of};
use super::volumes::Volume;
use super::wire::{Structure, base64};
use crate::discovery::Writes;

/// An answer: the name of its file, the action, and what it says.
pub(super) struct Reply {
    pub(super) file: String,
    pub(super) action: &'static str,
    pub(super) answer: Structure,
}

impl Reply {
    fn new(action: &'static str, answer: Structure) -> Self {
        Self { file: action.to_owned(), action, answer }
    }
}

/// Every answer.
pub(super) fn replies(instance: &Instance<'_>) -> Vec<Reply> {
    let mut replies = vec![
        Reply::new("DescribeInstances", instance.describe()),
        Reply::new("DescribeVolumes", volumes(instance)),
        Reply::new("DescribeNetworkInterfaces", network_interfaces(instance)),
        Reply::new("DescribeTags", tags(instance)),
        Reply::new("DescribeVpcs", vpcs(instance)),
        Reply::new("DescribeInstanceTypes", instance_types(instance)),
    ];
    if burstable(instance.binding.instance_type.as_str()) {
        replies.push(Reply::new("DescribeInstanceCreditSpecifications", credits(instance)));
    }
    replies.extend(attributes(instance));
    replies
}

fn volumes(instance: &Instance<'_>) -> Structure {
    let volume = |volume: &Volume<'_>| {
        let binding = instance.binding;
        let attachment = Structure::new()
            .maybe("AttachTime", instance.launch_time())
            .with("DeleteOnTermination", false)
            .with("Device", volume.device.as_str())
            .with("InstanceId", instance.id.as_str())
            .renamed("State", "status", "attached")
            .with("VolumeId", volume.id.as_str());
        let format = volume.disk.format.as_deref();
        let tags = format.map(|format| Structure::new().with("Key", "covirt:format").with("Value", format));
        Structure::new()
            .renamed("Attachments", "attachmentSet", vec![attachment])
            .with("AvailabilityZone", binding.availability_zone.as_str())
            .maybe("AvailabilityZoneId", binding.availability_zone_id.as_ref().map(|id| id.as_str()))
            .with("Encrypted", volume.disk.encryption.is_some())
            .with("MultiAttachEnabled", matches!(volume.disk.writes, Writes::Shared | Writes::ReadOnlyShared))
            .maybe("Size", volume.size)
            .renamed("State", "status", "in-use")
            .renamed("Tags", "tagSet", Vec::from_iter(tags))
            .with("VolumeId", volume.id.as_str())
            .maybe("VolumeType", volume.bound.volume_type.map(|kind| kind.as_str()))
    };
    Structure::new().renamed("Volumes", "volumeSet", instance.volumes.iter().map(volume).collect::<Vec<_>>())
}

fn network_interfaces(instance: &Instance<'_>) -> Structure {
    let interface = |interface: &Interface<'_>| {
        let binding = instance.binding;
        let attachment = attachment(instance, interface)
            .with("InstanceId", instance.id.as_str())
            .with("InstanceOwnerId", binding.account.as_str());
        common(instance, interface)
            .with("Attachment", attachment)
            .with("AvailabilityZone", binding.availability_zone.as_str())
            .with("TagSet", Vec::new())
    };
    let all: Vec<Structure> = instance.interfaces.iter().map(interface).collect();
    Structure::new().renamed("NetworkInterfaces", "networkInterfaceSet", all)
}

/// An interface as DescribeInstances shows it.
pub(super) fn interface_members(instance: &Instance<'_>, interface: &Interface<'_>) -> Structure {
    common(instance, interface).with("Attachment", attachment(instance, interface))
}

fn attachment(instance: &Instance<'_>, interface: &Interface<'_>) -> Structure {
    Structure::new()
        .maybe("AttachTime", instance.launch_time())
        .with("AttachmentId", interface.attachment.as_str())
        .with("DeleteOnTermination", false)
        .with("DeviceIndex", interface.number)
        .with("Status", "attached")
}

fn common(instance: &Instance<'_>, interface: &Interface<'_>) -> Structure {
    let binding = instance.binding;
    let private = |(nth, (ip, _)): (usize, &Address)| {
        Structure::new().with("Primary", nth == 0).with("PrivateIpAddress", ip.to_string())
    };
    let ipv6 = |(ip, _): &Address| Structure::new().with("Ipv6Address", ip.to_string());
    Structure::new()
        .renamed("Groups", "groupSet", instance.groups())
        .with("InterfaceType", "interface")
        .renamed("Ipv6Addresses", "ipv6AddressesSet", interface.ipv6().iter().map(ipv6).collect::<Vec<_>>())
        .with("MacAddress", interface.mac.to_string())
        .with("NetworkInterfaceId", interface.id.as_str())
        .with("OwnerId", binding.account.as_str())
        .maybe("PrivateIpAddress", interface.primary())
        .renamed(
            "PrivateIpAddresses",
            "privateIpAddressesSet",
            interface.ipv4().iter().enumerate().map(private).collect::<Vec<_>>(),
        )
        .with("SourceDestCheck", interface.checks_source())
        .with("Status", "in-use")
        .with("SubnetId", interface.subnet.as_str())
        .with("VpcId", binding.vpc_id.as_str())
}

fn tags(instance: &Instance<'_>) -> Structure {
    let all = tag_set(&instance.tags);
    let all: Vec<Structure> = all
        .into_iter()
        .map(|tag| tag.with("ResourceId", instance.id.as_str()).with("ResourceType", "instance"))
        .collect();
    Structure::new().renamed("Tags", "tagSet", all)
}

fn vpcs(instance: &Instance<'_>) -> Structure {
    let binding = instance.binding;
    let main = binding.vpc_cidrs.iter().map(|block| block.as_str()).find(|block| !block.contains(':'));
    let vpc = Structure::new()
        .with("VpcId", binding.vpc_id.as_str())
        .with("OwnerId", binding.account.as_str())
        .with("State", "available")
        .maybe("CidrBlock", main);
    Structure::new().renamed("Vpcs", "vpcSet", vec![vpc])
}

fn instance_types(instance: &Instance<'_>) -> Structure {
    let name = instance.binding.instance_type.as_str();
    let size = size_of(name);
    let kind = Structure::new()
        .with("InstanceType", name)
        .maybe("VCpuInfo", size.map(|size| Structure::new().with("DefaultVCpus", size.vcpus)))
        .maybe("MemoryInfo", size.map(|size| Structure::new().with("SizeInMiB", size.memory_mib)))
        .with("BurstablePerformanceSupported", burstable(name));
    Structure::new().renamed("InstanceTypes", "instanceTypeSet", vec![kind])
}

/// Nobody counts credits here, so that nothing is taken when they end.
fn credits(instance: &Instance<'_>) -> Structure {
    let credits = Structure::new().with("InstanceId", instance.id.as_str()).with("CpuCredits", "unlimited");
    Structure::new().renamed("InstanceCreditSpecifications", "instanceCreditSpecificationSet", vec![credits])
}

/// One answer for each attribute: EC2 tells one at a time.
fn attributes(instance: &Instance<'_>) -> Vec<Reply> {
    let off = || Structure::new().with("Value", false);
    let shutdown = Structure::new().maybe("Value", instance.on_power_off);
    let user_data = Structure::new().with("Value", base64(instance.user_data.as_bytes()));
    [
        ("DisableApiStop", "disableApiStop", off()),
        ("DisableApiTermination", "disableApiTermination", off()),
        ("InstanceInitiatedShutdownBehavior", "instanceInitiatedShutdownBehavior", shutdown),
        ("UserData", "userData", user_data),
    ]
    .into_iter()
    .map(|(name, attribute, value)| {
        let answer = Structure::new().with("InstanceId", instance.id.as_str()).with(name, value);
        let file = format!("DescribeInstanceAttribute.{attribute}");
        Reply { file, action: "DescribeInstanceAttribute", answer }
    })
    .collect()
}
