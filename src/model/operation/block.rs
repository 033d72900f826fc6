//! Arguments of disk sizes and block jobs.

use serde::{Deserialize, Serialize};

use super::check::{check_lease, check_path, check_target};
use crate::model::units::Bytes;

/// A disk's new size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskResizeArgs {
    /// The disk's target.
    pub disk: String,
    /// Its size afterwards, not smaller than now. *Units*: bytes.
    pub capacity: Bytes,
}

impl DiskResizeArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_target(&self.disk)?;
        if self.capacity.0 == 0 || !self.capacity.0.is_multiple_of(512) {
            return Err("capacity is a multiple of 512 bytes, and not zero".to_owned());
        }
        Ok(())
    }
}

/// What to merge down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockCommitArgs {
    /// The disk's target.
    pub disk: String,
    /// The image to merge from, as libvirt names it (`vda[1]` or a path); none means the active one, and the job then
    /// waits for `block.abort` with `pivot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<String>,
    /// The image to merge into; none means the one right below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The most it may write; zero means no limit. *Units*: bytes per second.
    #[serde(default)]
    pub bandwidth: u64,
    /// After how long it is ended if nobody ends it and it does not end by itself; none means a day. *Units*: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_s: Option<u32>,
}

impl BlockCommitArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_target(&self.disk)?;
        check_lease(self.lease_s)?;
        check_image(&self.disk, "top", self.top.as_deref())?;
        check_image(&self.disk, "base", self.base.as_deref())
    }
}

/// What to bring up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockPullArgs {
    /// The disk's target.
    pub disk: String,
    /// The image that stays below, as libvirt names it; none brings everything up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The most it may write; zero means no limit. *Units*: bytes per second.
    #[serde(default)]
    pub bandwidth: u64,
    /// After how long it is ended if nobody ends it and it does not end by itself; none means a day. *Units*: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_s: Option<u32>,
}

impl BlockPullArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_target(&self.disk)?;
        check_lease(self.lease_s)?;
        check_image(&self.disk, "base", self.base.as_deref())
    }
}

/// Where to mirror a disk to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockCopyArgs {
    /// The disk's target.
    pub disk: String,
    /// The file to write to: an absolute path.
    pub to: String,
    /// Its format.
    #[serde(default)]
    pub format: ImageFormat,
    /// Whether only the topmost image is copied, onto a file whose backing is there already.
    #[serde(default)]
    pub shallow: bool,
    /// Whether the file is there already, with its size.
    #[serde(default)]
    pub reuse: bool,
    /// The most it may write; zero means no limit. *Units*: bytes per second.
    #[serde(default)]
    pub bandwidth: u64,
    /// After how long it is ended if nobody ends it and it does not end by itself; none means a day. *Units*: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_s: Option<u32>,
}

/// An image's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageFormat {
    /// QEMU's own, which grows as it is written.
    #[default]
    Qcow2,
    /// Nothing but the data.
    Raw,
}

impl ImageFormat {
    /// libvirt's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

impl BlockCopyArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_target(&self.disk)?;
        check_lease(self.lease_s)?;
        check_path("to", &self.to)
    }
}

/// How to end a block job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockAbortArgs {
    /// The disk's target.
    pub disk: String,
    /// Whether the VM goes over to what the job made (a copy, or what an active commit merged into).
    #[serde(default)]
    pub pivot: bool,
}

impl BlockAbortArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_target(&self.disk)
    }
}

/// An image of a chain: `vda[2]` or an absolute path.
fn check_image(disk: &str, field: &str, image: Option<&str>) -> Result<(), String> {
    let Some(image) = image else { return Ok(()) };
    let index = image.strip_prefix(disk).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
    match index {
        Some(index) if index.parse::<u32>().is_ok() => Ok(()),
        Some(_) => Err(format!("{field} is {disk}[<number>] or an absolute path")),
        None => check_path(field, image),
    }
}
