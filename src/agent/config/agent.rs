//! `[agent]`: the socket, the journal's folder, libvirt.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::absolute;
use super::mistake::Mistakes;
use super::section::{Read, Table};

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct AgentTable {
    pub(super) socket: PathBuf,
    pub(super) socket_mode: String,
    pub(super) state_dir: PathBuf,
    pub(super) connect: String,
    pub(super) bindings: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ceiling: Option<PathBuf>,
}

impl Default for AgentTable {
    fn default() -> Self {
        Self {
            socket: "/run/covirt/covirt.sock".into(),
            socket_mode: "0660".to_owned(),
            state_dir: "/var/lib/covirt".into(),
            connect: "qemu:///system".to_owned(),
            bindings: "/etc/covirt/bindings".into(),
            ceiling: None,
        }
    }
}

impl Table for AgentTable {
    const NAME: &'static str = "agent";
}

impl Read<AgentTable> {
    /// Checks the paths; gives the socket's mode.
    pub(super) fn checked(&self, mistakes: &mut Mistakes) -> u32 {
        let AgentTable { socket, socket_mode, state_dir, connect: _, bindings, ceiling } = &self.value;
        absolute(self, "socket", socket, mistakes);
        absolute(self, "state_dir", state_dir, mistakes);
        absolute(self, "bindings", bindings, mistakes);
        ceiling.iter().for_each(|path| absolute(self, "ceiling", path, mistakes));
        let mode = u32::from_str_radix(socket_mode, 8).ok().filter(|mode| *mode <= 0o777);
        if mode.is_none() {
            let what = format!("{socket_mode:?} is no mode of a file");
            self.wrong("socket_mode", what, Some("an octal mode such as \"0660\" is expected"), mistakes);
        }
        mode.unwrap_or(0o600)
    }
}
