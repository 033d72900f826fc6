//! Every kind of fault of a binding, in both syntaxes: its field, its line and a hint.

use super::*;
use crate::artifacts::{Format, RenderError, Source, Subject};
use crate::discovery::{Discovered, Inventory, Limits, parse_domain};

const MAC: &str = "52:54:00:00:00:01";

fn inventory() -> Inventory {
    let xml = format!(
        "<domain type='kvm'><name>a</name><uuid>7c1f9f1e-2f0a-4b7b-9c55-3f6f0e2a6d10</uuid><memory>1048576</memory>\
         <devices><interface type='user'><mac address='{MAC}'/></interface></devices></domain>"
    );
    Inventory::build(Discovered::from_domain(parse_domain(xml, Limits::default()).unwrap()))
}

#[track_caller]
fn fault(syntax: Syntax, text: &str) -> BindingFault {
    let inventory = inventory();
    let binding = BindingText { syntax, text: text.to_owned() };
    match Format::NoCloud.render(&Subject::new(&inventory, &Source::File), &binding) {
        Err(RenderError::Binding(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is(syntax: Syntax, text: &str, line: u64, field: &str, reason: &str, hint: Option<&str>) {
    let fault = fault(syntax, text);
    assert_eq!((fault.line, fault.field.as_str()), (Some(line), field), "{fault}");
    assert!(fault.reason.contains(reason), "{fault}");
    match hint {
        Some(hint) => assert!(fault.hint.as_ref().is_some_and(|told| told.contains(hint)), "{fault}"),
        None => assert_eq!(fault.hint, None),
    }
}

#[test]
fn what_is_no_toml_or_json_has_its_line() {
    is(Syntax::Toml, "hostname = 'a'\ndns = [\n", 2, "", "this is not TOML", None);
    is(Syntax::Toml, "hostname = 'a'\nhostname = 'b'\n", 2, "", "duplicate key", None);
    is(Syntax::Json, "{\n \"hostname\": \"a\",\n}", 3, "", "this is not JSON", None);
    is(Syntax::Json, "", 1, "", "this is not JSON", None);
    // What is wrong with the text comes before what is wrong with its meaning.
    is(Syntax::Json, "{\"hostnam\": 1,\n]", 2, "", "this is not JSON", None);
}

#[test]
fn an_unknown_field_has_its_line_and_the_one_that_was_meant() {
    is(Syntax::Toml, "dns = []\nhostnam = 'a'\n", 2, "hostnam", "no such field", Some("did you mean hostname?"));
    is(Syntax::Json, "{\"dns\": [],\n\"Hostname\": 1}", 2, "Hostname", "no such", Some("did you mean hostname?"));
    is(Syntax::Toml, "colour = 1\n", 1, "colour", "no such field", Some("there are hostname, ssh_keys"));
    let text = format!("[nics.\"{MAC}\"]\nhostname = 'a'\n");
    is(Syntax::Toml, &text, 2, &format!("nics.\"{MAC}\".hostname"), "no such", Some("before any table"));
    is(Syntax::Toml, "gateway = '192.0.2.1'\n", 1, "gateway", "no such", Some(&format!("[nics.\"{MAC}\"]")));
}

#[test]
fn a_wrong_type_has_its_line_and_what_the_field_is_but_not_its_value() {
    is(
        Syntax::Toml,
        "\nhostname = 7\n",
        2,
        "hostname",
        "a string is expected, not integer",
        Some("the guest's host name"),
    );
    is(
        Syntax::Json,
        "{\n\"ssh_keys\":\n \"hunter2\"}",
        3,
        "ssh_keys",
        "a sequence is expected, not string",
        Some("keys"),
    );
    assert!(!fault(Syntax::Toml, "ssh_keys = 'hunter2'").to_string().contains("hunter2"));
    is(Syntax::Toml, "ssh_keys = [\n 'ssh-ed25519 a',\n 7]\n", 3, "ssh_keys[1]", "a string is expected", Some("keys"));
}

#[test]
fn a_value_that_a_type_refuses_has_its_line() {
    is(
        Syntax::Toml,
        "hostname = 'a'\ndns = ['192.0.2.53', 'nowhere']\n",
        2,
        "dns[1]",
        "invalid IP address",
        Some("DNS"),
    );
    let text = "{\n \"nics\": {\n  \"52:54\": {}}}";
    is(Syntax::Json, text, 3, "nics.\"52:54\"", "is not a MAC address", None);
}

#[test]
fn what_is_found_after_reading_has_its_line_too() {
    is(Syntax::Toml, "\n\nhostname = 'two words'\n", 3, "hostname", "not a host name", Some("letters, digits"));
    let text = "[nics.\"52:54:00:00:00:09\"]\ngateway = '192.0.2.1'\n";
    is(Syntax::Toml, text, 1, "nics.\"52:54:00:00:00:09\"", "no such interface", Some("52:54:00:00:00:01"));
    let text = "{\"ssh_keys\": [\n\"ssh-ed25519 AAAA\",\n\"nothing\"]}";
    is(Syntax::Json, text, 2, "ssh_keys[0]", "not a public key", Some(".pub file"));
}

/// A format with all that a binding can have: the real ones are other modules' business.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    #[allow(dead_code, reason = "only read")]
    project: String,
    #[allow(dead_code, reason = "only read")]
    flavor: Flavor,
    #[serde(default)]
    #[allow(dead_code, reason = "only read")]
    guest: crate::artifacts::Guest,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Flavor {
    #[allow(dead_code, reason = "only read")]
    ram: u32,
    #[allow(dead_code, reason = "only read")]
    kind: Kind,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Small,
    Large,
}

fn sample_draft() -> Vec<DraftField> {
    vec![
        DraftField::required(&["project"], "whose it is"),
        DraftField::required(&["flavor", "ram"], "memory in MiB"),
        DraftField::required(&["flavor", "kind"], "small or large"),
        DraftField::optional(&["guest", "hostname"], "its name"),
    ]
}

#[track_caller]
fn sample(text: &str) -> BindingFault {
    BindingText { syntax: Syntax::Toml, text: text.to_owned() }.read::<Sample>(sample_draft).unwrap_err()
}

#[test]
fn a_missing_field_has_the_line_of_its_table_and_what_it_is() {
    let fault = sample("# project =\n[flavor]\nram = 1\n");
    assert_eq!((fault.line, fault.field.as_str()), (Some(2), "flavor.kind"));
    assert_eq!(fault.hint.as_deref(), Some("small or large; also missing: project"));
    let fault = sample("\n#  NEEDED: whose it is\n# project =\n[flavor]\nram = 1\nkind = 'small'\n");
    assert_eq!((fault.line, fault.field.as_str()), (Some(3), "project"), "where the draft left it open");
    let fault = sample("project = 'a'\n");
    assert_eq!((fault.line, fault.field.as_str()), (Some(1), "flavor"));
    assert_eq!(fault.hint.as_deref(), Some("a table with ram, kind"));
    assert_eq!(fault.reason, "it is needed and missing");
}

#[test]
fn a_word_that_is_none_of_those_there_are_is_told_them() {
    let fault = sample("project = 'a'\n[flavor]\nram = 1\nkind = 'huge'\n");
    assert_eq!((fault.line, fault.field.as_str()), (Some(4), "flavor.kind"));
    assert_eq!(fault.reason, "it is one of small, large");
    assert_eq!(fault.hint.as_deref(), Some("small or large"));
}

#[test]
fn a_number_out_of_range_is_a_wrong_type() {
    let fault = sample("project = 'a'\n[flavor]\nram = -1\nkind = 'small'\n");
    assert_eq!((fault.line, fault.reason.as_str()), (Some(3), "u32 is expected, not integer"));
}

#[test]
fn a_fault_of_the_guest_is_found_in_the_guests_table() {
    let binding = BindingText { syntax: Syntax::Toml, text: "project = 'a'\n[guest]\nhostname = 'a b'\n".to_owned() };
    let fault = binding.placed(BindingFault::new("hostname", "no"), sample_draft);
    assert_eq!((fault.line, fault.field.as_str()), (Some(3), "guest.hostname"));
    assert_eq!(fault.hint.as_deref(), Some("its name"));
}

#[test]
fn a_draft_read_as_it_is_says_what_is_needed() {
    let inventory = inventory();
    let subject = Subject::new(&inventory, &Source::File);
    for format in Format::ALL {
        let text = format.draft_toml(&inventory);
        let open: Vec<DraftField> = format.draft(&inventory).into_iter().filter(DraftField::is_open).collect();
        let binding = BindingText { syntax: Syntax::Toml, text: text.clone() };
        match format.render(&subject, &binding) {
            Err(RenderError::Binding(fault)) => {
                let field = open.iter().find(|field| FieldPath::of_keys(&field.path).to_string() == fault.field);
                let field = field.unwrap_or_else(|| panic!("{}: {fault}\n{text}", format.name()));
                assert!(fault.reason.contains("needed and missing"), "{fault}");
                assert!(fault.hint.is_some_and(|hint| hint.starts_with(&field.help)), "{}", field.help);
                let line = text.lines().nth(usize::try_from(fault.line.unwrap()).unwrap() - 1).unwrap();
                assert_eq!(line, format!("# {} =", field.path.last().unwrap()), "{}", format.name());
            }
            Ok(_) | Err(_) => assert!(open.is_empty(), "{}: {open:?} is open, and nothing complains", format.name()),
        }
    }
}
