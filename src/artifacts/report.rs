//! How a renderer accounts for every field of the inventory.
//!
//! ```text
//! Inventory ──Fields::of──► paths of what it has ──Report: rules, specific before general──► Mapping
//! ```
//!
//! Assumes that a renderer writes its rules from the special to the general: the first one that covers a field decides.
//! Guarantees that a field without a rule is never silent: it ends as `refused` under a sentence that says so, and the
//! test over the corpus fails.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};

use super::mapping::{Fate, Mapping, MappingEntry};
use crate::discovery::Inventory;

/// What stands in the report for a field that its renderer forgot.
pub(super) const FORGOTTEN: &str = "covirt has no rule for this field in this format, which is a defect of covirt";

/// What stands in the report for what no format can carry.
const UNKNOWN: &str = "covirt does not know what it means";

/// The virtual machine's own devices and settings, for most of which most formats have no words.
const MACHINE: [&str; 15] = [
    "watchdogs",
    "rngs",
    "iommu",
    "guest_agent",
    "channels",
    "graphics",
    "videos",
    "consoles",
    "controllers",
    "devices",
    "features",
    "clock",
    "lifecycle",
    "smbios",
    "settings",
];

/// Sections whose elements are described field by field, and the field that names an element.
const DETAILED: &[(&str, &str)] = &[("disks", "target"), ("nics", "mac")];

/// Counts that every VM has, and that are nothing when they are zero.
const COUNTS: [&str; 2] = ["passthrough_arguments", "cpu.iothreads"];

/// The words of parts that every VM has, by which they say that nothing is in them: a port that is no trunk, a chain of
/// images that was seen to its end.
const NONE: [&str; 2] = ["no", "seen"];

/// The paths of all that an inventory has, in its order.
///
/// What is there only because every VM has a place for it is nothing the VM has: `null`, `false`, empty lists, objects
/// with nothing in them, and counts of zero.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    paths: Vec<String>,
    sections: BTreeMap<String, Range<usize>>,
}

impl Fields {
    /// Lists the fields of `inventory`.
    pub fn of(inventory: &Inventory) -> Self {
        let mut fields = Self::default();
        // Every key of the model is a string, so that it has a JSON form.
        let Ok(Value::Object(sections)) = serde_json::to_value(inventory) else {
            return fields;
        };
        for (section, value) in &sections {
            let start = fields.paths.len();
            fields.add_section(section, value);
            fields.sections.insert(section.clone(), start..fields.paths.len());
        }
        fields
    }

    fn add_section(&mut self, section: &str, value: &Value) {
        match value {
            // How to read the inventory, and nothing of the VM.
            Value::Number(_) if section == "format" => {}
            Value::Object(named) if matches!(section, "networks" | "pools") => {
                for (key, value) in named {
                    self.add_parts(&format!("{section}[{key}]"), value);
                }
            }
            Value::Object(_) => self.add_parts(section, value),
            Value::Array(items) => {
                let key = DETAILED.iter().find(|(name, _)| *name == section).map(|(_, key)| *key);
                for (nth, item) in items.iter().enumerate() {
                    let name = element_name(section, item, nth);
                    match key {
                        Some(_) => self.add_parts(&name, item),
                        None => self.paths.push(name),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => self.add(section.to_owned(), value),
        }
    }

    /// Each part of an object; its settings one by one.
    fn add_parts(&mut self, path: &str, value: &Value) {
        let Some(parts) = value.as_object() else {
            return;
        };
        for (name, part) in parts {
            let path = format!("{path}.{name}");
            match part.as_object().filter(|_| name == "settings") {
                Some(settings) => self.add_settings(&path, settings),
                None => self.add(path, part),
            }
        }
    }

    fn add(&mut self, path: String, value: &Value) {
        let is_no_count = COUNTS.contains(&path.as_str()) && *value == 0;
        if !is_nothing(value) && !is_no_count {
            self.paths.push(path);
        }
    }

    fn add_settings(&mut self, path: &str, settings: &Map<String, Value>) {
        self.paths.extend(settings.keys().map(|key| format!("{path}.{key}")));
    }

    /// The paths.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }
}

/// Whether there is nothing in a part.
fn is_nothing(value: &Value) -> bool {
    let says_none = |value: &Value| value.as_str().is_some_and(|word| NONE.contains(&word));
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(parts) => parts.values().all(|part| is_nothing(part) || says_none(part)),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    }
}

/// An element by what names it in its section, else by its place, from 0.
fn element_name(section: &str, item: &Value, nth: usize) -> String {
    let key = match section {
        "disks" => "target",
        "nics" => "mac",
        "features" => "name",
        "metadata" => "namespace",
        _ => "",
    };
    match item.get(key).and_then(Value::as_str) {
        Some(name) => format!("{section}[{name}]"),
        None => format!("{section}[{nth}]"),
    }
}

/// A mapping report under construction.
#[derive(Debug)]
pub struct Report<'a> {
    fields: &'a Fields,
    fates: Vec<Option<Fate>>,
}

impl<'a> Report<'a> {
    /// A report in which only that is decided which is the same in every format.
    pub(super) fn new(fields: &'a Fields) -> Self {
        let mut report = Self { fields, fates: vec![None; fields.paths.len()] };
        report.not_carried("unknown", UNKNOWN);
        report
    }

    /// Carried as it is, to the place named.
    pub(super) fn exact(&mut self, pattern: &str, to: &str) {
        self.rule(pattern, || Fate::Exact { to: to.to_owned() });
    }

    /// Carried, changed by the rule named.
    pub(super) fn approximate(&mut self, pattern: &str, to: &str, rule: &str) {
        self.rule(pattern, || Fate::Approximate { to: to.to_owned(), rule: rule.to_owned() });
    }

    /// Left behind, because.
    pub(super) fn not_carried(&mut self, pattern: &str, why: &str) {
        self.rule(pattern, || Fate::NotCarried { why: why.to_owned() });
    }

    /// Cannot be right over there, because.
    pub(super) fn refused(&mut self, pattern: &str, why: &str) {
        self.rule(pattern, || Fate::Refused { why: why.to_owned() });
    }

    /// Left behind for one reason: the machine's devices and settings of which nothing was said before.
    pub(super) fn machine_not_carried(&mut self, why: &str) {
        MACHINE.iter().for_each(|section| self.not_carried(section, why));
    }

    /// Decides every field that `pattern` covers and that no rule before has decided.
    ///
    /// A pattern is a path (`cpu.topology`, `disks[vda].serial`) or the beginning of several (`cpu`, `disks[vda]`,
    /// `graphics`); `[*]` stands for any element. A pattern that covers nothing the VM has does nothing.
    fn rule(&mut self, pattern: &str, fate: impl Fn() -> Fate) {
        let section = pattern.split(['.', '[']).next().unwrap_or_default();
        let Some(range) = self.fields.sections.get(section).cloned() else {
            return;
        };
        let paths = self.fields.paths.get(range.clone()).into_iter().flatten();
        let fates = self.fates.get_mut(range).into_iter().flatten();
        let cut = Pattern::new(pattern);
        for (path, slot) in paths.zip(fates) {
            if slot.is_none() && covers(&cut, path) {
                *slot = Some(fate());
            }
        }
    }

    /// The finished mapping.
    pub(super) fn finish(self) -> Mapping {
        let forgotten = || Fate::Refused { why: FORGOTTEN.to_owned() };
        let entries = self.fields.paths.iter().zip(self.fates);
        Mapping(
            entries
                .map(|(path, fate)| MappingEntry { field: path.clone(), fate: fate.unwrap_or_else(forgotten) })
                .collect(),
        )
    }
}

/// Whether `pattern` names `path` or a beginning of it.
fn covers(pattern: &Pattern<'_>, path: &str) -> bool {
    let mut path = path;
    for before in &pattern.before_elements {
        let Some(rest) = path.strip_prefix(before).and_then(|rest| rest.strip_prefix('[')) else {
            return false;
        };
        let Some((_, rest)) = rest.split_once(']') else {
            return false;
        };
        path = rest;
    }
    path.strip_prefix(pattern.rest).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// A pattern cut at each `[*]`, once for all the paths it is held against.
struct Pattern<'p> {
    before_elements: Vec<&'p str>,
    rest: &'p str,
}

impl<'p> Pattern<'p> {
    fn new(pattern: &'p str) -> Self {
        let (mut before_elements, mut rest) = (Vec::new(), pattern);
        while let Some((before, after)) = rest.split_once("[*]") {
            before_elements.push(before);
            rest = after;
        }
        Self { before_elements, rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::{ChainEnd, Discovered, Limits, parse_domain};

    fn inventory() -> Inventory {
        let xml = "<domain type='kvm'><name>a</name><uuid>7c1f9f1e-2f0a-4b7b-9c55-3f6f0e2a6d10</uuid>\
                   <memory>1024</memory><devices><disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/>\
                   </disk></devices></domain>";
        Inventory::build(Discovered::from_domain(parse_domain(xml, Limits::default()).unwrap()))
    }

    fn fields() -> Fields {
        Fields::of(&inventory())
    }

    #[test]
    fn only_what_the_vm_has_is_listed() {
        let fields = fields();
        assert!(fields.paths().iter().any(|path| path == "disks[vda].bus"));
        assert!(!fields.paths().iter().any(|path| path.starts_with("tpm") || path.ends_with(".serial")));
    }

    #[test]
    fn what_every_vm_has_a_place_for_is_no_field_while_it_is_empty() {
        let mut inventory = inventory();
        let lists = |inventory: &Inventory, path: &str| Fields::of(inventory).paths().iter().any(|known| known == path);
        let empty = ["passthrough_arguments", "cpu.iothreads", "cpu.pinning", "disks[vda].backing"];
        // Libvirt tells no chain of a domain that does not run: it is not known that there is none.
        assert_eq!(empty.map(|path| lists(&inventory, path)), [false, false, false, true]);
        inventory.domain.disks[0].backing.end = ChainEnd::Seen;
        assert!(!lists(&inventory, "disks[vda].backing"));
        inventory.domain.passthrough_arguments = 1;
        inventory.domain.cpu.iothreads = 1;
        inventory.domain.cpu.pinning.all = Some("0".to_owned());
        assert_eq!(empty.map(|path| lists(&inventory, path)), [true, true, true, false]);
    }

    fn is_covered(pattern: &str, path: &str) -> bool {
        covers(&Pattern::new(pattern), path)
    }

    #[test]
    fn a_pattern_covers_whole_names_only() {
        assert!(is_covered("disks[*].bus", "disks[vda].bus"));
        assert!(is_covered("disks", "disks[vda].bus"));
        assert!(is_covered("disks[vda]", "disks[vda].settings.driver.queues"));
        assert!(!is_covered("disks[*].s", "disks[vda].size"));
        assert!(!is_covered("disks[vd]", "disks[vda].size"));
        assert!(!is_covered("cpu.model", "cpu"));
    }

    #[test]
    fn the_first_rule_decides_and_a_forgotten_field_says_so() {
        let fields = fields();
        let mut report = Report::new(&fields);
        report.exact("disks[vda].bus", "there");
        report.not_carried("disks", "no place");
        let mapping = report.finish();
        let fate = |field: &str| mapping.0.iter().find(|entry| entry.field == field).map(|entry| entry.fate.clone());
        assert_eq!(fate("disks[vda].bus"), Some(Fate::Exact { to: "there".to_owned() }));
        assert_eq!(fate("disks[vda].source"), Some(Fate::NotCarried { why: "no place".to_owned() }));
        assert_eq!(fate("identity.name"), Some(Fate::Refused { why: FORGOTTEN.to_owned() }));
    }
}
