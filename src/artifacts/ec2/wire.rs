//! Answers of the EC2 API, each written both ways: as the XML on the wire and as the JSON that SDKs and the `aws`
//! command show.
//!
//! Assumes texts without control characters. Guarantees that both forms say the same, for both are written from one
//! value. *Source*: <https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html>.

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// A value of an answer.
pub(super) enum Answer {
    Text(String),
    Number(u64),
    Flag(bool),
    List(Vec<Structure>),
    Structure(Structure),
}

/// Members in order.
#[derive(Default)]
pub(super) struct Structure(Vec<Member>);

struct Member {
    /// The name that SDKs show.
    name: &'static str,
    /// The element on the wire, where it is not that name with a small first letter.
    element: Option<&'static str>,
    value: Answer,
}

impl Structure {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds a member.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Answer>) -> Self {
        self.0.push(Member { name, element: None, value: value.into() });
        self
    }

    /// Adds a member, unless there is no value.
    pub(super) fn maybe<T: Into<Answer>>(self, name: &'static str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a member whose element has a name of its own.
    pub(super) fn renamed(mut self, name: &'static str, element: &'static str, value: impl Into<Answer>) -> Self {
        self.0.push(Member { name, element: Some(element), value: value.into() });
        self
    }

    /// The JSON form.
    pub(super) fn json(&self) -> Value {
        Value::Object(self.0.iter().map(|member| (member.name.to_owned(), member.value.json())).collect::<Map<_, _>>())
    }

    /// The answer to `action` on the wire. Requests have ids; here there was none, and the VM stands for it.
    pub(super) fn xml(&self, action: &str, vm: Uuid) -> String {
        let request = Uuid::new_v5(&vm, action.as_bytes());
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response \
             xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\n  <requestId>{request}</requestId>\n"
        );
        self.write_members(&mut text, 1);
        text.push_str(&format!("</{action}Response>\n"));
        text
    }

    fn write_members(&self, text: &mut String, depth: usize) {
        for Member { name, element, value } in &self.0 {
            let element = element.map_or_else(|| small_first(name), str::to_owned);
            value.write(text, &element, depth);
        }
    }
}

impl Answer {
    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(number) => json!(number),
            Self::Flag(flag) => json!(flag),
            Self::List(items) => items.iter().map(Structure::json).collect(),
            Self::Structure(structure) => structure.json(),
        }
    }

    fn write(&self, text: &mut String, element: &str, depth: usize) {
        let indent = "  ".repeat(depth);
        match self {
            Self::Text(value) => text.push_str(&format!("{indent}<{element}>{}</{element}>\n", escape(value))),
            Self::Number(value) => text.push_str(&format!("{indent}<{element}>{value}</{element}>\n")),
            Self::Flag(value) => text.push_str(&format!("{indent}<{element}>{value}</{element}>\n")),
            Self::List(items) if items.is_empty() => text.push_str(&format!("{indent}<{element}/>\n")),
            Self::Structure(structure) if structure.0.is_empty() => text.push_str(&format!("{indent}<{element}/>\n")),
            Self::List(items) => {
                text.push_str(&format!("{indent}<{element}>\n"));
                for item in items {
                    text.push_str(&format!("{indent}  <item>\n"));
                    item.write_members(text, depth + 2);
                    text.push_str(&format!("{indent}  </item>\n"));
                }
                text.push_str(&format!("{indent}</{element}>\n"));
            }
            Self::Structure(structure) => {
                text.push_str(&format!("{indent}<{element}>\n"));
                structure.write_members(text, depth + 1);
                text.push_str(&format!("{indent}</{element}>\n"));
            }
        }
    }
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Answer {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Answer {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Vec<Structure>> for Answer {
    fn from(items: Vec<Structure>) -> Self {
        Self::List(items)
    }
}

impl From<Structure> for Answer {
    fn from(structure: Structure) -> Self {
        Self::Structure(structure)
    }
}

fn small_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Base64 of RFC 4648 with padding, in which the API hands out user data.
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, nth| bits << 8 | chunk.get(nth).copied().map_or(0, u32::from));
        for nth in 0..4_usize {
            let index = usize::try_from(bits >> (18 - 6 * nth) & 63).unwrap_or_default();
            let letter = LETTERS.get(index).copied().map_or('=', char::from);
            text.push(if nth <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let tags = vec![Structure::new().with("Key", "a<b").with("Value", "")];
        let answer = Structure::new().with("Size", 20_u64).renamed("Tags", "tagSet", tags).with("Off", false);
        assert_eq!(answer.json(), json!({"Size": 20, "Tags": [{"Key": "a<b", "Value": ""}], "Off": false}));
        let xml = answer.xml("DescribeX", Uuid::nil());
        assert!(xml.contains("<size>20</size>") && xml.contains("<key>a&lt;b</key>") && xml.contains("<tagSet>"));
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
