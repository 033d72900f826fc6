//! Whether and how the VM runs.

use super::super::state::PowerState::{Crashed, Paused, PmSuspended, Running, ShutOff, ShuttingDown};
use super::spec::Down::Closed;
use super::spec::Reach::Usual;
use super::spec::Repeat::Idempotent;
use super::spec::Scope::{Cpu, Definition, Devices, Disks, Memory, Power, Process, SavedImage};
use super::spec::Spec;
use super::spec::Undo::{Irreversible, Reversible};
use super::spec::Way::Command;

pub(super) const START: Spec = Spec {
    name: "power.start",
    permissions: &["domain:start"],
    reads: &[Cpu, Memory, Disks, Devices, Definition],
    writes: &[Power, Process],
    states: &[ShutOff, Crashed],
    effect: "running",
    call: "virDomainCreate",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const SHUTDOWN: Spec = Spec {
    name: "power.shutdown",
    permissions: &["domain:init_control"],
    reads: &[],
    writes: &[Power, Process],
    states: &[Running],
    effect: "shut-off",
    call: "virDomainShutdown",
    repeat: Idempotent,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const REBOOT: Spec = Spec {
    name: "power.reboot",
    permissions: &["domain:init_control"],
    reads: &[],
    writes: &[Power],
    states: &[Running],
    effect: "running, from a new boot",
    call: "virDomainReboot",
    repeat: Idempotent,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const RESET: Spec = Spec {
    name: "power.reset",
    permissions: &["domain:reset"],
    reads: &[],
    writes: &[Power],
    states: &[Running, Paused],
    effect: "unchanged, from a new boot",
    call: "virDomainReset",
    repeat: Idempotent,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const STOP: Spec = Spec {
    name: "power.stop",
    permissions: &["domain:stop"],
    reads: &[],
    writes: &[Power, Process],
    states: &[Running, Paused, ShuttingDown, Crashed, PmSuspended],
    effect: "shut-off",
    call: "virDomainDestroy",
    repeat: Idempotent,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const SUSPEND: Spec = Spec {
    name: "power.suspend",
    permissions: &["domain:suspend"],
    reads: &[],
    writes: &[Power],
    states: &[Running],
    effect: "paused",
    call: "virDomainSuspend",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const RESUME: Spec = Spec {
    name: "power.resume",
    permissions: &["domain:suspend"],
    reads: &[],
    writes: &[Power],
    states: &[Paused],
    effect: "running",
    call: "virDomainResume",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const SAVE: Spec = Spec {
    name: "power.save",
    permissions: &["domain:hibernate"],
    reads: &[],
    writes: &[Power, Process, SavedImage],
    states: &[Running, Paused],
    effect: "shut-off, with the memory in an image",
    call: "virDomainManagedSave",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const RESTORE: Spec = Spec {
    name: "power.restore",
    permissions: &["domain:start"],
    reads: &[Cpu, Memory, Disks, Devices, Definition],
    writes: &[Power, Process, SavedImage],
    states: &[ShutOff],
    effect: "as it was when it was saved",
    call: "virDomainCreate",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const SAVE_REMOVE: Spec = Spec {
    name: "power.save-remove",
    permissions: &["domain:hibernate"],
    reads: &[Power],
    writes: &[SavedImage],
    states: &[ShutOff],
    effect: "no image",
    call: "virDomainManagedSaveRemove",
    repeat: Idempotent,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};
