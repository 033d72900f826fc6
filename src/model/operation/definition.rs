//! Arguments that are about the persistent definition, and about moving to another host.

use serde::{Deserialize, Serialize};

use super::check::{check_lease, check_text, check_timeout};
use crate::model::ids::VmId;
use crate::model::xml;

/// The most a definition may be. *Units*: bytes.
const XML_MAX: usize = 1024 * 1024;
/// How long a lock is held when its taker does not say.
const LOCK_LEASE_DEFAULT_S: u32 = 60;
/// The longest a lock may be held: nothing is held for ever.
pub const LOCK_LEASE_MAX_S: u32 = 3600;

/// A definition to put in the place of the one there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefinitionDefineArgs {
    /// The whole domain, with the VM's own name and UUID.
    pub xml: String,
}

impl DefinitionDefineArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.xml.len() > XML_MAX {
            return Err(format!("xml is at most {XML_MAX} bytes"));
        }
        uuid_in(&self.xml).map(|_| ())
    }

    /// The VM's name in it.
    pub(super) fn name(&self) -> Option<String> {
        let document = xml::parse(&self.xml).ok()?;
        xml::child_text(document.root_element(), "name").filter(|name| !name.is_empty())
    }

    /// Whether it defines this VM and not another.
    pub(super) fn check_vm(&self, vm: VmId) -> Result<(), String> {
        let uuid = uuid_in(&self.xml)?;
        if uuid == vm { Ok(()) } else { Err(format!("xml defines {uuid}, which is another VM")) }
    }
}

fn uuid_in(text: &str) -> Result<VmId, String> {
    let document = xml::parse(text).map_err(|error| format!("xml cannot be read: {error}"))?;
    let root = document.root_element();
    if xml::name(root) != Some("domain") {
        return Err(format!("<{}> is no domain", root.tag_name().name()));
    }
    let Some(uuid) = xml::child_text(root, "uuid") else {
        let twice = "xml names the VM's <uuid> more than once, or in a namespace";
        let missing = "xml needs the VM's <uuid>, or it would define another one";
        return Err(if xml::has(root, "uuid") { twice } else { missing }.to_owned());
    };
    uuid.trim().parse().map_err(|_| format!("{:?} is no UUID", uuid.trim()))
}

/// What else goes with the definition. libvirt refuses to remove a definition that has what is not named here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefinitionUndefineArgs {
    /// The image of a VM that was put to sleep.
    #[serde(default)]
    pub saved_image: bool,
    /// What libvirt knows of snapshots; their data stays.
    #[serde(default)]
    pub snapshots_metadata: bool,
    /// What libvirt knows of checkpoints; their data stays.
    #[serde(default)]
    pub checkpoints_metadata: bool,
    /// The file of the firmware's variables; kept otherwise.
    #[serde(default)]
    pub nvram: bool,
}

/// Another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefinitionRenameArgs {
    /// The name afterwards.
    pub name: String,
}

impl DefinitionRenameArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_text("name", &self.name, 255)?;
        if self.name.is_empty() || self.name.contains(['/', '\n', '\t']) || self.name.trim() != self.name {
            return Err("name is not empty and has no slash, line break or blank at its ends".to_owned());
        }
        Ok(())
    }
}

/// Whether the VM is started with its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutostartSetArgs {
    /// Whether it is.
    pub enabled: bool,
}

/// Where to move the VM, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrateBeginArgs {
    /// The target's libvirt URI, as this host reaches it.
    pub to: String,
    /// Where QEMU sends the VM's memory, when the target's own name cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// Whether the guest goes on meanwhile.
    #[serde(default = "yes")]
    pub live: bool,
    /// Whether the target keeps a definition, and this host does not.
    #[serde(default = "yes")]
    pub persistent: bool,
    /// Whether to move a VM whose disks libvirt does not know to be shared safely.
    #[serde(default, rename = "unsafe")]
    pub is_unsafe: bool,
    /// The most it may send; zero means no limit. *Units*: MiB per second.
    #[serde(default)]
    pub bandwidth: u64,
    /// After how long it is ended if nobody ends it and it does not end by itself; none means a day. *Units*: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_s: Option<u32>,
}

const fn yes() -> bool {
    true
}

impl MigrateBeginArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_lease(self.lease_s)?;
        for (field, uri) in [("to", Some(&self.to)), ("through", self.through.as_ref())] {
            let Some(uri) = uri else { continue };
            check_text(field, uri, 1024)?;
            if !uri.contains(':') || uri.starts_with(':') {
                return Err(format!("{field} is a URI"));
            }
        }
        Ok(())
    }
}

/// A lock on the whole VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockAcquireArgs {
    /// What for, as a sentence that the others read.
    pub reason: String,
    /// After how long it is given back even if nobody says so. *Units*: seconds.
    #[serde(default = "lock_lease_default")]
    pub lease_s: u32,
}

const fn lock_lease_default() -> u32 {
    LOCK_LEASE_DEFAULT_S
}

impl LockAcquireArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_text("reason", &self.reason, 1024)?;
        if self.reason.trim().is_empty() {
            return Err("reason is needed: the others read it".to_owned());
        }
        check_timeout("lease_s", self.lease_s)
    }
}
