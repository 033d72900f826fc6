//! The checks before the import: each a named rule with a verdict, so that nobody has to learn them from a failed job.
//!
//! Assumes a plan of a VM whose words the agent knows. Guarantees one entry for each rule that passes, and one for each
//! thing that does not; what no inventory can tell is said as a question to the administrator.
//! *Source*: CloudStack's `UnmanagedVMsManagerImpl`, and its documentation of importing instances.

use serde::Serialize;

use super::binding::Address;
use super::plan::{Plan, PlannedDisk, Role, cpus, mebibytes};
use crate::discovery::{Bandwidth, ChainEnd, DiskSource, Inventory, Trunk, Writes};

/// One rule's finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) rule: &'static str,
    pub(super) verdict: Verdict,
    /// The field of the inventory it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<String>,
    pub(super) why: String,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// It holds.
    Pass,
    /// It does not hold, and the import may go wrong.
    Warn,
    /// It does not hold, and the import fails or is wrong.
    Fail,
    /// Only CloudStack's administrator can tell.
    Ask,
}

type Finding = (Verdict, String, String);

/// Every rule.
pub(super) fn checks(inventory: &Inventory, plan: &Plan<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut rule = |rule: &'static str, passes: &str, findings: Vec<Finding>| {
        if findings.is_empty() {
            checks.push(Check { rule, verdict: Verdict::Pass, field: None, why: passes.to_owned() });
        }
        let found = findings.into_iter().map(|(verdict, field, why)| Check { rule, verdict, field: Some(field), why });
        checks.extend(found);
    };
    rule("agent-knows-every-word", "the agent knows every word it reads of this VM's XML", Vec::new());
    rule("watchdog", "every agent knows the watchdog", watchdogs(inventory));
    rule("interface-limits", "limits of interfaces have both averages, or there are none", limits(plan));
    rule("interfaces-of-one-model", "all interfaces are of one model", models(plan));
    rule("data-disks-of-one-bus", "all data disks are on one bus", buses(plan));
    rule("one-root-disk", "one disk has no offering, and all others have one", Vec::new());
    rule(
        "disk-in-a-pool",
        "every disk is in the root directory of its pool",
        of_disks(plan, |disk| place(disk, inventory)),
    );
    rule("disk-format", "files are qcow2, and Ceph's images raw", of_disks(plan, format));
    rule("backing-files", "no image is on top of another", of_disks(plan, backing));
    rule("no-block-job", "no block job is changing a disk", of_disks(plan, job));
    rule("disks-of-one-vm", "no disk is shared with another VM", of_disks(plan, shared));
    rule("memory-in-mebibytes", "the memory is whole MiB", memory(inventory));
    rule("networks", "there are no interfaces", networks(plan));
    rule("addresses", "there are no interfaces with an address", addresses(plan));
    rule("offerings", "", offerings(inventory, plan));
    rule(
        "host-name",
        "",
        vec![ask("identity.name", format!("no VM on these networks may be called {}", plan.hostname))],
    );
    let state =
        "an import while it runs needs offerings that are exactly its size; this inventory does not tell its state";
    rule("power-state", "", vec![ask("definition", state.to_owned())]);
    let snapshots = "the VM may have no snapshots: CloudStack would not know them, and this inventory does not tell";
    rule("snapshots", "", vec![ask("disks", snapshots.to_owned())]);
    checks
}

fn ask(field: &str, why: String) -> Finding {
    (Verdict::Ask, field.to_owned(), why)
}

fn of_disks(
    plan: &Plan<'_>,
    check: impl Fn(&PlannedDisk<'_>) -> Option<(Verdict, &'static str, String)>,
) -> Vec<Finding> {
    let found = plan.disks.iter().filter_map(|disk| {
        let (verdict, part, why) = check(disk)?;
        Some((verdict, format!("disks[{}].{part}", disk.disk.target), why))
    });
    found.collect()
}

fn watchdogs(inventory: &Inventory) -> Vec<Finding> {
    let found = inventory.domain.watchdogs.iter().enumerate().filter(|(_, watchdog)| watchdog.model == "itco");
    let why = "agents before 4.19.1 do not know the watchdog itco, and drop the VM from their list";
    found.map(|(nth, _)| (Verdict::Warn, format!("watchdogs[{nth}]"), why.to_owned())).collect()
}

fn limits(plan: &Plan<'_>) -> Vec<Finding> {
    let half = |limits: &Bandwidth| {
        let average = |rate: Option<crate::discovery::Rate>| rate.and_then(|rate| rate.average).is_some();
        !(average(limits.inbound) && average(limits.outbound))
    };
    let found = plan.nics.iter().filter(|nic| nic.nic.bandwidth.as_ref().is_some_and(half));
    let why = "agents read the average of both directions, and some drop a VM with an interface that has only one";
    found.filter_map(|nic| Some((Verdict::Warn, nic_field(nic.nic.mac?, "bandwidth"), why.to_owned()))).collect()
}

fn nic_field(mac: crate::model::units::Mac, part: &str) -> String {
    format!("nics[{mac}].{part}")
}

fn models(plan: &Plan<'_>) -> Vec<Finding> {
    let first = plan.nics.first().and_then(|nic| nic.nic.model.as_deref()).unwrap_or_default();
    let other =
        plan.nics.iter().filter(|nic| !nic.nic.model.as_deref().unwrap_or_default().eq_ignore_ascii_case(first));
    let why = format!("CloudStack imports no VM with interfaces of several models, and the first is {first}");
    other.filter_map(|nic| Some((Verdict::Fail, nic_field(nic.nic.mac?, "model"), why.clone()))).collect()
}

fn buses(plan: &Plan<'_>) -> Vec<Finding> {
    let mut data = plan.disks.iter().filter(|disk| disk.role != Role::Root);
    let Some(first) = data.next() else { return Vec::new() };
    let other = data.filter(|disk| disk.disk.bus != first.disk.bus);
    let name = first.disk.target.as_str();
    let why = format!("CloudStack imports no VM with data disks on several buses, and this is not that of {name}");
    other.map(|disk| (Verdict::Fail, format!("disks[{}].bus", disk.disk.target), why.clone())).collect()
}

/// The volume has to be in the root directory of a pool that CloudStack knows.
fn place(planned: &PlannedDisk<'_>, inventory: &Inventory) -> Option<(Verdict, &'static str, String)> {
    let found = |verdict, why: &str| Some((verdict, "source", why.to_owned()));
    match planned.disk.source.as_ref()? {
        DiskSource::Block { .. } => found(
            Verdict::Fail,
            "CloudStack looks for the pool by the path of the directory, and finds none for a block device",
        ),
        DiskSource::File { path } => {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let pool = planned.disk.volume.as_ref().and_then(|at| inventory.pools.get(&at.pool));
            match pool.and_then(|pool| pool.target.as_deref()) {
                Some(target) if target.trim_end_matches('/') == folder => Some((
                    Verdict::Ask,
                    "source",
                    format!("{folder} has to be primary storage of CloudStack (shared mount point, NFS or local)"),
                )),
                Some(_) => found(Verdict::Fail, "the image is not in the root directory of its pool"),
                None => Some((
                    Verdict::Ask,
                    "source",
                    format!("{folder} has to be the root directory of primary storage of CloudStack"),
                )),
            }
        }
        DiskSource::Network { .. } => found(Verdict::Ask, "its pool has to be primary storage of CloudStack"),
        DiskSource::Directory { .. }
        | DiskSource::Volume { .. }
        | DiskSource::Nvme { .. }
        | DiskSource::VhostUser { .. }
        | DiskSource::Unknown { .. } => None,
    }
}

fn format(planned: &PlannedDisk<'_>) -> Option<(Verdict, &'static str, String)> {
    let format = planned.disk.format.as_deref();
    let wanted = match planned.disk.source.as_ref()? {
        DiskSource::File { .. } => "qcow2",
        DiskSource::Network { .. } => "raw",
        DiskSource::Block { .. }
        | DiskSource::Directory { .. }
        | DiskSource::Volume { .. }
        | DiskSource::Nvme { .. }
        | DiskSource::VhostUser { .. }
        | DiskSource::Unknown { .. } => return None,
    };
    let why = format!("CloudStack takes volumes on this kind of storage for {wanted}, whatever they are");
    (format.is_some() && format != Some(wanted)).then_some((Verdict::Fail, "format", why))
}

fn backing(planned: &PlannedDisk<'_>) -> Option<(Verdict, &'static str, String)> {
    let backing = &planned.disk.backing;
    if !backing.images.is_empty() {
        let why =
            "CloudStack knows the top image only; those under it have to stay where they are, for as long as it is";
        return Some((Verdict::Warn, "backing", why.to_owned()));
    }
    let unseen = backing.end == ChainEnd::Unseen && planned.disk.format.as_deref() == Some("qcow2");
    let why = "whether there is an image under it is not known here; CloudStack would know the top image only";
    unseen.then(|| (Verdict::Ask, "backing", why.to_owned()))
}

fn job(planned: &PlannedDisk<'_>) -> Option<(Verdict, &'static str, String)> {
    let why = "a block job is about to change where the disk is: import when it has ended";
    planned.disk.mirror.is_some().then(|| (Verdict::Fail, "mirror", why.to_owned()))
}

fn shared(planned: &PlannedDisk<'_>) -> Option<(Verdict, &'static str, String)> {
    let why = "a volume of CloudStack belongs to one VM; it would start another beside this one's partners unaware";
    let shared = matches!(planned.disk.writes, Writes::Shared | Writes::ReadOnlyShared);
    shared.then(|| (Verdict::Fail, "writes", why.to_owned()))
}

fn memory(inventory: &Inventory) -> Vec<Finding> {
    if inventory.domain.memory.max_kib.0.is_multiple_of(1024) {
        return Vec::new();
    }
    let why =
        format!("the agent tells {} MiB, rounded down, and an offering has to be of that size", mebibytes(inventory));
    vec![(Verdict::Warn, "memory.max_kib".to_owned(), why)]
}

fn networks(plan: &Plan<'_>) -> Vec<Finding> {
    let found = plan.nics.iter().filter_map(|nic| {
        let field = nic_field(nic.nic.mac?, "vlan");
        Some(match (nic.nic.vlan.trunk, nic.nic.vlan.tags.as_slice()) {
            (Trunk::Yes, _) => {
                (Verdict::Fail, field, "a network of CloudStack has one VLAN, and this is a trunk".to_owned())
            }
            (Trunk::No, [tag]) => (Verdict::Ask, field, format!("the network over there has to be vlan://{tag}")),
            (Trunk::No, _) => {
                (Verdict::Ask, field, "the network over there has to be untagged on this bridge".to_owned())
            }
        })
    });
    found.collect()
}

fn addresses(plan: &Plan<'_>) -> Vec<Finding> {
    let found = plan.nics.iter().filter_map(|nic| {
        let field = nic_field(nic.nic.mac?, "addresses");
        match nic.address {
            Address::Layer2 => None,
            Address::This(ip) => Some((Verdict::Ask, field, format!("{ip} has to be free in the network over there"))),
            Address::Auto => {
                let why = "CloudStack notes an address of its own choice, and nobody tells the guest";
                Some((Verdict::Warn, field, why.to_owned()))
            }
        }
    });
    found.collect()
}

fn offerings(inventory: &Inventory, plan: &Plan<'_>) -> Vec<Finding> {
    let (cpus, memory) = (cpus(inventory), mebibytes(inventory));
    let compute = format!("the compute offering has to be custom, or of {cpus} CPUs and {memory} MB");
    let mut found = vec![ask("cpu.vcpus", compute)];
    for disk in plan.disks.iter().filter(|disk| disk.role != Role::Root) {
        let size = disk.capacity.map_or_else(|| "its size".to_owned(), |bytes| format!("{bytes} bytes"));
        let why = format!("the disk offering has to be custom, or of {size} or more");
        found.push(ask(&format!("disks[{}].size", disk.disk.target), why));
    }
    found
}
