//! A thousand defined VMs, from a cold start of the agent until every inventory has been answered; and libvirt itself,
//! until it has listed them and returned their XML.

use std::path::Path;
use std::time::{Duration, Instant};

use super::covirtd::Covirtd;
use super::figures::{Table, Times, ms, ratio};
use super::support::qemu::{PrivateLibvirt, Skip};

const VMS: usize = 1000;
const ROUNDS: usize = 5;

pub(crate) fn measure(table: &mut Table) {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return table.skip("inventory of 1,000 VMs", &reason),
    };
    let folder = tempfile::tempdir().expect("make a folder");
    define(&libvirt, folder.path(), VMS);
    let (mut ours, mut theirs, mut started, mut single) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(directly(&libvirt));
        let (start, all, one) = through_the_agent(&libvirt);
        started.push(start);
        ours.push(all);
        single.push(one);
    }
    let (ours, theirs) = (Times::of(ours), Times::of(theirs));
    let (started, single) = (Times::of(started), Times::of(single));
    table.note("libvirt: list 1,000 VMs and return their XML", format!("median {}", ms(theirs.at(500))));
    table.note("the agent: cold start until it answers", format!("median {}", ms(started.at(500))));
    table.note("the agent: cold start to 1,000 inventories", format!("median {}", ms(ours.at(500))));
    table.note("the agent: one inventory by itself", format!("median {}", ms(single.at(500))));
    table.at_most("inventory of 1,000 VMs, the agent to libvirt", ratio(ours.at(500), theirs.at(500)), 2.0, "×");
}

/// Defines VMs that are off, with one disk in `folder`; gives their ids.
pub(crate) fn define(libvirt: &PrivateLibvirt, folder: &Path, vms: usize) -> Vec<String> {
    let disk = folder.join("disk.raw");
    std::fs::File::create(&disk).and_then(|file| file.set_len(1 << 30)).expect("make a disk");
    let connection = libvirt.connect();
    let one = |number: usize| {
        let xml = format!(
            "<domain type='qemu'><name>vm-{number:04}</name><memory unit='MiB'>512</memory><vcpu>2</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>\
             <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/>\
             <target dev='vda' bus='virtio'/></disk><interface type='network'><source network='default'/>\
             <model type='virtio'/></interface><serial type='pty'/>\
             <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>",
            disk.display()
        );
        let defined = connection.define_domain_xml(&xml);
        let domain = defined.unwrap_or_else(|error| panic!("define vm-{number}: {error}"));
        domain.uuid_string().expect("a UUID")
    };
    (0..vms).map(one).collect()
}

fn directly(libvirt: &PrivateLibvirt) -> Duration {
    let begun = Instant::now();
    let connection = libvirt.connect();
    let domains = connection.list_all_domains(0).expect("list");
    let bytes: usize = domains.iter().map(|domain| domain.xml_desc(0).expect("XML").len()).sum();
    assert!(domains.len() == VMS && bytes > VMS * 500, "{} VMs, {bytes} bytes", domains.len());
    begun.elapsed()
}

fn through_the_agent(libvirt: &PrivateLibvirt) -> (Duration, Duration, Duration) {
    let begun = Instant::now();
    let agent = Covirtd::start(super::PROGRAM, libvirt.uri(), "");
    let mut north = agent.client("north");
    let started = begun.elapsed();
    let all = north.get("/v1/inventory").ok();
    let read = begun.elapsed();
    assert_eq!(all["inventories"].as_array().map(Vec::len), Some(VMS), "{}", all["unread"]);
    let begun = Instant::now();
    let mut singles = 0;
    for inventory in all["inventories"].as_array().into_iter().flatten().step_by(20) {
        let vm = inventory["identity"]["uuid"].as_str().expect("an id");
        north.get(&format!("/v1/vms/{vm}/inventory")).ok();
        singles += 1;
    }
    (started, read, begun.elapsed() / singles)
}
