//! The flavor: how much the VM has, as bodies of Nova's `POST /flavors` and `POST /flavors/{id}/os-extra_specs`.
//!
//! Assumes nothing about sizes. Guarantees whole MiB, rounded up where the VM has a part of one (rounded down, Nova
//! would take memory from the guest at the next hard reboot), and a name that two VMs share only when their flavors are
//! equal, unless the binding names it.
//! *Source*: <https://docs.openstack.org/api-ref/compute/#create-flavor>.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::bundle::BundleFile;
use super::super::error::RenderError;
use super::extra_specs::{ExtraSpecs, extra_specs};
use super::vm::{Vm, json_file};
use crate::artifacts::bundle::pretty;
use crate::artifacts::report::Report;
use crate::discovery::hex;

const KIB_IN_MIB: u64 = 1024;
/// Nova's own bound for numbers in a flavor.
const MOST: u64 = i32::MAX as u64;

/// A flavor.
#[derive(Debug)]
pub(super) struct Flavor {
    /// Its name, which is its id too.
    pub(super) name: String,
    pub(super) vcpus: u32,
    /// *Units*: MiB.
    pub(super) ram: u64,
    pub(super) extra_specs: ExtraSpecs,
}

impl Flavor {
    pub(super) fn of(vm: &Vm<'_>, report: &mut Report<'_>) -> Result<Self, RenderError> {
        let refuse =
            |field: &str, why: &str| Err(RenderError::Refused { field: field.to_owned(), why: why.to_owned() });
        let domain = &vm.inventory.domain;
        let kib = domain.memory.max_kib.0;
        let ram = kib.div_ceil(KIB_IN_MIB);
        if ram == 0 || ram > MOST {
            return refuse("memory.max_kib", "a flavor of Nova has from 1 to 2147483647 MiB of memory");
        }
        let vcpus = domain.cpu.vcpus_max;
        if vcpus == 0 || u64::from(vcpus) > MOST {
            return refuse("cpu.vcpus_max", "a flavor of Nova has from 1 to 2147483647 processors");
        }
        report_sizes(vm, report);
        let extra_specs = extra_specs(vm, ram, report);
        let name = match &vm.binding.flavor {
            Some(name) => name.as_str().to_owned(),
            None => default_name(vcpus, ram, &extra_specs),
        };
        Ok(Self { name, vcpus, ram, extra_specs })
    }

    /// Both bodies.
    pub(super) fn files(&self, vm: &Vm<'_>) -> Vec<BundleFile> {
        let description = format!("made by covirt from the libvirt domain {}", vm.name);
        let flavor = json!({"flavor": {
            "name": self.name,
            "id": self.name,
            "vcpus": self.vcpus,
            "ram": self.ram,
            // The disks are volumes, so that the flavor brings none.
            "disk": 0,
            "OS-FLV-EXT-DATA:ephemeral": 0,
            "swap": 0,
            "os-flavor-access:is_public": false,
            "description": description,
        }});
        vec![
            json_file("api/flavor.json", &flavor),
            json_file("api/flavor-extra-specs.json", &json!({"extra_specs": self.extra_specs.as_json()})),
        ]
    }
}

fn default_name(vcpus: u32, ram: u64, specs: &ExtraSpecs) -> String {
    let sized = format!("covirt-{vcpus}c-{ram}m");
    if specs.is_empty() {
        return sized;
    }
    let mut digest = hex(&Sha256::digest(pretty::<Value>(&specs.as_json())));
    digest.truncate(8);
    format!("{sized}-{digest}")
}

fn report_sizes(vm: &Vm<'_>, report: &mut Report<'_>) {
    const RAM: &str = "flavor.json: ram";
    const VCPUS: &str = "flavor.json: vcpus";
    let domain = &vm.inventory.domain;
    let (memory, cpu) = (&domain.memory, &domain.cpu);
    if memory.max_kib.0.is_multiple_of(KIB_IN_MIB) {
        report.exact("memory.max_kib", RAM);
    } else {
        let rule = "rounded up to whole MiB: rounded down, the guest would lose memory at Nova's next hard reboot";
        report.approximate("memory.max_kib", RAM, rule);
    }
    if memory.current_kib == memory.max_kib {
        report.approximate("memory.current_kib", RAM, "the same as the memory at boot");
    } else {
        report.not_carried(
            "memory.current_kib",
            "Nova does not balloon; at its next hard reboot the guest has all of it",
        );
    }
    report.exact("cpu.vcpus_max", VCPUS);
    if cpu.vcpus == cpu.vcpus_max {
        report.exact("cpu.vcpus", VCPUS);
    } else {
        report.approximate("cpu.vcpus", VCPUS, "a flavor has no unplugged processors, so that all of them are in it");
    }
}
