//! Devices that come and go.

use super::super::state::PowerState::{Crashed, Paused, Running, ShutOff};
use super::spec::Down::Closed;
use super::spec::Reach::Usual;
use super::spec::Repeat::{Distinct, Idempotent};
use super::spec::Scope::{Device, Disks, Power};
use super::spec::Spec;
use super::spec::Undo::Reversible;
use super::spec::Way::Command;

pub(super) const ATTACH: Spec = Spec {
    name: "device.attach",
    permissions: &["domain:write", "domain:save"],
    reads: &[Power],
    writes: &[Device, Disks],
    states: &[Running, Paused, ShutOff, Crashed],
    effect: "one device more",
    call: "virDomainAttachDeviceFlags",
    repeat: Distinct,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const DETACH: Spec = Spec {
    name: "device.detach",
    permissions: &["domain:write", "domain:save"],
    reads: &[Power],
    writes: &[Device, Disks],
    states: &[Running, Paused, ShutOff, Crashed],
    effect: "one device less",
    call: "virDomainDetachDeviceFlags",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};

pub(super) const UPDATE: Spec = Spec {
    name: "device.update",
    permissions: &["domain:write", "domain:save"],
    reads: &[Power],
    writes: &[Device, Disks],
    states: &[Running, Paused, ShutOff, Crashed],
    effect: "the device as asked",
    call: "virDomainUpdateDeviceFlags",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
    reach: Usual,
    down: Closed,
};
