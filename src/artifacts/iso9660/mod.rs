//! A read-only disc image with a few files in a few folders: what a configuration drive is.
//!
//! Written here, because the crate that was looked at (hadris-iso 2.5) brings some seventy packages into the lock
//! file, chrono among them, and reads the system's clock; a handful of files needs little of the standard.
//!
//! ```text
//! sector 0-15  zeros            18 terminator        19/20 path tables   21/22 path tables (Joliet)
//!        16    primary          23… folders, then the same folders again (Joliet), one sector each, the root first
//!        17    Joliet           then the files, each from a sector's start, in the order they were given
//! ```
//!
//! Assumes small files with distinct paths (`folder/name`), a folder's files in one sector's worth of entries.
//! Guarantees names as given to readers of Rock Ridge (Linux) and Joliet (others), fixed dates, and so the same bytes
//! for the same files. *Source*: ECMA-119, RRIP 1.12, Joliet 1.

mod record;
mod tree;

use record::{
    Extent, Names, SECTOR_SIZE, Shape, alternate_name, extensions, path_entry, posix_file, posix_folder, record,
    sharing_protocol, volume_descriptor,
};
use tree::{Folder, Tree, short_name, split};

use super::error::RenderError;

const SECTOR: usize = 2048;
const FIRST_FOLDER: u32 = 23;

/// One file of the image.
pub(super) struct IsoFile<'a> {
    /// Its path, with `/`.
    pub(super) name: &'a str,
    pub(super) bytes: &'a [u8],
}

/// Writes an image labelled `label`.
pub(super) fn image(label: &str, files: &[IsoFile<'_>]) -> Result<Vec<u8>, RenderError> {
    let too_large = |what: &str| RenderError::TooLarge { what: what.to_owned() };
    let tree = Tree::of(files);
    let folders = u32::try_from(tree.folders.len()).map_err(|_| too_large("the number of folders"))?;
    let mut extents = Vec::with_capacity(files.len());
    let mut next = folders.checked_mul(2).and_then(|both| both.checked_add(FIRST_FOLDER));
    for file in files {
        let size = u32::try_from(file.bytes.len()).map_err(|_| too_large(file.name))?;
        let sector = next.ok_or_else(|| too_large(file.name))?;
        extents.push(Extent { sector, size });
        next = sector.checked_add(size.div_ceil(SECTOR_SIZE));
    }
    let end = next.ok_or_else(|| too_large("the image"))?;
    let views = [(Names::RockRidge, FIRST_FOLDER), (Names::Joliet, FIRST_FOLDER + folders)];
    let mut image = vec![0; 16 * SECTOR];
    for (names, root) in views {
        put_sector(&mut image, &volume_descriptor(names, label, end, root, path_table_size(names, &tree)))?;
    }
    put_sector(&mut image, b"\xffCD001\x01")?;
    for (names, root) in views {
        put_sector(&mut image, &path_table(names, &tree, root, u32::to_le_bytes, u16::to_le_bytes))?;
        put_sector(&mut image, &path_table(names, &tree, root, u32::to_be_bytes, u16::to_be_bytes))?;
    }
    for (names, root) in views {
        for folder in &tree.folders {
            put_sector(&mut image, &directory(names, root, folder, &tree, files, &extents))?;
        }
    }
    for file in files {
        image.extend_from_slice(file.bytes);
        image.resize(image.len().next_multiple_of(SECTOR), 0);
    }
    Ok(image)
}

/// Appends `bytes`, filled up to one sector.
fn put_sector(image: &mut Vec<u8>, bytes: &[u8]) -> Result<(), RenderError> {
    if bytes.len() > SECTOR {
        return Err(RenderError::TooLarge { what: "the directory of the image".to_owned() });
    }
    image.extend_from_slice(bytes);
    image.resize(image.len() + SECTOR - bytes.len(), 0);
    Ok(())
}

/// A folder: itself, its parent (the root's is itself), then what is in it, sorted by the names on the disc.
fn directory(
    names: Names,
    first: u32,
    folder: &Folder<'_>,
    tree: &Tree<'_>,
    files: &[IsoFile<'_>],
    extents: &[Extent],
) -> Vec<u8> {
    let inner = u32::try_from(tree.under(folder.number).count()).unwrap_or(u32::MAX);
    let above = tree.folders.get(usize::from(folder.parent)).unwrap_or(folder);
    let (itself, parent) = match names {
        Names::RockRidge if folder.path.is_empty() => {
            ([sharing_protocol(), posix_folder(inner), extensions()].concat(), posix_folder(inner))
        }
        Names::RockRidge => {
            let beside = u32::try_from(tree.under(above.number).count()).unwrap_or(u32::MAX);
            (posix_folder(inner), posix_folder(beside))
        }
        Names::Joliet => (Vec::new(), Vec::new()),
    };
    let mut out = record(folder.extent(first), Shape::Directory, &[0], &itself);
    out.extend(record(above.extent(first), Shape::Directory, &[1], &parent));
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for inner in tree.under(folder.number) {
        let name = inner.identifier(names);
        let system = match names {
            Names::RockRidge => {
                let below = u32::try_from(tree.under(inner.number).count()).unwrap_or(u32::MAX);
                [posix_folder(below), alternate_name(inner.name())].concat()
            }
            Names::Joliet => Vec::new(),
        };
        let record = record(inner.extent(first), Shape::Directory, &name, &system);
        entries.push((name, record));
    }
    let here = files.iter().zip(extents).filter_map(|(file, extent)| Some((split(folder.path, file.name)?, extent)));
    for (nth, (name, extent)) in here.filter(|(name, _)| !name.contains('/')).enumerate() {
        let (short, system) = match names {
            Names::RockRidge => (short_name(nth, name), [posix_file(), alternate_name(name)].concat()),
            Names::Joliet => (name.encode_utf16().flat_map(u16::to_be_bytes).collect(), Vec::new()),
        };
        let record = record(*extent, Shape::File, &short, &system);
        entries.push((short, record));
    }
    entries.sort();
    for (_, record) in entries {
        out.extend(record);
    }
    out
}

/// A path table: every folder with its place and its parent's number, from 1, in the byte order of the functions.
fn path_table(
    names: Names,
    tree: &Tree<'_>,
    first: u32,
    sector: fn(u32) -> [u8; 4],
    number: fn(u16) -> [u8; 2],
) -> Vec<u8> {
    let entry = |folder: &Folder<'_>| {
        path_entry(
            &folder.identifier(names),
            sector(folder.extent(first).sector),
            number(folder.parent.saturating_add(1)),
        )
    };
    tree.folders.iter().flat_map(entry).collect()
}

fn path_table_size(names: Names, tree: &Tree<'_>) -> u32 {
    // One that does not fit a sector is refused when it is put there.
    u32::try_from(path_table(names, tree, 0, u32::to_le_bytes, u16::to_le_bytes).len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_sits_where_readers_look_for_it() {
        let files = [IsoFile { name: "meta-data", bytes: b"x" }];
        let image = image("cidata", &files).unwrap();
        assert_eq!(image.len(), 26 * SECTOR);
        assert_eq!(&image[16 * SECTOR + 40..16 * SECTOR + 46], b"cidata");
        assert_eq!(image[25 * SECTOR], b'x');
    }

    #[test]
    fn both_path_tables_name_every_folder() {
        let files = [IsoFile { name: "openstack/latest/meta_data.json", bytes: b"x" }];
        let image = image("config-2", &files).unwrap();
        // The primary descriptor's size of the path table: the root takes 10 bytes, each other folder 8 and its name.
        let size = u32::from_le_bytes(image[16 * SECTOR + 132..16 * SECTOR + 136].try_into().unwrap());
        assert_eq!(size, 10 + (8 + 8) + (8 + 8));
        let entry = &image[19 * SECTOR + 10..19 * SECTOR + 26];
        assert_eq!(entry, b"\x08\0\x18\0\0\0\x01\0OPENST00");
        assert_eq!(&image[20 * SECTOR + 26..20 * SECTOR + 42], b"\x08\0\0\0\0\x19\0\x02LATEST00");
        assert_eq!(image[29 * SECTOR], b'x');
    }

    #[test]
    fn a_directory_that_does_not_fit_is_refused() {
        let names: Vec<String> = (0..40).map(|nth| format!("file-with-a-name-{nth}")).collect();
        let files: Vec<IsoFile<'_>> = names.iter().map(|name| IsoFile { name, bytes: b"" }).collect();
        assert_eq!(image("cidata", &files).unwrap_err().code(), "artifact-too-large");
    }
}
