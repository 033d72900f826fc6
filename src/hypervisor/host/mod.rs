//! The host under libvirt, asked past libvirt: its links and neighbours by netlink, its switch ports by the database of
//! Open vSwitch.
//!
//! Assumes that the caller may wait: these are calls for a thread of the adapter's pool, not for one that polls futures.
//! Guarantees an end to each (a limit of time and of size), that nothing is changed, and a whole answer or a fault. They
//! tell of the host this process runs on, in its own network namespace; [`holds_libvirtd`] says whether that is libvirt's.

mod links;
mod ovs;
mod place;

pub use self::links::{HostLinks, ReadLinksError, read_links};
pub use self::ovs::{OVS_SOCKETS, ReadOvsError, read_ovs_ports};
pub use self::place::holds_libvirtd;
