//! Disks' sizes and jobs. libvirt takes a disk by its target or by its source; only by its target is it known here which
//! disk it is.

use serde_json::{Value, json};

use super::call::{Call, has, only, said};
use super::parameters::number_of;
use super::{Pace, Treatment, xml};
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::device::is_target;
use crate::model::{Action, DeviceName, Resource};

const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;

/// *Source*: `VIR_DOMAIN_BLOCK_RESIZE_BYTES`.
const RESIZE_BYTES: u32 = 1;

/// *Source*: `VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES`, `VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES`.
const PULL_BYTES: u32 = 64;

// *Source*: `virDomainBlockRebaseFlags`.
const REBASE_SHALLOW: u32 = 1;
const REBASE_REUSE_EXT: u32 = 2;
const REBASE_COPY_RAW: u32 = 4;
const REBASE_COPY: u32 = 8;
/// How images are named in each other, not what is in them.
const REBASE_RELATIVE: u32 = 16;

// *Source*: `virDomainBlockCopyFlags`.
const COPY_SHALLOW: u32 = 1;
const COPY_REUSE_EXT: u32 = 2;
const COPY_TRANSIENT_JOB: u32 = 4;
const COPY_SYNCHRONOUS_WRITES: u32 = 8;

// *Source*: `virDomainBlockCommitFlags`.
const COMMIT_SHALLOW: u32 = 1;
const COMMIT_ACTIVE: u32 = 4;
const COMMIT_RELATIVE: u32 = 8;
const COMMIT_BYTES: u32 = 16;

/// Without it the reply comes when the job is over, with it before. *Source*: `VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC`.
const ABORT_ASYNC: u32 = 1;
/// *Source*: `VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT`.
const ABORT_PIVOT: u32 = 2;

pub(super) fn decode(action: Action, mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let subject = call.subject()?;
    let disk = call.text()?.to_owned();
    let (action, args) = match call.name() {
        "domain_block_resize" => (action, resize(&disk, call.u64()?, call.u32()?)),
        "domain_block_commit" => (action, commit(&mut call, &disk)?),
        "domain_block_pull" => {
            let (bandwidth, flags) = (call.u64()?, call.u32()?);
            let bandwidth = per_second(bandwidth, has(flags, PULL_BYTES));
            (action, only(flags, PULL_BYTES).then(|| json!({ "disk": disk, "bandwidth": bandwidth })))
        }
        "domain_block_rebase" => rebase(&mut call, &disk)?,
        "domain_block_copy" => (action, copy(&mut call, &disk)?),
        "domain_block_job_abort" => {
            let flags = call.u32()?;
            let known = only(flags, ABORT_ASYNC | ABORT_PIVOT);
            (action, known.then(|| json!({ "disk": disk, "pivot": has(flags, ABORT_PIVOT) })))
        }
        _ => (action, None),
    };
    let operation = args.and_then(|args| said(action, args)).unwrap_or_else(|| call.relayed(action, named(&disk)));
    // Of a disk that is named by its source it is not known whose job it has.
    let by_source = action == Action::BlockAbort && !is_target(&disk);
    let pace = if by_source { Pace::Steers } else { Pace::Held };
    Ok(Treatment::change(subject, operation, pace))
}

/// What is touched of a disk of which everything may change.
pub(super) fn named(disk: &str) -> Vec<Resource> {
    if is_target(disk) {
        vec![Resource::Disk(disk.to_owned()), Resource::Device(DeviceName::Disk(disk.to_owned()))]
    } else {
        Vec::new()
    }
}

fn per_second(bandwidth: u64, bytes: bool) -> u64 {
    if bytes { bandwidth } else { bandwidth.saturating_mul(MIB) }
}

fn resize(disk: &str, size: u64, flags: u32) -> Option<Value> {
    let bytes = if has(flags, RESIZE_BYTES) { Some(size) } else { size.checked_mul(KIB) };
    bytes.filter(|_| only(flags, RESIZE_BYTES)).map(|bytes| json!({ "disk": disk, "capacity": bytes }))
}

/// Without a base libvirt merges into the lowest image of all, and the catalogue into the next one.
fn commit(call: &mut Call<'_>, disk: &str) -> Result<Option<Value>, ReadXdrError> {
    let (base, top) = (call.optional_text()?, call.optional_text()?);
    let (bandwidth, flags) = (call.u64()?, call.u32()?);
    let known = only(flags, COMMIT_SHALLOW | COMMIT_ACTIVE | COMMIT_RELATIVE | COMMIT_BYTES);
    let same_base = base.is_none() == has(flags, COMMIT_SHALLOW);
    let same_top = top.is_none() == has(flags, COMMIT_ACTIVE);
    let bandwidth = per_second(bandwidth, has(flags, COMMIT_BYTES));
    let args = json!({ "disk": disk, "top": top, "base": base, "bandwidth": bandwidth });
    Ok((known && same_base && same_top).then_some(args))
}

/// A pull, or a copy under an old name.
fn rebase(call: &mut Call<'_>, disk: &str) -> Result<(Action, Option<Value>), ReadXdrError> {
    let base = call.optional_text()?;
    let (bandwidth, flags) = (call.u64()?, call.u32()?);
    let bandwidth = per_second(bandwidth, has(flags, PULL_BYTES));
    if !has(flags, REBASE_COPY) {
        let known = only(flags, REBASE_RELATIVE | PULL_BYTES);
        return Ok((Action::BlockPull, known.then(|| json!({ "disk": disk, "base": base, "bandwidth": bandwidth }))));
    }
    // Which format a copy gets that is not said to be raw, the disk it is made of decides.
    let known = REBASE_COPY | REBASE_COPY_RAW | REBASE_SHALLOW | REBASE_REUSE_EXT | PULL_BYTES;
    let said = only(flags, known) && has(flags, REBASE_COPY_RAW);
    let args = json!({
        "disk": disk, "to": base, "format": "raw", "bandwidth": bandwidth,
        "shallow": has(flags, REBASE_SHALLOW), "reuse": has(flags, REBASE_REUSE_EXT),
    });
    Ok((Action::BlockCopy, said.then_some(args)))
}

fn copy(call: &mut Call<'_>, disk: &str) -> Result<Option<Value>, ReadXdrError> {
    let (destination, parameters, flags) = (call.text()?, call.parameters()?, call.u32()?);
    let known = only(flags, COPY_SHALLOW | COPY_REUSE_EXT | COPY_TRANSIENT_JOB | COPY_SYNCHRONOUS_WRITES);
    let Some((to, format)) = file(destination).filter(|_| known) else { return Ok(None) };
    let bandwidth = number_of(&parameters, "bandwidth").unwrap_or(0);
    Ok(Some(json!({
        "disk": disk, "to": to, "format": format, "bandwidth": bandwidth,
        "shallow": has(flags, COPY_SHALLOW), "reuse": has(flags, COPY_REUSE_EXT),
    })))
}

/// The file and its format that a disk's XML names.
fn file(disk: &str) -> Option<(String, String)> {
    let document = xml::parse(disk)?;
    let root = document.root_element();
    if xml::name(root) != Some("disk") || xml::attribute(root, "type") != Some("file") {
        return None;
    }
    let of = |element: &str, name: &str| xml::attribute(xml::child(root, element)?, name);
    Some((of("source", "file")?.to_owned(), of("driver", "type")?.to_owned()))
}
