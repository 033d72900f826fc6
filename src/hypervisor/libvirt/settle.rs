//! Waiting for what the guest must complete: off, restarted, balloon moved; a device let go is in [`super::detach`].
//!
//! A watch that was begun before the call wakes the wait, and libvirt is then asked what is so. Only migrations, of
//! which no event tells, are polled ([`super::migration`]). A wait ends with the guest's deed, the time it was given,
//! or the loss of libvirtd.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::core::{Core, look_up, present};
use super::failure::Fault;
use super::look;
use super::notices::{Notice, Watch};
use super::perform::Begun;
use crate::model::{HoldKey, Kib, PowerState, StartId, VmId};

/// How long QEMU is given to say that it restarted the guest. It does so within milliseconds; the wait is there so
/// that a later reboot does not take this event for its own.
const RESET_LIMIT: Duration = Duration::from_secs(5);
/// How long the balloon is given. A guest without a balloon driver never moves it, so that the call then ends with
/// what was reached rather than as a failure. QEMU reports the balloon at most once a second.
const BALLOON_LIMIT: Duration = Duration::from_secs(3);
/// How long something that was told to end is given. QEMU stops its jobs within milliseconds, unless its storage hangs.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);

/// What woke a wait.
pub(super) enum Woken {
    By(Notice),
    TimeUp,
    Lost(String),
}

/// What a look at the VM found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It is off, or does not exist any more.
    Off,
    /// It is crashed and kept.
    Crashed,
    /// It is the start that the call was made on.
    SameStart(PowerState),
    /// It was off and was started again.
    OtherStart,
}

impl Core {
    /// Waits until a call that libvirt took is complete.
    pub(super) async fn settle(&self, vm: VmId, start: StartId, begun: Begun, watch: Watch) -> Result<Value, Fault> {
        match begun {
            Begun::Complete(value) => Ok(value),
            Begun::UntilOff(seconds) => self.until_off(vm, start, seconds, watch).await,
            Begun::UntilRestarted(seconds) => self.until_restarted(vm, start, seconds, watch).await,
            Begun::UntilReset => self.until_reset(watch).await,
            Begun::UntilBalloon(asked) => self.until_balloon(vm, asked, watch).await,
            Begun::UntilClosed(hold) => self.until_closed(vm, &hold, watch).await,
            Begun::UntilDetached(detaching) => self.until_detached(vm, start, &detaching, watch).await,
            Begun::ToMigrate(args) => self.until_migrating(vm, start, *args).await,
            Begun::UntilStaying => self.until_staying(vm).await,
        }
    }

    async fn until_off(&self, vm: VmId, start: StartId, seconds: u32, mut watch: Watch) -> Result<Value, Fault> {
        let end = Instant::now() + Duration::from_secs(u64::from(seconds));
        let mut restarts = 0_u32;
        loop {
            // The first look comes at once: a driver without guests is off when the call returns.
            match self.find(vm, start).await? {
                Found::Off | Found::OtherStart => return Ok(Value::Null),
                Found::Crashed => return Err(Fault::Failed("the guest crashed instead of shutting down".to_owned())),
                Found::SameStart(_) => {}
            }
            loop {
                match self.woken(&mut watch, end).await {
                    Woken::By(Notice::Ended | Notice::Moved | Notice::Power(_)) => break,
                    Woken::By(Notice::Rebooted) => restarts += 1,
                    Woken::By(Notice::UnplugRefused(_) | Notice::Altered) => {}
                    Woken::Lost(reason) => return Err(Fault::Lost(reason)),
                    Woken::TimeUp => {
                        if let Found::Off | Found::OtherStart = self.find(vm, start).await? {
                            return Ok(Value::Null);
                        }
                        let instead = if restarts > 0 { "; it restarted instead" } else { "" };
                        return Err(Fault::GuestTimeout(format!(
                            "the guest did not shut down within {seconds} s{instead}"
                        )));
                    }
                }
            }
        }
    }

    async fn until_restarted(&self, vm: VmId, start: StartId, seconds: u32, mut watch: Watch) -> Result<Value, Fault> {
        let end = Instant::now() + Duration::from_secs(u64::from(seconds));
        loop {
            match self.woken(&mut watch, end).await {
                Woken::By(Notice::Rebooted) => return Ok(Value::Null),
                Woken::By(Notice::Ended) => match self.find(vm, start).await? {
                    // Its definition may say that a reboot ends it.
                    Found::Off => return Err(Fault::Failed("the VM stopped instead of restarting".to_owned())),
                    Found::Crashed => return Err(Fault::Failed("the guest crashed instead of restarting".to_owned())),
                    Found::OtherStart => return Ok(Value::Null),
                    Found::SameStart(_) => {}
                },
                Woken::By(Notice::Moved | Notice::Power(_) | Notice::UnplugRefused(_) | Notice::Altered) => {}
                Woken::Lost(reason) => return Err(Fault::Lost(reason)),
                Woken::TimeUp => {
                    return Err(Fault::GuestTimeout(format!("the guest did not restart within {seconds} s")));
                }
            }
        }
    }

    async fn until_reset(&self, mut watch: Watch) -> Result<Value, Fault> {
        let end = Instant::now() + RESET_LIMIT;
        loop {
            match self.woken(&mut watch, end).await {
                Woken::By(Notice::Rebooted | Notice::Ended) | Woken::TimeUp => return Ok(Value::Null),
                Woken::By(Notice::Moved | Notice::Power(_) | Notice::UnplugRefused(_) | Notice::Altered) => {}
                // libvirt already said that the reset was done.
                Woken::Lost(_) => return Ok(Value::Null),
            }
        }
    }

    async fn until_balloon(&self, vm: VmId, asked: Kib, mut watch: Watch) -> Result<Value, Fault> {
        let end = Instant::now() + BALLOON_LIMIT;
        loop {
            let (power, reached) = self.balloon(vm).await?;
            let result = json!({ "memory_kib": asked, "guest_memory_kib": reached });
            // A guest whose vCPUs stand still moves nothing.
            if reached == asked || power != PowerState::Running {
                return Ok(result);
            }
            match self.woken(&mut watch, end).await {
                Woken::By(_) => {}
                Woken::TimeUp | Woken::Lost(_) => return Ok(result),
            }
        }
    }

    async fn until_closed(&self, vm: VmId, hold: &HoldKey, mut watch: Watch) -> Result<Value, Fault> {
        let end = Instant::now() + CLOSE_LIMIT;
        loop {
            match self.observe(vm).await.map_err(lost_after_sending) {
                Ok(state) if !state.jobs.contains(hold) => return Ok(Value::Null),
                // Jobs live in the process.
                Err(Fault::NoSuchVm(_)) => return Ok(Value::Null),
                // A VM that is busy is asked again when something has happened.
                Ok(_) | Err(Fault::Failed(_)) => {}
                Err(fault) => return Err(fault),
            }
            match self.woken(&mut watch, end).await {
                Woken::By(_) => {}
                Woken::Lost(reason) => return Err(Fault::Lost(reason)),
                Woken::TimeUp => {
                    let seconds = CLOSE_LIMIT.as_secs();
                    return Err(Fault::Failed(format!("{hold} was told to end and is still open after {seconds} s")));
                }
            }
        }
    }

    async fn balloon(&self, vm: VmId) -> Result<(PowerState, Kib), Fault> {
        self.ask(Some(vm), move |connect, _| {
            let domain = look_up(connect, vm)?;
            let both = look::power_of(&domain).and_then(|power| Ok((power, look::memory_of(&domain)?)));
            both.map_err(Fault::harmless(connect))
        })
        .await
        .map_err(lost_after_sending)
    }

    async fn find(&self, vm: VmId, start: StartId) -> Result<Found, Fault> {
        let found = self.ask(Some(vm), move |connect, _| {
            let Some(domain) = present(connect, vm)? else { return Ok(Found::Off) };
            let power = match look::power_of(&domain).map_err(Fault::harmless(connect)) {
                Err(Fault::NoSuchVm(_)) => return Ok(Found::Off),
                other => other?,
            };
            Ok(match power {
                PowerState::ShutOff => Found::Off,
                PowerState::Crashed => Found::Crashed,
                PowerState::Running
                | PowerState::Paused
                | PowerState::ShuttingDown
                | PowerState::PmSuspended
                | PowerState::Unknown => {
                    if look::start_of(&domain) == start {
                        Found::SameStart(power)
                    } else {
                        Found::OtherStart
                    }
                }
            })
        });
        found.await.map_err(lost_after_sending)
    }

    pub(super) async fn woken(&self, watch: &mut Watch, end: Instant) -> Woken {
        let notice = timeout_at(end, watch.next());
        tokio::select! {
            biased;
            notice = notice => notice.map_or(Woken::TimeUp, Woken::By),
            reason = self.until_lost() => Woken::Lost(reason),
        }
    }

    /// Waits for a VM that was perhaps told to shut down; for [`super::probe`].
    pub(super) async fn seen_off(&self, vm: VmId, start: StartId, limit: Duration) -> Result<(), Fault> {
        let mut watch = self.notices.watch(vm);
        let end = Instant::now() + limit;
        while let Found::SameStart(_) = self.find(vm, start).await? {
            match self.woken(&mut watch, end).await {
                Woken::By(_) => {}
                Woken::TimeUp => return Ok(()),
                Woken::Lost(reason) => return Err(Fault::Unsent(reason)),
            }
        }
        Ok(())
    }
}

/// A question that follows a call: when it cannot be asked, it is the call whose end stays unknown.
pub(super) fn lost_after_sending(fault: Fault) -> Fault {
    match fault {
        Fault::Unsent(reason) => Fault::Lost(reason),
        Fault::Lost(_) | Fault::NoSuchVm(_) | Fault::Forbidden(_) | Fault::Failed(_) | Fault::GuestTimeout(_) => fault,
    }
}
