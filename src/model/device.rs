//! Names of a VM's devices as libvirt gives them: a disk by its target, an interface by its MAC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::units::Mac;
use super::xml;

/// A disk or an interface of a VM: `disk:vda`, `nic:52:54:00:11:22:33`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum DeviceName {
    /// A disk, by its target.
    Disk(String),
    /// An interface, by its MAC.
    Nic(Mac),
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(target) => write!(f, "disk:{target}"),
            Self::Nic(mac) => write!(f, "nic:{mac}"),
        }
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.to_string()
    }
}

/// Why a text names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no device: disk:<target> or nic:<MAC> is expected")]
pub struct ParseDeviceNameError(String);

impl FromStr for DeviceName {
    type Err = ParseDeviceNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseDeviceNameError(text.chars().take(64).collect());
        match text.split_once(':') {
            Some(("disk", target)) if is_target(target) => Ok(Self::Disk(target.to_owned())),
            Some(("nic", mac)) => mac.parse().map(Self::Nic).map_err(|_| refuse()),
            Some(_) | None => Err(refuse()),
        }
    }
}

impl TryFrom<String> for DeviceName {
    type Error = ParseDeviceNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Whether a text can be a disk's target: `vda`, `sdb`, `hdc`.
#[must_use]
pub fn is_target(text: &str) -> bool {
    (2..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// The device that libvirt's XML of a disk or an interface describes. What names it twice, or in a namespace, might be
/// another to libvirt: it names none.
///
/// *Errors*: a sentence's end, when it is not the XML of one disk or interface that is named.
pub fn named_in(xml: &str) -> Result<DeviceName, String> {
    let document = xml::parse(xml).map_err(|error| format!("xml cannot be read: {error}"))?;
    let device = document.root_element();
    let attribute = |child: &str, name: &str| xml::child(device, child).and_then(|node| xml::attribute(node, name));
    match xml::name(device) {
        Some("disk") => {
            let target = attribute("target", "dev").filter(|target| is_target(target));
            target.map(|target| DeviceName::Disk(target.to_owned())).ok_or("the disk needs <target dev='…'>".to_owned())
        }
        Some("interface") => {
            let mac = attribute("mac", "address").ok_or("the interface needs <mac address='…'>")?;
            mac.parse().map(DeviceName::Nic).map_err(|_| format!("{mac:?} is no MAC"))
        }
        Some(_) | None => Err(format!("<{}> is neither a disk nor an interface", device.tag_name().name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_as_written() {
        for text in ["disk:vda", "nic:52:54:00:0a:0b:0c"] {
            assert_eq!(text.parse::<DeviceName>().unwrap().to_string(), text);
        }
        for text in ["vda", "disk:", "disk:../x", "nic:52:54", "gpu:0", "disk:VDA"] {
            assert!(text.parse::<DeviceName>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_xml_of_a_device_names_it() {
        let disk = "<disk type='file' device='disk'><source file='/a'/><target dev='vdb' bus='virtio'/></disk>";
        assert_eq!(named_in(disk), Ok(DeviceName::Disk("vdb".to_owned())));
        let nic = "<interface type='user'><mac address='52:54:00:0A:0B:0C'/></interface>";
        assert_eq!(named_in(nic).unwrap().to_string(), "nic:52:54:00:0a:0b:0c");
        for xml in ["<disk/>", "<interface/>", "<hostdev/>", "<disk", "<disk><target dev='../x'/></disk>"] {
            assert!(named_in(xml).is_err(), "{xml}");
        }
    }

    #[test]
    fn what_may_be_another_device_to_libvirt_names_none() {
        for xml in [
            "<disk><target dev='vda'/><target dev='vdb'/></disk>",
            "<disk xmlns:o='u'><o:target dev='vda'/></disk>",
            "<disk xmlns:o='u'><o:target dev='vda'/><target dev='vdb'/></disk>",
            "<disk xmlns:o='u'><target o:dev='vda' dev='vdb'/></disk>",
            "<disk xmlns='u'><target dev='vda'/></disk>",
            "<interface><mac address='52:54:00:0a:0b:0c'/><mac address='52:54:00:0a:0b:0d'/></interface>",
            "<?xml version='1.0' encoding='utf-7'?><disk><target dev='vda'/></disk>",
        ] {
            assert!(named_in(xml).is_err(), "{xml}");
        }
        let attributes: String = (0..10_000).map(|i| format!("a{i}='' ")).collect();
        named_in(&format!("<disk><target dev='vda' {attributes}/></disk>")).unwrap_err();
    }
}
