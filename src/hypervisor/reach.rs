//! What the agent needs of a hypervisor to let providers at a VM's own resources: console, screen, disks, guest.
//!
//! Whatever stays open is a socket ([`Pipe`]), so that whoever reads it slowly holds up nobody but itself.

use std::any::Any;
use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;

use serde_json::Value;
use tokio::sync::oneshot;

use super::{AskHypervisorError, Later};
use crate::model::VmId;

/// A way into a VM: bytes both ways.
#[derive(Debug)]
pub struct Pipe {
    /// The bytes; it does not block.
    pub stream: UnixStream,
    /// Why it ended, where more is known than that it did.
    pub ended: oneshot::Receiver<PipeEnd>,
}

/// Why a pipe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PipeEnd {
    /// What it led to closed it.
    Closed,
    /// What came was not taken in time, and as much as is kept was waiting.
    Overrun,
    /// It broke.
    Broken(String),
}

/// Whether whoever else has the console is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They stay, and the console is refused.
    Stay,
    /// They are cut off.
    CutOff,
}

/// A picture of a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its media type: `image/png`, or `image/x-portable-pixmap`.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A volume that a disk of a VM is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// libvirt's key of it.
    pub key: String,
    /// How long it is. *Units*: bytes.
    pub length: u64,
    /// Its format, as the VM's definition says.
    pub format: Option<String>,
}

/// What libvirt counts of a VM, by its own names.
pub type Figures = BTreeMap<String, Value>;

/// What a guest tells of itself, in libvirt's own names; what could not be asked says why.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct GuestFacts {
    /// Its addresses by who says so (`lease`, `agent`, `arp`): libvirt's interfaces.
    pub addresses: BTreeMap<String, Value>,
    /// What its agent says (`os`, `timezone`, `hostname`, `users`, `filesystems` …), by libvirt's own names.
    pub agent: BTreeMap<String, Value>,
    /// Its mounted file systems.
    pub filesystems: Vec<Value>,
    /// What could not be asked, and why.
    pub unknown: BTreeMap<String, String>,
}

/// Something that stays so until this is dropped.
pub type Held = Box<dyn Any + Send>;

/// A hypervisor's ways into its VMs.
pub trait Reach {
    /// Opens the serial console.
    fn open_console(&self, vm: VmId, others: Others) -> Later<Result<Pipe, AskHypervisorError>> {
        let _ = others;
        has_none("serial console", vm)
    }

    /// Opens the graphical screen: the bytes of its own protocol (RFB for VNC), without a password.
    fn open_screen(&self, vm: VmId) -> Later<Result<Pipe, AskHypervisorError>> {
        has_none("graphical screen", vm)
    }

    /// Opens what a pull backup serves over NBD. It is the VM's own process, or nothing.
    fn open_nbd(&self, vm: VmId) -> Later<Result<Pipe, AskHypervisorError>> {
        has_none("backup that is served", vm)
    }

    /// Cuts off whoever [`Self::open_nbd`] let in, and lets nobody in, until what is given back is dropped: QEMU must have
    /// no client when a backup ends.
    fn seal_exports(&self, vm: VmId) -> Held {
        let _ = vm;
        Box::new(())
    }

    /// Takes a picture of a screen.
    fn screenshot(&self, vm: VmId, screen: u32) -> Later<Result<Picture, AskHypervisorError>> {
        let _ = screen;
        has_none("picture of its screen", vm)
    }

    /// The volume that a disk is, or a sentence that says why it is none that libvirt can stream.
    fn volume(&self, vm: VmId, target: String) -> Later<Result<Result<Volume, String>, AskHypervisorError>> {
        let _ = target;
        has_none("volume", vm)
    }

    /// A part of a volume. *Units*: bytes.
    fn read_volume(&self, key: String, offset: u64, length: u64) -> Later<Result<Vec<u8>, AskHypervisorError>> {
        let _ = (offset, length);
        Box::pin(async move { Err(AskHypervisorError::Failed(format!("there is no volume {key}"))) })
    }

    /// What the guest tells of itself.
    fn guest(&self, vm: VmId) -> Later<Result<GuestFacts, AskHypervisorError>> {
        has_none("guest that tells", vm)
    }

    /// What libvirt counts of these VMs; one that is not there is left out.
    fn figures(&self, vms: Vec<VmId>) -> Later<Result<BTreeMap<VmId, Figures>, AskHypervisorError>> {
        let _ = vms;
        Box::pin(async { Ok(BTreeMap::new()) })
    }
}

fn has_none<T: Send + 'static>(what: &'static str, vm: VmId) -> Later<Result<T, AskHypervisorError>> {
    Box::pin(async move { Err(AskHypervisorError::Failed(format!("the VM {vm} has no {what}"))) })
}
