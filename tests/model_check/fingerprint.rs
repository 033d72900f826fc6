//! 128 bits of a state: two states of the same bits are taken for the same.
//!
//! A walk spends most of its time here, so values are not written down to be hashed: what `serde` would write is mixed in
//! as it comes, with a tag before whatever has no fixed length.

use std::fmt::{self, Debug, Display, Write as _};

use serde::Serialize;
use serde::ser::{self, Serializer};

/// What tells a state from all others.
pub(crate) type Mark = (u64, u64);

/// What a state is marked by: two hashes, which begin and go on differently.
#[derive(Clone, Copy)]
pub(crate) struct Marker(u64, u64);

/// Odd numbers without a pattern, one for each of the two.
const FACTORS: Mark = (0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f);

impl Default for Marker {
    fn default() -> Self {
        Self(0x2545_f491_4f6c_dd1d, 0x6a09_e667_f3bc_c909)
    }
}

impl Marker {
    pub(crate) fn value(&mut self, value: &impl Serialize) {
        value.serialize(Mixed(self)).unwrap();
    }

    /// For what nobody serializes.
    pub(crate) fn debug(&mut self, value: &impl Debug) {
        write!(self, "{value:?}").unwrap();
        self.word(u64::MAX);
    }

    pub(crate) const fn mark(&self) -> Mark {
        (self.0, self.1)
    }

    fn word(&mut self, word: u64) {
        self.0 = mixed(self.0 ^ word, FACTORS.0);
        self.1 = mixed(self.1 ^ word.rotate_left(32), FACTORS.1);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }
}

/// Both halves of a product, so that every bit of the one reaches every bit of the other.
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn mixed(one: u64, other: u64) -> u64 {
    let product = u128::from(one ^ 0x94d0_49bb_1331_11eb) * u128::from(other);
    (product as u64) ^ ((product >> 64) as u64) ^ one.rotate_left(17)
}

impl fmt::Write for Marker {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// A marker as what `serde` writes to.
struct Mixed<'a>(&'a mut Marker);

/// What a type says of itself that cannot be marked; none of a lane's does.
#[derive(Debug)]
struct CannotMark(String);

impl Display for CannotMark {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl std::error::Error for CannotMark {}

impl ser::Error for CannotMark {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

type Done = Result<(), CannotMark>;

macro_rules! words {
    ($($name:ident $kind:ty => $word:expr;)*) => {
        $(fn $name(self, value: $kind) -> Done {
            let word: fn($kind) -> u64 = $word;
            self.0.word(word(value));
            Ok(())
        })*
    };
}

impl<'a> Serializer for Mixed<'a> {
    type Ok = ();
    type Error = CannotMark;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    words! {
        serialize_bool bool => u64::from;
        serialize_i8 i8 => |value| i64::from(value).cast_unsigned();
        serialize_i16 i16 => |value| i64::from(value).cast_unsigned();
        serialize_i32 i32 => |value| i64::from(value).cast_unsigned();
        serialize_i64 i64 => i64::cast_unsigned;
        serialize_u8 u8 => u64::from;
        serialize_u16 u16 => u64::from;
        serialize_u32 u32 => u64::from;
        serialize_u64 u64 => |value| value;
        serialize_f32 f32 => |value| f64::from(value).to_bits();
        serialize_f64 f64 => f64::to_bits;
        serialize_char char => |value| u64::from(u32::from(value));
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_str(self, value: &str) -> Done {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Done {
        self.0.bytes(value);
        Ok(())
    }

    fn serialize_none(self) -> Done {
        self.serialize_u64(0)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Done {
        self.0.word(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Done {
        self.serialize_u64(2)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Done {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, which: u32, _: &'static str) -> Done {
        self.serialize_u32(which)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        which: u32,
        _: &'static str,
        value: &T,
    ) -> Done {
        self.0.word(u64::from(which));
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, CannotMark> {
        self.0.word(length.map_or(u64::MAX, |length| length as u64));
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, CannotMark> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, CannotMark> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        which: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, CannotMark> {
        self.0.word(u64::from(which));
        Ok(self)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self, CannotMark> {
        self.serialize_seq(length)
    }

    fn serialize_struct(self, _: &'static str, fields: usize) -> Result<Self, CannotMark> {
        // Fields may be left out.
        self.0.word(fields as u64);
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        which: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, CannotMark> {
        self.0.word(u64::from(which));
        Ok(self)
    }
}

macro_rules! parts {
    ($($kind:ident $part:ident;)*) => {
        $(impl ser::$kind for Mixed<'_> {
            type Ok = ();
            type Error = CannotMark;

            fn $part<T: ?Sized + Serialize>(&mut self, value: &T) -> Done {
                value.serialize(Mixed(self.0))
            }

            fn end(self) -> Done {
                Ok(())
            }
        })*
    };
}

parts! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

impl ser::SerializeMap for Mixed<'_> {
    type Ok = ();
    type Error = CannotMark;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Done {
        key.serialize(Mixed(self.0))
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Done {
        value.serialize(Mixed(self.0))
    }

    fn end(self) -> Done {
        Ok(())
    }
}

macro_rules! fields {
    ($($kind:ident;)*) => {
        $(impl ser::$kind for Mixed<'_> {
            type Ok = ();
            type Error = CannotMark;

            fn serialize_field<T: ?Sized + Serialize>(&mut self, _: &'static str, value: &T) -> Done {
                value.serialize(Mixed(self.0))
            }

            fn skip_field(&mut self, name: &'static str) -> Done {
                self.0.bytes(name.as_bytes());
                Ok(())
            }

            fn end(self) -> Done {
                Ok(())
            }
        })*
    };
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::{Mark, Marker};

    fn mark(value: &impl Serialize) -> Mark {
        let mut marker = Marker::default();
        marker.value(value);
        marker.mark()
    }

    #[test]
    fn what_differs_anywhere_is_marked_otherwise_and_what_is_the_same_is_not() {
        let values = [
            serde_json::json!({"a": [1, 2], "b": null}),
            serde_json::json!({"a": [1], "b": [2]}),
            serde_json::json!({"a": [], "b": [1, 2]}),
            serde_json::json!({"a": [2, 1], "b": null}),
            serde_json::json!({"ab": "", "": "ab"}),
            serde_json::json!({"a": "b", "b": "a"}),
        ];
        let marks: BTreeMap<Mark, usize> =
            values.iter().enumerate().map(|(place, value)| (mark(value), place)).collect();
        assert_eq!(marks.len(), values.len());
        assert_eq!(mark(&values[0]), mark(&values[0].clone()));
        assert_ne!(mark(&("ab", "c")), mark(&("a", "bc")));
        assert_ne!(mark(&(Some(1_u8), None::<u8>)), mark(&(None::<u8>, Some(1_u8))));
    }
}
