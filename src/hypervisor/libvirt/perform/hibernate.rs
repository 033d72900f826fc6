//! Managed save: the VM's memory in an image that libvirt keeps, and going on from it.
//!
//! A save takes as long as the memory is large. It keeps its thread for all that time, and no limit is put on it: while
//! libvirtd lives it answers the questions that watch its connection, and when it is lost, so is the call.

use serde_json::Value;
use virt::domain::Domain;
use virt::sys;

use super::{Begun, Target};
use crate::hypervisor::libvirt::core::Driver;
use crate::hypervisor::libvirt::failure::Fault;
use crate::hypervisor::libvirt::look;

/// Stops the VM and keeps its memory; complete when it is off.
pub(super) fn save(target: &Target<'_>) -> Result<Begun, Fault> {
    target.send(|domain| domain.managed_save(0))?;
    Ok(Begun::Complete(Value::Null))
}

/// Goes on from the image.
pub(super) fn restore(target: &Target<'_>) -> Result<Begun, Fault> {
    needs_image(target)?;
    target.send(Domain::create)?;
    // An image that was not written to its end is thrown away and the VM booted, without a word.
    let booted = (sys::VIR_DOMAIN_RUNNING, sys::VIR_DOMAIN_RUNNING_BOOTED);
    if target.driver == Driver::Real && look::state_and_reason(target.domain).is_ok_and(|found| found == booted) {
        tracing::warn!(vm = %target.vm, "libvirt threw away the image that the VM was to go on from");
        return Err(Fault::Failed("the image could not be used: libvirt has booted the VM instead".to_owned()));
    }
    Ok(Begun::Complete(Value::Null))
}

/// Throws the image away.
pub(super) fn remove(target: &Target<'_>) -> Result<Begun, Fault> {
    needs_image(target)?;
    target.send(|domain| domain.managed_save_remove(0))?;
    Ok(Begun::Complete(Value::Null))
}

fn needs_image(target: &Target<'_>) -> Result<(), Fault> {
    if target.ask(|domain| domain.has_managed_save(0))? {
        return Ok(());
    }
    Err(Fault::Forbidden("there is no image that the VM was saved to".to_owned()))
}
