//! All that libvirt counts of VMs, and all that it knows of a guest, under its own names.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::raw::{c_int, c_uint};

use serde_json::{Value, json};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use super::core::present;
use super::failure::Fault;
use super::stats::named_number;
use crate::hypervisor::Figures;
use crate::model::VmId;

/// What libvirt counts of these VMs. One that is busy is told in part, and holds nobody up.
pub(super) fn of(connect: &Connect, vms: &[VmId]) -> Result<BTreeMap<VmId, Figures>, Fault> {
    let mut domains = Vec::new();
    for vm in vms {
        domains.extend(present(connect, *vm)?.map(|domain| (*vm, domain)));
    }
    let mut figures = BTreeMap::new();
    // One at a time: should one go meanwhile, libvirt would refuse them all.
    for (vm, domain) in domains {
        match counted(&domain) {
            Ok(counted) => drop(figures.insert(vm, counted)),
            Err(error) => match Fault::harmless(connect)(error) {
                Fault::NoSuchVm(_) => {}
                fault => return Err(fault),
            },
        }
    }
    Ok(figures)
}

fn counted(domain: &Domain) -> Result<Figures, Error> {
    // SAFETY: the pointer is used while the domain lives.
    let mut list = [unsafe { domain.as_ptr() }, std::ptr::null_mut()];
    let mut records: *mut sys::virDomainStatsRecordPtr = std::ptr::null_mut();
    let flags = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT as c_uint;
    // SAFETY: the list ends with a null pointer and its domain is open; libvirt sets `records` to an array of the
    // length it returns. No kinds named means all there are.
    let count = unsafe { sys::virDomainListGetStats(list.as_mut_ptr(), 0, &raw mut records, flags) };
    if count < 0 {
        return Err(Error::last_error());
    }
    if records.is_null() {
        return Ok(Figures::new());
    }
    // SAFETY: `records` ends with a null pointer; each record lives until the list is freed.
    let first = unsafe { (*records).as_ref() };
    // SAFETY: the record has this many parameters, alive as long as it is.
    let figures = first.map(|record| unsafe { values(record.params, record.nparams) });
    // SAFETY: the list came from libvirt and is not used again.
    unsafe { sys::virDomainStatsRecordListFree(records) };
    Ok(figures.unwrap_or_default())
}

/// What the guest's agent says, as libvirt names it. It may take as long as the agent likes.
pub(super) fn guest_info(domain: &Domain) -> Result<Figures, Error> {
    let (mut parameters, mut count): (sys::virTypedParameterPtr, c_int) = (std::ptr::null_mut(), 0);
    // SAFETY: the domain is open; libvirt sets both. No kinds named means all that the agent knows.
    if unsafe { sys::virDomainGetGuestInfo(domain.as_ptr(), 0, &raw mut parameters, &raw mut count, 0) } < 0 {
        return Err(Error::last_error());
    }
    // SAFETY: there are this many of them.
    let info = unsafe { values(parameters, count) };
    // SAFETY: they are the caller's to free, and are not used again.
    unsafe { sys::virTypedParamsFree(parameters, count) };
    Ok(info)
}

/// libvirt's typed parameters.
///
/// # Safety
/// `parameters` is null or points to `count` of them.
unsafe fn values(parameters: *const sys::virTypedParameter, count: c_int) -> Figures {
    let count = usize::try_from(count).unwrap_or(0);
    if parameters.is_null() || count == 0 {
        return Figures::new();
    }
    // SAFETY: see above.
    unsafe { std::slice::from_raw_parts(parameters, count) }.iter().filter_map(value).collect()
}

fn value(parameter: &sys::virTypedParameter) -> Option<(String, Value)> {
    // SAFETY: libvirt ends the name with a zero byte within its 80.
    let name = unsafe { CStr::from_ptr(parameter.field.as_ptr()) }.to_str().ok()?.to_owned();
    let inside = &parameter.value;
    // SAFETY: the type says which member of the union was written; a text ends with a zero byte.
    let value = unsafe {
        match sys::virTypedParameterType::try_from(parameter.type_).ok()? {
            sys::VIR_TYPED_PARAM_STRING if inside.s.is_null() => return None,
            sys::VIR_TYPED_PARAM_STRING => json!(CStr::from_ptr(inside.s).to_string_lossy()),
            sys::VIR_TYPED_PARAM_DOUBLE => json!(inside.d),
            sys::VIR_TYPED_PARAM_BOOLEAN => json!(inside.b != 0),
            sys::VIR_TYPED_PARAM_INT => json!(inside.i),
            sys::VIR_TYPED_PARAM_LLONG => json!(inside.l),
            _ => json!(named_number(parameter)?.1),
        }
    };
    Some((name, value))
}
