//! libvirt's bulk statistics, for VMs that are off.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::raw::{c_int, c_uint};

use uuid::Uuid;
use virt::connect::Connect;
use virt::sys;

use super::look::{ByVm, is_elsewhere, power_state};
use crate::model::{Kib, PowerState, VmId};

/// A VM's state without what other questions answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) power: PowerState,
    pub(super) vcpus: u32,
    pub(super) vcpus_max: u32,
    pub(super) memory_kib: Kib,
    pub(super) memory_max_kib: Kib,
}

/// The figures of every VM that is off and of which libvirt tells them all; of none when the driver has no bulk
/// statistics. What is missing here is asked for one by one.
pub(super) fn resting(connect: &Connect) -> ByVm {
    let wanted = sys::VIR_DOMAIN_STATS_STATE | sys::VIR_DOMAIN_STATS_VCPU | sys::VIR_DOMAIN_STATS_BALLOON;
    let which = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE;
    let mut records: *mut sys::virDomainStatsRecordPtr = std::ptr::null_mut();
    // SAFETY: the connection is open; libvirt sets `records` to an array of the length it returns. Needed because
    // the safe binding neither reads the records nor frees them.
    let count = unsafe {
        sys::virConnectGetAllDomainStats(connect.as_ptr(), wanted as c_uint, &raw mut records, which as c_uint)
    };
    let Ok(count) = usize::try_from(count) else { return BTreeMap::new() };
    if records.is_null() {
        return BTreeMap::new();
    }
    // SAFETY: `count` pointers to records, all valid until the list is freed below.
    let figures = unsafe { std::slice::from_raw_parts(records, count) }.iter().filter_map(|record| {
        // SAFETY: see above; libvirt never puts a null pointer before the end of the array.
        unsafe { record.as_ref() }.and_then(read)
    });
    let figures = figures.collect();
    // SAFETY: the list came from libvirt and is not used again.
    unsafe { sys::virDomainStatsRecordListFree(records) };
    figures
}

fn read(record: &sys::virDomainStatsRecord) -> Option<(VmId, Figures)> {
    let mut bytes = [0_u8; 16];
    // SAFETY: the record's domain lives as long as the record; libvirt writes 16 bytes.
    if unsafe { sys::virDomainGetUUID(record.dom, bytes.as_mut_ptr()) } < 0 {
        return None;
    }
    // SAFETY: the record has this many parameters, alive as long as it is.
    let values = unsafe { numbers(record.params, record.nparams) };
    let number = |name: &CStr| values.get(name).copied();
    let small = |name: &CStr| number(name).and_then(|value| u32::try_from(value).ok());
    let (state, reason) = (small(c"state.state")?, small(c"state.reason")?);
    if is_elsewhere(state, reason) {
        return None;
    }
    let figures = Figures {
        power: power_state(state),
        vcpus: small(c"vcpu.current")?,
        vcpus_max: small(c"vcpu.maximum")?,
        memory_kib: Kib(number(c"balloon.current")?),
        memory_max_kib: Kib(number(c"balloon.maximum")?),
    };
    Some((VmId(Uuid::from_bytes(bytes)), figures))
}

/// The numbers among libvirt's typed parameters, by name.
///
/// # Safety
/// `parameters` is null or points to `count` of them, which live as long as what is given back.
pub(super) unsafe fn numbers<'a>(parameters: *const sys::virTypedParameter, count: c_int) -> BTreeMap<&'a CStr, u64> {
    let count = usize::try_from(count).unwrap_or(0);
    if parameters.is_null() || count == 0 {
        return BTreeMap::new();
    }
    // SAFETY: see above.
    unsafe { std::slice::from_raw_parts(parameters, count) }.iter().filter_map(named_number).collect()
}

/// A parameter's name and its value, where that is a whole number.
fn named_number(parameter: &sys::virTypedParameter) -> Option<(&CStr, u64)> {
    // SAFETY: libvirt ends the name with a zero byte within its 80.
    let name = unsafe { CStr::from_ptr(parameter.field.as_ptr()) };
    let value = &parameter.value;
    // SAFETY: the type says which member of the union was written.
    let number = unsafe {
        match sys::virTypedParameterType::try_from(parameter.type_).ok()? {
            sys::VIR_TYPED_PARAM_INT => u64::try_from(value.i).ok()?,
            sys::VIR_TYPED_PARAM_UINT => u64::from(value.ui),
            sys::VIR_TYPED_PARAM_LLONG => u64::try_from(value.l).ok()?,
            sys::VIR_TYPED_PARAM_ULLONG => value.ul,
            _ => return None,
        }
    };
    Some((name, number))
}
