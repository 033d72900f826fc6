//! Devices that no provider's format has a field for: kept by name, with their options.

use super::characters::keep_host_end;
use super::parts::device_parts;
use super::words;
use crate::discovery::device::OtherDevice;
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;

/// Reads such a device; none when its name is not known.
pub(super) fn read(device: Element<'_>) -> Option<OtherDevice> {
    let words = words::OTHERS.iter().find(|known| device.is(known.name()))?;
    let mut settings = Settings::new();
    let model = match device.name() {
        // Its attribute `type` is the host's end; what names it is its mode.
        "smartcard" => device.owned("mode"),
        "shmem" => device.child("model").and_then(|model| model.owned("type")),
        _ => device.owned("model").or_else(|| device.owned("type")),
    };
    let address = device_parts(device, &mut settings);
    if matches!(device.name(), "parallel" | "smartcard" | "redirdev") {
        keep_host_end(device, &mut settings);
        settings.remove("address");
    }
    words.keep(device, "", &mut settings);
    Some(OtherDevice { kind: device.name().to_owned(), model, address, settings })
}
