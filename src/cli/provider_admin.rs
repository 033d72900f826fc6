//! `covirt provider add`, `list` and `remove`: the operator says who the providers are.

use std::time::Duration;

use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use super::table::Table;
use super::times::{clock, now, parse_lease, rough};
use crate::doors::enrollment::Kind;
use crate::doors::wire::{AddProviderRequest, KeyStanding, KeyView, Origin, ProviderView};
use crate::model::{KeyId, ProviderId, Wall};

/// `provider add`.
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// Its name
    #[arg(value_name = "ID")]
    id: ProviderId,
    /// What it is: openstack, kubevirt, … (a format of artifacts), libvirt or other
    #[arg(long, value_name = "KIND")]
    kind: Kind,
    /// It may begin to co-manage VMs
    #[arg(long)]
    may_enroll: bool,
    /// How many keys the token lets in
    #[arg(long, value_name = "N", default_value_t = 1)]
    uses: u32,
    /// For how long
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = parse_lease)]
    expires: Duration,
    /// Where the provider reaches this agent to join [default: as the agent's configuration says]
    #[arg(long, value_name = "HOST:PORT")]
    endpoint: Option<String>,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// `provider list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// `provider remove`.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// Its name
    #[arg(value_name = "ID")]
    id: ProviderId,
    /// Only this key of it
    #[arg(long, value_name = "sha256:…")]
    key: Option<KeyId>,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// Invites a provider.
///
/// *Errors*: those of the call and of writing.
pub async fn add(client: &Client, args: &AddArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let request = AddProviderRequest {
        id: args.id.clone(),
        kind: args.kind.clone(),
        may_enroll: args.may_enroll,
        uses: Some(args.uses),
        expires_s: Some(args.expires.as_secs()),
        endpoint: args.endpoint.clone(),
    };
    let invitation = client.add_provider(&request).await?;
    output.show(&invitation, |output, invitation| {
        let keys = if invitation.uses == 1 { "one key".to_owned() } else { format!("{} keys", invitation.uses) };
        output.line(&format!(
            "{} may join with {keys} until {}. This is the only time that the token is shown; on the other side:",
            invitation.provider, invitation.expires_at
        ))?;
        output.gap()?;
        output.line(&format!(
            "covirt provider join {} --to {} --dir {}",
            invitation.token, invitation.endpoint, invitation.provider
        ))
    })?;
    Ok(Exit::Done)
}

/// Lists the providers.
///
/// *Errors*: those of the call and of writing.
pub async fn list(client: &Client, output: &mut Output) -> Result<Exit, CarryOutError> {
    let list = client.providers().await?;
    output.show(&list, |output, list| {
        let mut table = Table::new(&["PROVIDER", "KIND", "FROM", "ENROLLS", "KEY", "STATE", "SERIAL"]);
        for provider in &list.providers {
            let (first, others) = match provider.keys.split_first() {
                Some((first, others)) => (Some(first), others),
                None => (None, [].as_slice()),
            };
            row(&mut table, Some(provider), first);
            others.iter().for_each(|key| row(&mut table, None, Some(key)));
        }
        output.table(&table, "there are no providers")
    })?;
    Ok(Exit::Done)
}

fn row(table: &mut Table, provider: Option<&ProviderView>, key: Option<&KeyView>) {
    let text = |of: fn(&ProviderView) -> String| provider.map(of).unwrap_or_default();
    let waiting = provider.filter(|provider| !provider.tokens.is_empty()).map(|_| "token waits".to_owned());
    table.row([
        text(|provider| provider.id.to_string()),
        text(|provider| provider.kind.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)),
        text(|provider| match provider.origin {
            Origin::File => "file".to_owned(),
            Origin::Added => "added".to_owned(),
        }),
        text(|provider| if provider.may_enroll { "yes" } else { "no" }.to_owned()),
        key.map_or_else(|| "-".to_owned(), |key| key.key.to_string()),
        key.map_or_else(|| waiting.unwrap_or_else(|| "-".to_owned()), state),
        key.map_or_else(|| "-".to_owned(), |key| key.serial.to_string()),
    ]);
}

fn state(key: &KeyView) -> String {
    let left = |until: Wall| rough(u64::try_from(until.micros_since(now()) / 1_000_000).unwrap_or(0));
    match key.state {
        KeyStanding::Active => format!("good for {}", left(key.not_after)),
        KeyStanding::Retiring => format!("replaced, good for {}", key.at.map(left).unwrap_or_default()),
        KeyStanding::Revoked => format!("revoked {}", key.at.map(clock).unwrap_or_default()),
    }
}

/// Shows a provider out, or one key of it.
///
/// *Errors*: those of the call and of writing.
pub async fn remove(client: &Client, args: &RemoveArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let removed = match args.key {
        Some(key) => client.remove_key(&args.id, key).await?,
        None => client.remove_provider(&args.id).await?,
    };
    output.show(&removed, |output, removed| {
        let mut table = Table::bare();
        let list = |vms: &[crate::model::VmId]| {
            let names: Vec<String> = vms.iter().map(ToString::to_string).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        table.pair(
            "provider",
            Some(if args.key.is_some() { args.id.to_string() } else { format!("{} is removed", args.id) }),
        );
        for key in &removed.keys {
            table.pair("key ended", Some(key.to_string()));
        }
        table.pair("taken back on", list(&removed.taken_back_on));
        table.pair("cancelled", (removed.cancelled > 0).then(|| format!("{} commands", removed.cancelled)));
        table.pair("still primary of", list(&removed.primary_of));
        output.table(&table, "")
    })?;
    Ok(Exit::Done)
}
