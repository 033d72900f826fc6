//! Boot order, in either of libvirt's two encodings.
//!
//! Assumes devices, met one after the other. Guarantees one encoding, and orders that no two devices share.

use std::collections::BTreeMap;

use crate::discovery::domain::{BootClass, BootDevice, BootOrder};
use crate::discovery::error::FieldFault;
use crate::discovery::quantity::shorten;
use crate::discovery::xml::Element;

/// The per-device boot orders met so far.
#[derive(Default)]
pub(super) struct Orders(BTreeMap<u32, String>);

impl Orders {
    /// Reads one device's order; two devices with the same order are refused, as libvirt does.
    pub(super) fn read(
        &mut self,
        device: Element<'_>,
        label: impl FnOnce() -> String,
    ) -> Result<Option<u32>, FieldFault> {
        let Some(text) = device.child("boot").and_then(|boot| boot.attribute("order")) else {
            return Ok(None);
        };
        let order = text.trim().parse().ok().filter(|order| *order > 0);
        let order: u32 =
            order.ok_or_else(|| device.fault(format!("boot order {:?} is not a number from 1", shorten(text))))?;
        if let Some(other) = self.0.insert(order, label()) {
            return Err(device.fault(format!("boot order {order} is already that of {}", shorten(&other))));
        }
        Ok(Some(order))
    }

    /// Chooses between libvirt's two encodings; both together are refused, as libvirt does.
    pub(super) fn settle(self, classes: Vec<BootClass>, domain: Element<'_>) -> Result<BootOrder, FieldFault> {
        match (self.0.is_empty(), classes.is_empty()) {
            (true, true) => Ok(BootOrder::Unsaid),
            (true, false) => Ok(BootOrder::ByClass(classes)),
            (false, true) => {
                let devices = self.0.into_iter().map(|(order, device)| BootDevice { order, device });
                Ok(BootOrder::ByDevice(devices.collect()))
            }
            (false, false) => {
                let place = domain.child("os").and_then(|os| os.child("boot")).unwrap_or(domain);
                Err(place.fault("boot order is given both by class and by device, and only one of them can hold"))
            }
        }
    }
}
