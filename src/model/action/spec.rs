//! What is declared of one action.

use super::super::state::PowerState;

/// A part of a VM that an action reads or writes, without its name: the disks, not this disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Whether and how the vCPUs run.
    Power,
    /// The process that runs the VM: it is there or it is not, and jobs live in it.
    Process,
    /// vCPUs.
    Cpu,
    /// Memory.
    Memory,
    /// Disks' contents: those that the arguments name, or all.
    Disks,
    /// The set of devices.
    Devices,
    /// The device that the arguments name: that it is there, and what it is.
    Device,
    /// How fast a device may be, by the device that the arguments name; without a name, all that the host gives the VM.
    Tuning,
    /// The set of snapshots.
    Snapshots,
    /// Backups and checkpoints.
    Backup,
    /// The guest's agent and what it holds still.
    GuestAgent,
    /// The persistent definition.
    Definition,
    /// Whether the VM is started with its host.
    Autostart,
    /// The image of a VM that was put to sleep.
    SavedImage,
    /// One element of the domain's metadata, by its namespace.
    Metadata,
    /// The lock that a provider may take on the whole VM.
    Lock,
    /// The serial console.
    Console,
    /// The graphical screen.
    Screen,
    /// What is fed to the guest from outside: keys and signals.
    Input,
}

impl Scope {
    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Process => "process",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disks => "disks",
            Self::Devices => "devices",
            Self::Device => "device",
            Self::Tuning => "tuning",
            Self::Snapshots => "snapshots",
            Self::Backup => "backup",
            Self::GuestAgent => "guest-agent",
            Self::Definition => "definition",
            Self::Autostart => "autostart",
            Self::SavedImage => "saved-image",
            Self::Metadata => "metadata",
            Self::Lock => "lock",
            Self::Console => "console",
            Self::Screen => "screen",
            Self::Input => "input",
        }
    }

    /// Whether two things of these kinds can be, or be part of, the same thing.
    #[must_use]
    pub fn may_meet(self, other: Self) -> bool {
        self == other || matches!((self, other), (Self::Devices, Self::Device) | (Self::Device, Self::Devices))
    }
}

/// Whether asking twice for the same means the same as asking once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Two equal wishes are one.
    Idempotent,
    /// Each execution leaves something of its own.
    Distinct,
}

/// Whether what the action takes away can be given back by another action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    /// Another action undoes it; it may go at once.
    Reversible,
    /// Something is lost for good (the guest's memory, a snapshot); a rival is listened for first.
    Irreversible,
}

/// How the action is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By a command on the VM's lane.
    Command,
    /// By opening a channel at a door; the lane only says who may.
    Channel,
    /// By a libvirt client's own call, which a door forwards: no request can say it.
    Relay,
}

/// What becomes of the action while the agent is down. The VM itself sees nothing of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// Fails closed: at the API and at the doors nothing of it passes. Whoever may reach libvirt itself still may.
    Closed,
    /// Fails closed, too; but what was begun before goes on at libvirt, and nobody ends it by its lease until the agent is
    /// back.
    RunsOn,
    /// Fails open: it is covirt's own promise, and libvirt knows nothing of it.
    Open,
}

impl Down {
    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::RunsOn => "closed, runs on",
            Self::Open => "open",
        }
    }
}

/// Which delegations and holders an action is a part of without being named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The primary has it, and `group.*` means it, too.
    Usual,
    /// Whoever has it can get round every other action: nobody but the operator has it unless it was delegated by its
    /// own name, by the operator.
    ByName,
}

/// All that is declared of one action.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// `group.verb`, on the wire and everywhere else.
    pub name: &'static str,
    /// libvirt's ACL permissions for the calls behind it. *Source*: libvirt's remote protocol annotations.
    pub permissions: &'static [&'static str],
    /// What must not change while it runs.
    pub reads: &'static [Scope],
    /// What it changes.
    pub writes: &'static [Scope],
    /// The power states in which it is possible.
    pub states: &'static [PowerState],
    /// What it does to the state, in words.
    pub effect: &'static str,
    /// The libvirt call behind it.
    pub call: &'static str,
    /// Whether two equal wishes are one.
    pub repeat: Repeat,
    /// Whether it can be undone.
    pub undo: Undo,
    /// How it is done.
    pub way: Way,
    /// Who has it without its being named.
    pub reach: Reach,
    /// What becomes of it while the agent is down.
    pub down: Down,
}
