//! Step 3: from one `Inventory` to a second provider's own files.
//!
//! ```text
//! Inventory + Source + Binding ──Renderer──► Bundle = the provider's files + mapping.json + manifest.json
//! ```
//!
//! Assumes an inventory; what libvirt cannot know (host names, keys, addresses of bridged interfaces) comes in the
//! binding. Pure: writing a bundle to disk is the command line's business. Guarantees that the same input gives the
//! same bytes, that the mapping says of every field of the inventory what became of it, and that no secret gets in.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod archive;
mod binding;
mod bundle;
mod checked;
mod cloudstack;
mod complaint;
mod draft;
mod ec2;
mod error;
mod guest;
mod iso9660;
mod kubevirt;
mod locate;
mod mapping;
mod named;
mod nocloud;
mod nocloud_mapping;
mod nocloud_network;
mod openstack;
mod ovf;
mod part;
mod proxmox;
mod report;
mod terraform;
mod verify;
mod xml;
mod yaml;

pub use archive::archive;
pub use binding::{BindingFault, BindingText, DraftField, Need, Syntax};
pub use bundle::{
    BUNDLE_FORMAT, Bundle, BundleFile, FileMode, FileRecord, INVENTORY_FILE, MANIFEST_FILE, MAPPING_FILE, Manifest,
    Source,
};
pub use error::RenderError;
pub use guest::{Guest, GuestNic, GuestRoute, GuestVlan};
pub use mapping::{Fate, Mapping, MappingEntry};
pub use report::{Fields, Report};
pub use verify::{Flaw, FlawKind, FoundFile, Verified, verify};

use cloudstack::CloudStack;
use ec2::Ec2;
use kubevirt::KubeVirt;
use nocloud::NoCloud;
use openstack::OpenStack;
use ovf::Ovf;
use proxmox::Proxmox;
use terraform::Terraform;

use uuid::Uuid;

use crate::discovery::{Generation, Inventory};

/// A provider's own files, in order, or why there are none.
type Files = Result<Vec<BundleFile>, RenderError>;

/// One provider's way to write an inventory down.
trait Renderer {
    /// What the operator adds to the inventory.
    type Binding: serde::de::DeserializeOwned;

    /// The format's name on the command line, on the wire and in the manifest.
    const NAME: &'static str;
    /// What it is, in a few words.
    const TITLE: &'static str;

    /// The provider's own files, in order, and in `report` what became of each field.
    fn files(inventory: &Inventory, binding: &Self::Binding, report: &mut Report<'_>) -> Files;

    /// Every field a binding may have, with what can be guessed for this VM.
    fn draft(inventory: &Inventory) -> Vec<DraftField>;
}

/// The VM's UUID, by which most formats name it.
fn uuid_of(inventory: &Inventory) -> Result<Uuid, RenderError> {
    inventory.domain.identity.uuid.ok_or(RenderError::Missing { field: "identity.uuid" })
}

/// A VM to be rendered, with what every format needs of it: worked out once, for all of them.
#[derive(Debug)]
pub struct Subject<'a> {
    inventory: &'a Inventory,
    source: &'a Source,
    fields: Fields,
    generation: Generation,
    inventory_file: BundleFile,
    inventory_record: FileRecord,
}

impl<'a> Subject<'a> {
    /// Prepares `inventory`, which came from `source`.
    pub fn new(inventory: &'a Inventory, source: &'a Source) -> Self {
        let mut text = serde_json::to_vec(inventory).unwrap_or_default();
        text.push(b'\n');
        let inventory_file = BundleFile::new(INVENTORY_FILE, text);
        Self {
            inventory,
            source,
            fields: Fields::of(inventory),
            generation: inventory.generation(),
            inventory_record: FileRecord::of(&inventory_file),
            inventory_file,
        }
    }

    /// The generation of the inventory.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    fn render<R: Renderer>(&self, binding: &BindingText) -> Result<Bundle, RenderError> {
        let draft = || R::draft(self.inventory);
        let read: R::Binding = binding.read(draft)?;
        let mut report = Report::new(&self.fields);
        let files = R::files(self.inventory, &read, &mut report).map_err(|error| match error {
            RenderError::Binding(fault) => binding.placed(fault, draft).into(),
            other @ (RenderError::UnknownFormat { .. }
            | RenderError::Refused { .. }
            | RenderError::Missing { .. }
            | RenderError::Secret { .. }
            | RenderError::TooLarge { .. }) => other,
        })?;
        Bundle::seal(R::NAME, self, binding, files, report.finish())
    }
}

/// Defines the formats: one line each, one renderer each.
macro_rules! formats {
    ($($(#[$doc:meta])* $format:ident,)+) => {
        /// The formats there are.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Format {
            $($(#[$doc])* $format,)+
        }

        impl Format {
            /// Every format.
            pub const ALL: &'static [Self] = &[$(Self::$format,)+];

            /// Its name on the command line, on the wire and in the manifest.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$format => $format::NAME,)+
                }
            }

            /// What it is, in a few words.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$format => $format::TITLE,)+
                }
            }

            /// Renders a VM with a binding.
            ///
            /// *Errors*: `binding-malformed`, `artifact-refused`, `artifact-incomplete`, `artifact-secret`,
            /// `artifact-too-large`.
            pub fn render(self, subject: &Subject<'_>, binding: &BindingText) -> Result<Bundle, RenderError> {
                match self {
                    $(Self::$format => subject.render::<$format>(binding),)+
                }
            }

            /// Every field a binding for this format may have, with what can be guessed for this VM.
            pub fn draft(self, inventory: &Inventory) -> Vec<DraftField> {
                match self {
                    $(Self::$format => $format::draft(inventory),)+
                }
            }
        }
    };
}

formats! {
    /// OpenStack: config drive, and the bodies of Nova, Glance, Cinder and Neutron.
    OpenStack,
    /// cloud-init's NoCloud seed.
    NoCloud,
    /// EC2: the instance metadata tree, and the answers of DescribeInstances and DescribeVolumes.
    Ec2,
    /// KubeVirt: VirtualMachine, DataVolume, NetworkAttachmentDefinition.
    KubeVirt,
    /// OVF 1.x.
    Ovf,
    /// CloudStack's importUnmanagedInstance.
    CloudStack,
    /// Proxmox VE's configuration file.
    Proxmox,
    /// Terraform import blocks for the libvirt provider.
    Terraform,
}

impl Format {
    /// A binding for this VM to be filled in, in TOML; see the module `draft`.
    pub fn draft_toml(self, inventory: &Inventory) -> String {
        draft::toml_of(self, inventory)
    }

    /// The format of that name.
    ///
    /// *Errors*: `format-unknown`.
    pub fn from_name(name: &str) -> Result<Self, RenderError> {
        let found = Self::ALL.iter().copied().find(|format| format.name() == name);
        found.ok_or_else(|| RenderError::UnknownFormat { name: name.chars().take(64).collect() })
    }
}
