//! The calls behind disks' sizes and block jobs.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::raw::{c_char, c_int};

use serde_json::json;
use virt::error::Error;
use virt::sys;

use super::{Begun, Target};
use crate::hypervisor::given;
use crate::hypervisor::libvirt::chain::{self, Image, chain_of};
use crate::hypervisor::libvirt::failure::Fault;
use crate::hypervisor::libvirt::snapshot_xml::escaped;
use crate::hypervisor::libvirt::{jobs, surroundings};
use crate::model::Operation;
use crate::model::operation::{BlockAbortArgs, BlockCommitArgs, BlockCopyArgs, BlockPullArgs, DiskResizeArgs};

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
    let size = surroundings::disk_size(target.domain, &args.disk).map_err(|error| target.harmless(&error))?;
    let (now, asked) = (size.capacity.0, args.capacity.0);
    let done = Begun::Complete(json!({ "disk": args.disk, "capacity": asked, "before": now }));
    if asked < now {
        return Err(Fault::Forbidden(format!("{} has {now} bytes and is not made smaller, to {asked}", args.disk)));
    }
    if asked == now {
        return Ok(done);
    }
    target.pass()?;
    let resized = target.domain.block_resize(&args.disk, asked, sys::VIR_DOMAIN_BLOCK_RESIZE_BYTES);
    resized.map_err(|error| target.perhaps(&error))?;
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
    let used = chain::in_use(target.connect, &paths, Some(target.vm)).map_err(|error| target.harmless(&error))?;
    if let Some(used) = used {
        return Err(Fault::Forbidden(format!("{used}, too: nothing is merged into it")));
    }
    let active = top == 0;
    let mut flags = sys::VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES;
    if active {
        flags |= sys::VIR_DOMAIN_BLOCK_COMMIT_ACTIVE;
    }
    if args.base.is_none() {
        // Without it libvirt merges into the lowest of all.
        flags |= sys::VIR_DOMAIN_BLOCK_COMMIT_SHALLOW;
    }
    let disk = c_text(target, &args.disk)?;
    let (base, top) = (c_option(target, args.base.as_deref())?, c_option(target, args.top.as_deref())?);
    target.pass()?;
    // SAFETY: the domain is open; every text ends with a zero byte and outlives the call, and one that is not given is
    // null. Needed because the safe binding has no block jobs.
    let begun = unsafe {
        let (base, top) = (pointer(base.as_ref()), pointer(top.as_ref()));
        sys::virDomainBlockCommit(target.domain.as_ptr(), disk.as_ptr(), base, top, args.bandwidth, flags)
    };
    begun_or(target, begun)?;
    Ok(Begun::Complete(given::commit(args, active)))
}

fn pull(target: &Target<'_>, args: &BlockPullArgs) -> Result<Begun, Fault> {
    let images = images_of(target, &args.disk)?;
    if let Some(base) = args.base.as_deref() {
        position(&images, &args.disk, base)?;
    }
    let (disk, base) = (c_text(target, &args.disk)?, c_option(target, args.base.as_deref())?);
    let flags = sys::VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES;
    target.pass()?;
    // SAFETY: as in `commit`.
    let begun = unsafe {
        let base = pointer(base.as_ref());
        sys::virDomainBlockRebase(target.domain.as_ptr(), disk.as_ptr(), base, args.bandwidth, flags)
    };
    begun_or(target, begun)?;
    Ok(Begun::Complete(given::pull(args)))
}

fn copy(target: &Target<'_>, args: &BlockCopyArgs) -> Result<Begun, Fault> {
    images_of(target, &args.disk)?;
    let used = chain::in_use(target.connect, &BTreeSet::from([args.to.as_str()]), None);
    if let Some(used) = used.map_err(|error| target.harmless(&error))? {
        return Err(Fault::Forbidden(format!("{used}: it is not copied over")));
    }
    let (format, file) = (args.format.as_str(), escaped(&args.to));
    let xml = format!("<disk type='file'><driver type='{format}'/><source file='{file}'/></disk>");
    let (disk, xml) = (c_text(target, &args.disk)?, c_text(target, &xml)?);
    // A persistent VM's copy job needs the word that it will not outlive the process.
    let mut flags = sys::VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB;
    if args.shallow {
        flags |= sys::VIR_DOMAIN_BLOCK_COPY_SHALLOW;
    }
    if args.reuse {
        flags |= sys::VIR_DOMAIN_BLOCK_COPY_REUSE_EXT;
    }
    let limit = Parameters::limit(args.bandwidth).map_err(|error| target.harmless(&error))?;
    target.pass()?;
    // SAFETY: the domain is open; both texts end with a zero byte and outlive the call, as do the parameters. Needed as
    // in `commit`.
    let begun = unsafe {
        let domain = target.domain.as_ptr();
        sys::virDomainBlockCopy(domain, disk.as_ptr(), xml.as_ptr(), limit.start, limit.count, flags)
    };
    begun_or(target, begun)?;
    Ok(Begun::Complete(given::copy(args)))
}

/// libvirt waits until the job has ended, and says so when the VM cannot go over to what it made yet.
fn abort(target: &Target<'_>, args: &BlockAbortArgs) -> Result<Begun, Fault> {
    let open = jobs::block_job(target.domain, &args.disk).map_err(|error| target.harmless(&error))?;
    // A backup is ended as a whole.
    if !open.is_some_and(|job| job.holds()) {
        return Err(Fault::Forbidden(format!("no block job is open on {}", args.disk)));
    }
    let disk = c_text(target, &args.disk)?;
    let flags = if args.pivot { sys::VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT } else { 0 };
    target.pass()?;
    // SAFETY: the domain is open and the name ends with a zero byte. Needed as in `commit`.
    let ended = unsafe { sys::virDomainBlockJobAbort(target.domain.as_ptr(), disk.as_ptr(), flags) };
    begun_or(target, ended)?;
    Ok(Begun::Complete(json!({ "disk": args.disk, "pivot": args.pivot })))
}

fn images_of(target: &Target<'_>, disk: &str) -> Result<Vec<Image>, Fault> {
    let xml = target.domain.xml_desc(0).map_err(|error| target.harmless(&error))?;
    let images = chain_of(&xml, disk);
    if images.is_empty() { Err(Fault::Forbidden(format!("the VM has no disk {disk}"))) } else { Ok(images) }
}

fn position(images: &[Image], disk: &str, name: &str) -> Result<usize, Fault> {
    let found = images.iter().position(|image| image.is(disk, name));
    found.ok_or_else(|| Fault::Forbidden(format!("{name} is no image of {disk}")))
}

fn begun_or(target: &Target<'_>, result: c_int) -> Result<(), Fault> {
    if result == 0 { Ok(()) } else { Err(target.perhaps(&Error::last_error())) }
}

fn c_text(target: &Target<'_>, text: &str) -> Result<CString, Fault> {
    CString::new(text).map_err(|error| target.harmless(&error.into()))
}

fn c_option(target: &Target<'_>, text: Option<&str>) -> Result<Option<CString>, Fault> {
    text.map(|text| c_text(target, text)).transpose()
}

fn pointer(text: Option<&CString>) -> *const c_char {
    text.map_or(std::ptr::null(), |text| text.as_ptr())
}

/// libvirt's typed parameters; they are freed with the value.
struct Parameters {
    start: sys::virTypedParameterPtr,
    count: c_int,
}

impl Parameters {
    /// The most that a copy may write, unless it is zero. *Units*: bytes per second.
    fn limit(bandwidth: u64) -> Result<Self, Error> {
        let (mut start, mut count, mut room): (sys::virTypedParameterPtr, c_int, c_int) = (std::ptr::null_mut(), 0, 0);
        if bandwidth > 0 {
            let name = sys::VIR_DOMAIN_BLOCK_COPY_BANDWIDTH.as_ptr();
            // SAFETY: all three are ours and say that there is no array yet; libvirt makes one and says how long it is.
            let added =
                unsafe { sys::virTypedParamsAddULLong(&raw mut start, &raw mut count, &raw mut room, name, bandwidth) };
            if added != 0 {
                return Err(Error::last_error());
            }
        }
        Ok(Self { start, count })
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        // SAFETY: the array came from libvirt and is not used again; null is allowed.
        unsafe { sys::virTypedParamsFree(self.start, self.count) };
    }
}
