//! Disks' sizes, and jobs that move their contents.

use super::super::state::PowerState::{self, Paused, Running};
use super::spec::Down::{Closed, RunsOn};
use super::spec::Reach::Usual;
use super::spec::Repeat::{Distinct, Idempotent};
use super::spec::Scope::{Device, Disks, Power, Process, Snapshots};
use super::spec::Spec;
use super::spec::Undo::{Irreversible, Reversible};
use super::spec::Way::{Command, Relay};

pub(super) const DISK_RESIZE: Spec = Spec {
    name: "disk.resize",
    permissions: &["domain:block_write"],
    reads: &[Power, Device],
    writes: &[Disks],
    states: &[Running, Paused],
    effect: "a larger disk",
    call: "virDomainBlockResize",
    repeat: Idempotent,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const DISK_WRITE: Spec = Spec {
    name: "disk.write",
    permissions: &["storage_vol:data_write", "storage_vol:format", "storage_vol:delete", "storage_vol:resize"],
    reads: &[],
    writes: &[Disks],
    states: &PowerState::ALL,
    effect: "other contents in a disk's image",
    call: "virStorageVolUpload",
    repeat: Distinct,
    undo: Irreversible,
    way: Relay,
    reach: Usual,
    down: Closed,
};

pub(super) const COMMIT: Spec = Spec {
    name: "block.commit",
    permissions: &["domain:block_write"],
    reads: &[Power, Process, Device],
    writes: &[Disks, Snapshots],
    states: &[Running, Paused],
    effect: "a block job is open",
    call: "virDomainBlockCommit",
    repeat: Distinct,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: RunsOn,
};

pub(super) const PULL: Spec = Spec {
    name: "block.pull",
    permissions: &["domain:block_write"],
    reads: &[Power, Process, Device],
    writes: &[Disks],
    states: &[Running, Paused],
    effect: "a block job is open",
    call: "virDomainBlockRebase",
    repeat: Distinct,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: RunsOn,
};

pub(super) const COPY: Spec = Spec {
    name: "block.copy",
    permissions: &["domain:block_write"],
    reads: &[Power, Process, Device],
    writes: &[Disks],
    states: &[Running, Paused],
    effect: "a block job is open",
    call: "virDomainBlockCopy",
    repeat: Distinct,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: RunsOn,
};

pub(super) const ABORT: Spec = Spec {
    name: "block.abort",
    permissions: &["domain:write"],
    reads: &[Power],
    writes: &[Disks],
    states: &[Running, Paused],
    effect: "no block job is open",
    call: "virDomainBlockJobAbort",
    repeat: Idempotent,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};
