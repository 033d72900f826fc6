//! The questions of an inventory that the safe binding answers wrongly or not at all: it reads block info
//! that was never filled when libvirt fails, panics on no address and leaks the interfaces, and knows no leases.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::raw::c_char;

use virt::domain::Domain;
use virt::error::Error;
use virt::network::Network;
use virt::sys;

use super::owned::OwnedArray;
use crate::discovery::{AgentAddress, DiskSize, Lease, Neighbour};
use crate::model::{Bytes, Mac, Wall};

/// A disk's sizes.
pub(super) fn disk_size(domain: &Domain, target: &str) -> Result<DiskSize, Error> {
    let target = CString::new(target)?;
    let mut info = MaybeUninit::<sys::virDomainBlockInfo>::uninit();
    // SAFETY: the domain is open, the name ends with a zero byte, and libvirt fills the struct if it returns zero.
    let info = unsafe {
        if sys::virDomainGetBlockInfo(domain.as_ptr(), target.as_ptr(), info.as_mut_ptr(), 0) != 0 {
            return Err(Error::last_error());
        }
        info.assume_init()
    };
    let (capacity, allocation, physical) = (Bytes(info.capacity), Bytes(info.allocation), Bytes(info.physical));
    Ok(DiskSize { capacity, allocation, physical })
}

/// The DHCP leases of a libvirt network.
pub(super) fn leases(network: &Network) -> Result<Vec<Lease>, Error> {
    let mut found: *mut sys::virNetworkDHCPLeasePtr = std::ptr::null_mut();
    // SAFETY: the network is open; libvirt sets `found` to an array of the length it returns.
    let count = unsafe { sys::virNetworkGetDHCPLeases(network.as_ptr(), std::ptr::null(), &raw mut found, 0) };
    let pointers = OwnedArray::of(found, count, free_lease)?;
    let leases = pointers.items().iter().filter_map(|lease| {
        // SAFETY: every pointer of the array is to a lease that lives as long as the array.
        let lease = unsafe { lease.as_ref() }?;
        let prefix = u8::try_from(lease.prefix).ok();
        // One that never ends has no time.
        let expires = (lease.expirytime > 0).then(|| Wall::from_micros(lease.expirytime.saturating_mul(1_000_000)));
        Some(Lease { mac: parsed(lease.mac)?, ip: parsed(lease.ipaddr)?, prefix, expires })
    });
    Ok(leases.collect())
}

/// The addresses the guest agent tells. It may take as long as the agent likes.
pub(super) fn agent_addresses(domain: &Domain) -> Result<Vec<AgentAddress>, Error> {
    addresses(domain, sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
}

/// What the neighbour table of libvirt's host says.
pub(super) fn neighbours(domain: &Domain) -> Result<Vec<Neighbour>, Error> {
    let seen = addresses(domain, sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP)?;
    Ok(seen.into_iter().map(|AgentAddress { mac, ip, prefix: _ }| Neighbour { mac, ip }).collect())
}

/// A VM's addresses, as one source knows them.
pub(super) fn addresses(
    domain: &Domain,
    source: sys::virDomainInterfaceAddressesSource,
) -> Result<Vec<AgentAddress>, Error> {
    let mut found: *mut sys::virDomainInterfacePtr = std::ptr::null_mut();
    // SAFETY: the domain is open; libvirt sets `found` to an array of the length it returns.
    let count = unsafe { sys::virDomainInterfaceAddresses(domain.as_ptr(), &raw mut found, source, 0) };
    let pointers = OwnedArray::of(found, count, free_interface)?;
    let mut addresses = Vec::new();
    for interface in pointers.items() {
        // SAFETY: every pointer of the array is to an interface that lives as long as the array.
        let Some(interface) = (unsafe { interface.as_ref() }) else { continue };
        let Some(mac) = parsed::<Mac>(interface.hwaddr) else { continue };
        let count = usize::try_from(interface.naddrs).unwrap_or(0);
        if interface.addrs.is_null() {
            continue;
        }
        // SAFETY: the interface has this many addresses, alive as long as it is.
        let of_interface = unsafe { std::slice::from_raw_parts(interface.addrs, count) };
        addresses.extend(of_interface.iter().filter_map(|address| {
            Some(AgentAddress { mac, ip: parsed(address.addr)?, prefix: u8::try_from(address.prefix).ok() })
        }));
    }
    Ok(addresses)
}

unsafe fn free_lease(lease: *mut sys::virNetworkDHCPLease) {
    // SAFETY: the caller owns the lease and does not use it again.
    unsafe { sys::virNetworkDHCPLeaseFree(lease) };
}

unsafe fn free_interface(interface: *mut sys::virDomainInterface) {
    // SAFETY: the caller owns the interface and does not use it again.
    unsafe { sys::virDomainInterfaceFree(interface) };
}

/// What a C string says, when there is one and it is understood.
fn parsed<T: std::str::FromStr>(text: *const c_char) -> Option<T> {
    if text.is_null() {
        return None;
    }
    // SAFETY: libvirt's strings end with a zero byte and live as long as the struct they were read from.
    unsafe { CStr::from_ptr(text) }.to_str().ok()?.parse().ok()
}
