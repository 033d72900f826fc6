//! `[doors]`: the libvirt-compatible doors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::agent::AgentTable;
use super::mistake::Mistakes;
use super::section::{Read, Table};
use super::{Doors, absolute};
use crate::doors::identity::Role;
use crate::doors::rpc::Upstream;
use crate::model::ProviderId;

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
    /// The doors of these providers, if there is any.
    pub(super) fn checked(
        &self,
        agent: &Read<AgentTable>,
        roles: BTreeMap<ProviderId, BTreeSet<Role>>,
        mistakes: &mut Mistakes,
    ) -> Option<Doors> {
        let DoorsTable { dir, upstream } = &self.value;
        absolute(self, "dir", dir, mistakes);
        if let Some(upstream) = upstream {
            absolute(self, "upstream", upstream, mistakes);
        }
        let first = roles.keys().next()?;
        let known = upstream.clone().map(Upstream::at).map_or_else(|| Upstream::of_uri(&agent.value.connect), Ok);
        match known {
            Ok(upstream) => Some(Doors { dir: dir.clone(), upstream, roles }),
            Err(error) => {
                let what = format!("provider {first} has a door, but this leads to no libvirt for it: {error}");
                agent.wrong("connect", what, Some("doors.upstream names libvirt's socket"), mistakes);
                None
            }
        }
    }
}
