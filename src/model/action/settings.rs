//! Values that a later write replaces whole.

use super::super::state::PowerState::{self, Crashed, Paused, Running, ShutOff};
use super::spec::Down::Closed;
use super::spec::Reach::Usual;
use super::spec::Repeat::{Distinct, Idempotent};
use super::spec::Scope::{Autostart, Cpu, Definition, Device, Memory, Metadata, Power, Process, Tuning};
use super::spec::Spec;
use super::spec::Undo::{Irreversible, Reversible};
use super::spec::Way::{Command, Relay};

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
    reach: Usual,
    down: Closed,
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
    reach: Usual,
    down: Closed,
};

pub(super) const MEMORY_DUMP: Spec = Spec {
    name: "memory.dump",
    permissions: &["domain:core_dump"],
    reads: &[Cpu, Memory],
    writes: &[Power, Process],
    states: &[Running, Paused, Crashed],
    effect: "the guest's memory in a file",
    call: "virDomainCoreDumpWithFormat",
    repeat: Distinct,
    undo: Irreversible,
    way: Relay,
    reach: Usual,
    down: Closed,
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
    reach: Usual,
    down: Closed,
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
    reach: Usual,
    down: Closed,
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
    reach: Usual,
    down: Closed,
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
    reach: Usual,
    down: Closed,
};

pub(super) const TUNING_SET: Spec = Spec {
    name: "tuning.set",
    permissions: &["domain:write", "domain:save"],
    reads: &[Power],
    writes: &[Tuning],
    states: &PowerState::ALL,
    effect: "what the host gives it as asked",
    call: "virDomainSetSchedulerParametersFlags",
    repeat: Idempotent,
    undo: Reversible,
    way: Relay,
    reach: Usual,
    down: Closed,
};
