//! Hostile and broken texts: a clear refusal, in bounded work.

use super::*;

#[test]
fn hostile_texts_are_refused_by_name() {
    let billion = "<!DOCTYPE domain [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]>\n<domain><name>&b;</name></domain>";
    assert_eq!(refusal(billion).code(), "domain-unsupported");
    assert_eq!(refusal("<domain><name>&other;</name></domain>").code(), "domain-malformed");
    assert_eq!(refusal("<?xml version='1.0' encoding='utf-16'?><domain/>").code(), "domain-unsupported");
    assert_eq!(refusal("<domainsnapshot/>").code(), "domain-unsupported");
    assert_eq!(refusal("<domain xmlns='urn:other'><name>a</name></domain>").code(), "domain-unsupported");
    assert_eq!(refusal("<domain><x:name/></domain>").code(), "domain-malformed");
    let bytes = b"<domain>\n<name>\xff</name></domain>";
    let error = refusal(bytes);
    assert_eq!((error.code(), error.place()), ("domain-malformed", Some(Place { line: 2, column: 7 })));
    for text in [
        "",
        "<",
        "<domain",
        "<domain>",
        "<domain><!--",
        "<domain><![CDATA[",
        "<?xml",
        "</domain>",
        "<domain/><domain/>",
        "<domain a='1' a='2'/>",
        "<domain><name>a\0b</name></domain>",
    ] {
        let error = refusal(text);
        assert_eq!(error.code(), "domain-malformed", "{text}");
        assert!(error.place().is_some(), "{text}");
    }
}

#[test]
fn another_encoding_is_refused_whatever_it_says() {
    for order in [[0xff, 0xfe], [0xfe, 0xff]] {
        let mut text = order.to_vec();
        text.extend("<domain/>".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(refusal(text).code(), "domain-unsupported");
    }
    assert_eq!(domain("\u{feff}<domain><name>a</name></domain>").identity.name, "a");
}

/// Each of these costs a parser without limits much time or memory; the limit must be what stops it.
#[test]
fn each_kind_of_flood_meets_its_limit() {
    let stopped = |text: String, unit: &str| {
        let error = refusal(text);
        assert_eq!(error.code(), "domain-too-large");
        assert!(error.to_string().contains(unit), "{error}");
    };
    stopped(" ".repeat(50 << 20), "bytes");
    stopped(format!("<domain>{}</domain>", "<a/>".repeat(20_000)), "elements");
    let attributes: String = (0..300_000).map(|n| format!(" a{n}=''")).collect();
    stopped(format!("<domain{attributes}/>"), "attributes in one element");
    let declarations: String = (0..10_000).map(|n| format!("<a xmlns:n{n}='u'/>")).collect();
    stopped(format!("<domain>{declarations}</domain>"), "namespace declarations");
    stopped(format!("<domain>{}</domain>", "<!---->".repeat(500_000)), "nodes");
}

#[test]
fn a_million_attributes_are_refused_by_number_where_the_size_would_allow_them() {
    let attributes: String = (0..1_000_000).map(|n| format!(" a{n}=''")).collect();
    let limits = Limits { bytes: 64 << 20, ..Limits::default() };
    let error = parse_domain(format!("<domain{attributes}/>"), limits).unwrap_err();
    assert!(error.to_string().contains("attributes in one element"), "{error}");
}

#[test]
fn nesting_is_refused_with_its_place() {
    let deep =
        |levels: usize| format!("<domain><name>a</name>\n{}{}</domain>", "<a>".repeat(levels), "</a>".repeat(levels));
    let error = refusal(deep(300));
    assert_eq!((error.code(), error.place()), ("domain-too-deep", Some(Place { line: 2, column: 766 })));
    assert_eq!(domain(&deep(255)).unknown.len(), 1);
    let limits = Limits { bytes: 1 << 30, depth: 64, elements: usize::MAX, attributes: 256 };
    assert_eq!(parse_domain(deep(200_000), limits).unwrap_err().code(), "domain-too-deep");
}

#[test]
fn the_longest_chain_that_libvirt_allows_is_read() {
    let image = |n: usize| format!("<backingStore type='file'><format type='qcow2'/><source file='/{n}'/>");
    let images: String = (0..200).map(image).collect();
    let chain = format!("{images}<backingStore/>{}", "</backingStore>".repeat(200));
    let disk = format!("<disk><source file='/top'/>{chain}<target dev='vda'/></disk>");
    let domain = domain(&format!("<domain><name>a</name><devices>{disk}</devices></domain>"));
    assert_eq!((domain.disks[0].backing.images.len(), domain.disks[0].backing.end), (200, ChainEnd::Seen));
    assert_eq!(domain.unknown, []);
}

#[test]
fn what_looks_like_a_tag_in_a_comment_or_a_value_is_not_counted() {
    let comment = format!("<domain><!-- don't {} --><name>a</name></domain>", "<a>".repeat(100));
    assert_eq!(domain(&comment).identity.name, "a");
    let value = format!("<domain><name>a</name><title><![CDATA[{}]]></title></domain>", "<a>".repeat(100));
    assert_eq!(domain(&value).identity.title.unwrap().len(), 300);
    let quoted = format!("<domain><name>a</name><x y=\"it's {} > \"/></domain>", "= ".repeat(1000));
    assert_eq!(domain(&quoted).unknown.len(), 1);
}

#[test]
fn pieces_of_one_text_are_put_together() {
    let text = "<domain><name>a&amp;<![CDATA[<b>]]><!-- not this -->c</name></domain>";
    assert_eq!(domain(text).identity.name, "a&<b>c");
}

#[test]
fn interleaved_devices_of_a_large_domain_are_read_in_time() {
    let devices: String =
        (0..4000).map(|n| format!("<disk><target dev='d{n}'/></disk><interface type='user'/><serial/>")).collect();
    let xml = format!("<domain><name>a</name><devices>{devices}</devices></domain>");
    let limits = Limits { elements: 20_000, ..Limits::default() };
    assert_eq!(parse_domain(xml, limits).unwrap().disks.len(), 4000);
}

#[test]
fn a_text_cut_anywhere_is_refused() {
    for end in (0..EVERYTHING.trim_end().len()).step_by(97) {
        assert_eq!(refusal(&EVERYTHING[..end]).code(), "domain-malformed", "{end}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(<[a-z/!?]{0,3}[ ='\"a-z]{0,8}>|[a-z<>&;'\"=/ ]|<!--|-->|]]>){0,40}") {
        let _ = parse_domain(format!("<domain>{text}</domain>"), Limits::default());
        let _ = parse_network(&text, Limits::default());
    }

    #[test]
    fn no_change_of_a_few_bytes_makes_the_parser_panic(at in 0..EVERYTHING.len(), text in "[a-z0-9<>&'\"=/ -]{0,4}", cut in 0..40_usize) {
        let end = (at + cut).min(EVERYTHING.len());
        let changed = format!("{}{text}{}", &EVERYTHING[..at], &EVERYTHING[end..]);
        let _ = parse_domain(changed, Limits::default());
    }
}
