//! Which VM a command is about: one that the agent knows, or one in files.

use super::super::client::Client;
use super::super::documents::Documents;
use super::super::fault::CarryOutError;
use crate::artifacts::{Manifest, Source};
use crate::discovery::Inventory;

/// A VM, and where what is known of it came from.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) inventory: Inventory,
    pub(super) source: Source,
}

/// The VM of `render` and `bind`.
#[derive(Debug, clap::Args)]
pub(super) struct ChosenVm {
    /// Name or UUID, at the agent
    #[arg(required_unless_present = "domain", conflicts_with = "domain")]
    vm: Option<String>,
    #[command(flatten)]
    documents: Documents,
}

impl ChosenVm {
    /// Reads the files, or asks the agent.
    ///
    /// *Errors*: those of the files or of the call.
    pub(super) async fn look(&self, client: &Client) -> Result<Looked, CarryOutError> {
        look(client, self.vm.as_deref().unwrap_or_default(), &self.documents).await
    }
}

/// Reads the files when they are given, else asks the agent for `vm`.
///
/// *Errors*: those of the files or of the call.
pub(super) async fn look(client: &Client, vm: &str, documents: &Documents) -> Result<Looked, CarryOutError> {
    if let Some(inventory) = documents.read()? {
        return Ok(Looked { inventory, source: Source::File });
    }
    let vm = client.find_vm(vm).await?;
    let inventory = client.inventory(vm).await?;
    Ok(Looked { inventory, source: Source::Libvirt { uri: client.health().await?.hypervisor } })
}

/// The VM that a bundle is held against: the one a manifest names, unless another is.
#[derive(Debug, clap::Args)]
pub(super) struct HeldAgainst {
    /// Compare with this VM (name or UUID) [default: the one the bundle names]
    #[arg(long, value_name = "VM", conflicts_with = "domain")]
    vm: Option<String>,
    #[command(flatten)]
    documents: Documents,
}

impl HeldAgainst {
    /// Looks at it as it is now.
    ///
    /// *Errors*: those of the files or of the call.
    pub(super) async fn look(&self, client: &Client, manifest: &Manifest) -> Result<Looked, CarryOutError> {
        let vm = self.vm.clone().unwrap_or_else(|| manifest.uuid.to_string());
        look(client, &vm, &self.documents).await
    }
}
