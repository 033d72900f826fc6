//! The calls behind this group of actions.

use super::{Begun, Target};
use crate::hypervisor::libvirt::failure::Fault;
use crate::model::Operation;

/// Makes the call, once.
pub(super) fn perform(target: &Target<'_>, operation: &Operation) -> Result<Begun, Fault> {
    target.pass()?;
    Err(Fault::Forbidden(format!("{} is not built yet", operation.action())))
}
