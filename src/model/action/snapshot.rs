//! Snapshots: a state to go back to.

use super::super::state::PowerState::{Crashed, Paused, Running, ShutOff};
use super::spec::Down::Closed;
use super::spec::Reach::Usual;
use super::spec::Repeat::{Distinct, Idempotent};
use super::spec::Scope::{Cpu, Definition, Devices, Disks, Memory, Power, Process, Snapshots};
use super::spec::Spec;
use super::spec::Undo::{Irreversible, Reversible};
use super::spec::Way::Command;

pub(super) const CREATE: Spec = Spec {
    name: "snapshot.create",
    permissions: &["domain:snapshot"],
    reads: &[Power, Cpu, Memory, Devices],
    writes: &[Disks, Snapshots],
    states: &[Running, Paused, ShutOff],
    effect: "one snapshot more",
    call: "virDomainSnapshotCreateXML",
    repeat: Distinct,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const REVERT: Spec = Spec {
    name: "snapshot.revert",
    permissions: &["domain:snapshot"],
    reads: &[],
    writes: &[Power, Process, Cpu, Memory, Disks, Devices, Snapshots, Definition],
    states: &[Running, Paused, ShutOff, Crashed],
    effect: "as the snapshot had it",
    call: "virDomainRevertToSnapshot",
    repeat: Distinct,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const DELETE: Spec = Spec {
    name: "snapshot.delete",
    permissions: &["domain:snapshot"],
    reads: &[Power],
    writes: &[Disks, Snapshots],
    states: &[Running, Paused, ShutOff, Crashed],
    effect: "one snapshot less",
    call: "virDomainSnapshotDelete",
    repeat: Idempotent,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};
