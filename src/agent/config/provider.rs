//! `[operator]` and `[[provider]]`: who may call.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::layers::Section;
use super::mistake::Mistakes;
use super::section::{Read, Table};
use super::tls::TlsTable;
use crate::delegation::confinement::Confinement;
use crate::doors::identity::{Directory, Enrolling, Peers, Role, SpiffeUri};
use crate::doors::reach::Reach;
use crate::model::{KeyId, ProviderId};
use crate::resolver::{Consent, Said};

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct OperatorTable {
    uids: BTreeSet<u32>,
    gids: BTreeSet<u32>,
    keys: BTreeSet<KeyId>,
}

impl Default for OperatorTable {
    /// The host's root is its owner unless the file says otherwise.
    fn default() -> Self {
        Self { uids: BTreeSet::from([0]), gids: BTreeSet::new(), keys: BTreeSet::new() }
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
    keys: BTreeSet<KeyId>,
    uris: BTreeSet<SpiffeUri>,
    may_enroll: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<Said>,
    on_silence: Said,
    door: bool,
    roles: BTreeSet<Role>,
    host_folders: BTreeSet<String>,
    networks: BTreeSet<String>,
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
    pub(super) reaches: BTreeMap<ProviderId, Reach>,
}

impl Providers {
    pub(super) fn checked(
        operator: &Read<OperatorTable>,
        tables: &[Read<ProviderTable>],
        tls: &TlsTable,
        mistakes: &mut Mistakes,
    ) -> Self {
        let OperatorTable { uids, gids, keys } = &operator.value;
        let mut providers = Self::default();
        providers.directory.operator =
            Peers { uids: uids.clone(), gids: gids.clone(), keys: keys.clone(), uris: BTreeSet::new() };
        providers.directory.revoked.clone_from(&tls.revoked_keys);
        providers.directory.trust_domain.clone_from(&tls.trust_domain);
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
        let peers = Peers {
            uids: table.uids.clone(),
            gids: table.gids.clone(),
            keys: table.keys.clone(),
            uris: table.uris.clone(),
        };
        self.directory.providers.insert(id.clone(), (peers, enrolling));
        if table.door {
            self.roles.insert(id.clone(), table.roles.clone());
        } else if table.roles.contains(&Role::ReadSecure) {
            let what = format!("read-secure is for a door, and {id} has none");
            read.wrong("roles", what, Some("door = true gives it one"), mistakes);
        }
        self.reaches.insert(id.clone(), reach_of(read, mistakes));
        self.standing.extend(table.standing.map(|said| (id.clone(), said)));
        self.consent.insert(id, Consent { standing: table.standing, on_silence: table.on_silence });
    }
}

fn reach_of(read: &Read<ProviderTable>, mistakes: &mut Mistakes) -> Reach {
    let table = &read.value;
    if table.roles.contains(&Role::Host) {
        return Reach::Host;
    }
    let mut allowed = Confinement { networks: table.networks.clone(), ..Confinement::default() };
    for path in &table.host_folders {
        // As it is compared with what is in it.
        let plain = path.trim_end_matches('/');
        if plain.starts_with('/') && !plain.split('/').any(|part| matches!(part, "." | "..")) {
            allowed.folders.insert(plain.to_owned());
        } else {
            let hint = "an absolute path without \"..\", and not the root";
            read.wrong("host_folders", format!("{path:?} is no folder to give away"), Some(hint), mistakes);
        }
    }
    Reach::Confined(allowed)
}
