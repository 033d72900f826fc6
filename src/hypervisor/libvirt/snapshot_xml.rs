//! The XML that asks for a snapshot.

/// A `<domainsnapshot>` of this name; libvirt decides the rest.
pub(super) fn snapshot_xml(name: &str, description: Option<&str>) -> String {
    let mut xml = format!("<domainsnapshot><name>{}</name>", escaped(name));
    if let Some(text) = description {
        xml.push_str("<description>");
        xml.push_str(&escaped(text));
        xml.push_str("</description>");
    }
    xml.push_str("</domainsnapshot>");
    xml
}

/// A text as XML holds it, between tags and in attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_cannot_add_elements() {
        assert_eq!(
            snapshot_xml("a", Some("</description><memory file='/x'/> & \"b\"")),
            "<domainsnapshot><name>a</name><description>&lt;/description&gt;&lt;memory file=&apos;/x&apos;/&gt; &amp; \
             &quot;b&quot;</description></domainsnapshot>"
        );
        assert_eq!(snapshot_xml("a", None), "<domainsnapshot><name>a</name></domainsnapshot>");
    }
}
