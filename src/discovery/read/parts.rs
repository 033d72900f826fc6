//! What any device may have: an alias, a place on the guest's buses, an ACPI index.

use super::words;
use crate::discovery::address::DeviceAddress;
use crate::discovery::known::keep_children;
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;

/// Reads those parts of `device`; gives its address.
pub(super) fn device_parts(device: Element<'_>, settings: &mut Settings) -> Option<DeviceAddress> {
    if let Some(name) = device.child("alias").and_then(|alias| alias.attribute("name"))
        // libvirt numbers its own anew at each start; one with this prefix is an administrator's.
        && name.starts_with("ua-")
    {
        settings.insert("alias".to_owned(), name.to_owned());
    }
    let address = device.child("address").and_then(DeviceAddress::read);
    keep_children(device, words::DEVICE, "", settings);
    address
}

/// Keeps the address of a device whose type has no field for it.
pub(super) fn keep_address(address: Option<DeviceAddress>, settings: &mut Settings) {
    if let Some(address) = address {
        settings.insert("address".to_owned(), address.as_str().to_owned());
    }
}
