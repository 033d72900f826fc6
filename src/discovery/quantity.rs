//! libvirt's sizes with units, read into KiB.
//!
//! Assumes the number and the unit as the XML has them. Guarantees libvirt's own reading: decimal units end in `B`
//! (`KB` is 1000), binary ones are bare or end in `iB`, no unit means KiB, and a part of a KiB counts as a whole one.

use crate::model::units::{Bytes, Kib};

/// Why a size is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadQuantityError {
    /// The number is not a whole number that fits.
    #[error("{0:?} is not a whole number")]
    Number(String),
    /// The unit is none of libvirt's.
    #[error("{0:?} is not a unit that libvirt knows")]
    Unit(String),
    /// The product does not fit 64 bits.
    #[error("{0} {1} is more than 2^64 bytes")]
    TooBig(u64, String),
}

/// Reads `number` in `unit` as bytes; no unit means bytes.
pub(crate) fn read_bytes(number: &str, unit: Option<&str>) -> Result<Bytes, ReadQuantityError> {
    let count: u64 = number.trim().parse().map_err(|_| ReadQuantityError::Number(shorten(number)))?;
    let unit = unit.unwrap_or("bytes");
    let scale = bytes_in(unit).ok_or_else(|| ReadQuantityError::Unit(shorten(unit)))?;
    count.checked_mul(scale).map(Bytes).ok_or_else(|| ReadQuantityError::TooBig(count, unit.to_owned()))
}

/// Reads `number` in `unit` as KiB.
pub(crate) fn read_kib(number: &str, unit: Option<&str>) -> Result<Kib, ReadQuantityError> {
    let count: u64 = number.trim().parse().map_err(|_| ReadQuantityError::Number(shorten(number)))?;
    let unit = unit.unwrap_or("KiB");
    let scale = bytes_in(unit).ok_or_else(|| ReadQuantityError::Unit(shorten(unit)))?;
    let bytes = count.checked_mul(scale).ok_or_else(|| ReadQuantityError::TooBig(count, unit.to_owned()))?;
    Ok(Kib(bytes.div_ceil(1024)))
}

/// The bytes in one `unit`; libvirt ignores letter case.
fn bytes_in(unit: &str) -> Option<u64> {
    const DECIMAL: u64 = 1000;
    const BINARY: u64 = 1024;
    let lower = unit.to_ascii_lowercase();
    if matches!(lower.as_str(), "b" | "byte" | "bytes") {
        return Some(1);
    }
    let mut letters = lower.chars();
    let exponent = match letters.next()? {
        'k' => 1,
        'm' => 2,
        'g' => 3,
        't' => 4,
        'p' => 5,
        'e' => 6,
        _ => return None,
    };
    match letters.as_str() {
        "" | "ib" => Some(BINARY.pow(exponent)),
        "b" => Some(DECIMAL.pow(exponent)),
        _ => None,
    }
}

/// Enough of a bad value to recognise it, without echoing a whole document.
pub(crate) fn shorten(text: &str) -> String {
    shorten_to(text, 64)
}

/// The first `most` characters.
pub(crate) fn shorten_to(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_and_binary_units_differ() {
        for (number, unit, kib) in [
            ("4194304", None, 4_194_304),
            ("1", Some("b"), 1),
            ("2048", Some("bytes"), 2),
            ("1000", Some("KB"), 977),
            ("1", Some("k"), 1),
            ("1", Some("KiB"), 1),
            ("1", Some("MB"), 977),
            ("1", Some("M"), 1024),
            ("4", Some("GiB"), 4_194_304),
            ("1", Some("GB"), 976_563),
            ("1", Some("T"), 1_073_741_824),
            ("1", Some("eib"), 1_125_899_906_842_624),
        ] {
            assert_eq!(read_kib(number, unit), Ok(Kib(kib)), "{number} {unit:?}");
        }
    }

    #[test]
    fn storage_is_counted_in_bytes_unless_it_says_otherwise() {
        for (number, unit, bytes) in [("5", Some("G"), 5 << 30), ("10", Some("GB"), 10_000_000_000), ("7", None, 7)] {
            assert_eq!(read_bytes(number, unit), Ok(Bytes(bytes)), "{number} {unit:?}");
        }
    }

    #[test]
    fn a_size_that_is_none_is_refused() {
        assert!(matches!(read_kib("4x", None), Err(ReadQuantityError::Number(_))));
        assert!(matches!(read_kib("4", Some("KiBi")), Err(ReadQuantityError::Unit(_))));
        assert!(matches!(read_kib("99", Some("EiB")), Err(ReadQuantityError::TooBig(..))));
    }
}
