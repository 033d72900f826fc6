//! Terraform's libvirt provider: blocks that import the VM with its volumes, pools and networks, and describe each.
//!
//! Assumes the schema of dmacvicar/libvirt 0.8 (0.9 has another), and a libvirt that both can reach. Guarantees one file
//! in the layout of `terraform fmt`, in which no plan destroys, replaces or changes what is imported: the schema's
//! attributes nearly all force a replacement, and an update in place would start a VM that is off, so every resource
//! has `prevent_destroy` and ignores all changes. A VM that the provider cannot read is refused.
//! *Source*: <https://registry.terraform.io/providers/dmacvicar/libvirt/0.8.3/docs>.

mod domain;
mod hcl;
mod mapping;
mod surroundings;

use serde::{Deserialize, Serialize};

use super::binding::{BindingFault, DraftField};
use super::bundle::BundleFile;
use super::error::RenderError;
use super::report::Report;
use super::{Files, Renderer, uuid_of};
use crate::discovery::{DiskDevice, DiskSource, Inventory};
use hcl::{Block, Value};
use surroundings::Surroundings;

/// What stands at the head of the file.
const HEAD: &str = "\
# The schema of dmacvicar/libvirt 0.8. Import with `terraform plan`, then `terraform apply`; it needs Terraform 1.5.
# Every resource is shared with who runs it now: nothing here may be changed or destroyed by a plan. Removing a block
# would destroy what it describes: forget it first with `terraform state rm`.
";

/// The renderer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terraform;

/// What the operator adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TerraformBinding {
    /// How Terraform reaches libvirt.
    uri: String,
    /// The name of the VM's resource; made from the domain's name when left out.
    resource: Option<String>,
    /// Whether volumes, pools and networks are imported as well.
    surroundings: bool,
}

impl Default for TerraformBinding {
    fn default() -> Self {
        Self { uri: "qemu:///system".to_owned(), resource: None, surroundings: true }
    }
}

impl TerraformBinding {
    fn check(&self) -> Result<(), RenderError> {
        let authority = self.uri.split_once("://").and_then(|(_, rest)| rest.split('/').next());
        let Some(authority) = authority else {
            return Err(BindingFault::new("uri", "this is not a libvirt URI").hint("qemu:///system").into());
        };
        if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
            return Err(RenderError::Secret { field: "uri".to_owned() });
        }
        match self.resource.as_deref() {
            Some(name) if name != hcl::identifier(name) => {
                let fault = BindingFault::new("resource", "this is not the name of a resource");
                Err(fault.hint("letters, digits, '_' and '-', with a letter first").into())
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Renderer for Terraform {
    type Binding = TerraformBinding;

    const NAME: &'static str = "terraform";
    const TITLE: &'static str = "Terraform import blocks for the libvirt provider";

    /// *Errors*: `binding-malformed`, `artifact-secret`, `artifact-incomplete`; `artifact-refused` for a VM that the
    /// provider cannot read.
    fn files(inventory: &Inventory, binding: &TerraformBinding, report: &mut Report<'_>) -> Files {
        binding.check()?;
        check_readable(inventory)?;
        let uuid = uuid_of(inventory)?;
        let around = if binding.surroundings { Surroundings::of(inventory) } else { Surroundings::default() };
        let name = binding.resource.clone().unwrap_or_else(|| hcl::identifier(&inventory.domain.identity.name));
        let mut text = HEAD.to_owned();
        let mut blocks =
            vec![settings(), Block::new("provider").label("libvirt").set("uri", Value::text(&binding.uri))];
        blocks.extend(around.blocks(inventory));
        blocks.extend(imported(
            "libvirt_domain",
            &name,
            &uuid.to_string(),
            domain::resource(inventory, &name, &around),
        ));
        for block in &blocks {
            text.push('\n');
            block.write(&mut text);
        }
        mapping::map(report, inventory, &around);
        Ok(vec![BundleFile::new("main.tf", text)])
    }

    fn draft(inventory: &Inventory) -> Vec<DraftField> {
        let name = hcl::identifier(&inventory.domain.identity.name);
        vec![
            DraftField::optional(&["uri"], "how Terraform reaches libvirt").guess(TerraformBinding::default().uri),
            DraftField::optional(&["resource"], "the name of the VM's resource").guess(name),
            DraftField::optional(&["surroundings"], "whether volumes, pools and networks are imported too").guess(true),
        ]
    }
}

fn settings() -> Block {
    // `~> 0.8` would take 0.9.
    let provider = vec![("source", Value::text("dmacvicar/libvirt")), ("version", Value::text("~> 0.8.0"))];
    Block::new("terraform")
        .set("required_version", Value::text(">= 1.5.0"))
        .block(Block::new("required_providers").object("libvirt", provider))
}

/// The block that imports, and the resource with what keeps plans off it.
fn imported(kind: &str, name: &str, id: &str, resource: Block) -> [Block; 2] {
    let import = Block::new("import").set("to", Value::expression(format!("{kind}.{name}"))).set("id", Value::text(id));
    let guard = Block::new("lifecycle")
        .set("prevent_destroy", Value::expression("true"))
        .set("ignore_changes", Value::expression("all"));
    [import, resource.block(guard)]
}

/// Refuses what the provider fails at, or falls over, when it reads the VM for the import.
fn check_readable(inventory: &Inventory) -> Result<(), RenderError> {
    let refuse = |field: String, why: &str| Err(RenderError::Refused { field, why: why.to_owned() });
    for disk in inventory.domain.disks.iter().filter(|disk| disk.device != DiskDevice::Cdrom) {
        let field = format!("disks[{}].source", disk.target);
        match &disk.source {
            Some(DiskSource::Network { hosts, .. }) if hosts.is_empty() => {
                return refuse(field, "the provider cannot read a network disk without a host");
            }
            Some(
                DiskSource::Directory { .. }
                | DiskSource::Nvme { .. }
                | DiskSource::VhostUser { .. }
                | DiskSource::Unknown { .. },
            ) => return refuse(field, "the provider takes every other kind of disk for a volume, and falls over"),
            Some(
                DiskSource::File { .. }
                | DiskSource::Block { .. }
                | DiskSource::Network { .. }
                | DiskSource::Volume { .. },
            )
            | None => {}
        }
    }
    for (nth, filesystem) in inventory.domain.filesystems.iter().enumerate() {
        if filesystem.kind != "mount" {
            return refuse(
                format!("filesystems[{nth}].kind"),
                "the provider takes it for a mounted folder, and falls over",
            );
        }
    }
    Ok(())
}
