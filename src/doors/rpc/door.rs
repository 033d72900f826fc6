//! A provider's door: the socket that its libvirt clients open, and a connection of its own at libvirt for each of them.
//!
//! Who comes in is decided by the file's mode and by the kernel's word on the peer, because libvirt sees this agent and
//! not the client. Who is refused is closed, with a line in the log. Without a libvirt behind it a client is told so.
//!
//! Guarantees: one provider's connections are bounded by themselves and take nothing from another's; when the agent stops,
//! the door and every connection through it are closed.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::refusal::{Answer, ErrorCode};
use super::relay::{Ending, Policy, Relay, RelayError, Transparent, turn_away};
use super::upstream::{ReachUpstreamError, Upstream};
use crate::doors::accept;
use crate::doors::identity::{Peers, Role};
use crate::doors::listener::{BindSocketError, Listener, peer_of};
use crate::doors::pass::{Lapse, Pass};
use crate::doors::roster::Roster;
use crate::doors::tally::{Counted, Kind};
use crate::model::{Peer, ProviderId};

/// How many connections of one provider are open at once; more wait to be accepted.
pub const CONNECTIONS_MAX: u32 = 1024;
/// How many messages of other tasks may wait for one connection.
const INBOX: usize = 64;
/// What the kernel may keep of one connection on its way out; a packet of a stream fits. *Units*: bytes.
const SEND_BUFFER: usize = 512 * 1024;
/// A door's name in its provider's folder: libvirt's own.
const SOCKET: &str = "libvirt-sock";

/// Who may use a door, and as whom.
#[derive(Debug, Clone)]
pub struct Entry {
    pub provider: ProviderId,
    pub roles: BTreeSet<Role>,
    /// Says who the provider's processes are, and the operator's, who may use every door.
    pub roster: Roster,
}

impl Entry {
    fn peers(&self) -> Peers {
        let directory = self.roster.current();
        directory.providers.get(&self.provider).map(|(peers, _)| peers.clone()).unwrap_or_default()
    }
}

/// A client that has come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub provider: ProviderId,
    pub roles: BTreeSet<Role>,
    pub peer: Peer,
}

/// Makes the policy of each connection.
pub trait Policies: Send + Sync + 'static {
    type Policy: Policy;

    /// For this client; other tasks send it news by the inbox.
    fn open(&self, client: Client, inbox: mpsc::Sender<<Self::Policy as Policy>::News>) -> Self::Policy;
}

impl Policies for Transparent {
    type Policy = Self;

    fn open(&self, _client: Client, _inbox: mpsc::Sender<<Self as Policy>::News>) -> Self {
        *self
    }
}

/// Why there is no door.
#[derive(Debug, thiserror::Error)]
pub enum OpenDoorError {
    /// The provider's folder.
    #[error("the folder {path} for a door cannot be made")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder is somebody else's, who could put another socket in the door's place.
    #[error("the folder {0} is no folder of this agent's user")]
    NotOurs(PathBuf),
    /// The socket.
    #[error("a door cannot be opened")]
    Socket(#[from] BindSocketError),
}

/// A provider's open door.
#[derive(Debug)]
pub struct Door {
    entry: Entry,
    listener: Listener,
    upstream: Upstream,
}

impl Door {
    /// Opens `dir/PROVIDER/libvirt-sock`.
    ///
    /// *Errors*: [`OpenDoorError`].
    pub async fn open(dir: &Path, entry: Entry, upstream: Upstream) -> Result<Self, OpenDoorError> {
        let folder = dir.join(entry.provider.as_str());
        make_folder(dir, 0o755)?;
        make_folder(&folder, 0o711)?;
        let path = folder.join(SOCKET);
        let listener = Listener::bind(&path, 0o600).await?;
        admit(&path, &entry.peers()).map_err(|source| BindSocketError::System { path: path.clone(), source })?;
        tracing::info!(provider = %entry.provider, socket = %path.display(), "a door is open");
        Ok(Self { entry, listener, upstream })
    }

    /// Lets clients in until told to stop.
    pub async fn serve<P: Policies>(self, policies: Arc<P>, mut stop: watch::Receiver<bool>) {
        let Self { entry, listener, upstream } = self;
        let (entry, upstream) = (Arc::new(entry), Arc::new(upstream));
        let what = format!("the door of {}", entry.provider);
        let (mut peers, mut roster) = (entry.peers(), entry.roster.watch());
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
        // Ended with this task, should it be dropped, and their connections with them.
        let mut connections = JoinSet::new();
        loop {
            let (stream, place) = tokio::select! {
                accepted = accept::next_within(&room, &what, || listener.accept()) => accepted,
                Some(_) = connections.join_next() => continue,
                Ok(()) = roster.changed() => {
                    let now = entry.peers();
                    if now != peers && let Err(error) = admit(listener.path(), &now) {
                        tracing::error!(%error, provider = %entry.provider, "a door's owner and mode stay as they were");
                    }
                    peers = now;
                    continue;
                }
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let (entry, upstream, policies) = (entry.clone(), upstream.clone(), policies.clone());
            let stop = stop.clone();
            connections.spawn(async move {
                connection(stream, &entry, &upstream, policies.as_ref(), stop).await;
                drop(place);
            });
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }
}

/// Makes a folder that others may only pass through, or takes one that is ours.
fn make_folder(path: &Path, mode: u32) -> Result<(), OpenDoorError> {
    let failed = |source| OpenDoorError::Folder { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw() => Ok(()),
        Ok(_) => Err(OpenDoorError::NotOurs(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed)?;
            // Whatever this process is told to take from the modes of its files: clients have to pass.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Gives the socket the narrowest owner, group and mode that let the provider in. A file has one owner and one group: for
/// a provider of several everybody may knock, and the kernel's word on the peer decides alone.
fn admit(path: &Path, peers: &Peers) -> io::Result<()> {
    let only = |ids: &BTreeSet<u32>| (ids.len() == 1).then(|| ids.first().copied()).flatten();
    let (uid, gid) = (only(&peers.uids), only(&peers.gids));
    let is_said_by_mode = peers.uids.len() <= 1 && peers.gids.len() <= 1;
    let mode = if is_said_by_mode && std::os::unix::fs::chown(path, uid, gid).is_ok() {
        0o600 | if gid.is_some() { 0o060 } else { 0 }
    } else {
        0o666
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// What a peer was judged by.
fn user_and_group(peer: &Peer) -> String {
    match peer {
        Peer::Local { uid, gid: Some(gid), pid: _ } => format!("user {uid} of group {gid}"),
        Peer::Local { .. } | Peer::Key { .. } => peer.to_string(),
    }
}

/// Why a client was not let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnterError {
    #[error("{} is not one of this provider's, nor the operator's", user_and_group(.0))]
    NotAdmitted(Peer),
    #[error("libvirt cannot be reached")]
    Upstream(#[from] ReachUpstreamError),
    #[error("the system refused")]
    System(#[from] io::Error),
}

async fn connection<P: Policies>(
    stream: UnixStream,
    entry: &Entry,
    upstream: &Upstream,
    policies: &P,
    mut stop: watch::Receiver<bool>,
) {
    let _counted = Counted::at(Kind::Libvirt);
    let provider = &entry.provider;
    match enter(stream, entry, upstream, policies).await {
        Ok((pass, relay)) => {
            let peer = pass.peer();
            tracing::debug!(%provider, %peer, "a client came in by a door");
            let stopped = async {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => {}
                    why = lapsed(&pass, provider) => {
                        tracing::warn!(%provider, %peer, %why, "a client's connection is closed");
                    }
                }
            };
            report(provider, peer, relay.run_until(stopped).await);
        }
        Err(error) => tracing::warn!(%provider, error = %chain(&error), "a client was not let in by a door"),
    }
}

async fn enter<P: Policies>(
    stream: UnixStream,
    entry: &Entry,
    upstream: &Upstream,
    policies: &P,
) -> Result<(Pass, Relay<P::Policy>), EnterError> {
    let peer = peer_of(&stream)?;
    let pass = Pass::local(peer.clone(), entry.roster.clone());
    if !pass.callers().iter().any(|caller| caller.provider == entry.provider || caller.provider.is_operator()) {
        return Err(EnterError::NotAdmitted(peer));
    }
    let known = Client { provider: entry.provider.clone(), roles: entry.roles.clone(), peer };
    Ok((pass, join(stream.into_std()?, known, upstream, policies).await?))
}

/// Gives a client that was let in a connection at libvirt of its own.
///
/// *Errors*: [`EnterError`]; a client is told when libvirt is not there.
pub(super) async fn join<P: Policies>(
    client: std::os::unix::net::UnixStream,
    known: Client,
    upstream: &Upstream,
    policies: &P,
) -> Result<Relay<P::Policy>, EnterError> {
    let upstream = match upstream.connect().await {
        Ok(upstream) => upstream.into_std()?,
        Err(error) => {
            let text = format!("covirt does not reach libvirt: {}; try again later", chain(&error));
            turn_away(client, &Answer::other(ErrorCode::System, text)).await;
            return Err(error.into());
        }
    };
    for socket in [&client, &upstream] {
        rustix::net::sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER).map_err(io::Error::from)?;
    }
    let (sender, inbox) = mpsc::channel(INBOX);
    let policy = policies.open(known, sender);
    Ok(Relay::new(client, upstream, policy, inbox)?)
}

/// Says how a client's connection ended.
pub(super) fn report(provider: &ProviderId, peer: &Peer, ended: Result<Ending, RelayError>) {
    match ended {
        Ok(Ending::Stopped) => tracing::debug!(%provider, %peer, "the agent parts with a client"),
        Ok(Ending::ClientLeft) => tracing::debug!(%provider, %peer, "a client left"),
        Ok(Ending::UpstreamLeft) => tracing::debug!(%provider, %peer, "libvirt closed a client's connection"),
        Ok(Ending::Decided(why)) => tracing::info!(%provider, %peer, why, "a client's connection is closed"),
        Err(error) => tracing::warn!(%provider, %peer, error = %chain(&error), "a client's connection is closed"),
    }
}

/// Returns once the peer may speak neither for the provider nor for the operator.
async fn lapsed(pass: &Pass, provider: &ProviderId) -> Lapse {
    pass.lapsed_when(|directory, proven| {
        let callers = directory.callers(proven);
        !callers.iter().any(|caller| caller.provider == *provider || caller.provider.is_operator())
    })
    .await
}

/// An error and what is behind it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
