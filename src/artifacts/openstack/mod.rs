//! OpenStack: what a guest reads (the config drive), what other services read of the domain (Nova's metadata), and the
//! bodies by which Nova, Glance, Neutron and Cinder are told of the VM.
//!
//! ```text
//! config-2/openstack/{latest,2018-08-27}/*   config-2.iso          config_drive, network_data
//! api/nova-instance.xml                                            metadata_xml
//! api/flavor.json   api/flavor-extra-specs.json                    flavor, extra_specs, numa, pinning, hardware
//! api/image.json                                                   glance, image_devices, properties, guest_os
//! api/network-*.json   api/port-N.json   api/port-N.patch.json     neutron, port
//! api/volume-manage-*.json   api/volume-qos-*.json                 cinder
//! api/server-create.json   api/placeholders.json                   server
//! ```
//!
//! Assumes an inventory with a UUID and a binding with what only the cloud knows. Guarantees bodies that each service's
//! own checks accept, no id where the service gives it, and no secret: no password of an administrator, no key but
//! public ones. Each writer says itself in the report what it wrote; `mapping` says the rest.

mod binding;
mod cinder;
mod config_drive;
mod extra_specs;
mod flavor;
mod glance;
mod guest_os;
mod hardware;
mod image_devices;
mod mapping;
mod mapping_interface;
mod metadata_xml;
mod network_data;
mod neutron;
mod numa;
mod pinning;
mod port;
mod properties;
mod server;
mod vm;
mod word;

use super::binding::DraftField;
use super::guest::{check_nics, check_no_secret};
use super::report::Report;
use super::{Files, Renderer, uuid_of};
use crate::discovery::Inventory;
use binding::Binding;
use flavor::Flavor;
use glance::Image;
use vm::Vm;

/// The renderer.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenStack;

impl Renderer for OpenStack {
    type Binding = Binding;

    const NAME: &'static str = "openstack";
    const TITLE: &'static str = "OpenStack: config drive, and bodies for Nova, Glance, Neutron and Cinder";

    /// *Errors*: `binding-malformed`, `artifact-incomplete`, `artifact-secret`, `artifact-refused` (sizes that no
    /// flavor can have), `artifact-too-large`.
    fn files(inventory: &Inventory, binding: &Binding, report: &mut Report<'_>) -> Files {
        let uuid = uuid_of(inventory)?;
        check_no_secret(&binding.guest)?;
        check_nics(inventory, &binding.guest)?;
        binding.check(inventory)?;
        let vm = Vm::new(inventory, binding, uuid);
        let interfaces = port::interfaces(&vm)?;
        let network_data = network_data::network_data(&vm, &interfaces);
        let flavor = Flavor::of(&vm, report)?;
        let image = Image::of(&vm, report);
        let mut files = config_drive::files(&vm, &interfaces, &network_data)?;
        let owned = mapping::another_nova(inventory);
        if !owned {
            files.push(metadata_xml::file(&vm, &interfaces, &flavor, &image)?);
        }
        files.extend(flavor.files(&vm));
        files.push(image.file(&vm));
        files.extend(neutron::files(&vm, &interfaces));
        files.extend(cinder::files(&vm, report));
        files.extend(server::file(&vm, &interfaces, &flavor)?);
        files.push(server::placeholders(&vm, &interfaces, &files));
        mapping::map(report, &vm, &interfaces, &files);
        Ok(files)
    }

    fn draft(inventory: &Inventory) -> Vec<DraftField> {
        binding::draft(inventory)
    }
}
