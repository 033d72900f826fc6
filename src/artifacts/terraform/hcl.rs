//! A small writer of HCL, Terraform's configuration language: blocks of attributes and blocks.
//!
//! Assumes attribute and block names of ours. Guarantees the layout of `terraform fmt`, and strings that read back as
//! they were given: nothing in them is taken for a template or an escape.
//! *Source*: <https://developer.hashicorp.com/terraform/language/expressions/strings>.

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// An expression as it stands: a reference, a keyword, a number.
    Expression(String),
    Text(String),
    Texts(Vec<String>),
}

impl Value {
    /// A text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A reference, a keyword or a number.
    pub(super) fn expression(text: impl Into<String>) -> Self {
        Self::Expression(text.into())
    }

    fn spell(&self) -> String {
        match self {
            Self::Expression(text) => text.clone(),
            Self::Text(text) => quote(text),
            Self::Texts(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| quote(text)).collect();
                format!("[{}]", texts.join(", "))
            }
        }
    }
}

/// A block.
#[derive(Debug, Clone)]
pub(super) struct Block {
    head: String,
    body: Vec<Part>,
}

/// What is in a block.
#[derive(Debug, Clone)]
enum Part {
    Attribute(&'static str, Value),
    /// An attribute with an object; the layout is a block's.
    Object(&'static str, Vec<(&'static str, Value)>),
    Block(Block),
}

impl Block {
    /// A block without labels.
    pub(super) fn new(kind: &str) -> Self {
        Self { head: kind.to_owned(), body: Vec::new() }
    }

    /// A resource.
    pub(super) fn resource(kind: &str, name: &str) -> Self {
        Self { head: format!("resource {} {}", quote(kind), quote(name)), body: Vec::new() }
    }

    /// The same with a label.
    pub(super) fn label(mut self, label: &str) -> Self {
        self.head = format!("{} {}", self.head, quote(label));
        self
    }

    /// The same with an attribute.
    pub(super) fn set(mut self, name: &'static str, value: Value) -> Self {
        self.body.push(Part::Attribute(name, value));
        self
    }

    /// The same with an attribute, when there is a value.
    pub(super) fn set_if(self, name: &'static str, value: Option<Value>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    /// The same with an attribute that is an object.
    pub(super) fn object(mut self, name: &'static str, attributes: Vec<(&'static str, Value)>) -> Self {
        self.body.push(Part::Object(name, attributes));
        self
    }

    /// The same with a block in it.
    pub(super) fn block(mut self, block: Self) -> Self {
        self.body.push(Part::Block(block));
        self
    }

    /// The same with a block in it, when there is one.
    pub(super) fn block_if(self, block: Option<Self>) -> Self {
        match block {
            Some(block) => self.block(block),
            None => self,
        }
    }

    /// Its text.
    pub(super) fn write(&self, out: &mut String) {
        self.write_at(out, 0);
    }

    fn write_at(&self, out: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        out.push_str(&format!("{indent}{} {{\n", self.head));
        let mut rest = self.body.as_slice();
        let mut first = true;
        while let Some(part) = rest.first() {
            match part {
                Part::Attribute(..) => {
                    // The signs of neighbours stand under each other.
                    let run = rest.iter().map_while(|part| match part {
                        Part::Attribute(name, value) => Some((*name, value)),
                        Part::Object(..) | Part::Block(_) => None,
                    });
                    let run: Vec<_> = run.collect();
                    write_attributes(out, &run, depth + 1);
                    rest = rest.get(run.len()..).unwrap_or_default();
                    first = false;
                    continue;
                }
                Part::Object(name, attributes) => {
                    out.push_str(&format!("{indent}  {name} = {{\n"));
                    let inner: Vec<_> = attributes.iter().map(|(name, value)| (*name, value)).collect();
                    write_attributes(out, &inner, depth + 2);
                    out.push_str(&format!("{indent}  }}\n"));
                }
                Part::Block(block) => {
                    if !first {
                        out.push('\n');
                    }
                    block.write_at(out, depth + 1);
                }
            }
            first = false;
            rest = rest.get(1..).unwrap_or_default();
        }
        out.push_str(&format!("{indent}}}\n"));
    }
}

fn write_attributes(out: &mut String, attributes: &[(&'static str, &Value)], depth: usize) {
    let width = attributes.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in attributes {
        out.push_str(&format!("{}{name:width$} = {}\n", "  ".repeat(depth), value.spell()));
    }
}

/// A text in quotes: `${` and `%{` would begin a template, and are written with their sign twice.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' | '%' if letters.peek() == Some(&'{') => out.extend([c, c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A name that a resource can have.
pub(super) fn identifier(name: &str) -> String {
    let spelled: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
        .take(120)
        .collect();
    let letter_first = spelled.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if letter_first { spelled } else { format!("_{spelled}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_taken_for_a_template() {
        for (text, spelled) in [
            ("a", "\"a\""),
            ("${a} %{if b} $${c} $ { 100%", "\"$${a} %%{if b} $$${c} $ { 100%\""),
            ("a \"b\" \\n\n\t", "\"a \\\"b\\\" \\\\n\\n\\t\""),
            ("\u{7}é", "\"\\u0007é\""),
        ] {
            assert_eq!(quote(text), spelled);
        }
    }

    #[test]
    fn a_name_becomes_an_identifier() {
        assert_eq!(identifier("web 01.example"), "web_01_example");
        assert_eq!(identifier("7up"), "_7up");
        assert_eq!(identifier(""), "_");
    }
}
