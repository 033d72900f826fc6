//! Whether the demonstration has shown what it is there to show, by the agent's own records.

use super::PlayDemoError;
use crate::cli::client::Client;
use crate::cli::fault::CarryOutError;
use crate::doors::wire::{CommandState, CommandView};
use crate::model::{CommandId, ProviderId};
use crate::resolver::Rule;

/// Checks that the providers' last commands conflicted, were settled by callback, and both were executed, one after
/// the other. Gives the one that had to wait.
///
/// *Errors*: [`PlayDemoError::NotShown`] with all that is missing, [`PlayDemoError::Unchecked`].
pub(super) async fn check(client: &Client, vm: &str, providers: &[&ProviderId]) -> Result<CommandId, PlayDemoError> {
    let vm = client.find_vm(vm).await.map_err(|error| match error {
        CarryOutError::Call(error) => PlayDemoError::Unchecked(error),
        other => PlayDemoError::NotShown(vec![other.to_string()]),
    })?;
    let commands = client.commands(vm).await?.commands;
    let conflicts = client.conflicts(vm).await?.conflicts;
    let last: Vec<&CommandView> =
        providers.iter().filter_map(|id| commands.iter().rev().find(|view| view.provider == **id)).collect();
    let mut missing = Vec::new();
    if last.len() != providers.len() {
        missing.push("each provider has a command".to_owned());
    }
    for view in &last {
        if view.state != CommandState::Done {
            let state = view.state.as_str();
            missing.push(format!("{}'s {} is done, but it is {state}", view.provider, view.action));
        }
    }
    let ours = |id: &CommandId| last.iter().any(|view| view.id == *id);
    let conflict = conflicts.iter().find(|conflict| conflict.between.iter().all(ours));
    let verdict = conflict.and_then(|conflict| conflict.verdict.as_ref());
    match verdict {
        Some(verdict) if verdict.rule == Rule::Callback => {
            let of = |id: CommandId| last.iter().find(|view| view.id == id);
            let finished = of(verdict.first).and_then(|view| view.finished_at);
            let started = of(verdict.second).and_then(|view| view.started_at);
            if finished.zip(started).is_none_or(|(finished, started)| finished > started) {
                missing.push("the second command started after the first had finished".to_owned());
            }
        }
        Some(verdict) => {
            missing.push(format!("the conflict was settled by callback, but it was by {}", verdict.rule.as_str()));
        }
        None => missing.push("the two commands conflicted and the conflict was settled".to_owned()),
    }
    match verdict {
        Some(verdict) if missing.is_empty() => Ok(verdict.second),
        Some(_) | None => Err(PlayDemoError::NotShown(missing)),
    }
}
