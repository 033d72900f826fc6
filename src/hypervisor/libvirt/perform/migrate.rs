//! Moving to another host: what is looked at before it is begun, and its abort.

use super::{Begun, Target};
use crate::hypervisor::libvirt::failure::Fault;
use crate::hypervisor::libvirt::{jobs, raw};
use crate::model::operation::MigrateBeginArgs;

/// What is left to do is [`Core::until_migrating`](crate::hypervisor::libvirt::core::Core)'s: nothing was sent.
pub(super) fn begin(target: &Target<'_>, args: &MigrateBeginArgs) -> Result<Begun, Fault> {
    // libvirt would wait for the other to end and then say that it holds the VM.
    if is_moving(target)? {
        return Err(Fault::Forbidden("the VM is on its way to another host already".to_owned()));
    }
    Ok(Begun::ToMigrate(Box::new(args.clone())))
}

/// Aborts a migration, whoever began it, and no other job.
pub(super) fn abort(target: &Target<'_>) -> Result<Begun, Fault> {
    if !is_moving(target)? {
        return Err(Fault::Forbidden("the VM is not on its way to another host".to_owned()));
    }
    target.send(raw::abort_job).map(|()| Begun::UntilStaying)
}

fn is_moving(target: &Target<'_>) -> Result<bool, Fault> {
    Ok(target.ask(jobs::background)?.is_some_and(|job| job.is_migration_out()))
}
