//! What happened to a VM past this agent, as far as its hypervisor says, and who brought it about.
//!
//! A cause is one stable word with one [`Actor`]: whoever hears the word knows who it was. Words are journalled; none
//! is renamed or removed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::state::PowerState;

/// Who brings something about past this agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// Somebody with access to libvirt or to the host: virsh, another manager, a signal.
    OutOfBand,
    /// The guest's own system.
    Guest,
    /// QEMU, libvirt or the storage below them.
    Hypervisor,
}

impl Actor {
    /// The word on the wire and in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfBand => "out-of-band",
            Self::Guest => "guest",
            Self::Hypervisor => "hypervisor",
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $word:literal by $actor:ident,)*) => {
        /// What happened, as one stable word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Cause {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl Cause {
            /// Every cause, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word on the wire and in documents.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// Who brought it about.
            #[must_use]
            pub const fn actor(self) -> Actor {
                match self {
                    $(Self::$name => Actor::$actor,)*
                }
            }
        }
    };
}

causes! {
    /// It was started.
    Started = "started" by OutOfBand,
    /// It was started from a saved state.
    Restored = "restored" by OutOfBand,
    /// Its vCPUs were halted.
    Suspended = "suspended" by OutOfBand,
    /// Its vCPUs were let go.
    Resumed = "resumed" by OutOfBand,
    /// It was switched off without its guest's help.
    Destroyed = "destroyed" by OutOfBand,
    /// QEMU was told on the host to end: by a signal or on its monitor.
    Terminated = "terminated" by OutOfBand,
    /// Its state was saved to a file, and it stopped.
    Saved = "saved" by OutOfBand,
    /// It was set back to a snapshot.
    Reverted = "reverted" by OutOfBand,
    /// It came from another host.
    MigratedIn = "migrated-in" by OutOfBand,
    /// It is on its way to another host.
    Migrating = "migrating" by OutOfBand,
    /// It went to another host.
    MigratedAway = "migrated-away" by OutOfBand,
    /// It got a persistent definition.
    Defined = "defined" by OutOfBand,
    /// Its persistent definition was replaced.
    Redefined = "redefined" by OutOfBand,
    /// It got another name.
    Renamed = "renamed" by OutOfBand,
    /// Its persistent definition was removed.
    Undefined = "undefined" by OutOfBand,
    /// It got a device.
    DeviceAdded = "device-added" by OutOfBand,
    /// A device was pulled, and its guest let it go.
    DeviceRemoved = "device-removed" by OutOfBand,
    /// An element of its metadata, its title or its description was changed.
    MetadataChanged = "metadata-changed" by OutOfBand,
    /// Snapshots came or went.
    SnapshotsChanged = "snapshots-changed" by OutOfBand,
    /// Limits of the host for it were changed: processors, disks, interfaces.
    Tuned = "tuned" by OutOfBand,
    /// A job that was open on it was ended: aborted, or a mirror was taken into use.
    JobStopped = "job-stopped" by OutOfBand,

    /// Its guest shut itself down; whether somebody asked the guest to, nobody says.
    GuestShutdown = "guest-shutdown" by Guest,
    /// Its guest began anew in the same QEMU; libvirt does not tell a guest's reboot from somebody's reset.
    Rebooted = "rebooted" by Guest,
    /// Its guest panicked.
    GuestPanicked = "guest-panicked" by Guest,
    /// Its guest went to sleep by its power management.
    PmSuspended = "pm-suspended" by Guest,
    /// It woke from that.
    Woken = "woken" by Guest,
    /// Its guest's balloon moved; whether somebody asked it to, nobody says.
    Ballooned = "ballooned" by Guest,
    /// The agent in its guest answers.
    AgentReady = "agent-ready" by Guest,
    /// The agent in its guest went away.
    AgentGone = "agent-gone" by Guest,
    /// Its guest does not let a device go.
    UnplugRefused = "unplug-refused" by Guest,

    /// QEMU went without having said so: it crashed or was killed.
    Crashed = "crashed" by Hypervisor,
    /// A disk could not be read or written.
    IoError = "io-error" by Hypervisor,
    /// There is no room left for what the guest writes.
    NoSpace = "no-space" by Hypervisor,
    /// Its watchdog was not fed in time.
    Watchdog = "watchdog" by Hypervisor,
    /// A page of the host's memory under it is broken.
    MemoryFailure = "memory-failure" by Hypervisor,
    /// libvirt halted it because a call of its own went wrong.
    ApiError = "api-error" by Hypervisor,
    /// A migration broke off after the guest had gone over.
    MigrationFailed = "migration-failed" by Hypervisor,
    /// A job that was open on it is over, and nobody is said to have ended it.
    JobEnded = "job-ended" by Hypervisor,
    /// A job that was open on it broke off.
    JobFailed = "job-failed" by Hypervisor,
}

impl Cause {
    /// Whether it says how a power state came about. That QEMU was told to end says so only until it has ended: by
    /// what, libvirt says then.
    #[must_use]
    pub const fn tells_power(self, power: PowerState) -> bool {
        match self {
            Self::Terminated => matches!(power, PowerState::ShuttingDown),
            Self::Started
            | Self::Restored
            | Self::Suspended
            | Self::Resumed
            | Self::Destroyed
            | Self::Saved
            | Self::Reverted
            | Self::MigratedIn
            | Self::Migrating
            | Self::MigratedAway
            | Self::GuestShutdown
            | Self::GuestPanicked
            | Self::PmSuspended
            | Self::Woken
            | Self::Crashed
            | Self::IoError
            | Self::NoSpace
            | Self::Watchdog
            | Self::ApiError
            | Self::MigrationFailed => true,
            Self::Defined
            | Self::Redefined
            | Self::Renamed
            | Self::Undefined
            | Self::DeviceAdded
            | Self::DeviceRemoved
            | Self::MetadataChanged
            | Self::SnapshotsChanged
            | Self::Tuned
            | Self::Rebooted
            | Self::Ballooned
            | Self::AgentReady
            | Self::AgentGone
            | Self::UnplugRefused
            | Self::MemoryFailure
            | Self::JobStopped
            | Self::JobEnded
            | Self::JobFailed => false,
        }
    }

    /// Whether it only says how a job came to its end.
    #[must_use]
    pub const fn is_of_a_job(self) -> bool {
        matches!(self, Self::JobStopped | Self::JobEnded | Self::JobFailed)
    }

    /// Which of two stands when `next` is said after `self`: the later one, unless it only says in general how the
    /// earlier one went on.
    #[must_use]
    pub fn followed_by(self, next: Self) -> Self {
        let goes_on = matches!(
            (self, next),
            // Whatever ended the guest, libvirt then says that its shutdown is complete.
            (Self::Terminated | Self::GuestPanicked | Self::Watchdog, Self::GuestShutdown)
                // QEMU ends by the signal that libvirt destroys it with.
                | (Self::Destroyed | Self::GuestPanicked | Self::Watchdog, Self::Terminated)
                // The pause that a full disk leads to is told as one for any error.
                | (Self::NoSpace, Self::IoError)
                // vCPUs that are let go after a restore are told as let go from a snapshot.
                | (Self::Restored, Self::Reverted)
        );
        // Jobs end with the process they live in.
        let ended = self == Self::Terminated || self.tells_power(PowerState::ShutOff);
        if goes_on || (ended && next.is_of_a_job()) { self } else { next }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that happened and that the VM's state need not show.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Happening {
    /// What.
    pub cause: Cause,
    /// Which part of the VM it is about, as libvirt names it: a device's alias, a metadata namespace.
    pub subject: Option<String>,
}

impl From<Cause> for Happening {
    fn from(cause: Cause) -> Self {
        Self { cause, subject: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_unique_and_plain() {
        let mut seen = std::collections::BTreeSet::new();
        for cause in Cause::ALL {
            assert!(seen.insert(cause.as_str()), "{cause}");
            assert!(cause.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{cause}");
            assert_eq!(serde_json::to_string(cause).unwrap(), format!("\"{cause}\""));
        }
    }

    #[test]
    fn the_particular_stands_over_the_general_that_follows_it() {
        assert_eq!(Cause::NoSpace.followed_by(Cause::IoError), Cause::NoSpace);
        assert_eq!(Cause::Terminated.followed_by(Cause::GuestShutdown), Cause::Terminated);
        assert_eq!(Cause::Terminated.followed_by(Cause::Destroyed), Cause::Destroyed);
        assert_eq!(Cause::Destroyed.followed_by(Cause::Terminated), Cause::Destroyed);
        assert_eq!(Cause::IoError.followed_by(Cause::Resumed), Cause::Resumed);
        assert_eq!(Cause::Destroyed.followed_by(Cause::JobFailed), Cause::Destroyed);
        assert_eq!(Cause::Ballooned.followed_by(Cause::JobEnded), Cause::JobEnded);
        assert_eq!(Cause::JobFailed.followed_by(Cause::Crashed), Cause::Crashed);
        assert_eq!(Cause::Restored.followed_by(Cause::Reverted), Cause::Restored);
        assert_eq!(Cause::Reverted.followed_by(Cause::Restored), Cause::Restored);
    }
}
