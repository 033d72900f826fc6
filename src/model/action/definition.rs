//! The persistent definition.

use super::super::state::PowerState::{self, Crashed, Paused, Running, ShutOff};
use super::spec::Down::Closed;
use super::spec::Reach::Usual;
use super::spec::Repeat::Idempotent;
use super::spec::Scope::{Autostart, Backup, Cpu, Definition, Devices, Memory, Power, Process, SavedImage, Snapshots};
use super::spec::Spec;
use super::spec::Undo::{Irreversible, Reversible};
use super::spec::Way::Command;

pub(super) const DEFINE: Spec = Spec {
    name: "definition.define",
    permissions: &["domain:write", "domain:save"],
    reads: &[Power],
    writes: &[Cpu, Memory, Devices, Definition, Autostart],
    states: &PowerState::ALL,
    effect: "defined as asked",
    call: "virDomainDefineXMLFlags",
    repeat: Idempotent,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const UNDEFINE: Spec = Spec {
    name: "definition.undefine",
    permissions: &["domain:delete"],
    reads: &[Power],
    writes: &[Process, Snapshots, Backup, SavedImage, Definition, Autostart],
    states: &[Running, Paused, ShutOff, Crashed],
    effect: "gone once it is shut-off",
    call: "virDomainUndefineFlags",
    repeat: Idempotent,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const RENAME: Spec = Spec {
    name: "definition.rename",
    permissions: &["domain:write", "domain:save"],
    reads: &[Power],
    writes: &[Definition],
    states: &[ShutOff],
    effect: "the name as asked",
    call: "virDomainRename",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};
