//! Boot order, in either of libvirt's two encodings.
//!
//! Assumes raw devices, met one after the other. Guarantees one encoding, and orders that no two devices share.

use std::collections::BTreeMap;

use super::domain::{BootClass, BootDevice, BootOrder};
use super::quantity::shorten;
use super::raw::{self, RawFault};

/// The per-device boot orders met so far.
#[derive(Default)]
pub(super) struct Orders(BTreeMap<u32, String>);

impl Orders {
    /// Reads one device's order; two devices with the same order are refused, as libvirt does.
    pub(super) fn read(
        &mut self,
        boot: Option<&raw::Boot>,
        path: &'static [&'static str],
        nth: usize,
        device: impl FnOnce() -> String,
    ) -> Result<Option<u32>, RawFault> {
        let Some(text) = boot.and_then(|boot| boot.order.as_deref()) else {
            return Ok(None);
        };
        let order = text.parse().ok().filter(|order| *order > 0);
        let order: u32 = order.ok_or_else(|| {
            RawFault::nth(path, nth, format!("boot order {:?} is not a number from 1", shorten(text)))
        })?;
        let device = device();
        if let Some(other) = self.0.get(&order) {
            let reason = format!("boot order {order} is already that of {}", shorten(other));
            return Err(RawFault::nth(path, nth, reason));
        }
        self.0.insert(order, device);
        Ok(Some(order))
    }

    /// Chooses between libvirt's two encodings; both together are refused, as libvirt does.
    pub(super) fn settle(self, os: &raw::Os) -> Result<BootOrder, RawFault> {
        let classes: Vec<BootClass> = os.boot.iter().filter_map(|boot| boot.dev.clone()).map(BootClass::from).collect();
        match (self.0.is_empty(), classes.is_empty()) {
            (true, true) => Ok(BootOrder::Unsaid),
            (true, false) => Ok(BootOrder::ByClass(classes)),
            (false, true) => {
                let devices = self.0.into_iter().map(|(order, device)| BootDevice { order, device });
                Ok(BootOrder::ByDevice(devices.collect()))
            }
            (false, false) => Err(RawFault::new(
                &["domain", "os", "boot"],
                "boot order is given both by class and by device, and only one of them can hold",
            )),
        }
    }
}
