//! How far each provider reaches into the host, and whether a command stays within it.
//!
//! Assumes that the hypervisor's descriptions of a VM are libvirt's. Guarantees that a command of a confined provider that
//! names something of the host is held against the VM as it is now and the host's files as they are now, before any lane
//! has it; one that names nothing costs nothing. Who may not do it at all is told that, and nothing is looked at.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::delegation::confinement::{Asked, Confinement, Holdings, Look, Seen, judge};
use crate::hypervisor::AskHypervisorError;
use crate::lanes::Lanes;
use crate::model::{Action, Code, ProviderId, Refusal, VmId};
use crate::resolver::may_do;

/// How far a provider reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// The whole host: it may bring VMs of its own there.
    Host,
    /// Its VMs, and this.
    Confined(Confinement),
}

/// How far everybody reaches. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Reaches(Arc<BTreeMap<ProviderId, Reach>>);

impl Reaches {
    /// Whoever is not named here is confined to its VMs.
    #[must_use]
    pub fn new(reaches: BTreeMap<ProviderId, Reach>) -> Self {
        Self(Arc::new(reaches))
    }

    /// Whether a provider may name what a command on a VM names.
    ///
    /// *Errors*: [`Code::BeyondVm`]; those of the delegation; [`Code::HypervisorUnreachable`] when it cannot be told what
    /// the VM has.
    pub async fn judge(
        &self,
        lanes: &Lanes,
        provider: &ProviderId,
        vm: VmId,
        action: Action,
        asked: &Asked,
    ) -> Result<(), Refusal> {
        if asked.is_nothing() || provider.is_operator() {
            return Ok(());
        }
        let nothing = Confinement::default();
        let allowed = match self.0.get(provider) {
            Some(Reach::Host) => return Ok(()),
            Some(Reach::Confined(allowed)) => allowed,
            None => &nothing,
        };
        let by = provider.clone();
        lanes.read(vm, move |lane, now| may_do(lane, &by, action, now)).await??;
        let unknown = |error: AskHypervisorError| {
            let message = format!("it cannot be told what the VM has of the host: {error}");
            Refusal::new(Code::HypervisorUnreachable, message)
        };
        let described = lanes.hypervisor().describe(Some(vm)).await.map_err(unknown)?;
        let holdings = Holdings::of(described.iter().flat_map(|one| one.xmls.iter().map(String::as_str)));
        judge(asked, &holdings, allowed, &Files).map_err(|beyond| {
            let message = format!(
                "this reaches beyond the VM: {beyond}; a provider without the host role names what the VM has, new files \
                 beside its disks, and what the host's operator lists for it"
            );
            Refusal::new(Code::BeyondVm, message)
        })
    }
}

/// The host's files, as this process sees them.
struct Files;

impl Look for Files {
    fn at(&self, path: &str) -> Seen {
        let path = Path::new(path);
        let text = |path: &Path| path.to_str().map(str::to_owned);
        // A link that leads nowhere is something: whoever opens it for writing makes what it leads to.
        match std::fs::symlink_metadata(path) {
            Ok(_) => match std::fs::canonicalize(path) {
                Ok(real) => text(&real).map_or(Seen::Hidden, Seen::Something),
                Err(_) => Seen::Hidden,
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Seen::Hidden };
                let real = std::fs::canonicalize(folder).ok().and_then(|folder| text(&folder.join(name)));
                real.map_or(Seen::Hidden, Seen::Nothing)
            }
            Err(_) => Seen::Hidden,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_followed_and_one_to_nowhere_is_not_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(folder.path()).unwrap();
        let at = |name: &str| root.join(name).to_str().unwrap().to_owned();
        std::fs::write(root.join("file"), "").unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        symlink(root.join("real"), root.join("way")).unwrap();
        symlink(root.join("file"), root.join("link")).unwrap();
        symlink(root.join("missing"), root.join("dangling")).unwrap();
        assert_eq!(Files.at(&at("file")), Seen::Something(at("file")));
        assert_eq!(Files.at(&at("link")), Seen::Something(at("file")));
        assert_eq!(Files.at(&at("way/new")), Seen::Nothing(at("real/new")));
        assert_eq!(Files.at(&at("new")), Seen::Nothing(at("new")));
        assert_eq!(Files.at(&at("dangling")), Seen::Hidden);
        assert_eq!(Files.at(&at("missing/new")), Seen::Hidden);
    }
}
