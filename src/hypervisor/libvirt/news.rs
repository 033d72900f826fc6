//! What libvirt's events say: what they mean to the calls that wait, and to whoever is told what happened.
//!
//! *Source*: libvirt, `virDomainEventType` and its `virDomainEvent…DetailType`s, `virDomainEventWatchdogAction`,
//! `virDomainEventIOErrorAction`, `virConnectDomainEventAgentLifecycleState`.

use std::collections::BTreeMap;
use std::ffi::CStr;

use virt::sys;

use super::notices::Notice;
use crate::hypervisor::Event;
use crate::model::{Cause, Happening, PowerState, VmId};

/// One event of libvirt's, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// Its vCPUs were halted or let go, and that is all.
    Power(PowerState),
    /// It stopped running: it may not exist any more.
    Ended(Option<Cause>),
    /// Its persistent definition was removed: it may not exist any more.
    Undefined,
    /// Its life cycle went on in another way.
    Moved(Option<Cause>),
    /// A part of its state changed outside its life cycle.
    Altered(Option<Cause>),
    /// Something happened that its state need not show.
    Happened(Happening),
}

impl News {
    /// What it means to the calls that wait.
    pub(super) fn notice(&self) -> Notice {
        match self {
            Self::Power(power) => Notice::Power(*power),
            Self::Ended(_) | Self::Undefined => Notice::Ended,
            Self::Moved(_) => Notice::Moved,
            Self::Happened(happening) if happening.cause == Cause::Rebooted => Notice::Rebooted,
            Self::Happened(Happening { cause: Cause::UnplugRefused, subject: Some(alias) }) => {
                Notice::UnplugRefused(alias.clone())
            }
            Self::Altered(_) | Self::Happened(_) => Notice::Altered,
        }
    }

    /// What whoever listens is told.
    pub(super) fn into_event(self, vm: VmId) -> Event {
        match self {
            Self::Power(power) => Event::Power(vm, power),
            Self::Ended(cause) | Self::Moved(cause) | Self::Altered(cause) => Event::Changed(vm, cause),
            Self::Undefined => Event::Happened(vm, Cause::Undefined.into()),
            Self::Happened(happening) => Event::Happened(vm, happening),
        }
    }

    fn happened(cause: Cause) -> Self {
        Self::Happened(cause.into())
    }
}

/// What a life-cycle event says. Of what a newer libvirt may add the lane looks and sees.
pub(super) fn of_lifecycle(event: sys::virDomainEventType, detail: u32) -> News {
    match event {
        sys::VIR_DOMAIN_EVENT_DEFINED => match detail {
            sys::VIR_DOMAIN_EVENT_DEFINED_ADDED => News::happened(Cause::Defined),
            sys::VIR_DOMAIN_EVENT_DEFINED_RENAMED => News::happened(Cause::Renamed),
            _ => News::happened(Cause::Redefined),
        },
        // A renamed one is defined under its new name right after.
        sys::VIR_DOMAIN_EVENT_UNDEFINED if detail == sys::VIR_DOMAIN_EVENT_UNDEFINED_RENAMED => News::Moved(None),
        sys::VIR_DOMAIN_EVENT_UNDEFINED => News::Undefined,
        sys::VIR_DOMAIN_EVENT_STARTED => News::Moved(started(detail)),
        sys::VIR_DOMAIN_EVENT_SUSPENDED if detail == sys::VIR_DOMAIN_EVENT_SUSPENDED_PAUSED => {
            News::Power(PowerState::Paused)
        }
        sys::VIR_DOMAIN_EVENT_SUSPENDED => News::Moved(suspended(detail)),
        sys::VIR_DOMAIN_EVENT_RESUMED if detail == sys::VIR_DOMAIN_EVENT_RESUMED_UNPAUSED => {
            News::Power(PowerState::Running)
        }
        sys::VIR_DOMAIN_EVENT_RESUMED if detail == sys::VIR_DOMAIN_EVENT_RESUMED_FROM_SNAPSHOT => {
            News::Moved(Some(Cause::Reverted))
        }
        sys::VIR_DOMAIN_EVENT_RESUMED => News::Moved(Some(Cause::Resumed)),
        sys::VIR_DOMAIN_EVENT_STOPPED => News::Ended(stopped(detail)),
        // Who makes a guest shut down is said since QEMU 2.10; before, it was nearly always the guest.
        sys::VIR_DOMAIN_EVENT_SHUTDOWN if detail == sys::VIR_DOMAIN_EVENT_SHUTDOWN_HOST => {
            News::Moved(Some(Cause::Terminated))
        }
        sys::VIR_DOMAIN_EVENT_SHUTDOWN => News::Moved(Some(Cause::GuestShutdown)),
        sys::VIR_DOMAIN_EVENT_PMSUSPENDED => News::Moved(Some(Cause::PmSuspended)),
        // What becomes of the VM then, its definition says: it need not end.
        sys::VIR_DOMAIN_EVENT_CRASHED => News::happened(Cause::GuestPanicked),
        _ => News::Moved(None),
    }
}

fn started(detail: u32) -> Option<Cause> {
    Some(match detail {
        sys::VIR_DOMAIN_EVENT_STARTED_BOOTED => Cause::Started,
        sys::VIR_DOMAIN_EVENT_STARTED_MIGRATED => Cause::MigratedIn,
        sys::VIR_DOMAIN_EVENT_STARTED_RESTORED => Cause::Restored,
        sys::VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT => Cause::Reverted,
        sys::VIR_DOMAIN_EVENT_STARTED_WAKEUP => Cause::Woken,
        _ => return None,
    })
}

fn suspended(detail: u32) -> Option<Cause> {
    Some(match detail {
        sys::VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED | sys::VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY => Cause::Migrating,
        sys::VIR_DOMAIN_EVENT_SUSPENDED_IOERROR => Cause::IoError,
        sys::VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG => Cause::Watchdog,
        sys::VIR_DOMAIN_EVENT_SUSPENDED_RESTORED => Cause::Restored,
        sys::VIR_DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT => Cause::Reverted,
        sys::VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR => Cause::ApiError,
        sys::VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED => Cause::MigrationFailed,
        _ => return None,
    })
}

fn stopped(detail: u32) -> Option<Cause> {
    Some(match detail {
        sys::VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN => Cause::GuestShutdown,
        sys::VIR_DOMAIN_EVENT_STOPPED_DESTROYED => Cause::Destroyed,
        // libvirt says "crashed" of the guest and "failed" of QEMU.
        sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED => Cause::GuestPanicked,
        sys::VIR_DOMAIN_EVENT_STOPPED_FAILED => Cause::Crashed,
        sys::VIR_DOMAIN_EVENT_STOPPED_MIGRATED => Cause::MigratedAway,
        sys::VIR_DOMAIN_EVENT_STOPPED_SAVED => Cause::Saved,
        sys::VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT => Cause::Reverted,
        _ => return None,
    })
}

/// What a watchdog that ran out says; what it does to the VM, other events say.
pub(super) fn of_watchdog() -> News {
    News::happened(Cause::Watchdog)
}

/// What an I/O error on a device says. *Source*: QEMU tells a full disk from other errors, as `enospc`.
pub(super) fn of_io_error(alias: Option<String>, reason: &str) -> News {
    let cause = if reason == "enospc" { Cause::NoSpace } else { Cause::IoError };
    News::Happened(Happening { cause, subject: alias })
}

/// What a disk's job says. A mirror waits for whoever ends it, and what a backup's parts say, the backup says as a whole.
pub(super) fn of_block_job(kind: u32, status: u32) -> News {
    let mirrors = matches!(kind, sys::VIR_DOMAIN_BLOCK_JOB_TYPE_COPY | sys::VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT);
    News::Altered(match status {
        _ if kind == sys::VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP => None,
        sys::VIR_DOMAIN_BLOCK_JOB_COMPLETED if !mirrors => Some(Cause::JobEnded),
        sys::VIR_DOMAIN_BLOCK_JOB_COMPLETED | sys::VIR_DOMAIN_BLOCK_JOB_CANCELED => Some(Cause::JobStopped),
        sys::VIR_DOMAIN_BLOCK_JOB_FAILED => Some(Cause::JobFailed),
        _ => None,
    })
}

/// What the end of the background job says, from its figures and its error; of others than backups, other events tell.
pub(super) fn of_job(figures: &BTreeMap<&CStr, u64>, error: Option<&str>) -> News {
    let figure = |name| figures.get(name).copied();
    let is_backup = figure(sys::VIR_DOMAIN_JOB_OPERATION) == Some(u64::from(sys::VIR_DOMAIN_JOB_OPERATION_BACKUP));
    // A backup that others read is ended by whoever has read enough, and libvirt calls that a success.
    let is_read = figures.contains_key(sys::VIR_DOMAIN_JOB_DISK_TEMP_TOTAL);
    let success = figure(sys::VIR_DOMAIN_JOB_SUCCESS).is_some_and(|yes| yes != 0);
    News::Altered(is_backup.then_some(match (success, error) {
        (true, _) if !is_read => Cause::JobEnded,
        (false, Some(_)) => Cause::JobFailed,
        (true | false, _) => Cause::JobStopped,
    }))
}

/// What a change of the guest agent's channel says. That the channel is new because the VM is says nothing of the agent.
pub(super) fn of_agent(state: u32, reason: u32) -> News {
    let by_guest = reason != sys::VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_DOMAIN_STARTED;
    match state {
        sys::VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED => News::happened(Cause::AgentReady),
        sys::VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED if by_guest => {
            News::happened(Cause::AgentGone)
        }
        _ => News::Altered(None),
    }
}

/// What a change of metadata says: of an element in a namespace, of the title, of the description.
pub(super) fn of_metadata(kind: u32, uri: Option<String>) -> News {
    let subject = match kind {
        sys::VIR_DOMAIN_METADATA_DESCRIPTION => Some("description".to_owned()),
        sys::VIR_DOMAIN_METADATA_TITLE => Some("title".to_owned()),
        _ => uri,
    };
    News::Happened(Happening { cause: Cause::MetadataChanged, subject })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Actor;
    use uuid::Uuid;

    fn cause(event: sys::virDomainEventType, detail: u32) -> Option<Cause> {
        of_lifecycle(event, detail).into_event(VmId(Uuid::from_u128(1))).cause()
    }

    #[test]
    fn whoever_ended_a_vm_is_told_apart() {
        let stopped = |detail| cause(sys::VIR_DOMAIN_EVENT_STOPPED, detail).map(|cause| (cause, cause.actor()));
        for (detail, told) in [
            (sys::VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN, (Cause::GuestShutdown, Actor::Guest)),
            (sys::VIR_DOMAIN_EVENT_STOPPED_DESTROYED, (Cause::Destroyed, Actor::OutOfBand)),
            (sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED, (Cause::GuestPanicked, Actor::Guest)),
            (sys::VIR_DOMAIN_EVENT_STOPPED_FAILED, (Cause::Crashed, Actor::Hypervisor)),
            (sys::VIR_DOMAIN_EVENT_STOPPED_MIGRATED, (Cause::MigratedAway, Actor::OutOfBand)),
        ] {
            assert_eq!(stopped(detail), Some(told));
            assert_eq!(of_lifecycle(sys::VIR_DOMAIN_EVENT_STOPPED, detail).notice(), Notice::Ended);
        }
        assert_eq!(stopped(999), None);
    }

    #[test]
    fn every_kind_of_event_that_is_known_says_something() {
        let says = [
            (sys::VIR_DOMAIN_EVENT_DEFINED, 4),
            (sys::VIR_DOMAIN_EVENT_STARTED, 5),
            (sys::VIR_DOMAIN_EVENT_STOPPED, 7),
            (sys::VIR_DOMAIN_EVENT_SHUTDOWN, 3),
            (sys::VIR_DOMAIN_EVENT_PMSUSPENDED, 2),
            (sys::VIR_DOMAIN_EVENT_CRASHED, 1),
        ];
        for (event, details) in says {
            for detail in 0..details {
                assert!(cause(event, detail).is_some(), "event {event}, detail {detail}");
            }
        }
        for detail in 1..9 {
            assert!(cause(sys::VIR_DOMAIN_EVENT_SUSPENDED, detail).is_some(), "suspended, detail {detail}");
        }
        assert_eq!(of_lifecycle(sys::VIR_DOMAIN_EVENT_SUSPENDED, 0), News::Power(PowerState::Paused));
        assert_eq!(of_lifecycle(sys::VIR_DOMAIN_EVENT_RESUMED, 0), News::Power(PowerState::Running));
        assert_eq!(of_lifecycle(4711, 0), News::Moved(None));
    }

    #[test]
    fn a_full_disk_is_told_from_a_broken_one_with_its_device() {
        let told = |reason| of_io_error(Some("virtio-disk0".to_owned()), reason);
        let happened = |cause| News::Happened(Happening { cause, subject: Some("virtio-disk0".to_owned()) });
        assert_eq!(told("enospc"), happened(Cause::NoSpace));
        assert_eq!(told("eio"), happened(Cause::IoError));
        assert_eq!(told(""), happened(Cause::IoError));
    }

    #[test]
    fn a_job_that_ends_by_itself_is_told_from_one_that_somebody_ends() {
        use sys::{
            VIR_DOMAIN_BLOCK_JOB_CANCELED as CANCELED, VIR_DOMAIN_BLOCK_JOB_COMPLETED as COMPLETED,
            VIR_DOMAIN_BLOCK_JOB_FAILED as FAILED, VIR_DOMAIN_BLOCK_JOB_READY as READY,
            VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP as BACKUP, VIR_DOMAIN_BLOCK_JOB_TYPE_COPY as COPY,
            VIR_DOMAIN_BLOCK_JOB_TYPE_PULL as PULL,
        };
        for (kind, status, cause) in [
            (PULL, COMPLETED, Some(Cause::JobEnded)),
            (PULL, CANCELED, Some(Cause::JobStopped)),
            (PULL, FAILED, Some(Cause::JobFailed)),
            (COPY, READY, None),
            (COPY, COMPLETED, Some(Cause::JobStopped)),
            (BACKUP, CANCELED, None),
        ] {
            assert_eq!(of_block_job(kind, status), News::Altered(cause), "{kind} {status}");
        }
        let figures = |operation: u32, success, more: Option<&'static CStr>| {
            let known = [(sys::VIR_DOMAIN_JOB_OPERATION, u64::from(operation)), (sys::VIR_DOMAIN_JOB_SUCCESS, success)];
            known.into_iter().chain(more.map(|name| (name, 4096))).collect::<BTreeMap<&CStr, u64>>()
        };
        let backup = |success, more| figures(sys::VIR_DOMAIN_JOB_OPERATION_BACKUP, success, more);
        let (pushed, pulled) = (Some(sys::VIR_DOMAIN_JOB_DISK_TOTAL), Some(sys::VIR_DOMAIN_JOB_DISK_TEMP_TOTAL));
        for (figures, error, cause) in [
            (backup(1, pushed), None, Some(Cause::JobEnded)),
            (backup(0, pushed), None, Some(Cause::JobStopped)),
            (backup(0, pushed), Some("No space left on device"), Some(Cause::JobFailed)),
            (backup(1, pulled), None, Some(Cause::JobStopped)),
            (figures(sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT, 1, None), None, None),
        ] {
            assert_eq!(of_job(&figures, error), News::Altered(cause), "{figures:?} {error:?}");
        }
    }

    #[test]
    fn a_restart_wakes_whoever_waits_for_one() {
        assert_eq!(News::happened(Cause::Rebooted).notice(), Notice::Rebooted);
        assert_eq!(of_watchdog().notice(), Notice::Altered);
        assert_eq!(of_agent(1, 1), News::happened(Cause::AgentReady));
        assert_eq!(of_agent(2, 2), News::happened(Cause::AgentGone));
        assert_eq!(of_agent(2, 1), News::Altered(None));
    }
}
