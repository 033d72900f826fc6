//! `[operator]` and `[[provider]]`: who may call.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::layers::Section;
use super::mistake::Mistakes;
use super::section::{Read, Table};
use crate::doors::identity::{Directory, Enrolling, Peers, Role};
use crate::model::ProviderId;
use crate::resolver::{Consent, Said};

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct OperatorTable {
    uids: BTreeSet<u32>,
    gids: BTreeSet<u32>,
}

impl Default for OperatorTable {
    /// The host's root is its owner unless the file says otherwise.
    fn default() -> Self {
        Self { uids: BTreeSet::from([0]), gids: BTreeSet::new() }
    }
}

impl Table for OperatorTable {
    const NAME: &'static str = "operator";
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct ProviderTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<ProviderId>,
    uids: BTreeSet<u32>,
    gids: BTreeSet<u32>,
    may_enroll: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<Said>,
    on_silence: Said,
    door: bool,
    roles: BTreeSet<Role>,
}

impl Table for ProviderTable {
    const NAME: &'static str = "provider";
}

impl Read<ProviderTable> {
    /// One provider, whose keys are named by its id.
    pub(super) fn of_provider(section: Section<'_>, mistakes: &mut Mistakes) -> Self {
        let name =
            section.id().map_or_else(|| ProviderTable::NAME.to_owned(), |id| format!("{}.{id}", ProviderTable::NAME));
        Self::of(Some(section), name, mistakes)
    }
}

/// What the providers' tables come to.
#[derive(Debug, Default)]
pub(super) struct Providers {
    pub(super) directory: Directory,
    pub(super) standing: BTreeMap<ProviderId, Said>,
    pub(super) consent: BTreeMap<ProviderId, Consent>,
    pub(super) roles: BTreeMap<ProviderId, BTreeSet<Role>>,
}

impl Providers {
    pub(super) fn checked(
        operator: &Read<OperatorTable>,
        tables: &[Read<ProviderTable>],
        mistakes: &mut Mistakes,
    ) -> Self {
        let OperatorTable { uids, gids } = &operator.value;
        let mut providers = Self::default();
        providers.directory.operator = Peers { uids: uids.clone(), gids: gids.clone() };
        for table in tables {
            providers.add(table, mistakes);
        }
        providers
    }

    fn add(&mut self, read: &Read<ProviderTable>, mistakes: &mut Mistakes) {
        // One without a usable id is a mistake already.
        let Some(id) = read.value.id.clone() else { return };
        let table = &read.value;
        if id.is_operator() {
            read.wrong("id", "operator is the host's owner", Some("give the provider another id"), mistakes);
        }
        if id.is_agent() {
            read.wrong("id", "covirt is the agent itself", Some("give the provider another id"), mistakes);
        }
        let enrolling = if table.may_enroll { Enrolling::Yes } else { Enrolling::No };
        let peers = Peers { uids: table.uids.clone(), gids: table.gids.clone() };
        self.directory.providers.insert(id.clone(), (peers, enrolling));
        if table.door {
            self.roles.insert(id.clone(), table.roles.clone());
        } else if !table.roles.is_empty() {
            let what = format!("roles are for a door, and {id} has none");
            read.wrong("roles", what, Some("door = true gives it one"), mistakes);
        }
        self.standing.extend(table.standing.map(|said| (id.clone(), said)));
        self.consent.insert(id, Consent { standing: table.standing, on_silence: table.on_silence });
    }
}
