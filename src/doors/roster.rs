//! Who may call, as it is now: what the configuration says and who has joined since, together.
//!
//! Whoever holds a connection open for a peer watches it and looks again when it changes, so that nobody outlives the
//! right to speak.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::identity::{Directory, Enrolling};
use crate::model::ProviderId;

/// The live directory. Clones are the same.
#[derive(Debug, Clone)]
pub struct Roster {
    layers: Arc<Mutex<Layers>>,
    now: Arc<watch::Sender<Arc<Directory>>>,
}

#[derive(Debug)]
struct Layers {
    configured: Directory,
    joined: Directory,
}

impl Roster {
    /// Knows whom the configuration names.
    #[must_use]
    pub fn new(configured: Directory) -> Self {
        let now = Arc::new(watch::Sender::new(Arc::new(configured.clone())));
        Self { layers: Arc::new(Mutex::new(Layers { configured, joined: Directory::default() })), now }
    }

    /// Everybody, as of now.
    #[must_use]
    pub fn current(&self) -> Arc<Directory> {
        self.now.borrow().clone()
    }

    /// What the configuration lets a provider do, if it is one of its own and not only one that joined.
    #[must_use]
    pub fn configured(&self, provider: &ProviderId) -> Option<Enrolling> {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.configured.providers.get(provider).map(|(_, enrolling)| *enrolling)
    }

    /// Tells when somebody came, went or changed.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Directory>> {
        self.now.subscribe()
    }

    /// The configuration was read again; who joined stays.
    pub fn reconfigure(&self, configured: Directory) {
        self.alter(|layers| layers.configured = configured);
    }

    /// Changes who has joined; what the configuration says stays.
    pub fn change(&self, how: impl FnOnce(&mut Directory)) {
        self.alter(|layers| how(&mut layers.joined));
    }

    fn alter(&self, how: impl FnOnce(&mut Layers)) {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        how(&mut layers);
        let both = layers.configured.with(&layers.joined);
        // Under the lock, so that a later change is never overtaken by an earlier one.
        self.now.send_if_modified(|now| {
            let differs = **now != both;
            if differs {
                *now = Arc::new(both);
            }
            differs
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doors::identity::Peers;

    fn provider(name: &str) -> ProviderId {
        name.parse().unwrap()
    }

    fn of(names: &[&str]) -> Directory {
        let providers = names.iter().map(|name| (provider(name), (Peers::default(), Enrolling::No)));
        Directory { providers: providers.collect(), ..Directory::default() }
    }

    #[test]
    fn who_joined_outlives_a_new_configuration() {
        let roster = Roster::new(of(&["north"]));
        roster.change(|joined| *joined = of(&["south"]));
        roster.reconfigure(of(&["east"]));
        let now = roster.current();
        assert!(now.knows(&provider("south")) && now.knows(&provider("east")) && !now.knows(&provider("north")));
        let configured = ["south", "east"].map(|name| roster.configured(&provider(name)));
        assert_eq!(configured, [None, Some(Enrolling::No)]);
        roster.change(|joined| joined.providers.clear());
        assert!(!roster.current().knows(&provider("south")));
    }

    #[test]
    fn whoever_watches_hears_of_changes_alone() {
        let roster = Roster::new(of(&["north"]));
        let watch = roster.watch();
        roster.reconfigure(of(&["north"]));
        assert!(!watch.has_changed().unwrap());
        roster.clone().change(|joined| *joined = of(&["south"]));
        assert!(watch.has_changed().unwrap());
    }
}
