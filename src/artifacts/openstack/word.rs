//! Words of a binding that OpenStack's services take only in certain forms.
//!
//! Assumes a text. Guarantees the form, or a refusal that says which one it has to be.

use jiff::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::artifacts::checked::checked;

checked! {
    /// A project's or user's id.
    KeystoneId: "an id of Keystone: 32 or 64 hexadecimal digits, or a UUID" if is_keystone_id;
    /// A name as Nova takes it.
    Name: "a name of at most 255 printable characters without blanks at its ends" if is_name;
    /// A host's name as Nova and Neutron know it.
    HostName: "a host name: letters, digits, dots, dashes and underscores" if |text| is_word(text, 255, "-._");
    /// A flavor's name, used as its id too.
    FlavorName: "a flavor's name: letters, digits, dots, dashes and underscores" if |text| is_word(text, 255, "-._");
    /// `HOST@BACKEND#POOL`.
    CinderHost: "a place of Cinder's: HOST@BACKEND or HOST@BACKEND#POOL" if is_cinder_host;
    /// A volume type's name or id.
    VolumeType: "a volume type's name or id" if is_name;
    /// A physical network as Neutron's configuration names it.
    PhysicalNetwork: "a physical network's name: letters, digits, dots and dashes" if |text| is_word(text, 64, "-._");
    /// `ALIAS:COUNT`, several with commas between.
    PciAlias: "ALIAS:COUNT, several with commas between" if is_pci_alias;
}

impl Default for Name {
    /// What Nova itself writes for a name it does not know.
    fn default() -> Self {
        Self("N/A".to_owned())
    }
}

fn is_word(text: &str, longest: usize, others: &str) -> bool {
    let fits = !text.is_empty() && text.len() <= longest;
    fits && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

fn is_keystone_id(text: &str) -> bool {
    let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
    digits && matches!(text.len(), 32 | 64) || text.len() == 36 && text.parse::<Uuid>().is_ok()
}

fn is_name(text: &str) -> bool {
    let ends = text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace);
    !text.is_empty() && text.chars().count() <= 255 && !ends && !text.chars().any(char::is_control)
}

fn is_cinder_host(text: &str) -> bool {
    let Some((host, backend)) = text.split_once('@') else {
        return false;
    };
    is_word(host, 255, "-._") && is_word(backend, 255, "-._#:/+") && text.len() <= 255
}

fn is_pci_alias(text: &str) -> bool {
    text.len() <= 255
        && text.split(',').all(|part| {
            let (alias, count) = part.trim().split_once(':').unwrap_or_default();
            is_word(alias, 128, "-._") && count.len() <= 4 && count.parse::<u32>().is_ok_and(|count| count > 0)
        })
}

/// A VLAN's tag; the key of a table, which is always a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::artifacts) struct VlanTag(pub(super) u16);

impl<'de> Deserialize<'de> for VlanTag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let tag = text.parse().ok().filter(|tag| (1..4095).contains(tag));
        tag.map(Self).ok_or_else(|| D::Error::custom("this is not a VLAN's tag, from 1 to 4094"))
    }
}

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::artifacts) struct When(Timestamp);

impl When {
    /// In UTC, as Nova writes it: `2026-01-01 00:00:00`.
    pub(super) fn as_nova(self) -> String {
        self.0.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let moment = text.parse().map(Self);
        moment.map_err(|_| D::Error::custom("this is not a moment of RFC 3339, such as 2026-01-01T00:00:00Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_told_from_what_is_near_to_it() {
        assert!(is_keystone_id("f1b8c0d9e2a34f5c8a7b6d5e4f3c2b1a"));
        assert!(!is_keystone_id("f1b8c0d9e2a34f5c8a7b6d5e4f3c2b1"));
        assert!(is_cinder_host("kvm-host-1@lvm#vg0"));
        assert!(!is_cinder_host("kvm-host-1"));
        assert!(is_pci_alias("gpu:1, qat:2"));
        assert!(!is_pci_alias("gpu"));
        assert!(!is_pci_alias("gpu:0"));
        assert!(!is_name(" web"));
        assert!(!is_name("two\nlines"));
    }
}
