//! What a provider sees: from the lanes' table of parts and from the census.

use std::collections::BTreeSet;

use super::has;
use crate::doors::identity;
use crate::doors::rpc::conversation::{Around, Standing, Wire};
use crate::doors::rpc::view::{Eyes, HostNames, Thing, Whose};
use crate::lanes::{Lanes, Part};
use crate::model::{Peer, ProviderId, VmId, Wall};
use crate::sovereignty::frozen;

/// One provider's eyes at one moment.
pub(super) struct View<'a> {
    pub(super) provider: &'a ProviderId,
    pub(super) roles: &'a BTreeSet<identity::Role>,
    pub(super) lanes: &'a Lanes,
    pub(super) host: &'a HostNames,
    pub(super) peer: &'a Peer,
}

impl View<'_> {
    /// Whether it has a role, under the host's ceiling.
    fn has(&self, role: identity::Role) -> bool {
        let word = match role {
            identity::Role::Host => "host",
            identity::Role::ReadSecure => "read-secure",
        };
        has(self.roles, role) && self.lanes.host().holds().ceiling.allows_role(self.provider, word)
    }
}

impl Eyes for View<'_> {
    fn sees(&self, vm: VmId) -> bool {
        match self.standing(vm) {
            Standing::Own => true,
            Standing::Others => false,
            Standing::Free => self.sees_host(),
        }
    }

    fn sees_name(&self, name: &str) -> bool {
        self.by_name(name).or_else(|| self.host.named(name)).map_or(self.sees_host(), |vm| self.sees(vm))
    }

    fn sees_secrets(&self) -> bool {
        self.has(identity::Role::ReadSecure)
    }

    fn sees_host(&self) -> bool {
        self.has(identity::Role::Host)
    }

    fn sees_all(&self) -> bool {
        self.sees_host() && self.lanes.sight().has_part_in_all(self.provider, self.lanes.now())
    }

    fn whose(&self, thing: Thing<'_>) -> Whose {
        self.host.whose(thing, &|vm| self.sees(vm))
    }
}

impl Around for View<'_> {
    fn standing(&self, vm: VmId) -> Standing {
        let sight = self.lanes.sight();
        match sight.part(self.provider, vm, self.lanes.now()) {
            Part::Secondary | Part::Primary => Standing::Own,
            Part::None if sight.is_enrolled(vm) => Standing::Others,
            Part::None => Standing::Free,
        }
    }

    fn by_name(&self, name: &str) -> Option<VmId> {
        self.lanes.sight().by_name(name)
    }

    fn now(&self) -> Wall {
        self.lanes.now().wall
    }

    fn stopped(&self, vm: Option<VmId>) -> Option<String> {
        let holds = self.lanes.host().holds();
        frozen(&holds.freezes, self.provider, vm.unwrap_or(VmId::HOST)).map(ToString::to_string)
    }

    fn wire(&self) -> Wire {
        match self.peer {
            Peer::Local { .. } => Wire::Local,
            Peer::Key { .. } => Wire::Remote,
        }
    }

    fn host(&self) -> &HostNames {
        self.host
    }
}
