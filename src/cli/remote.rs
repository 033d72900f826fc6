//! Which agent a command is for, from the command line and its environment.

use std::path::{Path, PathBuf};

use super::client::{Client, DEFAULT_SOCKET};
use super::fault::CarryOutError;
use super::identity::{Identity, IdentityFolder};
use super::reach::{Agent, HostPort, parse_url};
use crate::model::ProviderId;

/// The agent's socket, or its address and who we are there.
#[derive(Debug, clap::Args)]
pub struct WhichAgent {
    /// The agent's socket
    #[arg(long, global = true, env = "COVIRT_SOCKET", default_value = DEFAULT_SOCKET, hide_env_values = true,
          value_name = "PATH", help_heading = "Agent")]
    socket: PathBuf,
    /// An agent on another host, over TLS; with --identity
    #[arg(long, global = true, env = "COVIRT_URL", hide_env_values = true, value_name = "https://HOST:PORT",
          value_parser = parse_url, help_heading = "Agent")]
    url: Option<HostPort>,
    /// The folder with the key for it, as `covirt provider join` makes it; it also says where the agent is
    #[arg(
        long,
        global = true,
        env = "COVIRT_IDENTITY",
        hide_env_values = true,
        value_name = "DIR",
        help_heading = "Agent"
    )]
    identity: Option<PathBuf>,
    /// Speak as this provider, where the agent lets you speak as several
    #[arg(
        long = "as",
        global = true,
        env = "COVIRT_AS",
        hide_env_values = true,
        value_name = "PROVIDER",
        help_heading = "Agent"
    )]
    provider: Option<ProviderId>,
}

impl WhichAgent {
    /// A client for a command that speaks to another agent than the one of the command line.
    pub(super) fn nowhere() -> Client {
        Client::new(DEFAULT_SOCKET, None)
    }

    /// A client of it.
    ///
    /// *Errors*: an identity that cannot be used, or an address without one.
    pub fn client(&self) -> Result<Client, CarryOutError> {
        let agent = match (&self.identity, &self.url) {
            (None, None) => Agent::Socket(self.socket.clone()),
            (None, Some(_)) => {
                return Err(CarryOutError::Usage(
                    "--url needs --identity: an agent on another host is spoken to with a key".to_owned(),
                ));
            }
            (Some(folder), url) => {
                let identity = IdentityFolder::at(folder).open()?;
                let at = url.clone().map_or_else(|| said(folder, &identity), Ok)?;
                Agent::remote(at, &identity).map_err(|reason| unfit(folder, &reason))?
            }
        };
        Ok(Client::of(agent, self.provider.clone()))
    }
}

/// Where the folder says that the agent is.
fn said(folder: &Path, identity: &Identity) -> Result<HostPort, CarryOutError> {
    let url = identity.about.as_ref().and_then(|about| about.url.as_deref());
    let url = url.ok_or_else(|| {
        CarryOutError::Usage(format!("{} does not say where the agent is; --url does", folder.display()))
    })?;
    parse_url(url).map_err(CarryOutError::Usage)
}

/// A client of the agent that a folder says, by the identity in it.
///
/// *Errors*: an identity that cannot be used.
pub(super) fn client_of(folder: &IdentityFolder, identity: &Identity) -> Result<Client, CarryOutError> {
    let at = said(folder.path(), identity)?;
    let agent = Agent::remote(at, identity).map_err(|reason| unfit(folder.path(), &reason))?;
    Ok(Client::of(agent, None))
}

pub(super) fn unfit(folder: &Path, reason: &str) -> CarryOutError {
    CarryOutError::Unusable(format!("the identity in {} cannot be used: {reason}", folder.display()))
}
