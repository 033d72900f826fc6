//! Commands by whose they are and what they want, for people: an id alone says nothing to them.

use std::collections::BTreeMap;

use super::client::Client;
use super::command::wish;
use super::output::{Format, Output};
use crate::doors::wire::CommandView;
use crate::model::{CommandId, VmId};

/// The commands of a VM that the agent remembers.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<CommandId, CommandView>);

impl Names {
    /// A VM's commands, when people will read the answer. Names are a help, so that not to have them is no error.
    pub async fn of(client: &Client, vm: VmId, output: &Output) -> Self {
        match output.format() {
            Format::Json => Self::default(),
            Format::Table => client.commands(vm).await.map(|list| Self::from(list.commands)).unwrap_or_default(),
        }
    }

    /// The command.
    #[must_use]
    pub fn command(&self, id: CommandId) -> Option<&CommandView> {
        self.0.get(&id)
    }

    /// Its action and arguments, or its id.
    #[must_use]
    pub fn short(&self, id: CommandId) -> String {
        self.command(id).map_or_else(|| id.to_string(), |view| view.action.to_string())
    }

    /// Whose it is, what it wants, and its id.
    #[must_use]
    pub fn long(&self, id: CommandId) -> String {
        self.command(id).map_or_else(|| id.to_string(), |view| format!("{id} ({}'s {})", view.provider, wish(view)))
    }
}

impl From<Vec<CommandView>> for Names {
    fn from(commands: Vec<CommandView>) -> Self {
        Self(commands.into_iter().map(|view| (view.id, view)).collect())
    }
}
