//! Arguments of devices that come and go, and of how fast they may be.

use serde::{Deserialize, Serialize};

use super::check::{check_target, check_timeout};
use crate::model::device::{DeviceName, named_in};
use crate::model::units::Mac;

/// The most an element of a device may be. *Units*: bytes.
const XML_MAX: usize = 64 * 1024;
/// How long a guest is given to let go of a device.
pub const DETACH_TIMEOUT_DEFAULT_S: u32 = 30;

/// A device as libvirt's XML describes it: one `<disk>` or `<interface>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceXmlArgs {
    /// The element.
    pub xml: String,
}

impl DeviceXmlArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.xml.len() > XML_MAX {
            return Err(format!("xml is at most {XML_MAX} bytes"));
        }
        named_in(&self.xml).map(|_| ())
    }

    /// The device that it describes; none for what was never checked.
    #[must_use]
    pub fn device(&self) -> Option<DeviceName> {
        named_in(&self.xml).ok()
    }
}

/// A device to pull.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceDetachArgs {
    /// Which.
    pub device: DeviceName,
    /// How long the guest is given to let go of it. *Units*: seconds.
    #[serde(default = "detach_timeout_default")]
    pub timeout_s: u32,
}

const fn detach_timeout_default() -> u32 {
    DETACH_TIMEOUT_DEFAULT_S
}

impl DeviceDetachArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_timeout("timeout_s", self.timeout_s)
    }
}

/// One direction of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bandwidth {
    /// What it is given on average; zero means no limit. *Units*: KiB per second.
    pub average: u32,
    /// What it may reach for a moment. *Units*: KiB per second.
    #[serde(default)]
    pub peak: u32,
    /// How much may pass at that speed. *Units*: KiB.
    #[serde(default)]
    pub burst: u32,
}

/// An interface's bandwidth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NicQosArgs {
    /// The interface.
    pub mac: Mac,
    /// Towards the guest; none leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound: Option<Bandwidth>,
    /// From the guest; none leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Bandwidth>,
}

impl NicQosArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.inbound.is_none() && self.outbound.is_none() {
            return Err("inbound or outbound is needed".to_owned());
        }
        let lost = |side: &Bandwidth| side.average == 0 && (side.peak, side.burst) != (0, 0);
        if self.inbound.iter().chain(&self.outbound).any(lost) {
            return Err("peak and burst need an average".to_owned());
        }
        Ok(())
    }
}

/// A disk's limits; zero means none, and what is left out stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskIotuneArgs {
    /// The disk's target.
    pub disk: String,
    /// Both directions together. *Units*: bytes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes_sec: Option<u64>,
    /// *Units*: bytes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bytes_sec: Option<u64>,
    /// *Units*: bytes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_bytes_sec: Option<u64>,
    /// Both directions together. *Units*: operations per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_iops_sec: Option<u64>,
    /// *Units*: operations per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_iops_sec: Option<u64>,
    /// *Units*: operations per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_iops_sec: Option<u64>,
}

impl DiskIotuneArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_target(&self.disk)?;
        if self.limits().next().is_none() {
            return Err("at least one limit is needed".to_owned());
        }
        let set = |value: Option<u64>| value.is_some_and(|value| value > 0);
        let both = |total, read, write| set(total) && (set(read) || set(write));
        if both(self.total_bytes_sec, self.read_bytes_sec, self.write_bytes_sec)
            || both(self.total_iops_sec, self.read_iops_sec, self.write_iops_sec)
        {
            return Err("a total and a limit of one direction exclude each other".to_owned());
        }
        Ok(())
    }

    /// The limits that are named, with libvirt's names for them.
    pub fn limits(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("total_bytes_sec", self.total_bytes_sec),
            ("read_bytes_sec", self.read_bytes_sec),
            ("write_bytes_sec", self.write_bytes_sec),
            ("total_iops_sec", self.total_iops_sec),
            ("read_iops_sec", self.read_iops_sec),
            ("write_iops_sec", self.write_iops_sec),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
    }
}
