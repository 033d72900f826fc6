//! What the guest does for its provider, through its agent.

use super::super::state::PowerState::{Paused, PmSuspended, Running, ShuttingDown};
use super::spec::Down::{Closed, RunsOn};
use super::spec::Reach::Usual;
use super::spec::Repeat::{Distinct, Idempotent};
use super::spec::Scope::{GuestAgent, Input, Power, Process};
use super::spec::Spec;
use super::spec::Undo::{Irreversible, Reversible};
use super::spec::Way::{Command, Relay};

pub(super) const FREEZE: Spec = Spec {
    name: "guest.freeze",
    permissions: &["domain:fs_freeze"],
    reads: &[Power, Process],
    writes: &[GuestAgent],
    states: &[Running],
    effect: "file systems are frozen",
    call: "virDomainFSFreeze",
    repeat: Distinct,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: RunsOn,
};

pub(super) const THAW: Spec = Spec {
    name: "guest.thaw",
    permissions: &["domain:fs_freeze"],
    reads: &[Power],
    writes: &[GuestAgent],
    states: &[Running],
    effect: "no file system is frozen",
    call: "virDomainFSThaw",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const TRIM: Spec = Spec {
    name: "guest.trim",
    permissions: &["domain:fs_trim"],
    reads: &[Power],
    writes: &[GuestAgent],
    states: &[Running],
    effect: "unused blocks are given back",
    call: "virDomainFSTrim",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const COMMAND: Spec = Spec {
    name: "guest.command",
    permissions: &["domain:write"],
    reads: &[Power],
    writes: &[GuestAgent],
    states: &[Running],
    effect: "whatever the command does",
    call: "virDomainQemuAgentCommand",
    repeat: Distinct,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const SET_TIME: Spec = Spec {
    name: "guest.set-time",
    permissions: &["domain:set_time"],
    reads: &[Power],
    writes: &[GuestAgent],
    states: &[Running],
    effect: "the guest's clock as asked",
    call: "virDomainSetTime",
    repeat: Distinct,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const SET_PASSWORD: Spec = Spec {
    name: "guest.set-password",
    permissions: &["domain:set_password"],
    reads: &[Power],
    writes: &[GuestAgent],
    states: &[Running],
    effect: "the user's password as asked",
    call: "virDomainSetUserPassword",
    repeat: Distinct,
    undo: Irreversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const INPUT: Spec = Spec {
    name: "guest.input",
    permissions: &["domain:send_input", "domain:inject_nmi", "domain:send_signal", "domain:pm_control"],
    reads: &[Power],
    writes: &[Input],
    states: &[Running, Paused, ShuttingDown, PmSuspended],
    effect: "whatever the guest makes of it",
    call: "virDomainSendKey",
    repeat: Distinct,
    undo: Irreversible,
    way: Relay,
    reach: Usual,
    down: Closed,
};
