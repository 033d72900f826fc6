//! `[doors]`: the libvirt-compatible doors.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::agent::AgentTable;
use super::mistake::Mistakes;
use super::section::{Read, Table};
use super::{Doors, absolute};
use crate::doors::rpc::{JoinedClients, Upstream, Welcome};

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct DoorsTable {
    dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<PathBuf>,
}

impl Default for DoorsTable {
    fn default() -> Self {
        Self { dir: "/run/covirt/providers".into(), upstream: None }
    }
}

impl Table for DoorsTable {
    const NAME: &'static str = "doors";
}

impl Read<DoorsTable> {
    /// The doors for these, if anybody has one.
    pub(super) fn checked(&self, agent: &Read<AgentTable>, welcome: Welcome, mistakes: &mut Mistakes) -> Option<Doors> {
        let DoorsTable { dir, upstream } = &self.value;
        absolute(self, "dir", dir, mistakes);
        if let Some(upstream) = upstream {
            absolute(self, "upstream", upstream, mistakes);
        }
        let first = match (welcome.roles.keys().next(), &welcome.joined) {
            (Some(first), _) => format!("provider {first} has a door"),
            (None, JoinedClients::Admitted { .. }) => "providers that join have a door".to_owned(),
            (None, JoinedClients::Refused) => return None,
        };
        let known = upstream.clone().map(Upstream::at).map_or_else(|| Upstream::of_uri(&agent.value.connect), Ok);
        match known {
            Ok(upstream) => Some(Doors { dir: dir.clone(), upstream, welcome }),
            Err(error) => {
                let what = format!("{first}, but this leads to no libvirt for it: {error}");
                agent.wrong("connect", what, Some("doors.upstream names libvirt's socket"), mistakes);
                None
            }
        }
    }
}
