//! What the operator says of a VM for EC2: the ids and names that only the second provider knows.
//!
//! Assumes nothing of the text. Guarantees that every id and name has AWS's form, and that maps by MAC and by disk name
//! fit the VM.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::artifacts::binding::{BindingFault, DraftField};
use crate::artifacts::checked::checked;
use crate::artifacts::error::RenderError;
use crate::artifacts::guest::{self, Guest, read_address};
use crate::artifacts::named::{disk_named, nic_named};
use crate::discovery::Inventory;
use crate::model::units::Mac;

checked! {
    /// An account.
    Account: "an account: 12 digits" if |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    /// A region.
    Region: "a region, such as eu-central-1" if is_region;
    /// An availability zone, or a local or wavelength zone.
    Zone: "a zone, such as eu-central-1a" if is_zone;
    /// A zone's id, which is the same for all accounts.
    ZoneId: "a zone's id, such as euc1-az1" if |text| text.split_once("-az").is_some_and(|(region, nth)| {
        is_words(region) && is_number(nth)
    });
    /// An instance type.
    InstanceType: "an instance type, such as m7i.large" if |text| text.split_once('.').is_some_and(|(family, size)| {
        is_words(family) && is_words(size)
    });
    /// An image.
    ImageId: "an image's id: ami- and 8 or 17 hexadecimal digits" if |text| is_id(text, "ami-");
    /// A VPC.
    VpcId: "a VPC's id: vpc- and 8 or 17 hexadecimal digits" if |text| is_id(text, "vpc-");
    /// A subnet.
    SubnetId: "a subnet's id: subnet- and 8 or 17 hexadecimal digits" if |text| is_id(text, "subnet-");
    /// A security group.
    GroupId: "a security group's id: sg- and 8 or 17 hexadecimal digits" if |text| is_id(text, "sg-");
    /// A block of addresses.
    Cidr: "a block of addresses, such as 10.0.0.0/16" if |text| read_address(text).is_some();
    /// The name of a security group or a key pair.
    Name: "a name: 1 to 255 printable characters, no line breaks" if |text| {
        (1..=255).contains(&text.chars().count()) && text.chars().all(is_printable)
    };
    /// A moment.
    Moment: "a moment in UTC of RFC 3339, such as 2026-01-31T12:00:00Z" if |text| {
        text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
    };
}

/// Lower-case letters, digits and dashes.
fn is_words(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether XML and a listing of one line each can hold it.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_region(text: &str) -> bool {
    text.rsplit_once('-').is_some_and(|(place, nth)| is_words(place) && place.contains('-') && is_number(nth))
}

fn is_zone(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase();
    is_words(text) && text.starts_with(letter) && text.ends_with(letter)
}

fn is_id(text: &str, prefix: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix(prefix).is_some_and(|id| matches!(id.len(), 8 | 17) && id.bytes().all(hex))
}

/// Whether the VM runs, which no XML says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Running,
    Stopped,
}

impl State {
    /// EC2's number and word.
    pub(super) fn code(self) -> (u64, &'static str) {
        match self {
            Self::Running => (16, "running"),
            Self::Stopped => (80, "stopped"),
        }
    }
}

/// EBS's kinds of volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum VolumeType {
    Standard,
    Io1,
    Io2,
    Gp2,
    Gp3,
    Sc1,
    St1,
}

impl VolumeType {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Io1 => "io1",
            Self::Io2 => "io2",
            Self::Gp2 => "gp2",
            Self::Gp3 => "gp3",
            Self::Sc1 => "sc1",
            Self::St1 => "st1",
        }
    }
}

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecurityGroup {
    pub(super) id: GroupId,
    pub(super) name: Name,
}

/// What the operator knows of one volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct VolumeBinding {
    /// Its size, where nothing else tells it. *Units*: GiB.
    pub(super) size_gib: Option<u32>,
    /// Its kind.
    pub(super) volume_type: Option<VolumeType>,
}

/// The binding.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::artifacts) struct Ec2Binding {
    pub(super) account: Account,
    pub(super) region: Region,
    pub(super) availability_zone: Zone,
    pub(super) availability_zone_id: Option<ZoneId>,
    pub(super) state: State,
    pub(super) instance_type: InstanceType,
    pub(super) image_id: ImageId,
    pub(super) vpc_id: VpcId,
    /// The VPC's blocks of addresses, the main one first.
    #[serde(default)]
    pub(super) vpc_cidrs: Vec<Cidr>,
    /// The subnet of each interface.
    #[serde(default)]
    pub(super) subnets: BTreeMap<Mac, SubnetId>,
    /// The groups of every interface.
    #[serde(default)]
    pub(super) security_groups: Vec<SecurityGroup>,
    pub(super) key_name: Option<Name>,
    /// When it was launched; libvirt keeps no such moment.
    pub(super) launch_time: Option<Moment>,
    /// By the disk's name (`vda`).
    #[serde(default)]
    pub(super) volumes: BTreeMap<String, VolumeBinding>,
    /// More tags of the instance.
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) guest: Guest,
}

impl Ec2Binding {
    /// Refuses what does not fit the VM, or itself.
    pub(super) fn check(&self, inventory: &Inventory) -> Result<(), RenderError> {
        let zone = self.availability_zone.as_str();
        if !zone.starts_with(self.region.as_str()) {
            let fault = BindingFault::new("availability_zone", "this is not a zone of the region");
            return Err(fault.hint(format!("a zone of {} begins with that", self.region.as_str())).into());
        }
        for mac in self.subnets.keys() {
            nic_named(inventory, "subnets", *mac)?;
        }
        let mut macs = inventory.domain.nics.iter().filter_map(|nic| nic.mac);
        if let Some(mac) = macs.find(|mac| !self.subnets.contains_key(mac)) {
            let fault = BindingFault::new(format!("subnets.\"{mac}\""), "every interface is in a subnet");
            return Err(fault.hint("the subnet- id of the network it is on").into());
        }
        for target in self.volumes.keys() {
            disk_named(inventory, "volumes", target)?;
        }
        self.check_tags()?;
        guest::check_no_secret(&self.guest).map_err(in_guest)?;
        guest::check_nics(inventory, &self.guest).map_err(in_guest)
    }

    /// *Source*: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions>.
    fn check_tags(&self) -> Result<(), RenderError> {
        for (key, value) in &self.tags {
            let refuse = |reason: &str| BindingFault::new(format!("tags.\"{key}\""), reason);
            if key.to_ascii_lowercase().starts_with("aws:") {
                return Err(refuse("this beginning is AWS's own").hint("choose another beginning").into());
            }
            if key == "Name" || key.starts_with("covirt:") {
                return Err(refuse("this tag is made from the VM").hint("leave it out").into());
            }
            let printable = key.chars().chain(value.chars()).all(is_printable);
            if !printable || key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
                let hint = "a key has 1 to 128 characters, a value 256 at most, and no control characters";
                return Err(refuse("this cannot be a tag").hint(hint).into());
            }
        }
        Ok(())
    }
}

/// Names a fault of the guest's part by its place in this binding.
pub(super) fn in_guest(error: RenderError) -> RenderError {
    match error {
        RenderError::Binding(fault) => {
            RenderError::Binding(BindingFault { field: format!("guest.{}", fault.field), ..fault })
        }
        RenderError::Secret { field } => RenderError::Secret { field: format!("guest.{field}") },
        other @ (RenderError::UnknownFormat { .. }
        | RenderError::Refused { .. }
        | RenderError::Missing { .. }
        | RenderError::TooLarge { .. }) => other,
    }
}

/// The draft of the binding.
pub(super) fn draft(inventory: &Inventory) -> Vec<DraftField> {
    let required = |path: &str, help: &str| DraftField::required(&[path], help);
    let optional = |path: &[&str], help: &str| DraftField::optional(path, help);
    let mut fields = vec![
        required("account", "the account: 12 digits"),
        required("region", "the region, such as eu-central-1"),
        required("availability_zone", "the zone in it, such as eu-central-1a"),
        optional(&["availability_zone_id"], "the zone's id, such as euc1-az1"),
        required("state", "running or stopped: no XML says it; a VM that is co-managed mostly runs").guess("running"),
        required("instance_type", "the instance type whose size comes nearest to the VM's"),
        required("image_id", "the image it counts as started from: ami-…"),
        required("vpc_id", "the VPC: vpc-…"),
        optional(&["vpc_cidrs"], "the VPC's blocks of addresses, the main one first"),
    ];
    for mac in inventory.domain.nics.iter().filter_map(|nic| nic.mac) {
        fields.push(DraftField::required(&["subnets", &mac.to_string()], "the interface's subnet: subnet-…"));
    }
    fields.push(optional(&["security_groups"], "the groups of every interface: {id = \"sg-…\", name = \"…\"}"));
    fields.push(optional(&["key_name"], "the name of the key pair"));
    fields.push(optional(&["launch_time"], "when it was launched, such as 2026-01-31T12:00:00Z"));
    for disk in &inventory.domain.disks {
        if super::volumes::is_volume(disk) {
            let help = "its size in GiB, where the storage does not tell it";
            let size = optional(&["volumes", &disk.target, "size_gib"], help);
            let known = inventory.capacity_of(disk).map(super::volumes::gib);
            fields.push(known.map_or(size.clone(), |gib| size.guess(gib)));
            fields
                .push(optional(&["volumes", &disk.target, "volume_type"], "gp3, gp2, io2, io1, st1, sc1 or standard"));
        }
    }
    fields.push(optional(&["tags"], "more tags of the instance"));
    fields.extend(guest::draft(&["guest"], inventory));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_form_that_aws_gives_them() {
        assert!(is_id("ami-0c0ffee0c0ffee001", "ami-") && is_id("vpc-1a2b3c4d", "vpc-"));
        assert!(
            !is_id("ami-0c0ffee", "ami-") && !is_id("ami-0C0FFEE0C0FFEE001", "ami-") && !is_id("i-1a2b3c4d", "ami-")
        );
        assert!(is_region("us-gov-west-1") && !is_region("us-east") && !is_region("useast-1"));
        for (zone, valid) in [("us-east-1a", true), ("us-west-2-lax-1a", true), ("us-east-1", false), ("", false)] {
            assert_eq!(Zone::try_from(zone.to_owned()).is_ok(), valid, "{zone}");
        }
        Moment::try_from("2026-01-31T12:00:00+01:00".to_owned()).unwrap_err();
    }
}
