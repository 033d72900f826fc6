//! The syntax of a VM's configuration: lines of `KEY: VALUE`, sorted, after a description in comments.
//!
//! Assumes values without line feeds. Guarantees one line for each key, property strings without stray commas, and a
//! description that is read back as it was.
//! *Source*: <https://pve.proxmox.com/pve-docs/qm.conf.5.html>.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write};

use crate::model::units::Bytes;

/// A configuration under construction.
#[derive(Debug, Default)]
pub(super) struct Conf {
    description: String,
    lines: BTreeMap<String, String>,
}

impl Conf {
    /// The text for people.
    pub(super) fn describe(&mut self, text: &str) {
        text.clone_into(&mut self.description);
    }

    /// Sets a key.
    pub(super) fn set(&mut self, key: impl Into<String>, value: impl Display) {
        self.lines.insert(key.into(), value.to_string());
    }

    /// Whether a key is set.
    pub(super) fn has(&self, key: &str) -> bool {
        self.lines.contains_key(key)
    }

    /// The file.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for line in self.description.lines() {
            let _ = writeln!(text, "#{}", encode(line));
        }
        for (key, value) in &self.lines {
            let _ = writeln!(text, "{key}: {value}");
        }
        text
    }
}

/// A property string: `FIRST,KEY=VALUE,…`.
#[derive(Debug)]
pub(super) struct Props(String);

impl Props {
    pub(super) fn new(first: impl Display) -> Self {
        Self(first.to_string())
    }

    /// Adds a property when it has a value.
    pub(super) fn add(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            let comma = if self.0.is_empty() { "" } else { "," };
            let _ = write!(self.0, "{comma}{key}={value}");
        }
    }
}

impl Display for Props {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Percent and colon, control characters and what is no ASCII, byte by byte in hexadecimal.
fn encode(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for byte in line.bytes() {
        if (0x20..=0x7e).contains(&byte) && !matches!(byte, b'%' | b':') {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// What a URL keeps as it is; everything else byte by byte in hexadecimal.
pub(super) fn url_encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// RFC 4648's base64.
pub(super) fn base64(value: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in value.as_bytes().chunks(3) {
        let bytes = [0, 1, 2].map(|at| chunk.get(at).copied().unwrap_or(0));
        let [first, second, third] = bytes.map(u32::from);
        let bits = first << 16 | second << 8 | third;
        for (nth, shift) in [18_u32, 12, 6, 0].into_iter().enumerate() {
            let letter = LETTERS.get((bits >> shift & 63) as usize).copied().unwrap_or(b'=');
            text.push(if nth <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// A size in the largest unit that divides it.
pub(super) fn size(size: Bytes) -> String {
    for (unit, scale) in [("T", 1_u64 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)] {
        if size.0 > 0 && size.0.is_multiple_of(scale) {
            return format!("{}{unit}", size.0 / scale);
        }
    }
    size.0.to_string()
}

/// The highest host CPU that a list is read up to.
const LAST_CPU: u32 = 8191;

/// The numbers of one of libvirt's lists (`0-3,^2,8`).
pub(super) fn numbers(list: &str) -> Option<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for part in list.split(',') {
        let (without, part) = part.trim().strip_prefix('^').map_or((false, part.trim()), |part| (true, part));
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        if first > last || last > LAST_CPU {
            return None;
        }
        for number in first..=last {
            if without {
                found.remove(&number);
            } else {
                found.insert(number);
            }
        }
    }
    Some(found)
}

/// Numbers as ranges between `separator`s.
pub(super) fn ranges(numbers: &BTreeSet<u32>, separator: &str) -> String {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            Some(_) | None => spans.push((*number, *number)),
        }
    }
    let spell = |(first, last): (u32, u32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    spans.into_iter().map(spell).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_encoded_line_by_line() {
        let mut conf = Conf::default();
        conf.describe("a: 50%\nü");
        conf.set("name", "web");
        assert_eq!(conf.text(), "#a%3A 50%25\n#%C3%BC\nname: web\n");
    }

    #[test]
    fn base64_pads() {
        for (text, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(text), expected);
        }
    }

    #[test]
    fn libvirts_lists_become_ranges() {
        assert_eq!(ranges(&numbers("0-3,^2,8").unwrap(), ";"), "0-1;3;8");
        assert_eq!((numbers("3-1"), numbers("a"), numbers("0-99999999")), (None, None, None));
    }

    #[test]
    fn sizes_have_the_largest_unit() {
        for (bytes, text) in [(20 << 30, "20G"), (528 << 10, "528K"), (4 << 20, "4M"), (513, "513")] {
            assert_eq!(size(Bytes(bytes)), text);
        }
    }
}
