//! What was decided about each procedure: a lookup in a table that is there at compile time.

use super::remote;
use crate::doors::rpc::frame::{LXC, QEMU, REMOTE};

/// What of a call is looked at: the place of what it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Nothing of a VM, or something that only the mapping can read: domain XML, migrations, files.
    Nothing,
    /// A domain comes first.
    Vm,
    /// A snapshot or a checkpoint: its name, then its domain.
    VmAfterName,
    /// A domain's name.
    VmName,
    /// A domain's UUID.
    VmUuid,
    /// A domain that may be left out.
    MaybeVm,
    /// An event's number, then a domain that may be left out.
    MaybeVmAfterWord,
    /// A list of domains. Libvirt passes over those that are not there, and what it says of the others is sifted.
    Vms,
    /// A volume.
    Volume,
    /// A pool, then a volume's name.
    VolumeInPool,
    /// A volume's key, which is its path in most pools.
    VolumeKey,
    VolumePath,
    /// A pool, an XML, then the volume that is copied.
    Clone,
    /// A node device's name.
    Device,
    /// An event's number, then a node device that may be left out.
    MaybeDeviceAfterWord,
    /// A host interface.
    Interface,
    InterfaceName,
    InterfaceMac,
    /// A network's port.
    Port,
    /// A network, then its port's UUID.
    PortInNetwork,
    /// A network filter's binding.
    Binding,
    /// The host's end of a NIC.
    HostNic,
    /// A secret.
    Secret,
    SecretUuid,
    /// What kind of use, and for what.
    SecretUsage,
    /// An event's number, then a secret that may be left out.
    MaybeSecretAfterWord,
}

/// How a reply or an event is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// It has nothing of any VM but the one that the call named, or made: passed on as it came.
    Plain,
    /// It counts, or cuts off, what it does not name.
    Recounted,
    /// A list, of which [`Listing`](super::listing::Listing) knows the layout.
    List,
    /// A secret's value.
    SecretValue,
    /// One thing that was looked up.
    One(One),
    /// A text.
    Xml(Xml),
    /// No reply, but an event.
    Event(Event),
}

/// A thing that was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum One {
    Vm,
    Volume,
    /// A volume's path.
    Path,
    Device,
    Interface,
    Secret,
    Port,
    Binding,
}

/// What an XML is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Xml {
    Volume,
    Network,
    Interface,
    Secret,
    /// A file's domain.
    Vm,
    /// A thing that says which VM owns it.
    Owned,
}

/// What an event begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Vm,
    /// The number of its registration, then a domain.
    VmAfterWord,
    Device,
    Secret,
    /// Something of the host, or the connection.
    Host,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) names: Names,
    pub(super) shows: Shows,
}

const fn decided(names: Names, shows: Shows) -> Option<Decided> {
    Some(Decided { names, shows })
}

/// What was decided; nothing about what the tables lack.
pub(super) fn of(program: u32, procedure: u32) -> Option<Decided> {
    match (program, procedure) {
        (REMOTE, _) => remote::DECIDED.get(usize::try_from(procedure).ok()?).copied().flatten(),
        // Monitor command, agent command, monitor command with files.
        (QEMU, 1 | 3 | 7) => decided(Names::Vm, Shows::Plain),
        // Attach to a process: the mapping asks whose it is. Deregister.
        (QEMU, 2 | 5) => decided(Names::Nothing, Shows::Plain),
        (QEMU, 4) => decided(Names::MaybeVm, Shows::Plain),
        (QEMU, 6) => decided(Names::Nothing, Shows::Event(Event::VmAfterWord)),
        // Open a name space.
        (LXC, 1) => decided(Names::Vm, Shows::Plain),
        (_, _) => None,
    }
}
