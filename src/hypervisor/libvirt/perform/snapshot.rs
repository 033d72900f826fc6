//! The calls behind snapshots.

use serde_json::{Value, json};
use virt::domain::Domain;
use virt::domain_snapshot::DomainSnapshot;
use virt::sys;

use super::{Begun, Target, check_disks};
use crate::hypervisor::libvirt::failure::Fault;
use crate::hypervisor::libvirt::snapshot_xml::snapshot_xml;
use crate::model::Operation;
use crate::model::operation::{SnapshotArgs, SnapshotCreateArgs, SnapshotKind};

/// Makes the call, once.
pub(super) fn perform(target: &Target<'_>, operation: &Operation) -> Result<Begun, Fault> {
    let done = |()| Begun::Complete(Value::Null);
    match operation {
        Operation::SnapshotCreate(args) => create(target, args),
        Operation::SnapshotRevert(args) => {
            let snapshot = look_up(target, args)?;
            target.send(|_| snapshot.revert(0)).map(done)
        }
        Operation::SnapshotDelete(args) => {
            let snapshot = look_up(target, args)?;
            target.send(|_| snapshot.delete(0)).map(done)
        }
        other => Err(Fault::Forbidden(format!("{} is about no snapshot", other.action()))),
    }
}

fn create(target: &Target<'_>, args: &SnapshotCreateArgs) -> Result<Begun, Fault> {
    let domain = if args.disks.is_empty() { None } else { Some(target.described()?) };
    if let Some(domain) = &domain {
        check_disks(domain, &args.disks)?;
    }
    let all = domain.iter().flat_map(|domain| &domain.disks).map(|disk| disk.target.as_str());
    let xml = snapshot_xml(args, all);
    let flags = match args.kind {
        SnapshotKind::Full => 0,
        SnapshotKind::DiskOnly => sys::VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY,
    };
    let name = target.send(|domain| domain.create_snapshot_xml(&xml, flags).and_then(|snapshot| snapshot.name()))?;
    Ok(Begun::Complete(json!({ "name": name })))
}

fn look_up(target: &Target<'_>, args: &SnapshotArgs) -> Result<DomainSnapshot, Fault> {
    target.ask(|domain| Domain::lookup_snapshot_by_name(domain, &args.name, 0))
}
