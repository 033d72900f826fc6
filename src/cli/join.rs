//! `covirt provider join` and `rotate`: how a provider on another host comes to its key, and to the next one.
//!
//! A token says by which certificate the agent is known; its secret is said to that agent alone. The key never leaves this
//! host.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::identity::{About, IdentityFolder};
use super::output::{Output, Shown};
use super::reach::{Agent, HostPort, parse_host_port};
use super::remote::{client_of, unfit};
use super::table::Table;
use super::times::{parse_span, rough};
use crate::doors::enrollment::join::JOIN_PATH;
use crate::doors::enrollment::token::{Sum, Token};
use crate::doors::wire::{Certificate, ReplaceKeyRequest};
use crate::model::{KeyId, ProviderId};

/// `provider join`.
#[derive(Debug, clap::Args)]
pub struct JoinArgs {
    /// The token, as `covirt provider add` printed it; - reads it from standard input
    #[arg(value_name = "TOKEN", env = "COVIRT_TOKEN", hide_env_values = true)]
    token: String,
    /// The agent's port for joining
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_host_port)]
    to: HostPort,
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// `provider rotate`.
#[derive(Debug, clap::Args)]
pub struct RotateArgs {
    /// The folder that `covirt provider join` made
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// For how long the old key stays good [default: as long as the agent lets it]
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    overlap: Option<Duration>,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// What came of joining.
#[derive(Debug, Serialize)]
struct Joined {
    provider: ProviderId,
    key: KeyId,
    folder: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    libvirt: Option<String>,
    may_enroll: Option<bool>,
}

/// Joins.
///
/// *Errors*: those of the call, of the folder and of writing.
pub async fn join(args: &JoinArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let token: Token = token(&args.token)?.parse().map_err(|error| CarryOutError::Unusable(format!("{error}")))?;
    let folder = IdentityFolder::at(&args.dir);
    if folder.has_joined() {
        return Err(CarryOutError::Exists { path: args.dir.clone() });
    }
    let key = folder.first_key(&token.provider)?;
    let agent = Agent::to_join(args.to.clone(), token.authority).map_err(|reason| unfit(&args.dir, &reason))?;
    let request = json!({
        "token": token.id, "secret": token.secret.reveal(), "provider": token.provider, "csr": key.csr,
    });
    let answer: Certificate = Client::of(agent, None).post(JOIN_PATH, &request, Duration::ZERO).await?;
    if !is_of(&answer.authority, token.authority) {
        return Err(CarryOutError::Unusable("the agent gave another authority's certificate than its own".to_owned()));
    }
    let at = |port: u16| HostPort { host: args.to.host.clone(), port };
    let path = std::path::absolute(&args.dir).unwrap_or_else(|_| args.dir.clone());
    let url = answer.api_port.map(|port| format!("https://{}", at(port)));
    let libvirt = answer.libvirt_port.map(|port| format!("qemu://{}/system?pkipath={}", at(port), path.display()));
    let about = About { provider: token.provider.clone(), url: url.clone(), libvirt: libvirt.clone() };
    folder.joined(&answer.authority, &answer.certificate, &about)?;
    let identity = folder.open()?;
    // The folder is whole; that the agent lets its key in is shown by asking it.
    let may_enroll = match &url {
        Some(_) => Some(client_of(&folder, &identity)?.identity().await?.may_enroll),
        None => None,
    };
    let joined = Joined { provider: token.provider, key: key.id, folder: args.dir.clone(), url, libvirt, may_enroll };
    output.show(&joined, |output, joined| {
        let mut table = Table::bare();
        let may = joined.may_enroll.map(|may| if may { "which may enroll VMs" } else { "which may not enroll VMs" });
        table.pair(
            "provider",
            Some(may.map_or_else(|| joined.provider.to_string(), |may| format!("{}, {may}", joined.provider))),
        );
        table.pair("key", Some(joined.key.to_string()));
        table.pair("identity", Some(joined.folder.display().to_string()));
        table.pair("agent", joined.url.clone());
        table.pair("libvirt", joined.libvirt.clone());
        output.table(&table, "")
    })?;
    Ok(Exit::Done)
}

fn token(said: &str) -> Result<String, CarryOutError> {
    if said != "-" {
        return Ok(said.to_owned());
    }
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.map_err(|source| CarryOutError::Read { path: "standard input".into(), source })?;
    Ok(line)
}

/// Whether a certificate in PEM is the one with this fingerprint.
fn is_of(pem: &str, fingerprint: Sum) -> bool {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem.as_bytes()).is_ok_and(|der| Sum::of(&der) == fingerprint)
}

/// What came of replacing a key.
#[derive(Debug, Serialize)]
struct Rotated {
    provider: ProviderId,
    old: KeyId,
    new: KeyId,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_ends_in_s: Option<u64>,
}

/// Replaces the key.
///
/// *Errors*: those of the call, of the folder and of writing.
pub async fn rotate(args: &RotateArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let folder = IdentityFolder::at(&args.dir);
    let identity = folder.open()?;
    let client = client_of(&folder, &identity)?;
    let provider = client.identity().await?.provider;
    let next = folder.next_key(&provider)?;
    let request = ReplaceKeyRequest { csr: next.csr, overlap_s: args.overlap.map(|overlap| overlap.as_secs()) };
    let answer: Certificate = client.post("/v1/keys", &request, Duration::ZERO).await?;
    folder.replaced(&answer.certificate)?;
    // The new key is used once, so that whoever reads the answer knows that it is good.
    client_of(&folder, &folder.open()?)?.identity().await?;
    let rotated = Rotated { provider, old: identity.id, new: next.id, old_ends_in_s: answer.overlap_s };
    output.show(&rotated, |output, rotated| {
        let mut table = Table::bare();
        table.pair("provider", Some(rotated.provider.to_string()));
        table.pair("key", Some(rotated.new.to_string()));
        table.pair("old key", Some(rotated.old.to_string()));
        table.pair("it ends in", rotated.old_ends_in_s.map(rough));
        output.table(&table, "")
    })?;
    Ok(Exit::Done)
}
