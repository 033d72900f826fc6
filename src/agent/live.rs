//! What of a configuration takes effect while the agent runs, and what waits for its next start.

use super::config::Config;
use super::log::Log;
use super::reload::Identities;
use crate::doors::{Callbacks, LiveLimits};
use crate::lanes::Lanes;

/// Whatever follows the configuration.
pub(super) struct Live {
    /// As it was last read.
    pub(super) config: Config,
    pub(super) lanes: Lanes,
    pub(super) callbacks: Callbacks,
    pub(super) identities: Identities,
    pub(super) limits: LiveLimits,
    pub(super) log: Log,
}

impl Live {
    /// Reads the files again. With a mistake in them nothing changes.
    pub(super) fn read_again(&mut self) {
        let new = match Config::read(&self.config.origin) {
            Ok(new) => new,
            Err(mistakes) => {
                for mistake in mistakes.all() {
                    tracing::error!(place = %mistake.place, key = mistake.key, what = mistake.what, "a mistake in the configuration");
                }
                let (file, mistakes) = (self.config.origin.display(), mistakes.all().len());
                tracing::error!(%file, mistakes, "the configuration was not read again; the one before stays in force");
                self.identities.read(None);
                return;
            }
        };
        self.identities.read(Some(&new));
        self.log.refilter(&new.log);
        self.callbacks.reconfigure(new.standing.clone(), new.hook.clone());
        self.limits.set(new.limits);
        if new.policy != self.config.policy {
            self.lanes.reconfigure(new.policy.clone());
        }
        let waiting = waits_for_a_start(&self.config, &new);
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting.join(", "), "these changes take effect when covirtd is started again");
        }
        tracing::info!("the configuration was read again");
        self.config = new;
    }
}

/// What changed and cannot change in an agent that runs.
fn waits_for_a_start(old: &Config, new: &Config) -> Vec<&'static str> {
    let pairs = [
        ("agent.socket", old.socket != new.socket),
        ("agent.socket_mode", old.socket_mode != new.socket_mode),
        ("agent.state_dir", old.state_dir != new.state_dir),
        ("agent.connect", old.connect != new.connect),
        ("agent.bindings", old.bindings != new.bindings),
        ("doors and provider.door", old.doors != new.doors),
        ("provider: what of the host it reaches", old.reaches != new.reaches),
        ("audit.journald", old.journald != new.journald),
        ("log.format", old.log.format != new.log.format),
        ("metrics.listen", old.metrics_listen != new.metrics_listen),
    ];
    pairs.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect()
}
