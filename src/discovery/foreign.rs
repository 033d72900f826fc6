//! Words that libvirt owns: known ones are variants, the rest are kept as they were written.
//!
//! Assumes nothing. Guarantees that a newer libvirt with a new bus, model or mode never breaks parsing, and that
//! what was not understood can still be shown and compared.

/// Defines an enum over libvirt's words with an `Unknown(String)` variant; it reads and writes as the bare word.
macro_rules! foreign {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $(#[doc = concat!("libvirt's `", $word, "`.")] $variant,)+
            /// A word this version does not know, as it was written.
            Unknown(String),
        }

        impl $name {
            /// The word as libvirt writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Unknown(raw) => raw,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $($word => Self::$variant,)+
                    _ => Self::Unknown(word),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }
    };
}

pub(crate) use foreign;

#[cfg(test)]
#[allow(unreachable_pub, reason = "the macro writes types that other modules export")]
mod tests {
    foreign! {
        /// A word list for the tests.
        Bus { Virtio = "virtio", Sata = "sata" }
    }

    #[test]
    fn a_word_of_a_newer_libvirt_is_kept_as_written() {
        let bus = Bus::from("hyperbus".to_owned());
        assert_eq!(bus, Bus::Unknown("hyperbus".to_owned()));
        assert_eq!(serde_json::to_string(&bus).unwrap(), "\"hyperbus\"");
        assert_eq!(serde_json::from_str::<Bus>("\"sata\"").unwrap(), Bus::Sata);
    }
}
