//! Which of the guest's processors have a processor of the host to themselves, as Nova would pin them.
//!
//! Assumes libvirt's lists of processors. Guarantees that a list is never larger than the VM has processors, and that
//! a processor counts as dedicated only when it may run on one of the host and shares it with no other of the guest.

use std::collections::{BTreeMap, BTreeSet};

use super::extra_specs::ExtraSpecs;
use crate::artifacts::report::Report;
use crate::discovery::{Cpu, Pinning};

/// A host's processors are numbered below this.
const MOST_HOST_CPUS: u32 = 1 << 16;

/// The guest's processors in libvirt's list (`0-3,^2,8`); none when it is no list, or names one from `most` on.
pub(super) fn read_cpus(list: &str, most: u32) -> Option<BTreeSet<u32>> {
    let mut cpus = BTreeSet::new();
    for part in list.split(',').map(str::trim) {
        let (without, part) = part.strip_prefix('^').map_or((false, part), |part| (true, part));
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= most {
            return None;
        }
        for cpu in first..=last {
            if without {
                cpus.remove(&cpu);
            } else {
                cpus.insert(cpu);
            }
        }
    }
    Some(cpus)
}

/// A list in Nova's form (`0-3,8`).
pub(super) fn spell_cpus(cpus: &BTreeSet<u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*cpu) => *last = *cpu,
            Some(_) | None => ranges.push((*cpu, *cpu)),
        }
    }
    let spelled =
        ranges.iter().map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    spelled.collect::<Vec<_>>().join(",")
}

/// The guest's processors that have one of the host's to themselves.
pub(super) fn dedicated_cpus(cpu: &Cpu) -> BTreeSet<u32> {
    let mut users: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut alone = Vec::new();
    for (vcpu, list) in &cpu.pinning.vcpus {
        let Some(hosts) = read_cpus(list, MOST_HOST_CPUS) else { continue };
        for host in &hosts {
            users.entry(*host).or_default().push(*vcpu);
        }
        if let (1, Some(host)) = (hosts.len(), hosts.first()) {
            alone.push((*vcpu, *host));
        }
    }
    let single = |host: &u32| users.get(host).is_some_and(|users| users.len() == 1);
    alone.into_iter().filter(|(vcpu, host)| *vcpu < cpu.vcpus_max && single(host)).map(|(vcpu, _)| vcpu).collect()
}

/// The policy of processors, and of the emulator's own threads.
pub(super) fn write(specs: &mut ExtraSpecs, cpu: &Cpu, report: &mut Report<'_>) {
    let Pinning { all: _, vcpus: _, emulator, iothreads: _ } = &cpu.pinning;
    let dedicated = dedicated_cpus(cpu);
    let all = dedicated.len() as u64 == u64::from(cpu.vcpus_max);
    if dedicated.is_empty() {
        let why =
            "the processors share the host's, which is Nova's way too; where they may run is the host's own setting";
        return report.not_carried("cpu.pinning", why);
    }
    if all {
        specs.push("hw:cpu_policy", "dedicated");
    } else {
        specs.push("hw:cpu_policy", "mixed");
        specs.push("hw:cpu_dedicated_mask", spell_cpus(&dedicated));
    }
    let theirs: BTreeSet<u32> =
        cpu.pinning.vcpus.values().filter_map(|list| read_cpus(list, MOST_HOST_CPUS)).flatten().collect();
    let emulator = emulator.as_deref().and_then(|list| read_cpus(list, MOST_HOST_CPUS));
    match emulator {
        Some(own) if own.is_disjoint(&theirs) && own.len() == 1 => specs.push("hw:emulator_threads_policy", "isolate"),
        Some(own) if own.is_disjoint(&theirs) && !own.is_empty() => specs.push("hw:emulator_threads_policy", "share"),
        Some(_) | None => {}
    }
    let rule = "Nova chooses which of the host's processors; that each has one to itself is kept";
    report.approximate("cpu.pinning", "flavor-extra-specs.json: hw:cpu_policy", rule);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(pins: &[(u32, &str)]) -> Cpu {
        let vcpus = pins.iter().map(|(vcpu, list)| (*vcpu, (*list).to_owned())).collect();
        Cpu { vcpus_max: 4, vcpus: 4, pinning: Pinning { vcpus, ..Pinning::default() }, ..Cpu::default() }
    }

    #[test]
    fn lists_are_read_and_spelled() {
        let cpus = read_cpus("0-3,^2,8", 16).unwrap();
        assert_eq!(spell_cpus(&cpus), "0-1,3,8");
        for broken in ["", "a", "3-1", "0-4294967295", "16"] {
            assert_eq!(read_cpus(broken, 16), None, "{broken}");
        }
    }

    #[test]
    fn a_processor_that_two_share_is_nobodys_own() {
        let dedicated = |pins: &[(u32, &str)]| spell_cpus(&dedicated_cpus(&cpu(pins)));
        assert_eq!(dedicated(&[(0, "4"), (1, "5"), (2, "6"), (3, "7")]), "0-3");
        assert_eq!(dedicated(&[(0, "4"), (1, "4"), (2, "6")]), "2");
        assert_eq!(dedicated(&[(0, "4"), (1, "4-5")]), "");
        assert_eq!(dedicated(&[(9, "4")]), "");
    }
}
