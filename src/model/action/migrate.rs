//! Moving to another host.

use super::super::state::PowerState::{Paused, Running};
use super::spec::Down::{Closed, RunsOn};
use super::spec::Reach::Usual;
use super::spec::Repeat::{Distinct, Idempotent};
use super::spec::Scope::{
    Autostart, Backup, Cpu, Definition, Devices, Disks, GuestAgent, Memory, Power, Process, Snapshots,
};
use super::spec::Spec;
use super::spec::Undo::{Irreversible, Reversible};
use super::spec::Way::Command;

pub(super) const BEGIN: Spec = Spec {
    name: "migrate.begin",
    permissions: &["domain:migrate"],
    reads: &[],
    writes: &[Power, Process, Cpu, Memory, Disks, Devices, Snapshots, Backup, GuestAgent, Definition, Autostart],
    states: &[Running, Paused],
    effect: "on its way to another host",
    call: "virDomainMigrateToURI3",
    repeat: Distinct,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: RunsOn,
};

pub(super) const ABORT: Spec = Spec {
    name: "migrate.abort",
    permissions: &["domain:write"],
    reads: &[Power],
    writes: &[Process],
    states: &[Running, Paused],
    effect: "it stays",
    call: "virDomainAbortJob",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};
