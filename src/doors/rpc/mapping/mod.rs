//! From a call to what it is: its procedure's line in the table, and its arguments as far as they matter.
//!
//! A call becomes an operation of the catalogue when an operation says the same as the call in every respect that a lane
//! looks at: what it touches, what it does, when it is possible, which other wish equals it, what is seen of it
//! afterwards. What no operation can say is [`Operation::Relayed`] with the names that it touches. Payloads are
//! somebody else's: nothing here panics, keeps more than a payload's size or reads XML without a limit.
//!
//! | file | idea |
//! |---|---|
//! | `subject` | which VM, or what leads to it |
//! | `call` | a call's arguments, one after the other |
//! | `parameters` | libvirt's typed parameters |
//! | `xml` | libvirt's XML, read so that it says the same to us as to libvirt, or nothing |
//! | `asked` | what a call names of the host |
//! | `look`, `host` | reads; pools, volumes, networks |
//! | `power`, `saved`, `snapshot`, `settings`, `tuning`, `backup`, `block`, `device`, `guest`, `agent`, `definition`, `migrate`, `channel` | decoders, a file a group of actions |

mod agent;
mod asked;
mod backup;
mod block;
mod call;
mod channel;
mod definition;
mod device;
mod guest;
mod host;
mod look;
mod migrate;
mod parameters;
mod power;
mod saved;
mod settings;
mod snapshot;
mod subject;
mod tuning;
mod xml;

use super::procedures::{Handling, find};
use super::xdr::ReadXdrError;
use crate::model::{Action, Operation};

pub use self::asked::asked;
use self::call::Call;
pub use self::host::past_the_guest;
pub use self::subject::{KnownAs, Subject};

/// What a door does with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment {
    /// About the connection itself, or about nothing that can be co-managed: passed on.
    Pass,
    /// Looks at something.
    Look {
        /// At what.
        subject: Subject,
        /// Whether secrets come with it.
        secret: Secrecy,
    },
    /// Changes a VM.
    Change {
        /// Which.
        subject: Subject,
        /// How.
        operation: Operation,
        /// Whether it waits for its turn.
        pace: Pace,
    },
    /// About an object of the host; the subject is a volume that may be a VM's disk, or nothing.
    Host(HostAccess, Subject),
    /// Not through a door.
    Refuse(Why),
}

/// Whether what is looked at holds secrets, so that it needs the role for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// It does not.
    Open,
    /// It does: passwords in XML, a guest's memory.
    Secret,
}

/// When a call that changes a VM is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// When its lane releases it.
    Held,
    /// At once, where it ends what was begun on the same connection: the end of a migration, during which the guest
    /// stands still.
    Never,
    /// At once when it is part of what the same provider has open (the next step of its migration, the speed of its
    /// job); held otherwise.
    Steers,
    /// It ends the job that runs, whichever that is: as the end of what its provider has open, and at once when that is
    /// a call of the same provider's that runs; held otherwise.
    Aborts,
}

/// What is done to an object of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAccess {
    /// It is looked at.
    Read,
    /// It is changed.
    Write,
}

/// Why a call does not go through a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It would say who calls, and the door says that.
    Identity,
    /// It would lead into a guest past everything that is seen here.
    Namespace,
    /// It is newer than the table, so it may change anything.
    Unknown,
    /// It is about the VM that its arguments describe, and they could be read as another's.
    Ambiguous,
}

impl Why {
    /// A whole sentence for the client.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Identity => {
                "The identity of a client of this socket is given by the socket and cannot be set by a call."
            }
            Self::Namespace => "The namespaces of a guest are not opened through this socket.",
            Self::Unknown => {
                "It is newer than this covirt, which cannot tell what it changes, and it is not passed on."
            }
            Self::Ambiguous => {
                "It cannot be told for certain which VM this is about: its XML is not well-formed, declares a type or an \
                 encoding, or names the VM more than once; it is not passed on."
            }
        }
    }
}

/// What a door does with a call.
///
/// *Errors*: [`ReadXdrError`] when the payload is not one of this procedure's.
pub fn treatment(program: u32, procedure: u32, payload: &[u8]) -> Result<Treatment, ReadXdrError> {
    let Some(procedure) = find(program, procedure) else { return Ok(Treatment::Refuse(Why::Unknown)) };
    let call = Call::new(procedure, payload);
    match &procedure.handling {
        Handling::Pass => Ok(Treatment::Pass),
        Handling::Read => look::decode(call),
        Handling::HostRead => host::decode(call, HostAccess::Read),
        Handling::HostWrite => host::decode(call, HostAccess::Write),
        Handling::HostEither => host::emulator(call),
        Handling::Refuse if procedure.name == "connect_set_identity" => Ok(Treatment::Refuse(Why::Identity)),
        Handling::Refuse => Ok(Treatment::Refuse(Why::Namespace)),
        Handling::Act(actions) => match actions.first() {
            Some(usual) => act(*usual, call),
            None => Ok(Treatment::Refuse(Why::Unknown)),
        },
    }
}

fn act(usual: Action, call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    // Migration's arriving half starts a VM, and begins with other arguments than a start.
    if call.name().starts_with("domain_migrate_") {
        return migrate::decode(call);
    }
    match usual {
        Action::PowerStart
        | Action::PowerShutdown
        | Action::PowerReboot
        | Action::PowerReset
        | Action::PowerStop
        | Action::PowerSuspend
        | Action::PowerResume => power::decode(usual, call),
        Action::PowerSave | Action::PowerRestore | Action::PowerSaveRemove => saved::decode(usual, call),
        Action::SnapshotCreate | Action::SnapshotRevert | Action::SnapshotDelete => snapshot::decode(usual, call),
        Action::CpuSet | Action::MemorySet | Action::MetadataSet | Action::AutostartSet => {
            settings::decode(usual, call)
        }
        Action::NicQos | Action::DiskIotune | Action::TuningSet => tuning::decode(usual, call),
        Action::BackupBegin | Action::BackupEnd | Action::CheckpointCreate | Action::CheckpointDelete => {
            backup::decode(usual, call)
        }
        Action::DiskResize
        | Action::DiskWrite
        | Action::BlockCommit
        | Action::BlockPull
        | Action::BlockCopy
        | Action::BlockAbort => block::decode(usual, call),
        Action::DeviceAttach | Action::DeviceDetach | Action::DeviceUpdate => device::decode(usual, call),
        Action::GuestCommand => agent::decode(call),
        Action::GuestFreeze
        | Action::GuestThaw
        | Action::GuestTrim
        | Action::GuestSetTime
        | Action::GuestSetPassword
        | Action::GuestInput => guest::decode(usual, call),
        Action::DefinitionDefine | Action::DefinitionUndefine | Action::DefinitionRename => {
            definition::decode(usual, call)
        }
        Action::MigrateBegin | Action::MigrateAbort => migrate::decode(call),
        Action::ConsoleOpen | Action::ScreenOpen | Action::MonitorCommand | Action::MemoryDump => {
            channel::decode(usual, call)
        }
        Action::LockAcquire
        | Action::LockRelease
        | Action::ScreenCapture
        | Action::DiskRead
        | Action::GuestInfo
        | Action::InspectRead => {
            let (subject, operation) = (call.place()?, call.relayed(usual, []));
            Ok(Treatment::held(subject, operation))
        }
    }
}

impl Treatment {
    fn held(subject: Subject, operation: Operation) -> Self {
        Self::Change { subject, operation, pace: Pace::Held }
    }

    /// About the VM that XML describes, where it describes one.
    fn described(xml: &str, treatment: Self) -> Self {
        if xml::domain(xml).is_some() { treatment } else { Self::Refuse(Why::Ambiguous) }
    }

    fn change(subject: Subject, operation: Operation, pace: Pace) -> Self {
        Self::Change { subject, operation, pace }
    }
}

#[cfg(test)]
mod tests;
