//! What the agent in the guest does: file systems held still and let go, blocks given back, its clock, a password.
//!
//! libvirt waits for an agent without end unless it is told how long; in a call that says nothing of it, the wait is a
//! setting of the VM. It is set for the call and set back to libvirt's own default after it.

use serde_json::{Value, json};
use virt::error::Error;
use virt::sys;

use super::{Begun, Target};
use crate::hypervisor::libvirt::core::Driver;
use crate::hypervisor::libvirt::failure::{Fault, Reached};
use crate::hypervisor::libvirt::guest_agent::{self, FreezeStatus};
use crate::hypervisor::libvirt::raw;
use crate::hypervisor::libvirt::settle::lost_after_sending;
use crate::model::Operation;
use crate::model::operation::{GuestCommandArgs, GuestSetPasswordArgs, GuestSetTimeArgs};

/// How long the agent is given to do what it is told: file systems that are busy take their time to stand still.
/// *Units*: seconds.
const DEED_LIMIT_S: i32 = 60;
/// How long it is given to take back what it did not say was done.
const UNDO_LIMIT_S: i32 = 10;

/// Makes the call, once.
pub(super) fn perform(target: &Target<'_>, operation: &Operation) -> Result<Begun, Fault> {
    let domain = target.domain;
    let done = match operation {
        Operation::GuestFreeze(args) => freeze(target, &args.mountpoints)?,
        Operation::GuestThaw(_) => thaw(target)?,
        Operation::GuestTrim(args) => deed(target, || raw::fs_trim(domain, args.minimum)).map(|()| Value::Null)?,
        Operation::GuestCommand(args) => command(target, args)?,
        Operation::GuestSetTime(args) => deed(target, || set_time(target, args)).map(|()| Value::Null)?,
        Operation::GuestSetPassword(args) => set_password(target, args).map(|()| Value::Null)?,
        other => return Err(Fault::Forbidden(format!("{} is nothing that a guest's agent does", other.action()))),
    };
    Ok(Begun::Complete(done))
}

/// Tells the agent to do something, by a call that is sent once.
fn deed<T>(target: &Target<'_>, call: impl FnOnce() -> Result<T, Error>) -> Result<T, Fault> {
    target.pass()?;
    within(target, DEED_LIMIT_S, call).map_err(|error| guest_agent::fault(target.connect, &error, Reached::Perhaps))
}

/// Makes a call that has libvirt wait for the agent, for so long and no longer.
fn within<T>(target: &Target<'_>, limit: i32, call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    if target.driver == Driver::Mock {
        // It has no agent, and waits for none.
        return call();
    }
    raw::set_agent_timeout(target.domain, limit)?;
    let answer = call();
    if let Err(error) = raw::set_agent_timeout(target.domain, sys::VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK) {
        let (vm, error) = (target.vm, error.message());
        tracing::warn!(%vm, error, "libvirt goes on giving the VM's agent {limit} s in every call");
    }
    answer
}

fn freeze(target: &Target<'_>, mountpoints: &[String]) -> Result<Value, Fault> {
    // The mock driver has no agent that could be asked.
    if target.driver == Driver::Real
        && guest_agent::freeze_status(target.connect, target.domain)? == FreezeStatus::Frozen
    {
        return Err(Fault::Forbidden(
            "file systems of the guest stand still already; guest.thaw lets them go".to_owned(),
        ));
    }
    match deed(target, || raw::fs_freeze(target.domain, mountpoints)) {
        Ok(0) => Err(Fault::Failed("the guest's agent found no file system to hold still".to_owned())),
        Ok(frozen) => Ok(json!({ "frozen": frozen })),
        // The agent may have got it and may obey when it is back, and nobody would hold the file systems then.
        Err(Fault::GuestTimeout(text)) => {
            let undone = within(target, UNDO_LIMIT_S, || raw::fs_thaw(target.domain));
            let rest = match undone {
                Ok(_) => "its file systems were let go",
                Err(_) => "whether its file systems stand still is not known: guest.thaw lets them go once it answers",
            };
            Err(Fault::GuestTimeout(format!("{text}; {rest}")))
        }
        Err(fault) => Err(fault),
    }
}

/// libvirt counts what the agent let go; the agent then says that nothing stands still any more.
fn thaw(target: &Target<'_>) -> Result<Value, Fault> {
    let thawed = deed(target, || raw::fs_thaw(target.domain))?;
    if target.driver == Driver::Real
        && guest_agent::freeze_status(target.connect, target.domain).map_err(lost_after_sending)?
            == FreezeStatus::Frozen
    {
        return Err(Fault::Failed(format!("{thawed} were let go, and others stand still, says the guest's agent")));
    }
    Ok(json!({ "thawed": thawed }))
}

fn command(target: &Target<'_>, args: &GuestCommandArgs) -> Result<Value, Fault> {
    target.pass()?;
    let GuestCommandArgs { execute, arguments, timeout_s } = args;
    guest_agent::command(target.connect, target.domain, execute, arguments, *timeout_s, Reached::Perhaps)
}

fn set_time(target: &Target<'_>, args: &GuestSetTimeArgs) -> Result<(), Error> {
    match args.seconds {
        Some(seconds) => target.domain.set_time(seconds, 0, 0),
        None => target.domain.set_time(0, 0, sys::VIR_DOMAIN_TIME_SYNC),
    }
}

/// The password leaves only for libvirt, and no error of its tells it.
fn set_password(target: &Target<'_>, args: &GuestSetPasswordArgs) -> Result<(), Fault> {
    let Some(password) = args.password.reveal() else {
        let lost = "the password was not kept over the restart of the agent; send the command again";
        return Err(Fault::Forbidden(lost.to_owned()));
    };
    let flags = if args.encrypted { sys::VIR_DOMAIN_PASSWORD_ENCRYPTED } else { 0 };
    deed(target, || target.domain.set_user_password(&args.user, password, flags))
}
