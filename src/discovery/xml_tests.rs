use super::*;
use crate::discovery::error::{Document, ParseError};
use crate::discovery::known::{Known, keep_children, known, text};
use crate::discovery::settings::Settings;

fn unknown(xml: &str, read_it: impl FnOnce(Element<'_>)) -> Vec<(String, u64)> {
    let read = |element: Element<'_>| {
        read_it(element);
        Ok(())
    };
    let ((), unknown) = read_as(xml, read).unwrap();
    unknown.into_iter().map(|part| (part.path, part.line)).collect()
}

fn read_as<T>(
    xml: &str,
    read_it: impl FnOnce(Element<'_>) -> Result<T, FieldFault>,
) -> Result<(T, Vec<UnknownPart>), Fault> {
    read(xml.as_bytes(), "domain", Limits::default(), read_it)
}

#[test]
fn what_nobody_asks_for_is_unknown_with_its_line() {
    let xml = "<domain a='1'>\n<b c='2'\n d='3'>text<e><f/></e></b>\n<b/>\n<g>seen</g>\n<h/></domain>";
    let found = unknown(xml, |domain| {
        let b = domain.child("b").unwrap();
        assert_eq!(b.attribute("c"), Some("2"));
        assert_eq!(domain.text_of("g").as_deref(), Some("seen"));
    });
    let expected = [
        ("/domain/@a", 1),
        ("/domain/b[1]/@d", 3),
        ("/domain/b[1]/text()", 3),
        ("/domain/b[1]/e", 3),
        ("/domain/b[2]", 4),
        ("/domain/h", 6),
    ];
    assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
}

#[test]
fn what_is_ignored_is_known() {
    let xml = "<domain><alias name='x'>y<z w='1'/></alias></domain>";
    assert!(unknown(xml, |domain| domain.ignore_children("alias")).is_empty());
}

#[test]
fn a_name_in_another_namespace_is_another_name() {
    let xml = "<domain xmlns:q='urn:q'><q:name q:a='1'/><name q:a='2'/></domain>";
    let found = unknown(xml, |domain| assert_eq!(domain.child("name").unwrap().attribute("a"), None));
    assert_eq!(
        found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["/domain/q:name", "/domain/name/@q:a"]
    );
}

#[test]
fn options_are_kept_by_path_and_only_those_that_are_known() {
    const WORDS: &[Known] = &[
        known("driver", &["iommu", "ats"], &[known("cache", &[], &[text("max", &["unit"])])]),
        known("parameter", &["name"], &[]).many(),
        known("readonly", &[], &[]),
    ];
    let xml = "<domain><driver iommu='on' warp='9'><cache><max unit='KiB'>8</max></cache></driver>\
               <parameter name='a'/><parameter name='b'/><readonly/><driver ats='on'/></domain>";
    let mut settings = Settings::new();
    let found = unknown(xml, |domain| keep_children(domain, WORDS, "", &mut settings));
    let kept: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let expected = [
        "driver.cache.max=8",
        "driver.cache.max.unit=KiB",
        "driver.iommu=on",
        "parameter[1].name=a",
        "parameter[2].name=b",
        "readonly=",
    ];
    assert_eq!(kept, expected);
    assert_eq!(
        found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["/domain/driver[1]/@warp", "/domain/driver[2]"]
    );
}

#[test]
fn a_fault_names_its_element_and_line() {
    let fault = read_as("<domain>\n<vcpu n='many'/></domain>", |domain| {
        let vcpu = domain.child("vcpu").ok_or_else(|| domain.missing("vcpu", "gone"))?;
        vcpu.number::<u32>("n")
    });
    let error = ParseError::new(Document::Domain, fault.unwrap_err());
    assert_eq!(error.to_string(), "domain/vcpu: \"many\" is not a whole number");
    assert_eq!(error.place(), Some(Place { line: 2, column: 1 }));
}
