//! Other managers of a VM, known by the marks they leave in its XML, and what their own loops do to it.
//!
//! A mark says who made the VM or keeps notes in it, not who runs now. Only what a manager itself always writes counts;
//! a name or a path that anybody may choose does not. `docs/managers.md` has the sources.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::domain::Domain;

/// A manager that covirt knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// OpenStack Nova.
    Nova,
    /// oVirt: its engine, and vdsm on the host.
    Ovirt,
    /// Apache CloudStack: its management server, and the agent on the host.
    #[serde(rename = "cloudstack")]
    CloudStack,
    /// OpenNebula.
    #[serde(rename = "opennebula")]
    OpenNebula,
    /// KubeVirt.
    #[serde(rename = "kubevirt")]
    KubeVirt,
    /// Vagrant with its libvirt provider.
    VagrantLibvirt,
}

/// A manager that left its mark on a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recognised {
    /// Who.
    pub manager: Manager,
    /// By what: a metadata namespace, an entry of SMBIOS, the description.
    pub mark: String,
}

impl Manager {
    /// Every manager, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Nova, Self::Ovirt, Self::CloudStack, Self::OpenNebula, Self::KubeVirt, Self::VagrantLibvirt];

    /// Its word on the wire; also its place in `docs/managers.md`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nova => "nova",
            Self::Ovirt => "ovirt",
            Self::CloudStack => "cloudstack",
            Self::OpenNebula => "opennebula",
            Self::KubeVirt => "kubevirt",
            Self::VagrantLibvirt => "vagrant-libvirt",
        }
    }

    /// Its name as it writes it itself.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nova => "OpenStack Nova",
            Self::Ovirt => "oVirt",
            Self::CloudStack => "Apache CloudStack",
            Self::OpenNebula => "OpenNebula",
            Self::KubeVirt => "KubeVirt",
            Self::VagrantLibvirt => "Vagrant (libvirt)",
        }
    }

    /// What its own loops do to a VM that others manage, too, as one sentence.
    #[must_use]
    pub const fn loops(self) -> &'static str {
        match self {
            Self::Nova => {
                "nova-compute follows libvirt's events and compares power states every 600 s: it stops an instance that \
                 should be stopped and runs, and takes one that went down for stopped"
            }
            Self::Ovirt => {
                "the engine removes a VM that went down from its host, and starts a highly available one again, perhaps \
                 on another host, when it ended with an error"
            }
            Self::CloudStack => {
                "the management server follows the power states that the agent reports, and starts a VM again that was \
                 stopped past it, if high availability is on for it"
            }
            Self::OpenNebula => {
                "the monitor takes a VM that went down for powered off and forgets the snapshots it knew of; one that \
                 runs again, it takes for running"
            }
            Self::KubeVirt => {
                "KubeVirt removes the VM's instance when its domain ends, and makes a new one unless its run strategy \
                 says otherwise"
            }
            Self::VagrantLibvirt => {
                "nothing runs by itself, but `vagrant up`, `halt`, `reload` and `destroy` act on the VM and on its \
                 definition whatever covirt knows"
            }
        }
    }

    /// How to tell it to leave a co-managed VM alone, as one sentence.
    #[must_use]
    pub const fn tell(self) -> &'static str {
        match self {
            Self::Nova => {
                "set `sync_power_state_interval = -1`, and in `[workarounds]` `handle_virt_lifecycle_events = false`, in \
                 nova.conf on this host; both are for all its instances"
            }
            Self::Ovirt => "clear \"Highly Available\" for this VM (`high_availability.enabled` in the API)",
            Self::CloudStack => {
                "use an offering without high availability for this VM with `force.ha` false, or set \
                 `ha.vm.restart.hostup` to false for all"
            }
            Self::OpenNebula => {
                "no setting is known that exempts one VM; hooks of your own on its states should spare it"
            }
            Self::KubeVirt => "set `spec.runStrategy: Manual` for this VirtualMachine",
            Self::VagrantLibvirt => "run no `vagrant` command for this machine while it is co-managed",
        }
    }

    /// Where to read more, in covirt's own documentation.
    #[must_use]
    pub fn documentation(self) -> String {
        format!("docs/managers.md#{}", self.as_str())
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The managers that left their marks, each once, by its first mark.
#[must_use]
pub fn recognise(domain: &Domain) -> Vec<Recognised> {
    Manager::ALL.into_iter().filter_map(|manager| Some(Recognised { manager, mark: mark(manager, domain)? })).collect()
}

fn mark(manager: Manager, domain: &Domain) -> Option<String> {
    match manager {
        // The version is a part of Nova's namespace.
        Manager::Nova => namespace(domain, |uri| uri.starts_with("http://openstack.org/xmlns/libvirt/nova/"))
            .or_else(|| smbios(domain, "system.product", "OpenStack Nova"))
            .or_else(|| smbios(domain, "system.product", "OpenStack Compute")),
        Manager::Ovirt => namespace(domain, |uri| uri.starts_with("http://ovirt.org/vm/")),
        // The operator of a zone may choose another manufacturer or product, so either of them will do.
        Manager::CloudStack => smbios(domain, "system.product", "CloudStack KVM Hypervisor")
            .or_else(|| smbios(domain, "system.manufacturer", "Apache Software Foundation")),
        Manager::OpenNebula => namespace(domain, |uri| uri == "http://opennebula.org/xmlns/libvirt/1.0"),
        Manager::KubeVirt => namespace(domain, |uri| uri == "http://kubevirt.io")
            .or_else(|| smbios(domain, "system.manufacturer", "KubeVirt")),
        Manager::VagrantLibvirt => {
            let described = domain.identity.description.as_deref().unwrap_or_default().trim();
            let source = described.starts_with("Source: ") && described.ends_with("/Vagrantfile");
            source.then(|| "the description names a Vagrantfile".to_owned())
        }
    }
}

fn namespace(domain: &Domain, is: impl Fn(&str) -> bool) -> Option<String> {
    domain.metadata.iter().map(|mark| &mark.namespace).find(|uri| is(uri)).cloned()
}

fn smbios(domain: &Domain, entry: &str, value: &str) -> Option<String> {
    let says = domain.smbios.get(entry).is_some_and(|said| said.trim() == value);
    says.then(|| format!("SMBIOS {entry} is {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::{Limits, parse_domain};

    fn recognised(inside: &str) -> Vec<(Manager, String)> {
        let xml = format!(
            "<domain type='kvm'><name>web</name>{inside}<memory>65536</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64'>hvm</type></os></domain>"
        );
        let domain = parse_domain(xml, Limits::default()).unwrap();
        recognise(&domain).into_iter().map(|found| (found.manager, found.mark)).collect()
    }

    fn sysinfo(manufacturer: &str, product: &str) -> String {
        format!(
            "<sysinfo type='smbios'><system><entry name='manufacturer'>{manufacturer}</entry>\
             <entry name='product'>{product}</entry></system></sysinfo>"
        )
    }

    #[test]
    fn each_manager_is_known_by_its_own_mark() {
        let cases = [
            (
                Manager::Nova,
                "<metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'>\
                 <nova:name>web</nova:name></nova:instance></metadata>"
                    .to_owned(),
            ),
            (Manager::Nova, sysinfo("OpenStack Foundation", "OpenStack Nova")),
            (
                Manager::Ovirt,
                "<metadata xmlns:ovirt-vm='http://ovirt.org/vm/1.0'><ovirt-vm:vm><ovirt-vm:clusterVersion>4.7\
                 </ovirt-vm:clusterVersion></ovirt-vm:vm></metadata>"
                    .to_owned(),
            ),
            (Manager::Ovirt, "<metadata><qos xmlns='http://ovirt.org/vm/tune/1.0'/></metadata>".to_owned()),
            (Manager::CloudStack, sysinfo("Apache Software Foundation", "CloudStack KVM Hypervisor")),
            (Manager::CloudStack, sysinfo("A company of their own", "CloudStack KVM Hypervisor")),
            (
                Manager::OpenNebula,
                "<metadata><one:vm xmlns:one='http://opennebula.org/xmlns/libvirt/1.0'>\
                 <one:system_datastore>/var/lib/one/0</one:system_datastore></one:vm></metadata>"
                    .to_owned(),
            ),
            (
                Manager::KubeVirt,
                "<metadata><kubevirt xmlns='http://kubevirt.io'><uid>x</uid></kubevirt></metadata>".to_owned(),
            ),
            (Manager::VagrantLibvirt, "<description>Source: /srv/web/Vagrantfile</description>".to_owned()),
        ];
        for (manager, inside) in cases {
            let found = recognised(&inside);
            assert_eq!(found.iter().map(|(manager, _)| *manager).collect::<Vec<_>>(), [manager], "{inside}");
            assert!(!found[0].1.is_empty());
        }
    }

    #[test]
    fn what_everybody_may_write_is_no_mark() {
        for inside in [
            "",
            "<metadata><libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'/></metadata>",
            "<metadata><a xmlns='http://openstack.org/xmlns/other'/></metadata>",
            "<description>Somebody's Vagrantfile</description>",
            "<title>nova</title>",
        ] {
            assert_eq!(recognised(inside), [], "{inside}");
        }
    }

    #[test]
    fn two_managers_on_one_vm_are_both_told() {
        let inside = format!(
            "{}<metadata><one:vm xmlns:one='http://opennebula.org/xmlns/libvirt/1.0'/></metadata>",
            sysinfo("Apache Software Foundation", "CloudStack KVM Hypervisor")
        );
        let found: Vec<Manager> = recognised(&inside).into_iter().map(|(manager, _)| manager).collect();
        assert_eq!(found, [Manager::CloudStack, Manager::OpenNebula]);
    }

    #[test]
    fn a_manager_is_written_as_it_is_read() {
        for manager in Manager::ALL {
            assert_eq!(serde_json::to_string(&manager).unwrap(), format!("\"{}\"", manager.as_str()));
        }
    }
}
