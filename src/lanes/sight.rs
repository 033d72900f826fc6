//! Who has a part in which VM, to be read at once by everybody; the runners keep it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::delegation::Authority;
use crate::model::{Now, ProviderId, VmId};

/// A provider's part in a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    None,
    Secondary,
    Primary,
}

/// The table. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Sight(Arc<RwLock<BTreeMap<VmId, (String, Authority)>>>);

impl Sight {
    pub(super) fn set(&self, vm: VmId, known: Option<(String, Authority)>) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some(known) => drop(table.insert(vm, known)),
            None => drop(table.remove(&vm)),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<VmId, (String, Authority)>) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    #[must_use]
    pub fn part(&self, provider: &ProviderId, vm: VmId, now: Now) -> Part {
        self.read(|table| match table.get(&vm) {
            Some((_, authority)) if authority.primary == *provider => Part::Primary,
            Some((_, authority)) if authority.providers(now.mono).contains(&provider) => Part::Secondary,
            Some(_) | None => Part::None,
        })
    }

    #[must_use]
    pub fn is_enrolled(&self, vm: VmId) -> bool {
        self.read(|table| table.contains_key(&vm))
    }

    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<VmId> {
        self.read(|table| table.iter().find(|(_, (known, _))| known == name).map(|(vm, _)| *vm))
    }

    #[must_use]
    pub fn enrolled(&self) -> BTreeMap<VmId, String> {
        self.read(|table| table.iter().map(|(vm, (name, _))| (*vm, name.clone())).collect())
    }

    /// Whether the provider has a part in every VM that is enrolled.
    #[must_use]
    pub fn sees_every(&self, provider: &ProviderId, now: Now) -> bool {
        self.read(|table| {
            let mut all = table.values();
            all.all(|(_, known)| known.primary == *provider || known.providers(now.mono).contains(&provider))
        })
    }
}
