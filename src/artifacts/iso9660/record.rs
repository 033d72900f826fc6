//! The structures of ECMA-119, Rock Ridge and Joliet, as bytes.
//!
//! Assumes names and numbers that are right together. Guarantees the standards' layouts, fixed dates, and permissions
//! for reading only.

/// *Units*: bytes.
pub(super) const SECTOR_SIZE: u32 = 2048;
const SECTOR_SIZE_SHORT: u16 = 2048;
const PATH_TABLES: u32 = 19;
const JOLIET_PATH_TABLES: u32 = 21;

/// 1 January 2000, 00:00 UTC: a date must be there, and one that tells the time would differ at each rendering.
const DATE: [u8; 7] = [100, 1, 1, 0, 0, 0, 0];
/// "Not specified", in the descriptors' own form of date.
const NO_DATE: [u8; 17] = *b"0000000000000000\0";

/// Rock Ridge and Joliet show names of different forms for one directory.
#[derive(Clone, Copy)]
pub(super) enum Names {
    /// Short names, with the real ones in Rock Ridge's fields.
    RockRidge,
    /// The real names in UCS-2.
    Joliet,
}

/// Where a file's bytes are.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) sector: u32,
    pub(super) size: u32,
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
pub(super) fn volume_descriptor(names: Names, label: &str, sectors: u32, root: u32, path_table_size: u32) -> Vec<u8> {
    let (kind, tables, escape): (u8, u32, &[u8]) = match names {
        Names::RockRidge => (1, PATH_TABLES, b""),
        // The escape sequence of UCS-2 level 3, by which readers know Joliet.
        Names::Joliet => (2, JOLIET_PATH_TABLES, b"%/E"),
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
    out.extend(both32(path_table_size));
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

/// One entry of a path table (ECMA-119, 9.4).
pub(super) fn path_entry(name: &[u8], sector: [u8; 4], parent: [u8; 2]) -> Vec<u8> {
    let mut out = vec![length_byte(name.len()), 0];
    out.extend(sector);
    out.extend(parent);
    out.extend(name);
    if out.len() % 2 == 1 {
        out.push(0);
    }
    out
}

/// Whether a record is of a directory.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    File,
    Directory,
}

/// One directory record (ECMA-119, 9.1); `system` is Rock Ridge's part.
pub(super) fn record(extent: Extent, shape: Shape, name: &[u8], system: &[u8]) -> Vec<u8> {
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

/// `SP`: Rock Ridge is used, starting right at this field.
pub(super) fn sharing_protocol() -> Vec<u8> {
    b"SP\x07\x01\xbe\xef\0".to_vec()
}

/// `ER`: which extension is used.
pub(super) fn extensions() -> Vec<u8> {
    let id = b"RRIP_1991A";
    let text = b"ROCK RIDGE";
    let length = length_byte(8 + id.len() + text.len());
    let mut out = b"ER".to_vec();
    out.extend([length, 1, length_byte(id.len()), length_byte(text.len()), 0, 1]);
    out.extend(id);
    out.extend(text);
    out
}

/// `PX` of a file: everybody may read it.
pub(super) fn posix_file() -> Vec<u8> {
    posix(0o100_444, 1)
}

/// `PX` of a folder with `inner` folders in it, each of which links back to it.
pub(super) fn posix_folder(inner: u32) -> Vec<u8> {
    posix(0o040_555, inner.saturating_add(2))
}

/// `PX`: mode, links, owner and group.
fn posix(mode: u32, links: u32) -> Vec<u8> {
    let mut out = b"PX\x24\x01".to_vec();
    out.extend(both32(mode));
    out.extend(both32(links));
    out.extend(both32(0)); // owner
    out.extend(both32(0)); // group
    out
}

/// `NM`: the real name.
pub(super) fn alternate_name(name: &str) -> Vec<u8> {
    let mut out = b"NM".to_vec();
    out.extend([length_byte(5 + name.len()), 1, 0]);
    out.extend(name.bytes());
    out
}
