//! A read-only disc image with a few files in its root: what a configuration drive is.
//!
//! Written here, because the crate that was looked at (hadris-iso 2.5) brings some seventy packages into the lock
//! file, chrono among them, and reads the system's clock; a root with a handful of files needs little of the standard.
//!
//! ```text
//! sector 0-15  zeros            18 terminator        19/20 path tables   21/22 path tables (Joliet)
//!        16    primary          23 root directory    24 root (Joliet)    25… files, each from a sector's start
//!        17    Joliet           (both directories are one sector: the number of files is bounded by that)
//! ```
//!
//! Assumes small files with distinct names. Guarantees names as given to readers of Rock Ridge (Linux) and Joliet
//! (others), fixed dates, and so the same bytes for the same files. *Source*: ECMA-119, RRIP 1.12, Joliet 1.

use super::error::RenderError;

const SECTOR: usize = 2048;
/// The same, as the structures hold it.
const SECTOR_SIZE: u32 = 2048;
const SECTOR_SIZE_SHORT: u16 = 2048;
const PATH_TABLES: u32 = 19;
const JOLIET_PATH_TABLES: u32 = 21;
const ROOT: u32 = 23;
const JOLIET_ROOT: u32 = 24;
const FIRST_FILE: u32 = 25;
/// The size of a path table that holds the root alone.
const PATH_TABLE_SIZE: u32 = 10;

/// 1 January 2000, 00:00 UTC: a date must be there, and one that tells the time would differ at each rendering.
const DATE: [u8; 7] = [100, 1, 1, 0, 0, 0, 0];
/// "Not specified", in the descriptors' own form of date.
const NO_DATE: [u8; 17] = *b"0000000000000000\0";

/// Rock Ridge and Joliet show names of different forms for one directory.
#[derive(Clone, Copy)]
enum Names {
    /// Short names, with the real ones in Rock Ridge's fields.
    RockRidge,
    /// The real names in UCS-2.
    Joliet,
}

/// One file of the image.
pub(super) struct IsoFile<'a> {
    pub(super) name: &'a str,
    pub(super) bytes: &'a [u8],
}

/// Writes an image labelled `label`.
pub(super) fn image(label: &str, files: &[IsoFile<'_>]) -> Result<Vec<u8>, RenderError> {
    let too_large = |what: &str| RenderError::TooLarge { what: what.to_owned() };
    let mut extents = Vec::with_capacity(files.len());
    let mut next = FIRST_FILE;
    for file in files {
        let size = u32::try_from(file.bytes.len()).map_err(|_| too_large(file.name))?;
        extents.push(Extent { sector: next, size });
        next = next.checked_add(size.div_ceil(SECTOR_SIZE)).ok_or_else(|| too_large(file.name))?;
    }
    let mut image = vec![0; 16 * SECTOR];
    put_sector(&mut image, &volume_descriptor(Names::RockRidge, label, next))?;
    put_sector(&mut image, &volume_descriptor(Names::Joliet, label, next))?;
    put_sector(&mut image, b"\xffCD001\x01")?;
    for root in [ROOT, JOLIET_ROOT] {
        put_sector(&mut image, &path_table(&root.to_le_bytes(), 1_u16.to_le_bytes()))?;
        put_sector(&mut image, &path_table(&root.to_be_bytes(), 1_u16.to_be_bytes()))?;
    }
    put_sector(&mut image, &directory(Names::RockRidge, ROOT, files, &extents))?;
    put_sector(&mut image, &directory(Names::Joliet, JOLIET_ROOT, files, &extents))?;
    for file in files {
        image.extend_from_slice(file.bytes);
        image.resize(image.len().next_multiple_of(SECTOR), 0);
    }
    Ok(image)
}

/// Where a file's bytes are.
#[derive(Clone, Copy)]
struct Extent {
    sector: u32,
    size: u32,
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

/// A number in both byte orders, little first.
fn both16(number: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (number.to_le_bytes(), number.to_be_bytes());
    [a, b, c, d]
}

/// A number in both byte orders, little first.
fn both32(number: u32) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (number.to_le_bytes(), number.to_be_bytes());
    [a, b, c, d, e, f, g, h]
}

/// A text of exactly `length` bytes, filled with blanks.
fn padded(names: Names, text: &str, length: usize) -> Vec<u8> {
    let (mut bytes, blank): (Vec<u8>, &[u8]) = match names {
        Names::RockRidge => (text.bytes().collect(), b" "),
        Names::Joliet => (text.encode_utf16().flat_map(u16::to_be_bytes).collect(), b"\0 "),
    };
    bytes.truncate(length);
    let rest: Vec<u8> = blank.iter().copied().cycle().take(length - bytes.len()).collect();
    bytes.extend(rest);
    bytes
}

/// A primary or a Joliet volume descriptor (ECMA-119, 8.4 and 8.5).
fn volume_descriptor(names: Names, label: &str, sectors: u32) -> Vec<u8> {
    let (kind, root, tables, escape): (u8, u32, u32, &[u8]) = match names {
        Names::RockRidge => (1, ROOT, PATH_TABLES, b""),
        // The escape sequence of UCS-2 level 3, by which readers know Joliet.
        Names::Joliet => (2, JOLIET_ROOT, JOLIET_PATH_TABLES, b"%/E"),
    };
    let mut out = vec![kind];
    out.extend(b"CD001\x01\0");
    out.extend(padded(names, "LINUX", 32));
    out.extend(padded(names, label, 32));
    out.extend([0; 8]);
    out.extend(both32(sectors));
    out.extend(escape);
    out.resize(120, 0);
    out.extend(both16(1)); // volumes in the set
    out.extend(both16(1)); // this volume
    out.extend(both16(SECTOR_SIZE_SHORT));
    out.extend(both32(PATH_TABLE_SIZE));
    out.extend(tables.to_le_bytes());
    out.extend(0_u32.to_le_bytes());
    out.extend((tables + 1).to_be_bytes());
    out.extend(0_u32.to_be_bytes());
    out.extend(record(Extent { sector: root, size: SECTOR_SIZE }, Shape::Directory, &[0], &[]));
    out.extend(padded(names, "", 128)); // volume set
    out.extend(padded(names, "", 128)); // publisher
    out.extend(padded(names, "", 128)); // preparer
    out.extend(padded(names, "COVIRT", 128)); // application
    out.extend(padded(names, "", 37)); // copyright
    out.extend(padded(names, "", 37)); // abstract
    out.extend(padded(names, "", 37)); // bibliography
    for _ in 0..4 {
        out.extend(NO_DATE);
    }
    out.extend([1, 0]); // version of the structure
    out
}

/// A path table with the root alone, in the byte order of its arguments.
fn path_table(root: &[u8; 4], parent: [u8; 2]) -> Vec<u8> {
    let mut out = vec![1, 0];
    out.extend(root);
    out.extend(parent);
    out.extend([0, 0]);
    out
}

/// Whether a record is of a directory.
#[derive(Clone, Copy)]
enum Shape {
    File,
    Directory,
}

/// One directory record (ECMA-119, 9.1); `system` is Rock Ridge's part.
fn record(extent: Extent, shape: Shape, name: &[u8], system: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0];
    out.extend(both32(extent.sector));
    out.extend(both32(extent.size));
    out.extend(DATE);
    out.push(match shape {
        Shape::File => 0,
        Shape::Directory => 2,
    });
    out.extend([0, 0]); // no interleaving
    out.extend(both16(1)); // on this volume
    out.push(length_byte(name.len()));
    out.extend(name);
    if out.len() % 2 == 1 {
        out.push(0);
    }
    out.extend(system);
    if out.len() % 2 == 1 {
        out.push(0);
    }
    let length = length_byte(out.len());
    if let Some(first) = out.first_mut() {
        *first = length;
    }
    out
}

/// The names here are ours and short; a longer record would fail the reading tests, not overflow.
fn length_byte(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

/// The root directory: itself, its parent (itself again), then the files sorted by their name on the disc.
fn directory(names: Names, sector: u32, files: &[IsoFile<'_>], extents: &[Extent]) -> Vec<u8> {
    let own = Extent { sector, size: SECTOR_SIZE };
    let (first, parent) = match names {
        Names::RockRidge => {
            ([sharing_protocol(), posix(Shape::Directory), extensions()].concat(), posix(Shape::Directory))
        }
        Names::Joliet => (Vec::new(), Vec::new()),
    };
    let mut out = record(own, Shape::Directory, &[0], &first);
    out.extend(record(own, Shape::Directory, &[1], &parent));
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(files.len());
    for (nth, (file, extent)) in files.iter().zip(extents).enumerate() {
        let (name, system) = match names {
            Names::RockRidge => (short_name(nth, file.name), [posix(Shape::File), alternate_name(file.name)].concat()),
            Names::Joliet => (file.name.encode_utf16().flat_map(u16::to_be_bytes).collect(), Vec::new()),
        };
        let record = record(*extent, Shape::File, &name, &system);
        entries.push((name, record));
    }
    entries.sort();
    for (_, record) in entries {
        out.extend(record);
    }
    out
}

/// A distinct 8.3 name: letters and digits of the real one, then its number.
fn short_name(nth: usize, name: &str) -> Vec<u8> {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).take(6).collect();
    format!("{}{nth:02}.;1", letters.to_ascii_uppercase()).into_bytes()
}

/// `SP`: Rock Ridge is used, starting right at this field.
fn sharing_protocol() -> Vec<u8> {
    b"SP\x07\x01\xbe\xef\0".to_vec()
}

/// `ER`: which extension is used.
fn extensions() -> Vec<u8> {
    let id = b"RRIP_1991A";
    let text = b"ROCK RIDGE";
    let length = length_byte(8 + id.len() + text.len());
    let mut out = b"ER".to_vec();
    out.extend([length, 1, length_byte(id.len()), length_byte(text.len()), 0, 1]);
    out.extend(id);
    out.extend(text);
    out
}

/// `PX`: permissions for reading only.
fn posix(shape: Shape) -> Vec<u8> {
    let (mode, links) = match shape {
        Shape::File => (0o100_444, 1),
        Shape::Directory => (0o040_555, 2),
    };
    let mut out = b"PX\x24\x01".to_vec();
    out.extend(both32(mode));
    out.extend(both32(links));
    out.extend(both32(0)); // owner
    out.extend(both32(0)); // group
    out
}

/// `NM`: the real name.
fn alternate_name(name: &str) -> Vec<u8> {
    let mut out = b"NM".to_vec();
    out.extend([length_byte(5 + name.len()), 1, 0]);
    out.extend(name.bytes());
    out
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
    fn a_directory_that_does_not_fit_is_refused() {
        let names: Vec<String> = (0..40).map(|nth| format!("file-with-a-name-{nth}")).collect();
        let files: Vec<IsoFile<'_>> = names.iter().map(|name| IsoFile { name, bytes: b"" }).collect();
        assert_eq!(image("cidata", &files).unwrap_err().code(), "artifact-too-large");
    }
}
