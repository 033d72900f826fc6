//! EC2: what its instance metadata service and its API answer of a VM.
//!
//! ```text
//! imds/latest/…    the tree that a guest reads          api/ACTION.xml    an answer on the wire
//!                                                       api/ACTION.json   the same, as SDKs and `aws` show it
//! ```
//!
//! Assumes an inventory with a UUID, from which the ids are made, and a binding with what only EC2 knows. Guarantees
//! ids of AWS's form that stay the VM's, whatever host it is on; that nothing is said which neither the VM nor the
//! binding says; and that the identity document has no signature, for only EC2 can sign.
//!
//! *Source*: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Welcome.html>.

mod answers;
mod binding;
mod imds;
mod instance;
mod interfaces;
mod mapping;
mod sizes;
mod volumes;
mod wire;

use uuid::Uuid;

use super::binding::DraftField;
use super::bundle::BundleFile;
use super::report::Report;
use super::{Files, Renderer};
use crate::discovery::Inventory;
use answers::{Reply, interface_members, replies};
use binding::Ec2Binding;
use instance::Instance;

/// The renderer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ec2;

impl Renderer for Ec2 {
    type Binding = Ec2Binding;

    const NAME: &'static str = "ec2";
    const TITLE: &'static str = "EC2 instance metadata and API answers";

    /// *Errors*: `binding-malformed`, `artifact-incomplete`, `artifact-secret`, `artifact-too-large`.
    fn files(inventory: &Inventory, binding: &Ec2Binding, report: &mut Report<'_>) -> Files {
        let instance = Instance::of(inventory, binding)?;
        let mut files = imds::tree(&instance);
        for Reply { file, action, answer } in replies(&instance) {
            files.push(BundleFile::new(format!("api/{file}.xml"), answer.xml(action, instance.vm)));
            files.push(BundleFile::new(format!("api/{file}.json"), format!("{:#}\n", answer.json())));
        }
        mapping::map(report, &instance);
        Ok(files)
    }

    fn draft(inventory: &Inventory) -> Vec<DraftField> {
        binding::draft(inventory)
    }
}

/// An id of AWS's long form: 17 hexadecimal digits, of which the first is 0 and the others are the UUID's first.
fn id(prefix: &str, uuid: Uuid) -> String {
    let digits: String = uuid.simple().to_string().chars().take(16).collect();
    format!("{prefix}0{digits}")
}
