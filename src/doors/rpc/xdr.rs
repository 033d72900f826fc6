//! XDR (RFC 4506), as much of it as libvirt's messages use: a cursor that borrows, and a builder.
//!
//! Payloads are read as far as somebody needs them and passed on as they came, so nothing here owns or rebuilds a whole
//! message. Every length is held against what is left and against libvirt's own limit before anything is kept.

/// The longest string. *Source*: `REMOTE_STRING_MAX`.
pub const STRING_MAX: u32 = 4 * 1024 * 1024;
/// The most elements of a list. *Source*: `REMOTE_DOMAIN_LIST_MAX` and its like.
pub const LIST_MAX: u32 = 16384;

/// Why a payload cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadXdrError {
    /// It ends in the middle of a value.
    #[error("the payload ends in the middle of a value")]
    Short,
    /// A string, list or opaque is longer than libvirt allows.
    #[error("a length of {0} is more than libvirt allows there")]
    TooLong(u32),
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// Something that has only certain values has another.
    #[error("{0} is no value of its kind")]
    NoSuchValue(u32),
}

/// Reads a payload from its beginning.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    all: &'a [u8],
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// At the beginning of a payload.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { all: payload, left: payload }
    }

    /// How many bytes were read.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.all.len() - self.left.len()
    }

    /// What was not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.left
    }

    /// What was read since `from`, a position.
    #[must_use]
    pub fn since(&self, from: usize) -> &'a [u8] {
        self.all.get(from..self.position()).unwrap_or_default()
    }

    /// So many bytes as they are; no padding.
    ///
    /// *Errors*: [`ReadXdrError::Short`].
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], ReadXdrError> {
        let (taken, left) = self.left.split_at_checked(count).ok_or(ReadXdrError::Short)?;
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadXdrError> {
        let (taken, left) = self.left.split_first_chunk().ok_or(ReadXdrError::Short)?;
        self.left = left;
        Ok(*taken)
    }

    /// *Errors*: [`ReadXdrError::Short`].
    pub fn u32(&mut self) -> Result<u32, ReadXdrError> {
        self.array().map(u32::from_be_bytes)
    }

    /// *Errors*: [`ReadXdrError::Short`].
    pub fn i32(&mut self) -> Result<i32, ReadXdrError> {
        self.array().map(i32::from_be_bytes)
    }

    /// *Errors*: [`ReadXdrError::Short`].
    pub fn u64(&mut self) -> Result<u64, ReadXdrError> {
        self.array().map(u64::from_be_bytes)
    }

    /// *Errors*: [`ReadXdrError::Short`].
    pub fn i64(&mut self) -> Result<i64, ReadXdrError> {
        self.array().map(i64::from_be_bytes)
    }

    /// The 16 bytes of a UUID.
    ///
    /// *Errors*: [`ReadXdrError::Short`].
    pub fn uuid(&mut self) -> Result<uuid::Uuid, ReadXdrError> {
        self.array().map(uuid::Uuid::from_bytes)
    }

    /// A yes or no; also what tells whether an optional value follows.
    ///
    /// *Errors*: [`ReadXdrError`].
    pub fn bool(&mut self) -> Result<bool, ReadXdrError> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(ReadXdrError::NoSuchValue(other)),
        }
    }

    /// How many elements follow, at most `max`.
    ///
    /// *Errors*: [`ReadXdrError`].
    pub fn count(&mut self, max: u32) -> Result<usize, ReadXdrError> {
        let count = self.u32()?;
        if count > max {
            return Err(ReadXdrError::TooLong(count));
        }
        // Every element has four bytes at least: what says more than there can be is not even begun.
        match usize::try_from(count) {
            Ok(count) if count <= self.left.len() => Ok(count),
            Ok(_) | Err(_) => Err(ReadXdrError::Short),
        }
    }

    /// Bytes of variable length, at most `max`.
    ///
    /// *Errors*: [`ReadXdrError`].
    pub fn opaque(&mut self, max: u32) -> Result<&'a [u8], ReadXdrError> {
        let count = self.count(max)?;
        let taken = self.take(count)?;
        self.take(padding(count))?;
        Ok(taken)
    }

    /// *Errors*: [`ReadXdrError`].
    pub fn string(&mut self) -> Result<&'a str, ReadXdrError> {
        std::str::from_utf8(self.opaque(STRING_MAX)?).map_err(|_| ReadXdrError::NotUtf8)
    }

    /// A string that may be left out.
    ///
    /// *Errors*: [`ReadXdrError`].
    pub fn optional_string(&mut self) -> Result<Option<&'a str>, ReadXdrError> {
        if self.bool()? { self.string().map(Some) } else { Ok(None) }
    }
}

/// How many bytes fill the last word of `count` bytes.
const fn padding(count: usize) -> usize {
    count.wrapping_neg() & 3
}

/// Writes a payload.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Words that are written already.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// A yes or no.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.u32(u32::from(value))
    }

    /// The number of elements that follow. Nothing that is written here comes near the largest number.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX))
    }

    pub fn opaque(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).raw(bytes).raw(&[0; 3][..padding(bytes.len())])
    }

    pub fn string(&mut self, text: &str) -> &mut Self {
        self.opaque(text.as_bytes())
    }

    /// A string that may be left out.
    pub fn optional_string(&mut self, text: Option<&str>) -> &mut Self {
        self.bool(text.is_some());
        if let Some(text) = text {
            self.string(text);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::new();
        writer.u32(7).i32(-7).u64(1 << 40).bool(true).string("abcde").optional_string(None).optional_string(Some("x"));
        writer.opaque(&[1, 2, 3, 4]);
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u32(), Ok(7));
        assert_eq!(reader.i32(), Ok(-7));
        assert_eq!(reader.u64(), Ok(1 << 40));
        assert_eq!(reader.bool(), Ok(true));
        assert_eq!(reader.string(), Ok("abcde"));
        assert_eq!(reader.optional_string(), Ok(None));
        assert_eq!(reader.optional_string(), Ok(Some("x")));
        assert_eq!(reader.opaque(16), Ok(&[1, 2, 3, 4][..]));
        assert!(reader.rest().is_empty());
    }

    #[test]
    fn a_length_is_held_against_the_limit_and_against_what_is_left() {
        let long = u32::MAX.to_be_bytes();
        assert_eq!(Reader::new(&long).opaque(16), Err(ReadXdrError::TooLong(u32::MAX)));
        assert_eq!(Reader::new(&long).count(u32::MAX), Err(ReadXdrError::Short));
        assert_eq!(Reader::new(&[0, 0, 0, 4, b'a']).string(), Err(ReadXdrError::Short));
        assert_eq!(Reader::new(&[0, 0, 0, 1, b'a']).string(), Err(ReadXdrError::Short), "without its padding");
        assert_eq!(Reader::new(&[0, 0, 0, 1, 0xff, 0, 0, 0]).string(), Err(ReadXdrError::NotUtf8));
        assert_eq!(Reader::new(&[0, 0, 0, 2]).bool(), Err(ReadXdrError::NoSuchValue(2)));
    }
}
