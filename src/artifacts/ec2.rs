//! To be written.

use super::Renderer;
use super::binding::DraftField;
use super::bundle::BundleFile;
use super::error::RenderError;
use super::guest::Guest;
use super::report::Report;
use crate::discovery::Inventory;

/// The renderer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ec2;

impl Renderer for Ec2 {
    type Binding = Guest;

    const NAME: &'static str = "ec2";
    const TITLE: &'static str = "EC2 instance metadata and API answers";

    fn files(_: &Inventory, _: &Guest, _: &mut Report<'_>) -> Result<Vec<BundleFile>, RenderError> {
        Err(RenderError::Refused { field: "format".to_owned(), why: "it is not written yet".to_owned() })
    }

    fn draft(_: &Inventory) -> Vec<DraftField> {
        Vec::new()
    }
}
