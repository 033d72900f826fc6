//! Step 9, outer half: what the agent needs of a hypervisor, as one small trait.
//!
//! [`Libvirt`] is the real one; the stepped [`Fake`] behind the same trait lets a test decide when and how each
//! call ends. Every answer is a future that is completed from the adapter's own threads: nothing here blocks a lane.

mod evidence;
mod fake;
mod given;
pub mod host;
mod libvirt;
mod reach;

use std::future::Future;
use std::pin::Pin;

use tokio::sync::mpsc;

use crate::discovery::Inventory;
use crate::model::{Cause, Happening, HoldKey, PowerState, VmId, VmState};
use crate::resolver::{Call, CallResult, Evidence};

pub use self::fake::{Fake, Fate, FinishError, How, Mode};
pub use self::libvirt::{ConnectError, Libvirt, Options, StartEventLoopError};
pub use self::reach::{Figures, GuestFacts, Held, Others, Picture, Pipe, PipeEnd, Reach, Volume};

/// An answer that comes later.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A VM as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Its id.
    pub vm: VmId,
    /// Its libvirt name.
    pub name: String,
    /// Its state.
    pub state: VmState,
    /// Whether that is all of it.
    pub whole: Whole,
}

/// Whether a state is all that libvirt can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// It is.
    Yes,
    /// The VM is busy just now, and what is open on it (`jobs`) cannot be asked.
    WithoutJobs,
}

/// How far something is that a finished call has left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobProgress {
    /// What is open.
    pub hold: HoldKey,
    /// What is done. *Units*: bytes.
    pub done: u64,
    /// What is to be done; zero where nobody knows, as with a backup that is read by others. A mirror that has done all
    /// of it waits for whoever began it. *Units*: bytes.
    pub total: u64,
    /// How long it will take, where there is an estimate. *Units*: seconds.
    pub seconds_left: Option<u64>,
    /// How long it has taken, where libvirt counts it. *Units*: seconds.
    pub elapsed_s: Option<u64>,
}

/// A VM's inventory, or why there is none.
pub type ReadInventory = (VmId, Result<Inventory, String>);

/// A VM in the hypervisor's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its id.
    pub vm: VmId,
    /// Its name.
    pub name: String,
    /// Its XML as it runs and as it is to start next, as far as it can be read; without secrets.
    pub xmls: Vec<String>,
}

/// A disk of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskOf {
    /// The VM.
    pub vm: VmId,
    /// What the guest knows the disk by.
    pub target: String,
}

/// Where a storage pool has its volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolFolder {
    /// The pool.
    pub pool: String,
    /// The folder.
    pub path: String,
}

/// Why the hypervisor did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskHypervisorError {
    /// There is no such VM.
    #[error("there is no VM {0}")]
    NoSuchVm(VmId),
    /// It cannot be reached; the adapter is trying again.
    #[error("libvirt at {uri} cannot be reached: {reason}")]
    Unreachable {
        /// Where.
        uri: String,
        /// What libvirt said.
        reason: String,
    },
    /// It answered with an error.
    #[error("libvirt failed: {0}")]
    Failed(String),
}

/// Something that happened at the hypervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A VM's state changed, or may have: life cycle, balloon. By what, if that was said.
    Changed(VmId, Option<Cause>),
    /// A VM's vCPUs were halted or let go, as a suspend or a resume does it; nothing else is said to have changed.
    Power(VmId, PowerState),
    /// Something happened to a VM that its state need not show: its guest restarted, a device went, its definition was
    /// replaced.
    Happened(VmId, Happening),
    /// The VM was undefined, or a transient one stopped; by what, if that was said.
    Gone(VmId, Option<Cause>),
    /// The connection was lost; calls under way end as lost, later ones fail until it is back.
    Disconnected,
    /// The connection is back; whatever happened meanwhile was not seen.
    Reconnected,
}

impl Event {
    /// What happened, if that was said.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Changed(_, cause) | Self::Gone(_, cause) => *cause,
            Self::Happened(_, happening) => Some(happening.cause),
            Self::Power(..) | Self::Disconnected | Self::Reconnected => None,
        }
    }
}

/// A hypervisor as the agent sees it.
pub trait Hypervisor: Reach + Send + Sync + 'static {
    /// Where it is: libvirt's connection URI.
    fn uri(&self) -> &str;

    /// Every VM with its state.
    fn list(&self) -> Later<Result<Vec<Listing>, AskHypervisorError>>;

    /// One VM's state, read anew.
    fn observe(&self, vm: VmId) -> Later<Result<VmState, AskHypervisorError>>;

    /// One VM's resources and network settings, read anew.
    fn inventory(&self, vm: VmId) -> Later<Result<Inventory, AskHypervisorError>>;

    /// Every VM's inventory, read anew, without what only a guest's agent tells: no guest can hold this up. Storage
    /// volumes are looked at only where a disk's size is not known otherwise. A VM that cannot be read says why; one
    /// that goes meanwhile is left out.
    fn inventories(&self) -> Later<Result<Vec<ReadInventory>, AskHypervisorError>>;

    /// Does what a call says, once; the answer comes when it is complete (a shutdown when the VM is off).
    fn execute(&self, call: Call) -> Later<CallResult>;

    /// Looks whether a call whose answer was lost took effect. It never repeats the call.
    fn probe(&self, call: Call) -> Later<Result<Evidence, AskHypervisorError>>;

    /// How far everything is that libvirt knows to be open on a VM; nothing is on one that is off.
    fn progress(&self, vm: VmId) -> Later<Result<Vec<JobProgress>, AskHypervisorError>>;

    /// One VM, or all of them, in the hypervisor's own words; one that is not there is left out.
    fn describe(&self, which: Option<VmId>) -> Later<Result<Vec<Description>, AskHypervisorError>>;

    /// The pools that have their volumes in a folder.
    fn pool_folders(&self) -> Later<Result<Vec<PoolFolder>, AskHypervisorError>>;

    /// The VM whose memory is in a file.
    fn saved_in(&self, file: String) -> Later<Result<VmId, AskHypervisorError>>;

    /// The disks, of whichever VMs, that a volume is or that lie on it; none when there is no such volume.
    fn disks_on(&self, pool: String, volume: String) -> Later<Result<Vec<DiskOf>, AskHypervisorError>>;

    /// The events from now on; there is one receiver. Bounded by the adapter: a reader that falls behind gets
    /// [`Event::Reconnected`] instead of what it missed, and looks at everything again.
    fn events(&self) -> mpsc::Receiver<Event>;
}
