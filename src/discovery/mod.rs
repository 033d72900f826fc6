//! Step 1 and 2.
/// stand-in until the discovery branch lands
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {}
