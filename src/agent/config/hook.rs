//! `[hook]`: the operator's executable.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::absolute;
use super::mistake::Mistakes;
use super::section::{Read, Table};
use crate::doors::Hook;

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct HookTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
}

impl Table for HookTable {
    const NAME: &'static str = "hook";
}

impl Read<HookTable> {
    pub(super) fn checked(&self, mistakes: &mut Mistakes) -> Option<Hook> {
        let mut command = self.value.command.clone()?.into_iter();
        let Some(program) = command.next().map(PathBuf::from) else {
            let hint = "the executable's path comes first, then its arguments";
            self.wrong("command", "an empty list names no executable", Some(hint), mistakes);
            return None;
        };
        absolute(self, "command", &program, mistakes);
        Some(Hook { program, args: command.collect() })
    }
}
