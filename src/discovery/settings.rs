//! Options that are kept by name: what libvirt lets one set, and no provider's format asks for in a field of its own.
//!
//! Assumes nothing. Guarantees one order (by name), names that are paths inside their element (`driver.iommu`,
//! `backend.model`), and values as libvirt wrote them. Secrets never get in: who fills these leaves them out.

use std::collections::BTreeMap;

/// Options by path.
pub type Settings = BTreeMap<String, String>;
