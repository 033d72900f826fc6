//! Where a device sits on the guest's buses, as one comparable text.
//!
//! Assumes an `<address>`. Guarantees one spelling per place: `pci:0000:04:00.0`, `drive:0.0.0.1`, `ccw:fe.0.0001`;
//! an address type it does not know is kept by name with all that it says.

use serde::{Deserialize, Serialize};

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

    /// Reads an `<address>`; one without a type, or still unassigned, is none.
    pub(super) fn read(element: Element<'_>) -> Option<Self> {
        Self::read_as(element.attribute("type")?, element)
    }

    /// Reads an `<address>` whose type is known from around it. A number that is none leaves it unread.
    pub(super) fn read_as(kind: &str, element: Element<'_>) -> Option<Self> {
        let number = |name: &str| {
            let number = element.peek(name).map_or(Some(0), read_number);
            if number.is_some() {
                element.attribute(name);
            }
            number
        };
        let text = match kind {
            // `<address type='pci'/>` asks libvirt to choose; it is no place yet.
            "pci" if element.peek("slot").or(element.peek("bus")).is_none() => {
                element.attribute("domain");
                element.attribute("function");
                return None;
            }
            "pci" => {
                let (domain, bus) = (number("domain")?, number("bus")?);
                let (slot, function) = (number("slot")?, number("function")?);
                format!("pci:{domain:04x}:{bus:02x}:{slot:02x}.{function:x}")
            }
            "drive" => {
                let (controller, bus) = (number("controller")?, number("bus")?);
                let (target, unit) = (number("target")?, number("unit")?);
                format!("drive:{controller}.{bus}.{target}.{unit}")
            }
            "ccw" => {
                element.peek("devno")?;
                let (cssid, ssid, devno) = (number("cssid")?, number("ssid")?, number("devno")?);
                format!("ccw:{cssid:x}.{ssid:x}.{devno:04x}")
            }
            "usb" => format!("usb:{}.{}", number("bus")?, element.attribute("port").unwrap_or("0")),
            "virtio-serial" | "ccid" => {
                let (controller, bus) = (number("controller")?, number("bus")?);
                let unit = element.attribute("port").or_else(|| element.attribute("slot")).unwrap_or("0");
                format!("{kind}:{controller}.{bus}.{unit}")
            }
            "dimm" => {
                // Where in the guest's memory it lies is found out at the start.
                element.ignore_attributes(&["base"]);
                format!("dimm:{}", number("slot")?)
            }
            "spapr-vio" => match element.attribute("reg") {
                Some(reg) => format!("{kind}:{reg}"),
                None => kind.to_owned(),
            },
            other => {
                let mut said = Vec::new();
                for attribute in element.unread_attributes().filter(|attribute| attribute.namespace().is_none()) {
                    element.attribute(attribute.name());
                    said.push(format!("{}={}", attribute.name(), attribute.value()));
                }
                said.sort();
                if said.is_empty() { other.to_owned() } else { format!("{other}:{}", said.join(",")) }
            }
        };
        Some(Self(text))
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
    use crate::discovery::Limits;
    use crate::discovery::xml::read;

    fn address(xml: &str) -> Option<DeviceAddress> {
        read(xml.as_bytes(), "address", Limits::default(), |element| Ok(DeviceAddress::read(element))).unwrap().0
    }

    #[test]
    fn an_address_has_one_spelling() {
        for (xml, text) in [
            ("<address type='pci' bus='0x04' slot='0x0A'/>", "pci:0000:04:0a.0"),
            ("<address type='drive' controller='1' unit='2'/>", "drive:1.0.0.2"),
            ("<address type='ccw' cssid='0xfe' ssid='0x0' devno='0x0001'/>", "ccw:fe.0.0001"),
            ("<address type='usb' bus='0' port='1.2'/>", "usb:0.1.2"),
            ("<address type='virtio-serial' controller='0' bus='0' port='3'/>", "virtio-serial:0.0.3"),
            ("<address type='isa' iobase='0x505' irq='0x1'/>", "isa:iobase=0x505,irq=0x1"),
            ("<address type='dimm' slot='1' base='0x100000000'/>", "dimm:1"),
            ("<address type='holodeck' wall='7'/>", "holodeck:wall=7"),
            ("<address type='virtio-mmio'/>", "virtio-mmio"),
        ] {
            assert_eq!(address(xml).unwrap().as_str(), text);
        }
        assert_eq!(address("<address type='pci' bus='0x04'/>").unwrap().pci(), Some("0000:04:00.0"));
    }

    #[test]
    fn an_unassigned_address_is_none() {
        assert_eq!(address("<address type='pci'/>"), None);
        assert_eq!(address("<address type='pci' slot='somewhere'/>"), None);
    }
}
