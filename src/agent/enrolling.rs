//! Who joined, kept up to date: told to the roster, served to who comes to join, ended when it has run out.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::config::{EnrollmentConfig, TlsConfig};
use super::reload::Reload;
use crate::doors::Roster;
use crate::doors::enrollment::authority::AUTHORITY_FOLDER;
use crate::doors::enrollment::files::{self, KeepFileError, Readers};
use crate::doors::enrollment::{
    Audience, Authority, Enrollment, Joined, OpenStoreError, Registrar, Store, UseAuthorityError, join,
};
use crate::doors::identity::{Enrolling, Peers};
use crate::lanes::{Host, Lanes};
use crate::model::{KeyId, ProviderId};
use crate::sovereignty::HostFact;

/// The book in the state folder.
const STORE: &str = "providers.json";
/// The longest time between two looks at what has run out.
const LOOK: Duration = Duration::from_secs(600);

/// Why it cannot be known who joined.
#[derive(Debug, thiserror::Error)]
pub enum OpenEnrollmentError {
    /// The book.
    #[error(transparent)]
    Store(#[from] OpenStoreError),
    /// The authority.
    #[error(transparent)]
    Authority(#[from] UseAuthorityError),
    /// Who signed the agent's certificate.
    #[error("what enrollment.server_ca names cannot be used")]
    ServerCa(#[from] KeepFileError),
}

/// The ports that those who join are told.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ports {
    pub(super) api: Option<u16>,
    pub(super) libvirt: Option<u16>,
}

impl Ports {
    pub(super) fn of(tls: Option<&TlsConfig>) -> Self {
        let port = |listen: fn(&TlsConfig) -> Option<SocketAddr>| tls.and_then(listen).map(|address| address.port());
        Self { api: port(|tls| tls.listen), libvirt: port(|tls| tls.libvirt_listen) }
    }
}

/// Opens the book and, if anybody may join, the authority.
pub(super) fn open(
    state_dir: &Path,
    config: Option<&EnrollmentConfig>,
    ports: Ports,
    roster: &Roster,
    lanes: &Lanes,
) -> Result<Enrollment, OpenEnrollmentError> {
    let now = lanes.now().wall;
    let (facts, told) = mpsc::unbounded_channel();
    tokio::spawn(recording(lanes.host().clone(), told));
    let store = Store::open(&state_dir.join(STORE))?;
    let authority =
        config.map(|config| Authority::open(&state_dir.join(AUTHORITY_FOLDER), config.authority.clone(), now));
    let registrar = Registrar::new(store, authority.transpose()?, Told { roster: roster.clone(), facts }, now)?;
    Ok(Enrollment {
        registrar: Arc::new(registrar),
        server_ca: config.and_then(|config| config.server_ca.as_deref()).map(server_ca).transpose()?,
        endpoint: config.map(|config| config.endpoint.clone()),
        overlap: config.map_or(Duration::ZERO, |config| config.overlap),
        api_port: ports.api,
        libvirt_port: ports.libvirt,
    })
}

/// The certificates in a file, each on lines of its own.
fn server_ca(path: &Path) -> Result<String, KeepFileError> {
    let unreadable = |source| KeepFileError::Read { path: path.to_owned(), source };
    let bytes = files::read(path, Readers::Everybody)?.ok_or_else(|| unreadable(ErrorKind::NotFound.into()))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable(ErrorKind::InvalidData.into()))?;
    Ok(format!("{}\n", text.trim()))
}

/// The roster, and the host's history.
struct Told {
    roster: Roster,
    facts: mpsc::UnboundedSender<HostFact>,
}

impl Audience for Told {
    fn joined(&self, joined: &Joined) {
        self.roster.change(|directory| {
            let of = |(provider, (keys, enrolling)): (&ProviderId, &(BTreeSet<KeyId>, Enrolling))| {
                (provider.clone(), (Peers { keys: keys.clone(), ..Peers::default() }, *enrolling))
            };
            directory.providers = joined.providers.iter().map(of).collect();
            directory.revoked.clone_from(&joined.revoked);
        });
    }

    fn noted(&self, fact: HostFact) {
        // Nobody listens once the agent stops; the book has it all the same.
        let _ = self.facts.send(fact);
    }
}

/// Records what happened, in the order in which it did.
async fn recording(host: Host, mut facts: mpsc::UnboundedReceiver<HostFact>) {
    while let Some(fact) = facts.recv().await {
        let text = fact.to_string();
        if let Err(refusal) = host.record(fact).await {
            tracing::error!(%refusal, text, "the host's history does not say what happened");
        }
    }
}

/// Lets providers in and ends what runs out, until told to stop; `reload` is told when what TLS reads has changed.
pub(super) fn serve(
    enrollment: &Enrollment,
    config: Option<&EnrollmentConfig>,
    lanes: &Lanes,
    reload: Reload,
    stop: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) {
    tasks.spawn(reloading(enrollment.registrar.joined(), reload, stop.clone()));
    tasks.spawn(running_out(enrollment.registrar.clone(), lanes.clone(), stop.clone()));
    if let Some(config) = config {
        let lanes = lanes.clone();
        tasks.spawn(join::serve(config.listen, enrollment.clone(), move || lanes.now().wall, stop.clone()));
    }
}

async fn reloading(mut joined: watch::Receiver<Joined>, reload: Reload, mut stop: watch::Receiver<bool>) {
    let mut files = joined.borrow().files;
    loop {
        tokio::select! {
            changed = joined.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let now = joined.borrow_and_update().files;
        if now != files {
            files = now;
            reload.now();
        }
    }
}

/// Ends what has run out when it does.
async fn running_out(registrar: Arc<Registrar>, lanes: Lanes, mut stop: watch::Receiver<bool>) {
    let mut joined = registrar.joined();
    loop {
        let (look, now) = (registrar.clone(), lanes.now().wall);
        // Seen before the look, so that what changes during it is looked at again.
        joined.mark_unchanged();
        let next = tokio::task::spawn_blocking(move || look.run_out(now)).await.ok().flatten();
        let left = next.map_or(LOOK, |next| {
            let micros = u64::try_from(next.micros_since(lanes.now().wall)).unwrap_or(0);
            // Not before it is over, and not again at once when the disk does not take it.
            Duration::from_micros(micros).max(Duration::from_millis(200)).min(LOOK)
        });
        tokio::select! {
            () = tokio::time::sleep(left) => {}
            changed = joined.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
