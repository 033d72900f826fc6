//! The calls behind disks' sizes and block jobs.

use std::collections::BTreeSet;

use serde_json::json;
use virt::sys;

use super::{Begun, Target, missing};
use crate::hypervisor::given;
use crate::hypervisor::libvirt::chain::{self, Image, chain_of};
use crate::hypervisor::libvirt::failure::Fault;
use crate::hypervisor::libvirt::raw::{self, Parameters, flags};
use crate::hypervisor::libvirt::xml::escaped;
use crate::hypervisor::libvirt::{jobs, surroundings};
use crate::model::operation::{BlockAbortArgs, BlockCommitArgs, BlockCopyArgs, BlockPullArgs, DiskResizeArgs};
use crate::model::{DeviceName, Operation};

/// Makes the call, once.
pub(super) fn perform(target: &Target<'_>, operation: &Operation) -> Result<Begun, Fault> {
    match operation {
        Operation::DiskResize(args) => resize(target, args),
        Operation::BlockCommit(args) => commit(target, args),
        Operation::BlockPull(args) => pull(target, args),
        Operation::BlockCopy(args) => copy(target, args),
        Operation::BlockAbort(args) => abort(target, args),
        other => Err(Fault::Forbidden(format!("{} is no block job", other.action()))),
    }
}

/// A disk is never made smaller: what is cut off is lost, and the guest is not asked.
fn resize(target: &Target<'_>, args: &DiskResizeArgs) -> Result<Begun, Fault> {
    let size = target.ask(|domain| surroundings::disk_size(domain, &args.disk))?;
    let (now, asked) = (size.capacity.0, args.capacity.0);
    let done = Begun::Complete(json!({ "disk": args.disk, "capacity": asked, "before": now }));
    if asked < now {
        return Err(Fault::Forbidden(format!("{} has {now} bytes and is not made smaller, to {asked}", args.disk)));
    }
    if asked == now {
        return Ok(done);
    }
    target.send(|domain| domain.block_resize(&args.disk, asked, sys::VIR_DOMAIN_BLOCK_RESIZE_BYTES))?;
    Ok(done)
}

fn commit(target: &Target<'_>, args: &BlockCommitArgs) -> Result<Begun, Fault> {
    let images = images_of(target, &args.disk)?;
    let top = args.top.as_deref().map_or(Ok(0), |top| position(&images, &args.disk, top))?;
    let base = match args.base.as_deref() {
        Some(base) => position(&images, &args.disk, base)?,
        None => top + 1,
    };
    let Some(into) = images.get(base).filter(|_| base > top) else {
        return Err(Fault::Forbidden(format!("{} has nothing below to merge into", args.disk)));
    };
    // Another VM that is built on the same image would find it changed under its feet.
    let paths: BTreeSet<&str> = into.path.as_deref().into_iter().collect();
    if let Some(used) = target.ask(|_| chain::in_use(target.connect, &paths, Some(target.vm)))? {
        return Err(Fault::Forbidden(format!("{used}, too: nothing is merged into it")));
    }
    let active = top == 0;
    let flags = flags([
        (true, sys::VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES),
        (active, sys::VIR_DOMAIN_BLOCK_COMMIT_ACTIVE),
        // Without it libvirt merges into the lowest of all.
        (args.base.is_none(), sys::VIR_DOMAIN_BLOCK_COMMIT_SHALLOW),
    ]);
    let (base, top) = (args.base.as_deref(), args.top.as_deref());
    target.send(|domain| raw::block_commit(domain, &args.disk, base, top, args.bandwidth, flags))?;
    Ok(Begun::Complete(given::commit(args, active)))
}

fn pull(target: &Target<'_>, args: &BlockPullArgs) -> Result<Begun, Fault> {
    let images = images_of(target, &args.disk)?;
    if let Some(base) = args.base.as_deref() {
        position(&images, &args.disk, base)?;
    }
    let (base, flags) = (args.base.as_deref(), sys::VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES);
    target.send(|domain| raw::block_rebase(domain, &args.disk, base, args.bandwidth, flags))?;
    Ok(Begun::Complete(given::pull(args)))
}

fn copy(target: &Target<'_>, args: &BlockCopyArgs) -> Result<Begun, Fault> {
    images_of(target, &args.disk)?;
    let to = BTreeSet::from([args.to.as_str()]);
    if let Some(used) = target.ask(|_| chain::in_use(target.connect, &to, None))? {
        return Err(Fault::Forbidden(format!("{used}: it is not copied over")));
    }
    let (format, file) = (args.format.as_str(), escaped(&args.to));
    let xml = format!("<disk type='file'><driver type='{format}'/><source file='{file}'/></disk>");
    let flags = flags([
        // A persistent VM's copy job needs the word that it will not outlive the process.
        (true, sys::VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB),
        (args.shallow, sys::VIR_DOMAIN_BLOCK_COPY_SHALLOW),
        (args.reuse, sys::VIR_DOMAIN_BLOCK_COPY_REUSE_EXT),
    ]);
    let mut limit = Parameters::default();
    if args.bandwidth > 0 {
        limit.add_u64("bandwidth", args.bandwidth);
    }
    target.send(|domain| raw::block_copy(domain, &args.disk, &xml, limit, flags))?;
    Ok(Begun::Complete(given::copy(args)))
}

/// libvirt waits until the job has ended, and says so when the VM cannot go over to what it made yet.
fn abort(target: &Target<'_>, args: &BlockAbortArgs) -> Result<Begun, Fault> {
    let open = target.ask(|domain| jobs::block_job(domain, &args.disk))?;
    // A backup is ended as a whole.
    if !open.is_some_and(|job| job.holds()) {
        return Err(Fault::Forbidden(format!("no block job is open on {}", args.disk)));
    }
    let flags = flags([(args.pivot, sys::VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)]);
    target.send(|domain| raw::block_job_abort(domain, &args.disk, flags))?;
    Ok(Begun::Complete(json!({ "disk": args.disk, "pivot": args.pivot })))
}

fn images_of(target: &Target<'_>, disk: &str) -> Result<Vec<Image>, Fault> {
    let images = chain_of(&target.ask(|domain| domain.xml_desc(0))?, disk);
    if images.is_empty() { Err(missing(&DeviceName::Disk(disk.to_owned()))) } else { Ok(images) }
}

fn position(images: &[Image], disk: &str, name: &str) -> Result<usize, Fault> {
    let found = images.iter().position(|image| image.is(disk, name));
    found.ok_or_else(|| Fault::Forbidden(format!("{name} is no image of {disk}")))
}
