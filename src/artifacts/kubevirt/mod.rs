//! KubeVirt: a VirtualMachine, a DataVolume for each disk, a NetworkAttachmentDefinition for each secondary network.
//!
//! Assumes an inventory with a UUID and a binding with at least the namespace. Guarantees that the VM is halted, so
//! that KubeVirt starts no second writer of the guest's disks, and that what is written passes the rules of KubeVirt's
//! admission (`admission`), which its published schema does not have.
//! *Source*: <https://kubevirt.io/api-reference/main/definitions.html#_v1_virtualmachine>.

mod admission;
mod attachment;
mod binding;
mod compute;
mod device;
mod disk;
mod drive;
mod feature;
mod machine;
mod name;
mod network;

use serde_json::{Map, Value, json};

use self::binding::Binding;
use self::compute::{Compute, compute};
use self::device::devices;
use self::disk::storage;
use self::feature::{clock, features};
use self::machine::{arch, chassis, firmware, machine, protection};
use self::name::{label, object};
use self::network::networking;
use super::binding::DraftField;
use super::bundle::BundleFile;
use super::error::RenderError;
use super::report::Report;
use super::{Files, Renderer, uuid_of, yaml};
use crate::discovery::{BootOrder, Inventory};

/// The file of the VirtualMachine.
const FILE: &str = "virtualmachine.yaml";

/// The renderer.
#[derive(Debug, Clone, Copy)]
pub(super) struct KubeVirt;

impl Renderer for KubeVirt {
    type Binding = Binding;

    const NAME: &'static str = "kubevirt";
    const TITLE: &'static str = "KubeVirt VirtualMachine, DataVolume and network manifests";

    /// *Errors*: `binding-malformed`, `artifact-incomplete`; `artifact-refused` for an architecture that KubeVirt does
    /// not run, and for what its admission would not take.
    fn files(inventory: &Inventory, binding: &Binding, report: &mut Report<'_>) -> Files {
        binding.check(inventory)?;
        let uuid = uuid_of(inventory)?;
        let name = binding
            .name
            .as_ref()
            .map_or_else(|| label(&inventory.domain.identity.name), |name| name.as_str().to_owned());
        let (spec, mut manifests) = instance(inventory, binding, &name, report)?;
        admission::check(&spec, &binding.emulated_machines)?;
        let identity = &inventory.domain.identity;
        let annotations = object([
            ("covirt.io/libvirt-uuid", Some(json!(uuid.to_string()))),
            ("covirt.io/libvirt-name", Some(json!(identity.name))),
            ("covirt.io/generation", Some(json!(inventory.generation().as_str()))),
            ("covirt.io/title", identity.title.as_ref().map(|title| json!(title))),
            ("covirt.io/description", identity.description.as_ref().map(|text| json!(text))),
        ]);
        let labels = json!({"kubevirt.io/vm": name});
        let vm = json!({
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachine",
            "metadata": {
                "name": name,
                "namespace": binding.namespace.as_str(),
                "labels": labels,
                "annotations": annotations,
            },
            "spec": {
                // Always: the guest runs already, under libvirt.
                "runStrategy": "Halted",
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        });
        tell_rest(inventory, report);
        manifests.insert(0, (FILE.to_owned(), vm));
        Ok(manifests.into_iter().map(|(path, value)| BundleFile::new(path, yaml::document(&value))).collect())
    }

    fn draft(inventory: &Inventory) -> Vec<DraftField> {
        binding::draft(inventory)
    }
}

/// The specification of the instance, and the manifests it refers to, by file name.
fn instance(
    inventory: &Inventory,
    binding: &Binding,
    name: &str,
    report: &mut Report<'_>,
) -> Result<(Value, Vec<(String, Value)>), RenderError> {
    let domain = &inventory.domain;
    let arch = arch(domain, report)?;
    let machine = machine(domain, arch, binding, report);
    let protection = protection(domain, arch, binding, report);
    let Compute { cpu, memory, resources } = compute(domain, arch, protection, binding, report);
    let storage = storage(inventory, binding, name, arch, &machine, report);
    let networking = networking(inventory, binding, &machine, protection, report);
    let others = devices(domain, arch, binding, report);

    let mut devices = Map::new();
    devices.insert("disks".to_owned(), json!(storage.disks));
    devices.insert("interfaces".to_owned(), json!(networking.interfaces));
    if networking.queues {
        devices.insert("networkInterfaceMultiqueue".to_owned(), json!(true));
    }
    if storage.queues {
        devices.insert("blockMultiQueue".to_owned(), json!(true));
    }
    devices.extend(others.fields);
    let volumes: Vec<Value> = storage.volumes.into_iter().chain(others.volumes).collect();
    let written = object([
        ("machine", machine.kind.map(|kind| json!({"type": kind}))),
        ("firmware", Some(firmware(domain, arch, protection, binding, report))),
        ("chassis", chassis(domain, report)),
        ("cpu", Some(cpu)),
        ("memory", Some(memory)),
        ("resources", resources),
        ("clock", Some(clock(domain, binding, report))),
        ("features", Some(features(domain, arch, report))),
        ("launchSecurity", protection.map(|protection| protection.manifest())),
        ("rebootPolicy", reboot_policy(inventory, binding, report)),
        ("devices", Some(Value::Object(devices))),
    ]);
    let grace = binding.termination_grace_period_seconds;
    let spec = object([
        ("architecture", domain.platform.arch.as_ref().map(|_| json!(arch.word()))),
        ("domain", Some(written)),
        ("networks", Some(json!(networking.networks))),
        ("volumes", Some(json!(volumes))),
        ("evictionStrategy", binding.eviction_strategy.map(|strategy| json!(strategy.word()))),
        ("terminationGracePeriodSeconds", grace.map(|seconds| json!(seconds))),
    ]);
    Ok((spec, storage.claims.into_iter().chain(networking.attachments).collect()))
}

/// A guest that is not to come back after a reboot.
fn reboot_policy(inventory: &Inventory, binding: &Binding, report: &mut Report<'_>) -> Option<Value> {
    let ends = inventory.domain.lifecycle.get("on_reboot").is_some_and(|action| action == "destroy");
    if !ends {
        return None;
    }
    if !binding.gate("RebootPolicy") {
        report
            .refused("lifecycle.on_reboot", "it needs the feature gate RebootPolicy, which the binding does not list");
        return None;
    }
    report.exact("lifecycle.on_reboot", "spec.template.spec.domain.rebootPolicy");
    Some(json!("Terminate"))
}

/// What became of everything that no other part has told.
fn tell_rest(inventory: &Inventory, report: &mut Report<'_>) {
    const HOST: &str = "it is of this host, and Kubernetes chooses another one";
    report.exact("identity.uuid", "metadata.annotations, spec.template.spec.domain.firmware.uuid");
    report.approximate("identity.name", "metadata.name, metadata.annotations", "the name as a label of RFC 1123");
    report.exact("identity.title", "metadata.annotations");
    report.exact("identity.description", "metadata.annotations");
    report.refused("identity.genid", "KubeVirt has no VM generation id: the guest cannot see that it was copied");
    report.not_carried("guest_os", "KubeVirt has preferences for it, which are the cluster's to choose");
    report.not_carried("platform", "KubeVirt runs KVM machines only, with its own emulator");
    match inventory.domain.boot {
        BootOrder::ByDevice(_) => report.exact("boot", "disks[].bootOrder, interfaces[].bootOrder"),
        BootOrder::ByClass(_) => {
            let rule = "the first device of each class has the place of its class";
            report.approximate("boot", "disks[].bootOrder, interfaces[].bootOrder", rule);
        }
        BootOrder::Unsaid => report.not_carried("boot", "nothing is said, and the firmware tries what there is"),
    }
    report.not_carried("memory", "KubeVirt has no field for it");
    report.not_carried("cpu", "KubeVirt has no field for it");
    report.not_carried("lifecycle", "KubeVirt keeps the VM halted, and its run strategy decides");
    report
        .not_carried("smbios", "KubeVirt has fields for the serial number and the chassis, and others of the cluster");
    report.not_carried("security_labels", HOST);
    report.not_carried("settings", "KubeVirt has no field for it");
    report.refused("passthrough_arguments", "KubeVirt hands nothing to the hypervisor past libvirt");
    report.not_carried("metadata", "it is another manager's");
    report.not_carried("definition", "the manifests are made from what runs now");
    report.not_carried("networks", HOST);
    report.approximate("pools[*].volumes", "datavolume: spec.storage.resources", "their capacity");
    report.not_carried("pools", HOST);
    report.not_carried("host", HOST);
}
