//! CloudStack: the request by which it adopts the running VM, `importUnmanagedInstance`, and what has to hold for that.
//!
//! Assumes CloudStack 4.19.1 or newer (older agents know less) and an administrator who sends the request. Guarantees
//! four files: the request, the same as a table of parameters, the VM as CloudStack's agent would list it, and the
//! checks that tell beforehand why it would not: its agent reads libvirt's XML word by word, and drops the whole VM
//! from its list at the first word it does not know. Such a VM is refused here, with the word.
//! *Source*: <https://cloudstack.apache.org/api/apidocs-4.20/apis/importUnmanagedInstance.html>, and the agent's
//! `LibvirtDomainXMLParser` and `LibvirtGetUnmanagedInstancesCommandWrapper`.

mod binding;
mod checks;
mod listing;
mod mapping;
mod plan;
mod request;
mod words;

use super::binding::DraftField;
use super::bundle::{BundleFile, pretty};
use super::report::Report;
use super::{Files, Renderer};
use crate::discovery::Inventory;
use binding::CloudStackBinding;
use plan::Plan;

/// The renderer.
#[derive(Debug, Clone, Copy)]
pub(super) struct CloudStack;

impl Renderer for CloudStack {
    type Binding = CloudStackBinding;

    const NAME: &'static str = "cloudstack";
    const TITLE: &'static str = "CloudStack's importUnmanagedInstance";

    /// *Errors*: `binding-malformed`; `artifact-refused` when the agent would not list the VM, or CloudStack would lose
    /// a disk of it.
    fn files(inventory: &Inventory, binding: &CloudStackBinding, report: &mut Report<'_>) -> Files {
        words::check(inventory)?;
        let plan = Plan::of(inventory, binding)?;
        let request = request::request(inventory, binding, &plan);
        let checks = checks::checks(inventory, &plan);
        mapping::map(report, inventory, &plan, &checks);
        Ok(vec![
            BundleFile::new("importUnmanagedInstance.json", pretty(&request)),
            BundleFile::new("parameters.txt", request::table(inventory, binding, &plan)),
            BundleFile::new(
                "listUnmanagedInstances.response.json",
                pretty(&listing::response(inventory, binding, &plan)),
            ),
            BundleFile::new("pre-checks.json", pretty(&checks)),
        ])
    }

    fn draft(inventory: &Inventory) -> Vec<DraftField> {
        binding::draft(inventory)
    }
}
