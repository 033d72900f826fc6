//! Where a device sits on the guest's buses, as one comparable text.
//!
//! Assumes a raw `<address>`. Guarantees one spelling per place: `pci:0000:04:00.0`, `drive:0.0.0.1`, `ccw:fe.0.0001`;
//! an address type it does not know is kept by name with what it can say.

use serde::{Deserialize, Serialize};

use super::raw;
use super::xml::Element;

/// A device's address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceAddress(String);

impl DeviceAddress {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The PCI address alone (`0000:04:00.0`), for a PCI device.
    pub fn pci(&self) -> Option<&str> {
        self.0.strip_prefix("pci:")
    }

    /// Reads a raw address; one without a type, or still unassigned, is none.
    pub(super) fn from_raw(raw: &raw::Address) -> Option<Self> {
        let kind = raw.kind.as_deref()?;
        let number = |text: &Option<String>| text.as_deref().map_or(Some(0), read_number);
        let text = match kind {
            "pci" => {
                // `<address type='pci'/>` asks libvirt to choose; it is no place yet.
                raw.slot.as_ref().or(raw.bus.as_ref())?;
                let (domain, bus) = (number(&raw.domain)?, number(&raw.bus)?);
                let (slot, function) = (number(&raw.slot)?, number(&raw.function)?);
                format!("pci:{domain:04x}:{bus:02x}:{slot:02x}.{function:x}")
            }
            "drive" => {
                let (controller, bus) = (number(&raw.controller)?, number(&raw.bus)?);
                let (target, unit) = (number(&raw.target)?, number(&raw.unit)?);
                format!("drive:{controller}.{bus}.{target}.{unit}")
            }
            "ccw" => {
                raw.devno.as_ref()?;
                let (cssid, ssid, devno) = (number(&raw.cssid)?, number(&raw.ssid)?, number(&raw.devno)?);
                format!("ccw:{cssid:x}.{ssid:x}.{devno:04x}")
            }
            "usb" => format!("usb:{}.{}", number(&raw.bus)?, raw.port.as_deref().unwrap_or("0")),
            other => match raw.reg.as_deref() {
                Some(reg) => format!("{other}:{reg}"),
                None => other.to_owned(),
            },
        };
        Some(Self(text))
    }
}

impl DeviceAddress {
    /// Reads an `<address>` of a PCI device, whose type may go without saying.
    pub(super) fn read_pci(address: Element<'_>) -> Option<Self> {
        if !matches!(address.attribute("type"), Some("pci") | None) {
            return None;
        }
        let [domain, bus, slot, function] =
            ["domain", "bus", "slot", "function"].map(|name| address.attribute(name).map_or(Some(0), read_number));
        let (domain, bus, slot, function) = (domain?, bus?, slot?, function?);
        Some(Self(format!("pci:{domain:04x}:{bus:02x}:{slot:02x}.{function:x}")))
    }
}

/// libvirt writes these numbers in hexadecimal with `0x`, or in decimal.
fn read_number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pci_address_has_one_spelling() {
        let text = |slot: &str| Some(slot.to_owned());
        let raw = raw::Address { kind: text("pci"), bus: text("0x04"), slot: text("0x0A"), ..raw::Address::default() };
        let address = DeviceAddress::from_raw(&raw).unwrap();
        assert_eq!(address.as_str(), "pci:0000:04:0a.0");
        assert_eq!(address.pci(), Some("0000:04:0a.0"));
    }

    #[test]
    fn an_unassigned_address_is_none() {
        let raw = raw::Address { kind: Some("pci".to_owned()), ..raw::Address::default() };
        assert_eq!(DeviceAddress::from_raw(&raw), None);
    }
}
