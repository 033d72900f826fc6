//! What surrounds the machine: marks of other managers, SMBIOS, protection of memory, and what is passed to the
//! hypervisor past libvirt.

use super::words;
use crate::discovery::device::LaunchSecurity;
use crate::discovery::domain::ManagerMark;
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;

/// libosinfo's namespace; its `os` element names the guest's operating system.
const LIBOSINFO: &str = "http://libosinfo.org/xmlns/libvirt/domain/1.0";

/// libvirt's namespaces for words of one hypervisor.
const HYPERVISORS: &[(&str, &str)] = &[
    ("http://libvirt.org/schemas/domain/qemu/1.0", "qemu"),
    ("http://libvirt.org/schemas/domain/xen/1.0", "xen"),
    ("http://libvirt.org/schemas/domain/bhyve/1.0", "bhyve"),
    ("http://libvirt.org/schemas/domain/lxc/1.0", "lxc"),
    ("http://libvirt.org/schemas/domain/vmware/1.0", "vmware"),
];

/// How systemd passes credentials by SMBIOS; what follows the name is a secret.
const CREDENTIAL: &str = "io.systemd.credential";

/// Reads `<metadata>`: the guest's operating system, and whose marks there are. Their content is theirs.
pub(super) fn read(domain: Element<'_>) -> (Option<String>, Vec<ManagerMark>) {
    let (mut guest_os, mut marks) = (None, Vec::new());
    let Some(metadata) = domain.child("metadata") else {
        return (guest_os, marks);
    };
    for mark in metadata.elements() {
        let namespace = mark.namespace().unwrap_or_default();
        if namespace == LIBOSINFO && guest_os.is_none() {
            let os = mark.elements().find(|os| os.name() == "os" && os.namespace() == Some(LIBOSINFO));
            guest_os = os.and_then(|os| os.owned("id"));
        }
        marks.push(ManagerMark { namespace: namespace.to_owned(), element: mark.name().to_owned() });
    }
    metadata.ignore();
    (guest_os, marks)
}

/// Reads `<sysinfo>` into what SMBIOS tells the guest.
pub(super) fn read_sysinfo(domain: Element<'_>, smbios: &mut Settings) {
    for sysinfo in domain.children("sysinfo") {
        let kind = sysinfo.attribute("type").unwrap_or_default();
        if kind == "fwcfg" {
            for (entry, number) in sysinfo.numbered().into_iter().filter(|(entry, _)| entry.is("entry")) {
                entry.mark();
                // What is written in place may be a secret (a first-boot configuration): its name and file are kept.
                entry.text();
                let name = number.map_or_else(|| "fwcfg".to_owned(), |number| format!("fwcfg[{number}]"));
                words::FWCFG.keep(entry, &name, smbios);
            }
            continue;
        }
        smbios.insert("type".to_owned(), kind.to_owned());
        for (table, number) in sysinfo.numbered().into_iter().filter(|(table, _)| words::SMBIOS.contains(&table.name()))
        {
            table.mark();
            let path = number.map_or_else(|| table.name().to_owned(), |n| format!("{}[{n}]", table.name()));
            for (nth, entry) in table.children("entry").enumerate() {
                let text = entry.text().unwrap_or_default();
                let text = match text.trim().starts_with(CREDENTIAL) {
                    true => text.split('=').next().unwrap_or_default().to_owned(),
                    false => text,
                };
                let named = entry.attribute("name").map(|name| format!("{path}.{name}"));
                let key = named.filter(|name| !smbios.contains_key(name));
                smbios.insert(key.unwrap_or_else(|| format!("{path}.entry[{}]", nth + 1)), text);
            }
        }
    }
}

/// Reads `<launchSecurity>`. Keys, sessions and identity blocks are the owner's secrets, or bound to them.
pub(super) fn read_launch_security(domain: Element<'_>) -> Option<LaunchSecurity> {
    let element = domain.child("launchSecurity")?;
    let mut settings = Settings::new();
    for secret in ["dhCert", "session", "idBlock", "idAuth", "hostData", "handle"] {
        element.ignore_children(secret);
    }
    let (kind, policy) = (element.owned("type").unwrap_or_default(), element.text_of("policy"));
    words::LAUNCH_SECURITY.keep(element, "", &mut settings);
    Some(LaunchSecurity { kind, policy, settings })
}

/// Counts what the XML hands to the hypervisor past libvirt, and keeps the words of one hypervisor that are no
/// arguments, under its name.
pub(super) fn read_passthrough(domain: Element<'_>, settings: &mut Settings) -> u32 {
    let mut count = 0_u32;
    for element in domain.elements() {
        let namespace = element.namespace().unwrap_or_default();
        let Some((_, hypervisor)) = HYPERVISORS.iter().find(|(known, _)| *known == namespace) else {
            continue;
        };
        let key = format!("{hypervisor}.{}", element.name());
        match element.name() {
            // Arguments, variables and properties may hold anything, secrets too.
            "commandline" | "override" => {
                element.mark();
                count = count.saturating_add(count_passthrough(element));
            }
            "deprecation" => {
                element.mark();
                settings.insert(key, element.owned("behavior").unwrap_or_default());
            }
            "datacenterpath" => {
                element.mark();
                settings.insert(key, element.text().unwrap_or_default());
            }
            "capabilities" | "namespace" => {
                element.mark();
                for part in element.elements().filter(|part| part.namespace() == element.namespace()) {
                    part.mark();
                    let value = part.attribute("capability").or_else(|| part.attribute("value"));
                    let key = match part.attribute("type") {
                        Some(kind) => format!("{key}.{}.{kind}", part.name()),
                        None => format!("{key}.{}", part.name()),
                    };
                    let list: &mut String = settings.entry(key).or_default();
                    if !list.is_empty() {
                        list.push(',');
                    }
                    list.push_str(value.unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    count
}

fn count_passthrough(element: Element<'_>) -> u32 {
    let mut count = 0_u32;
    for part in element.elements().filter(|part| part.namespace() == element.namespace()) {
        match part.name() {
            "arg" | "env" | "property" => {
                part.mark();
                part.ignore_attributes(&["name", "value", "type"]);
                count = count.saturating_add(1);
            }
            "device" | "frontend" => {
                part.mark();
                part.ignore_attributes(&["alias"]);
                count = count.saturating_add(count_passthrough(part));
            }
            _ => {}
        }
    }
    count
}
