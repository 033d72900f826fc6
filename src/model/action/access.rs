//! Reading, locking, and channels that are opened at a door.

use super::super::state::PowerState::{self, Crashed, Paused, PmSuspended, Running, ShutOff, ShuttingDown};
use super::spec::Down::{Closed, Open};
use super::spec::Reach::{ByName, Usual};
use super::spec::Repeat::{Distinct, Idempotent};
use super::spec::Scope::{
    Autostart, Backup, Console, Cpu, Definition, Devices, Disks, GuestAgent, Lock, Memory, Power, Process, SavedImage,
    Screen, Snapshots,
};
use super::spec::Spec;
use super::spec::Undo::{Irreversible, Reversible};
use super::spec::Way::{Channel, Command, Relay};

pub(super) const LOCK_ACQUIRE: Spec = Spec {
    name: "lock.acquire",
    permissions: &[],
    reads: &[],
    writes: &[
        Power, Process, Cpu, Memory, Disks, Devices, Snapshots, Backup, GuestAgent, Definition, Autostart, SavedImage,
        Lock,
    ],
    states: &PowerState::ALL,
    effect: "a lock is held",
    call: "none",
    repeat: Distinct,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Open,
};

pub(super) const LOCK_RELEASE: Spec = Spec {
    name: "lock.release",
    permissions: &[],
    reads: &[],
    writes: &[Lock],
    states: &PowerState::ALL,
    effect: "no lock is held",
    call: "none",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Open,
};

pub(super) const MONITOR_COMMAND: Spec = Spec {
    name: "monitor.command",
    permissions: &["domain:write"],
    reads: &[],
    writes: &[Power, Process, Cpu, Memory, Disks, Devices, Snapshots, Backup, GuestAgent, SavedImage],
    states: &[Running, Paused, ShuttingDown, Crashed, PmSuspended],
    effect: "whatever the command does",
    call: "virDomainQemuMonitorCommand",
    repeat: Distinct,
    undo: Irreversible,
    way: Relay,
    reach: ByName,
    down: Closed,
};

pub(super) const CONSOLE_OPEN: Spec = Spec {
    name: "console.open",
    permissions: &["domain:open_device"],
    reads: &[Power],
    writes: &[Console],
    states: &[Running, Paused],
    effect: "a channel is open",
    call: "virDomainOpenConsole",
    repeat: Distinct,
    undo: Reversible,
    way: Channel,
    reach: Usual,
    down: Closed,
};

pub(super) const SCREEN_OPEN: Spec = Spec {
    name: "screen.open",
    permissions: &["domain:open_graphics"],
    reads: &[Power],
    writes: &[Screen],
    states: &[Running, Paused],
    effect: "a channel is open",
    call: "virDomainOpenGraphicsFD",
    repeat: Distinct,
    undo: Reversible,
    way: Channel,
    reach: Usual,
    down: Closed,
};

pub(super) const SCREEN_CAPTURE: Spec = Spec {
    name: "screen.capture",
    permissions: &["domain:screenshot"],
    reads: &[Power],
    writes: &[Screen],
    states: &[Running, Paused],
    effect: "none",
    call: "virDomainScreenshot",
    repeat: Distinct,
    undo: Reversible,
    way: Channel,
    reach: Usual,
    down: Closed,
};

pub(super) const DISK_READ: Spec = Spec {
    name: "disk.read",
    permissions: &["storage_vol:data_read"],
    reads: &[Power, Process, Disks],
    // No checkpoint or backup begins meanwhile.
    writes: &[Backup],
    states: &[ShutOff, Crashed],
    effect: "a channel is open",
    call: "virStorageVolDownload",
    repeat: Distinct,
    undo: Reversible,
    way: Channel,
    reach: Usual,
    down: Closed,
};

pub(super) const GUEST_INFO: Spec = Spec {
    name: "guest.info",
    permissions: &[],
    reads: &[Power],
    // The agent answers one at a time.
    writes: &[GuestAgent],
    states: &[Running],
    effect: "none",
    call: "virDomainGetGuestInfo",
    repeat: Distinct,
    undo: Reversible,
    way: Channel,
    reach: Usual,
    down: Closed,
};

pub(super) const INSPECT_READ: Spec = Spec {
    name: "inspect.read",
    permissions: &["domain:read"],
    reads: &[],
    writes: &[],
    states: &PowerState::ALL,
    effect: "none",
    call: "virDomainGetInfo",
    repeat: Distinct,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};
