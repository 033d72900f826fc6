//! Bundles as one tar stream.
//!
//! Assumes rendered bundles. Guarantees that equal bundles give equal bytes: no time, no owner, the bundles' own modes,
//! the bundles' own order; and that no path leads out of the folder it is unpacked in.

use tar::{Builder, EntryType, Header};

use super::bundle::Bundle;
use super::error::RenderError;

/// Writes each bundle into the folder named with it; an empty name is the archive's own root.
///
/// *Errors*: `artifact-refused` for a path that an archive cannot hold.
pub fn archive(bundles: &[(&str, &Bundle)]) -> Result<Vec<u8>, RenderError> {
    let size: usize = bundles.iter().flat_map(|(_, bundle)| &bundle.files).map(|file| file.bytes.len() + 1024).sum();
    let mut builder = Builder::new(Vec::with_capacity(size.saturating_add(1024)));
    for (folder, bundle) in bundles {
        for file in &bundle.files {
            let path = if folder.is_empty() { file.path.clone() } else { format!("{folder}/{}", file.path) };
            let refused = |why: String| RenderError::Refused { field: path.clone(), why };
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_size(file.bytes.len() as u64);
            header.set_mode(file.mode.0);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            builder
                .append_data(&mut header, &path, file.bytes.as_slice())
                .map_err(|fault| refused(fault.to_string()))?;
        }
    }
    builder.into_inner().map_err(|fault| RenderError::Refused { field: "archive".to_owned(), why: fault.to_string() })
}
