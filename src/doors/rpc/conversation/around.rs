//! What the machine asks of its surroundings. Every answer comes from memory, at once.

use super::super::view::{Eyes, HostNames};
use crate::model::{VmId, Wall};

/// What a VM is to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody co-manages it, as far as is known; it need not even be there.
    Free,
    /// Others co-manage it.
    Others,
    /// The provider co-manages it.
    Own,
}

/// Whether a provider may do what is the host's own business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It sees VMs that nobody co-manages, writes the host's objects, and becomes the primary of what it creates.
    Host,
    /// It has its VMs, and reads the host's objects.
    Plain,
}

/// What carries the client's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// A socket of this host, which carries open files, too.
    Local,
    /// A network.
    Remote,
}

/// What the machine asks.
pub trait Around: Eyes {
    /// What a VM is to the provider.
    fn standing(&self, vm: VmId) -> Standing;

    /// The co-managed VM of this name, whoever manages it.
    fn by_name(&self, name: &str) -> Option<VmId>;

    /// The time now.
    fn now(&self) -> Wall;

    /// The names of what is on the host.
    fn host(&self) -> &HostNames;

    /// Why nothing new of the provider's may begin on a VM, or on the host as such; none when it may.
    fn stopped(&self, _vm: Option<VmId>) -> Option<String> {
        None
    }

    /// What carries the client's messages.
    fn wire(&self) -> Wire;

    /// The provider's role.
    fn role(&self) -> Role {
        if self.sees_host() { Role::Host } else { Role::Plain }
    }
}
