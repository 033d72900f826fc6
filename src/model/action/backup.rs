//! Backups and the checkpoints that make them incremental.

use super::super::state::PowerState::{Paused, Running};
use super::spec::Down::{Closed, RunsOn};
use super::spec::Reach::Usual;
use super::spec::Repeat::{Distinct, Idempotent};
use super::spec::Scope::{Backup, Disks, Power, Process};
use super::spec::Spec;
use super::spec::Undo::{Irreversible, Reversible};
use super::spec::Way::Command;

pub(super) const BEGIN: Spec = Spec {
    name: "backup.begin",
    permissions: &["domain:checkpoint", "domain:block_write"],
    reads: &[Power, Process],
    writes: &[Disks, Backup],
    states: &[Running, Paused],
    effect: "a backup is open",
    call: "virDomainBackupBegin",
    repeat: Distinct,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: RunsOn,
};

pub(super) const END: Spec = Spec {
    name: "backup.end",
    permissions: &["domain:write"],
    reads: &[Power],
    writes: &[Backup],
    states: &[Running, Paused],
    effect: "no backup is open",
    call: "virDomainAbortJob",
    repeat: Idempotent,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const CHECKPOINT_CREATE: Spec = Spec {
    name: "checkpoint.create",
    permissions: &["domain:checkpoint"],
    reads: &[Power, Process],
    writes: &[Disks, Backup],
    states: &[Running, Paused],
    effect: "one checkpoint more",
    call: "virDomainCheckpointCreateXML",
    repeat: Distinct,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const CHECKPOINT_DELETE: Spec = Spec {
    name: "checkpoint.delete",
    permissions: &["domain:checkpoint"],
    reads: &[Power],
    writes: &[Disks, Backup],
    states: &[Running, Paused],
    effect: "one checkpoint less",
    call: "virDomainCheckpointDelete",
    repeat: Idempotent,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};
