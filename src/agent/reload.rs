//! Read it again: what SIGHUP asks for.
//!
//! Guarantees that a file which does not load changes nothing, and is named in the log; and that whoever may still speak is
//! not disturbed.

use std::sync::Arc;

use tokio::sync::watch;

use super::config::{Config, TlsConfig};
use crate::doors::Roster;
use crate::doors::tls::Tls;

/// Tells whoever has read files to read them again. Clones are the same.
#[derive(Debug, Clone)]
pub struct Reload(Arc<watch::Sender<u64>>);

impl Default for Reload {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Reload {
    /// Now.
    pub fn now(&self) {
        self.0.send_modify(|times| *times += 1);
    }

    /// Changes each time.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// Who may call and what is believed of them: the configuration's providers, and the files that `[tls]` names.
pub(super) struct Identities {
    pub(super) roster: Roster,
    /// With what it was last read from.
    pub(super) tls: Option<(Tls, TlsConfig)>,
}

impl Identities {
    /// Takes over what a configuration says, and reads the files of `[tls]` again; these also when there is a mistake in
    /// the configuration, and so none.
    pub(super) fn read(&mut self, config: Option<&Config>) {
        // The files of certificates first: a provider that is new is then judged by what is new.
        if let Some((tls, last)) = &mut self.tls {
            if let Some(Config { tls: Some(now), .. }) = config {
                if (now.listen, now.libvirt_listen, now.limits) != (last.listen, last.libvirt_listen, last.limits) {
                    tracing::warn!("ports and bounds of [tls] change when covirtd starts again");
                }
                *last = now.clone();
            }
            for error in tls.reload(&last.files) {
                tracing::error!(error = %chain(&error), "a file was not read again; what was read before stays in force");
            }
        }
        if let Some(config) = config {
            if config.tls.is_some() != self.tls.is_some() {
                tracing::warn!("[tls] begins and ends when covirtd starts again");
            }
            self.roster.reconfigure(config.directory.clone());
            tracing::info!("who may call was read again");
        }
    }
}

/// An error and what is behind it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
