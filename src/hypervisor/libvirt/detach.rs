//! Waiting until a guest has let go of a device.
//!
//! libvirt waits five seconds for the guest and then leaves the rest to an event, DEVICE_REMOVED, before which it takes
//! the device out of the VM's description. So each event leads to a look, and the device is gone when it is not there:
//! no event can be missed, and none of another device be taken for this one's.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::core::{Core, present};
use super::element;
use super::failure::Fault;
use super::look;
use super::notices::{Notice, Watch};
use super::settle::{Woken, lost_after_sending};
use crate::model::{DeviceName, StartId, VmId};

/// A device that the guest was told to let go of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Detaching {
    /// Which.
    pub(super) device: DeviceName,
    /// What libvirt's events call it.
    pub(super) alias: Option<String>,
    /// When the guest was told.
    pub(super) since: Instant,
    /// How long it is given. *Units*: seconds.
    pub(super) timeout_s: u32,
    /// What became of the definition.
    pub(super) definition: Definition,
}

/// Whether the device was taken out of the definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Definition {
    /// It was, with the same call.
    Without,
    /// It was not there, or there is no definition.
    Untouched,
}

impl Detaching {
    /// Why it failed, when the device is still there.
    fn kept(&self, how: &str) -> Fault {
        let device = &self.device;
        let rest = match self.definition {
            Definition::Without => "; the definition is without it, and the guest may yet let go",
            Definition::Untouched => "; it may yet",
        };
        Fault::GuestTimeout(format!("the guest did not let go of {device}{how}{rest}"))
    }
}

impl Core {
    pub(super) async fn until_detached(
        &self,
        vm: VmId,
        start: StartId,
        detaching: &Detaching,
        mut watch: Watch,
    ) -> Result<Value, Fault> {
        let end = detaching.since + Duration::from_secs(u64::from(detaching.timeout_s));
        loop {
            if !self.has(vm, start, &detaching.device).await? {
                return Ok(Value::Null);
            }
            match self.woken(&mut watch, end.into()).await {
                Woken::By(Notice::UnplugRefused(alias)) if Some(&alias) == detaching.alias.as_ref() => {
                    return Err(detaching.kept(": it refused"));
                }
                Woken::By(_) => {}
                Woken::Lost(reason) => return Err(Fault::Lost(reason)),
                // An event that is on its way has changed the description already.
                Woken::TimeUp if !self.has(vm, start, &detaching.device).await? => return Ok(Value::Null),
                Woken::TimeUp => return Err(detaching.kept(&format!(" within {} s", detaching.timeout_s))),
            }
        }
    }

    /// Whether the process that the call was for still has the device.
    async fn has(&self, vm: VmId, start: StartId, device: &DeviceName) -> Result<bool, Fault> {
        let device = device.clone();
        let asked = self.ask(Some(vm), move |connect, _| {
            let Some(domain) = present(connect, vm)? else { return Ok(false) };
            if look::start_of(&domain) != start {
                return Ok(false);
            }
            match domain.xml_desc(0).map_err(Fault::harmless(connect)) {
                Err(Fault::NoSuchVm(_)) => Ok(false),
                xml => Ok(element::find(&xml?, &device)?.is_some()),
            }
        });
        asked.await.map_err(lost_after_sending)
    }
}
