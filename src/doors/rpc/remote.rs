//! The port of providers' libvirt clients on other machines: `qemu://HOST:PORT/system`.
//!
//! ```text
//!   client ══ TLS ══▶ this agent ──▶ a pair of sockets ──▶ relay, as at a provider's own door ──▶ libvirt
//! ```
//!
//! The client's certificate says whose it is; what it may do is what that provider may at its own door. TLS ends here, so
//! that the relay and what decides in it are the same for both. A descriptor does not travel over TLS: the conversation
//! refuses such calls before libvirt sends one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::sync::watch;
use tokio::time::timeout;

use super::door::{Client, Policies, chain, join, report};
use super::upstream::Upstream;
use crate::doors::identity::Role;
use crate::doors::pass::Pass;
use crate::doors::tls::{Admission, Refused, Speaking, TlsClient, TlsListener};
use crate::model::ProviderId;

/// What the server of libvirt's TLS says once it has looked at the client's certificate: come in. *Source*:
/// `virNetTLSSession`, `remoteDispatchAuth` of libvirt.
const WELCOME: u8 = 1;
/// How much is on its way between TLS and the relay, in each direction. *Units*: bytes.
const ON_THE_WAY: usize = 64 * 1024;
/// How long what the relay has said at last may take to reach the client.
const LINGER: Duration = Duration::from_secs(2);

/// Whose clients come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Those of providers with a door, with what each may do besides what is delegated to it.
    pub roles: BTreeMap<ProviderId, BTreeSet<Role>>,
    /// Those of the providers that joined with a token.
    pub joined: JoinedClients,
}

/// Whether the clients of providers that joined with a token come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinedClients {
    /// They do not.
    Refused,
    /// They do, with what is delegated to each and nothing besides.
    Admitted {
        /// The configuration's own providers: what it says of these counts.
        but: BTreeSet<ProviderId>,
    },
}

impl Welcome {
    /// Whether this provider's clients come in.
    #[must_use]
    pub fn lets_in(&self, provider: &ProviderId) -> bool {
        self.roles_of(provider).is_some()
    }

    /// What this provider's client may do besides what is delegated to it; none when it does not come in.
    fn roles_of(&self, provider: &ProviderId) -> Option<BTreeSet<Role>> {
        let joined = match &self.joined {
            JoinedClients::Refused => false,
            JoinedClients::Admitted { but } => !but.contains(provider) && !provider.is_operator(),
        };
        self.roles.get(provider).cloned().or_else(|| joined.then(BTreeSet::new))
    }
}

/// An open port for remote clients.
#[derive(Debug)]
pub struct RemoteDoor {
    port: TlsListener,
    upstream: Upstream,
    welcome: Welcome,
}

impl RemoteDoor {
    /// For these clients.
    #[must_use]
    pub const fn new(port: TlsListener, upstream: Upstream, welcome: Welcome) -> Self {
        Self { port, upstream, welcome }
    }

    /// Lets clients in until told to stop.
    pub async fn serve<P: Policies>(self, policies: Arc<P>, stop: watch::Receiver<bool>) {
        let Self { port, upstream, welcome } = self;
        let (upstream, welcome) = (Arc::new(upstream), Arc::new(welcome));
        let serve = {
            let stop = stop.clone();
            move |client| connection(client, welcome.clone(), upstream.clone(), policies.clone(), stop.clone())
        };
        port.serve(Speaking::Libvirt, stop, serve).await;
    }
}

/// Which provider's client this is: nothing in libvirt's protocol would say it, so the certificate has to.
fn whose(pass: &Pass, welcome: &Welcome) -> Result<Client, Refused> {
    let mut with_door = pass.callers().into_iter().filter_map(|caller| {
        let roles = welcome.roles_of(&caller.provider)?;
        Some(Client { provider: caller.provider, roles, peer: caller.peer })
    });
    match (with_door.next(), with_door.next()) {
        (Some(client), None) => Ok(client),
        (Some(_), Some(_)) => Err(Refused::SeveralProviders),
        (None, _) => Err(Refused::NoDoor),
    }
}

async fn connection<P: Policies>(
    client: TlsClient,
    welcome: Arc<Welcome>,
    upstream: Arc<Upstream>,
    policies: Arc<P>,
    mut stop: watch::Receiver<bool>,
) {
    let TlsClient { mut stream, pass, provider: _, admission, place } = client;
    if admission == Admission::Surplus {
        return;
    }
    let known = match whose(&pass, &welcome) {
        Ok(known) => known,
        Err(refused) => {
            tracing::warn!(peer = %pass.peer(), reason = refused.word(), "a client was refused: {refused}");
            return;
        }
    };
    let welcomed = async {
        stream.write_u8(WELCOME).await?;
        stream.flush().await?;
        let (near, far) = UnixStream::pair()?;
        far.set_nonblocking(true)?;
        Ok::<_, io::Error>((near, tokio::net::UnixStream::from_std(far)?))
    };
    let (near, mut far) = match welcomed.await {
        Ok(ends) => ends,
        Err(error) => {
            tracing::debug!(peer = %pass.peer(), %error, "a client left before it was let in");
            return;
        }
    };
    let mut carrying = tokio::spawn(async move {
        let _ = copy_bidirectional_with_sizes(&mut stream, &mut far, ON_THE_WAY, ON_THE_WAY).await;
        drop(place);
    });
    let provider = known.provider.clone();
    match join(near, known, &upstream, policies.as_ref()).await {
        Ok(relay) => {
            let peer = pass.peer();
            tracing::debug!(%provider, %peer, "a client came in over TLS");
            let (cut, stopped) = (carrying.abort_handle(), async {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => None,
                    lapse = pass.lapsed_for(&provider) => Some(lapse),
                }
            });
            let stopped = async {
                if let Some(why) = stopped.await {
                    tracing::warn!(%provider, %peer, %why, "a client's connection is closed");
                    cut.abort();
                }
            };
            report(&provider, peer, relay.run_until(stopped).await);
        }
        Err(error) => tracing::warn!(%provider, error = %chain(&error), "a client was not let in over TLS"),
    }
    if timeout(LINGER, &mut carrying).await.is_err() {
        carrying.abort();
    }
}
