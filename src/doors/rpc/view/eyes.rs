//! What the view has to be told about a provider, in a few small questions.

use crate::model::VmId;

/// What a provider may see. Asked often and by the thread that relays: every answer comes from memory, at once.
pub trait Eyes {
    /// Whether it may see this VM: it co-manages it, or it has the host role and nobody co-manages it. For an id that
    /// is no VM's, the host role says.
    fn sees(&self, vm: VmId) -> bool;

    /// The same, by name.
    fn sees_name(&self, name: &str) -> bool;

    /// Whether it has the role that reads secrets.
    fn sees_secrets(&self) -> bool;

    /// Whether it has the host role: all of the host is shown but the VMs that only others co-manage, and what is theirs.
    fn sees_host(&self) -> bool;

    /// Whether there is no VM on the host that it does not see. Nothing is looked at then.
    fn sees_all(&self) -> bool {
        false
    }

    /// To which VMs something on the host belongs.
    fn whose(&self, thing: Thing<'_>) -> Whose {
        let _ = thing;
        Whose::Unknown
    }
}

/// Something on the host that may be a VM's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing<'a> {
    /// The MAC address of a NIC, in whatever case. The host's end of a NIC has the same with `fe` in front.
    Mac(&'a str),
    /// The host's end of a NIC: `vnet3`.
    HostNic(&'a str),
    /// A file or a block device: a disk, an image in a disk's chain, an NVRAM file, a mirror, a shared directory.
    Path(&'a str),
    /// A storage volume. The key is libvirt's word in a reply, and only a claim in a call.
    Volume { pool: &'a str, name: &'a str, key: Option<&'a str> },
    /// A port of a virtual network, by its UUID.
    NetworkPort(uuid::Uuid),
    /// A name that may be a VM's: a host name in DNS or DHCP.
    Name(&'a str),
}

/// To which VMs something belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// To one at least that the provider sees.
    Seen,
    /// Only to such that it does not see.
    Unseen,
    /// To no VM. Only to be said when every VM of the host is known, with all that is its.
    Nobodys,
    /// That cannot be told.
    Unknown,
}
