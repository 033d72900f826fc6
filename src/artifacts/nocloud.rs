//! NoCloud: the seed that cloud-init reads from a folder or from a disc labelled `cidata`.
//!
//! Assumes an inventory with a UUID (it becomes the instance id) and a binding with what libvirt cannot know.
//! Guarantees five files (`meta-data`, `network-config`, `user-data`, `vendor-data` and `seed.iso` with those four),
//! in which interfaces are found by MAC and no key, password or private part of one appears.
//! *Source*: <https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html>.

use serde_json::json;

use super::binding::DraftField;
use super::bundle::BundleFile;
use super::guest::{self, Guest, check_no_secret, hostname, user_data};
use super::iso9660::{IsoFile, image};
use super::nocloud_mapping::map;
use super::nocloud_network::network_config;
use super::report::Report;
use super::{Files, Renderer, uuid_of, yaml};
use crate::discovery::Inventory;

/// The label by which cloud-init finds the disc.
const LABEL: &str = "cidata";

const NO_VENDOR_DATA: &str = "#cloud-config\n{}\n";

/// The renderer.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoCloud;

impl Renderer for NoCloud {
    type Binding = Guest;

    const NAME: &'static str = "nocloud";
    const TITLE: &'static str = "cloud-init's NoCloud seed";

    /// *Errors*: `binding-malformed`, `artifact-incomplete`, `artifact-secret`, `artifact-too-large`.
    fn files(inventory: &Inventory, binding: &Guest, report: &mut Report<'_>) -> Files {
        let uuid = uuid_of(inventory)?;
        check_no_secret(binding)?;
        let mut meta_data = json!({
            "instance-id": uuid.to_string(),
            "local-hostname": hostname(inventory, binding)?,
            "dsmode": "net",
        });
        if let (false, Some(map)) = (binding.ssh_keys.is_empty(), meta_data.as_object_mut()) {
            map.insert("public-keys".to_owned(), json!(binding.ssh_keys));
        }
        let network = network_config(inventory, binding)?;
        let mut files = vec![
            BundleFile::new("meta-data", yaml::document(&meta_data)),
            BundleFile::new("network-config", yaml::document(&network)),
            BundleFile::new("user-data", user_data(binding)),
            BundleFile::new("vendor-data", NO_VENDOR_DATA),
        ];
        let on_disc: Vec<IsoFile<'_>> =
            files.iter().map(|file| IsoFile { name: &file.path, bytes: &file.bytes }).collect();
        let seed = image(LABEL, &on_disc)?;
        files.push(BundleFile::new("seed.iso", seed));
        map(report, inventory, binding);
        Ok(files)
    }

    fn draft(inventory: &Inventory) -> Vec<DraftField> {
        guest::draft(&[], inventory)
    }
}
