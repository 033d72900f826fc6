//! Words of a binding that a provider takes only in certain forms.
//!
//! Assumes nothing about the text. Guarantees the form, or a refusal that says which one it has to be and does not
//! repeat the text: it might be a secret in the wrong place.

/// Defines a type for each form: a text that is of it, or is not read at all.
macro_rules! checked {
    ($($(#[$doc:meta])* $name:ident: $form:literal if $check:expr;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
            #[serde(try_from = "String")]
            pub(in crate::artifacts) struct $name(String);

            impl $name {
                /// The text.
                pub(in crate::artifacts) fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl TryFrom<String> for $name {
                type Error = &'static str;

                fn try_from(text: String) -> Result<Self, Self::Error> {
                    let check: fn(&str) -> bool = $check;
                    if check(&text) { Ok(Self(text)) } else { Err(concat!("this is not ", $form)) }
                }
            }
        )+
    };
}

pub(super) use checked;
