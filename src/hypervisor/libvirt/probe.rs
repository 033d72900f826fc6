//! Looking whether a call whose answer was lost took effect.
//!
//! First a barrier: a call may still be running in libvirtd, or wait there, so nothing is concluded before libvirt
//! reports no job and has answered a question that waits for the VM's job lock. Then the effect is looked for. What
//! leaves no trace (a reboot, a reset, a revert) stays unknown.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use super::core::{Core, look_up};
use super::failure::{Fault, Reached};
use super::look;
use crate::hypervisor::evidence::{Seen, seen_in, weigh, when_gone};
use crate::model::operation::MetadataSetArgs;
use crate::model::{Operation, StartId, VmId};
use crate::resolver::Evidence;

/// How long a call may still be running before nothing is concluded.
const BARRIER_LIMIT: Duration = Duration::from_secs(30);
const BARRIER_FIRST_PAUSE: Duration = Duration::from_millis(50);
const BARRIER_LAST_PAUSE: Duration = Duration::from_secs(1);
/// How long a guest that was perhaps asked to shut down is watched.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);

/// Whether a call may still be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Barrier {
    Passed,
    Busy,
}

impl Core {
    /// What can be observed of a call.
    pub(super) async fn evidence(&self, vm: VmId, operation: Operation, expected: StartId) -> Result<Evidence, Fault> {
        if let Operation::InspectRead(_) = operation {
            return Ok(Evidence::Undone);
        }
        self.barrier(vm).await?;
        if let Operation::PowerShutdown(_) = operation {
            self.seen_off(vm, expected, SHUTDOWN_LIMIT).await?;
        }
        self.ask(Some(vm), move |connect, _| {
            let domain = match look_up(connect, vm) {
                // A transient VM goes when it is off; of anything else nothing is left to be seen.
                Err(Fault::NoSuchVm(_)) => return Ok(when_gone(&operation)),
                other => other?,
            };
            conclude(&domain, &operation, expected).map_err(|error| Fault::of(connect, &error, Reached::Harmless))
        })
        .await
    }

    async fn barrier(&self, vm: VmId) -> Result<(), Fault> {
        let end = Instant::now() + BARRIER_LIMIT;
        let mut pause = BARRIER_FIRST_PAUSE;
        loop {
            match self.ask(Some(vm), move |connect, _| try_barrier(connect, vm)).await? {
                Barrier::Passed => return Ok(()),
                Barrier::Busy if Instant::now() + pause >= end => {
                    return Err(Fault::Failed("a job of the VM is still running".to_owned()));
                }
                Barrier::Busy => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(BARRIER_LAST_PAUSE);
        }
    }
}

fn try_barrier(connect: &Connect, vm: VmId) -> Result<Barrier, Fault> {
    let domain = match look_up(connect, vm) {
        Err(Fault::NoSuchVm(_)) => return Ok(Barrier::Passed),
        other => other?,
    };
    let harmless = |error: &Error| Fault::of(connect, error, Reached::Harmless);
    match domain.job_info() {
        Ok(job) if job.r#type != sys::VIR_DOMAIN_JOB_NONE.cast_signed() => return Ok(Barrier::Busy),
        Ok(_) => {}
        Err(error) => match harmless(&error) {
            unsent @ Fault::Unsent(_) => return Err(unsent),
            // A VM that is off, or a driver without jobs: there is none.
            _ => {}
        },
    }
    // Reading memory statistics takes the job lock, also of a VM that is off (it then fails after having had it).
    match domain.memory_stats(0) {
        Ok(_) => Ok(Barrier::Passed),
        Err(error) if error.code().to_raw() == sys::VIR_ERR_OPERATION_TIMEOUT => Ok(Barrier::Busy),
        Err(error) => match harmless(&error) {
            unsent @ Fault::Unsent(_) => Err(unsent),
            _ => Ok(Barrier::Passed),
        },
    }
}

fn conclude(domain: &Domain, operation: &Operation, expected: StartId) -> Result<Evidence, Error> {
    let state = look::state_of(domain)?;
    let seen = match operation {
        Operation::MetadataSet(args) => metadata_as_asked(domain, args)?,
        other => seen_in(&state, other),
    };
    Ok(weigh(seen, operation, state.start, expected))
}

fn metadata_as_asked(domain: &Domain, args: &MetadataSetArgs) -> Result<Seen, Error> {
    let kind = sys::VIR_DOMAIN_METADATA_ELEMENT.cast_signed();
    let there = match domain.metadata(kind, Some(&args.uri), sys::VIR_DOMAIN_AFFECT_CURRENT) {
        Ok(xml) => Some(xml),
        Err(error) if error.code().to_raw() == sys::VIR_ERR_NO_DOMAIN_METADATA => None,
        Err(error) => return Err(error),
    };
    Ok(match (&args.xml, there) {
        (None, None) => Seen::Yes,
        (Some(asked), Some(there)) if canonical(asked) == canonical(&there) => Seen::Yes,
        (None, Some(_)) | (Some(_), _) => Seen::No,
    })
}

/// XML without what libvirt's own formatting changes: blanks between tags, kind of quotes, `<a></a>` for `<a/>`.
/// Two texts that differ in more may still mean the same; the element is then written again, which is harmless.
fn canonical(xml: &str) -> String {
    let mut text = String::with_capacity(xml.len());
    for word in xml.split_whitespace() {
        if !text.is_empty() && !text.ends_with('>') && !word.starts_with(['<', '/', '>']) {
            text.push(' ');
        }
        text.push_str(word);
    }
    text.replace('\'', "\"").replace(" />", "/>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libvirts_formatting_does_not_make_metadata_differ() {
        assert_eq!(canonical("<a x='1'>\n  <b/>\n</a>"), canonical("<a x=\"1\"><b/></a>"));
        assert_eq!(canonical("<a x='1' />"), canonical("<a x=\"1\"/>"));
        assert_ne!(canonical("<a x='1'/>"), canonical("<a x='2'/>"));
    }
}
