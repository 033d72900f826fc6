//! Values that a later write replaces whole.

use super::super::state::PowerState::{self, Crashed, Paused, Running, ShutOff};
use super::spec::Repeat::Idempotent;
use super::spec::Scope::{Autostart, Cpu, Definition, Device, Memory, Metadata, Power, Tuning};
use super::spec::Spec;
use super::spec::Undo::Reversible;
use super::spec::Way::Command;

pub(super) const CPU_SET: Spec = Spec {
    name: "cpu.set",
    permissions: &["domain:write", "domain:save"],
    reads: &[Power],
    writes: &[Cpu],
    states: &[Running, Paused, ShutOff, Crashed],
    effect: "vCPUs as asked",
    call: "virDomainSetVcpusFlags",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
};

pub(super) const MEMORY_SET: Spec = Spec {
    name: "memory.set",
    permissions: &["domain:write", "domain:save"],
    reads: &[Power],
    writes: &[Memory],
    states: &[Running, Paused, ShutOff, Crashed],
    effect: "memory as asked",
    call: "virDomainSetMemoryFlags",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
};

pub(super) const METADATA_SET: Spec = Spec {
    name: "metadata.set",
    permissions: &["domain:write", "domain:save"],
    reads: &[Definition],
    writes: &[Metadata],
    states: &PowerState::ALL,
    effect: "metadata as asked",
    call: "virDomainSetMetadata",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
};

pub(super) const NIC_QOS: Spec = Spec {
    name: "nic.qos",
    permissions: &["domain:write", "domain:save"],
    reads: &[Power, Device],
    writes: &[Tuning],
    states: &[Running, Paused, ShutOff, Crashed],
    effect: "bandwidth as asked",
    call: "virDomainSetInterfaceParameters",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
};

pub(super) const DISK_IOTUNE: Spec = Spec {
    name: "disk.iotune",
    permissions: &["domain:write", "domain:save"],
    reads: &[Power, Device],
    writes: &[Tuning],
    states: &[Running, Paused, ShutOff, Crashed],
    effect: "limits as asked",
    call: "virDomainSetBlockIoTune",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
};

pub(super) const AUTOSTART_SET: Spec = Spec {
    name: "autostart.set",
    permissions: &["domain:write"],
    reads: &[Definition],
    writes: &[Autostart],
    states: &PowerState::ALL,
    effect: "autostart as asked",
    call: "virDomainSetAutostart",
    repeat: Idempotent,
    undo: Reversible,
    way: Command,
};
