//! What the service manager is told: ready, reloading, stopping, how it goes, and that the agent still works.
//!
//! Without a service manager nothing is sent. The watchdog is fed only after the journal's writer thread has answered and
//! the table of lanes could be read: an agent whose threads stand still is started anew, and not one that is only idle.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::lanes::Lanes;

/// How often the line of status is written anew without a watchdog.
const STATUS_EVERY: Duration = Duration::from_secs(15);

/// The doors are open.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read; [`ready`] follows.
pub(super) fn reloading() {
    // Together in one message: the manager wants to know when.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "the clock could not be read for the service manager"),
    }
}

/// The agent stops.
pub(super) fn stopping(what: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(what)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

/// Feeds the watchdog and says how it goes, for as long as the agent works.
pub(super) async fn keep_telling(lanes: Lanes) {
    let watchdog = sd_notify::watchdog_enabled();
    // Twice as often as is asked for, as the manager's documentation advises.
    let every = watchdog.map_or(STATUS_EVERY, |limit| limit / 2);
    loop {
        if lanes.journal().ping().await {
            let status = status(&lanes);
            let mut states = vec![NotifyState::Status(&status)];
            states.extend(watchdog.map(|_| NotifyState::Watchdog));
            tell(&states);
        }
        tokio::time::sleep(every).await;
    }
}

fn status(lanes: &Lanes) -> String {
    let count = lanes.vms().len();
    let vms = if count == 1 { "1 VM is".to_owned() } else { format!("{count} VMs are") };
    let libvirt = if lanes.hypervisor_is_connected() { "connected" } else { "not connected" };
    let journal = if lanes.journal().is_writable() { "" } else { "; the journal cannot be written" };
    format!("{vms} co-managed; libvirt is {libvirt}{journal}")
}
