//! `[agent]`: the socket, the journal's folder, libvirt.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::absolute;
use super::mistake::Mistakes;
use super::section::{Read, Table};
use crate::doors::SocketOwner;

/// A user or group of this host.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged, expecting = "a name in quotes or a whole number is expected")]
enum Named {
    Number(u32),
    Name(String),
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct AgentTable {
    pub(super) socket: PathBuf,
    pub(super) socket_mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket_owner: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket_group: Option<Named>,
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
            socket_owner: None,
            socket_group: None,
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
    /// Checks the paths; gives the socket's owner and mode.
    pub(super) fn checked(&self, mistakes: &mut Mistakes) -> (SocketOwner, u32) {
        let AgentTable { socket, socket_mode, socket_owner, socket_group, state_dir, connect: _, bindings, ceiling } =
            &self.value;
        absolute(self, "socket", socket, mistakes);
        absolute(self, "state_dir", state_dir, mistakes);
        absolute(self, "bindings", bindings, mistakes);
        ceiling.iter().for_each(|path| absolute(self, "ceiling", path, mistakes));
        let mode = u32::from_str_radix(socket_mode, 8).ok().filter(|mode| *mode <= 0o777);
        if mode.is_none() {
            let what = format!("{socket_mode:?} is no mode of a file");
            self.wrong("socket_mode", what, Some("an octal mode such as \"0660\" is expected"), mistakes);
        }
        let user = |name: &str| nix::unistd::User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
        let group = |name: &str| nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
        let uid = self.number_of("socket_owner", socket_owner.as_ref(), "user", user, mistakes);
        let gid = self.number_of("socket_group", socket_group.as_ref(), "group", group, mistakes);
        (SocketOwner { uid, gid }, mode.unwrap_or(0o600))
    }

    fn number_of(
        &self,
        key: &str,
        said: Option<&Named>,
        what: &str,
        look: impl Fn(&str) -> Option<u32>,
        mistakes: &mut Mistakes,
    ) -> Option<u32> {
        match said? {
            Named::Number(number) => Some(*number),
            Named::Name(name) => {
                let found = look(name);
                if found.is_none() {
                    let hint = format!("a {what} of this host is expected, by name or by number");
                    self.wrong(key, format!("this host has no {what} called {name}"), Some(&hint), mistakes);
                }
                found
            }
        }
    }
}
