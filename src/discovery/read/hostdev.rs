//! `<hostdev>`.

use super::boot::Orders;
use super::parts::device_parts;
use super::words;
use crate::discovery::address::DeviceAddress;
use crate::discovery::device::{Hostdev, HostdevType};
use crate::discovery::error::FieldFault;
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;

/// Reads the `nth` host device, from 0.
pub(super) fn read(element: Element<'_>, nth: usize, orders: &mut Orders) -> Result<Hostdev, FieldFault> {
    let mut settings = Settings::new();
    let kind = HostdevType::from(element.attribute("type").unwrap_or_default().to_owned());
    let source = element.child("source");
    let protocol = source.and_then(|source| source.owned("protocol"));
    let hostdev = Hostdev {
        source: source.and_then(|source| spell_source(&kind, source, &mut settings)).unwrap_or_default(),
        kind,
        model: protocol.or_else(|| element.owned("model")),
        managed: element.says_yes("managed"),
        display: element.owned("display"),
        boot_order: orders.read(element, || format!("hostdev:{nth}"))?,
        address: device_parts(element, &mut settings),
        settings: Settings::new(),
    };
    words::HOSTDEV.keep(element, "", &mut settings);
    Ok(Hostdev { settings, ..hostdev })
}

/// What names the device on the host, in one text.
fn spell_source(kind: &HostdevType, source: Element<'_>, settings: &mut Settings) -> Option<String> {
    let address = source.child("address");
    match kind {
        HostdevType::Pci => Some(DeviceAddress::read_as("pci", address?)?.as_str().to_owned()),
        HostdevType::Usb => spell_usb(source, settings),
        HostdevType::Mdev => address?.owned("uuid"),
        HostdevType::ScsiHost => source.owned("wwpn"),
        HostdevType::Scsi => match source.owned("name") {
            // iSCSI: the target's name with the unit after a slash.
            Some(name) => Some(name),
            None => {
                let adapter = source.child("adapter").and_then(|adapter| adapter.owned("name"))?;
                let part = |name| address.and_then(|address: Element<'_>| address.attribute(name)).unwrap_or("0");
                Some(format!("scsi:{adapter}:{}.{}.{}", part("bus"), part("target"), part("unit")))
            }
        },
        HostdevType::Storage => source.text_of("block"),
        HostdevType::Misc => source.text_of("char"),
        HostdevType::Net => source.text_of("interface"),
        HostdevType::Unknown(_) => None,
    }
}

/// A USB device by vendor and product, or else by its place on the host's buses.
fn spell_usb(source: Element<'_>, settings: &mut Settings) -> Option<String> {
    let id = |name| {
        let element = source.child(name)?;
        let number = u16::from_str_radix(element.peek("id")?.trim().trim_start_matches("0x"), 16).ok()?;
        element.attribute("id");
        Some(number)
    };
    let place = source.child("address").and_then(|address| {
        let bus = address.attribute("bus")?;
        let device = address.attribute("device").or_else(|| address.attribute("port"))?;
        Some(format!("usb:{bus}.{device}"))
    });
    let Some((vendor, product)) = id("vendor").zip(id("product")) else {
        return place;
    };
    if let Some(place) = place {
        settings.insert("source.address".to_owned(), place);
    }
    Some(format!("usb:{vendor:04x}:{product:04x}"))
}
