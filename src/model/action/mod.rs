//! The closed catalogue of actions. Everything the resolver knows of an action is declared here, once, a file a group:
//! conflicts and feasibility are computed from these declarations, and `docs/actions.md` is printed from them.

mod access;
mod backup;
mod block;
mod definition;
mod device;
mod guest;
mod migrate;
mod power;
mod settings;
mod snapshot;
mod spec;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::spec::{Reach, Repeat, Scope, Spec, Undo, Way};

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $spec:path,)*) => {
        /// What a provider may ask to be done to a VM.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// How many there are.
            pub const COUNT: usize = [$(stringify!($name)),*].len();

            /// Every action, in the order of the documentation.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$name),*];

            /// The declaration of this action.
            #[must_use]
            pub const fn spec(self) -> Spec {
                match self {
                    $(Self::$name => $spec,)*
                }
            }
        }
    };
}

actions! {
    /// Boot the VM.
    PowerStart = power::START,
    /// Ask the guest to power itself off.
    PowerShutdown = power::SHUTDOWN,
    /// Ask the guest to restart itself.
    PowerReboot = power::REBOOT,
    /// Restart the VM as a reset button does.
    PowerReset = power::RESET,
    /// Stop the VM at once, as pulling the plug does.
    PowerStop = power::STOP,
    /// Stop the vCPUs; memory stays.
    PowerSuspend = power::SUSPEND,
    /// Let the vCPUs run again.
    PowerResume = power::RESUME,
    /// Stop the VM and keep its memory in an image.
    PowerSave = power::SAVE,
    /// Go on where the image was saved.
    PowerRestore = power::RESTORE,
    /// Throw the image away.
    PowerSaveRemove = power::SAVE_REMOVE,
    /// Take a snapshot.
    SnapshotCreate = snapshot::CREATE,
    /// Go back to a snapshot.
    SnapshotRevert = snapshot::REVERT,
    /// Delete a snapshot.
    SnapshotDelete = snapshot::DELETE,
    /// Set the number of vCPUs.
    CpuSet = settings::CPU_SET,
    /// Set the guest's memory.
    MemorySet = settings::MEMORY_SET,
    /// Write the guest's memory to a file.
    MemoryDump = settings::MEMORY_DUMP,
    /// Set or remove one provider's element in the domain's metadata.
    MetadataSet = settings::METADATA_SET,
    /// Set an interface's bandwidth.
    NicQos = settings::NIC_QOS,
    /// Set a disk's limits.
    DiskIotune = settings::DISK_IOTUNE,
    /// Start the VM with its host, or do not.
    AutostartSet = settings::AUTOSTART_SET,
    /// Set what the host gives the VM: pinning, scheduler, weights, memory nodes and limits, I/O threads, counters.
    TuningSet = settings::TUNING_SET,
    /// Begin a backup: into files (push), or for reading over NBD (pull).
    BackupBegin = backup::BEGIN,
    /// End a backup.
    BackupEnd = backup::END,
    /// Begin to track what is written to the disks.
    CheckpointCreate = backup::CHECKPOINT_CREATE,
    /// Delete a checkpoint.
    CheckpointDelete = backup::CHECKPOINT_DELETE,
    /// Make a disk larger.
    DiskResize = block::DISK_RESIZE,
    /// Write a disk's image past the guest: upload, wipe, delete or resize its volume.
    DiskWrite = block::DISK_WRITE,
    /// Merge an overlay into what is below it.
    BlockCommit = block::COMMIT,
    /// Bring what is below into the overlay.
    BlockPull = block::PULL,
    /// Mirror a disk to another place.
    BlockCopy = block::COPY,
    /// End a block job, or switch over to its copy.
    BlockAbort = block::ABORT,
    /// Plug a disk or an interface in.
    DeviceAttach = device::ATTACH,
    /// Pull a disk or an interface.
    DeviceDetach = device::DETACH,
    /// Change a disk or an interface in place.
    DeviceUpdate = device::UPDATE,
    /// Hold file systems still, for a time.
    GuestFreeze = guest::FREEZE,
    /// Let file systems go on.
    GuestThaw = guest::THAW,
    /// Give unused blocks back.
    GuestTrim = guest::TRIM,
    /// Send the guest's agent a command.
    GuestCommand = guest::COMMAND,
    /// Set the guest's clock.
    GuestSetTime = guest::SET_TIME,
    /// Set the password of a user in the guest.
    GuestSetPassword = guest::SET_PASSWORD,
    /// Press keys, send signals or an NMI, wake a guest that sleeps.
    GuestInput = guest::INPUT,
    /// Replace the definition.
    DefinitionDefine = definition::DEFINE,
    /// Remove the definition.
    DefinitionUndefine = definition::UNDEFINE,
    /// Give the VM another name.
    DefinitionRename = definition::RENAME,
    /// Begin to move the VM to another host.
    MigrateBegin = migrate::BEGIN,
    /// Stop a migration.
    MigrateAbort = migrate::ABORT,
    /// Keep everybody else from changing the VM, for a time.
    LockAcquire = access::LOCK_ACQUIRE,
    /// Give the lock back.
    LockRelease = access::LOCK_RELEASE,
    /// Speak to QEMU's monitor, or to the guest's agent, past all that covirt knows.
    MonitorCommand = access::MONITOR_COMMAND,
    /// Open the serial console.
    ConsoleOpen = access::CONSOLE_OPEN,
    /// Open the graphical screen.
    ScreenOpen = access::SCREEN_OPEN,
    /// Take a picture of the graphical screen.
    ScreenCapture = access::SCREEN_CAPTURE,
    /// Read the contents of a disk of a VM that is off.
    DiskRead = access::DISK_READ,
    /// Ask the guest's agent who and what the guest is.
    GuestInfo = access::GUEST_INFO,
    /// Read the VM's state.
    InspectRead = access::INSPECT_READ,
}

impl Action {
    /// `group.verb`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// The part before the dot.
    #[must_use]
    pub fn group(self) -> &'static str {
        self.name().split_once('.').map_or(self.name(), |(group, _)| group)
    }

    /// Whether it changes nothing, so that it never waits and never conflicts.
    #[must_use]
    pub const fn is_read(self) -> bool {
        self.spec().writes.is_empty()
    }

    /// Whether some arguments of the two could make them touch the same thing, one of them writing.
    #[must_use]
    pub fn may_clash(self, other: Self) -> bool {
        let (a, b) = (self.spec(), other.spec());
        let meets = |writes: &[Scope], touched: &[Scope]| {
            writes.iter().any(|scope| touched.iter().any(|other| scope.may_meet(*other)))
        };
        meets(a.writes, b.writes) || meets(a.writes, b.reads) || meets(b.writes, a.reads)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text is not an action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an action: one of {known} is expected")]
pub struct ParseActionError {
    text: String,
    known: String,
}

impl FromStr for Action {
    type Err = ParseActionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|action| action.name() == text).ok_or_else(|| ParseActionError {
            text: text.chars().take(64).collect(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_read_back_from_its_name() {
        for action in Action::ALL {
            assert_eq!(action.name().parse::<Action>().unwrap(), action);
            assert!(action.name().starts_with(action.group()));
        }
    }

    #[test]
    fn an_action_that_not_every_state_allows_touches_power() {
        for action in Action::ALL {
            let spec = action.spec();
            let touches = spec.reads.contains(&Scope::Power) || spec.writes.contains(&Scope::Power);
            assert!(touches || spec.states.len() == super::super::state::PowerState::ALL.len(), "{action}");
        }
    }

    #[test]
    fn a_clash_is_mutual_and_reads_never_clash() {
        for a in Action::ALL {
            for b in Action::ALL {
                assert_eq!(a.may_clash(b), b.may_clash(a), "{a} {b}");
                assert!(!(a.is_read() && a.may_clash(b)), "{a} {b}");
            }
        }
    }

    #[test]
    fn a_revert_brings_old_metadata_back_and_so_clashes_with_setting_it() {
        assert!(Action::SnapshotRevert.may_clash(Action::MetadataSet));
        assert!(!Action::CpuSet.may_clash(Action::MetadataSet));
    }

    #[test]
    fn an_unknown_action_is_refused_with_the_known_ones() {
        let error = "power.explode".parse::<Action>().unwrap_err().to_string();
        assert!(error.contains("power.explode") && error.contains("power.reset"), "{error}");
    }
}
