//! The machine's features and its clock.
//!
//! Assumes features by path (`hyperv.spinlocks`). Guarantees that an enlightenment is written only with those it
//! stands on, and only policies of timers that KubeVirt has words for.
//! *Source*: <https://kubevirt.io/user-guide/compute/virtual_hardware/#features>.

use serde_json::{Map, Value, json};

use super::binding::Binding;
use super::machine::Arch;
use super::name::object;
use crate::artifacts::report::Report;
use crate::discovery::{Domain, Feature, FirmwareKind, SecureBoot, Timer};

/// KubeVirt's words for libvirt's enlightenments, and what each stands on (libvirt's words).
const HYPERV: &[(&str, &str, Option<&str>)] = &[
    ("relaxed", "relaxed", None),
    ("vapic", "vapic", None),
    ("spinlocks", "spinlocks", None),
    ("vpindex", "vpindex", None),
    ("runtime", "runtime", None),
    ("synic", "synic", Some("vpindex")),
    ("stimer", "synictimer", Some("synic")),
    ("reset", "reset", None),
    ("vendor_id", "vendorid", None),
    ("frequencies", "frequencies", None),
    ("reenlightenment", "reenlightenment", None),
    ("tlbflush", "tlbflush", Some("vpindex")),
    ("ipi", "ipi", Some("vpindex")),
    ("evmcs", "evmcs", Some("vapic")),
];

const FEATURES: &str = "spec.template.spec.domain.features";

/// The features object.
pub(super) fn features(domain: &Domain, arch: Arch, report: &mut Report<'_>) -> Value {
    let find = |name: &str| domain.features.iter().find(|feature| feature.name == name);
    let plain = |name: &str| find(name).map(|feature| json!({"enabled": feature.enabled}));
    for name in ["acpi", "apic", "pvspinlock"] {
        report.exact(&format!("features[{name}]"), &format!("{FEATURES}.{name}"));
    }
    // libvirt without the element means off, KubeVirt on.
    let acpi = match (plain("acpi"), arch, &domain.firmware.kind) {
        (None, Arch::Amd64, FirmwareKind::Bios) => Some(json!({"enabled": false})),
        (written, _, _) => written,
    };
    let apic = find("apic").map(|feature| {
        let eoi = feature.settings.get("eoi").map(|eoi| json!(eoi == "on"));
        object([("enabled", Some(json!(feature.enabled))), ("endOfInterrupt", eoi)])
    });
    let hidden = find("kvm.hidden").map(|feature| json!({"hidden": feature.enabled}));
    report.exact("features[kvm.hidden]", "spec.template.spec.domain.features.kvm.hidden");
    let written = object([
        ("acpi", acpi),
        ("apic", apic),
        ("hyperv", hyperv(domain, report)),
        ("hypervPassthrough", passthrough(find("hyperv"), report)),
        ("kvm", hidden),
        ("pvspinlock", plain("pvspinlock")),
        ("smm", smm(domain, find("smm"), arch, report)),
    ]);
    report.approximate("features[hyperv]", "features.hyperv", "one by one");
    report.approximate("features[kvm]", "features.kvm", "one by one");
    report.not_carried("features", "KubeVirt has no field for it and leaves it as its machine type has it");
    written
}

/// SMM is what secure boot stands on: KubeVirt refuses one without the other.
fn smm(domain: &Domain, own: Option<&Feature>, arch: Arch, report: &mut Report<'_>) -> Option<Value> {
    const TO: &str = "spec.template.spec.domain.features.smm";
    let needed = domain.firmware.kind == FirmwareKind::Uefi
        && domain.firmware.secure_boot == SecureBoot::On
        && arch == Arch::Amd64;
    if needed && own.is_none_or(|feature| !feature.enabled) {
        report.approximate("features[smm]", TO, "secure boot needs it, so that it is on");
        return Some(json!({"enabled": true}));
    }
    if arch != Arch::Amd64 {
        return None;
    }
    report.exact("features[smm]", TO);
    own.map(|feature| json!({"enabled": feature.enabled}))
}

/// `<hyperv mode='passthrough'/>`: all that the host can do.
fn passthrough(hyperv: Option<&Feature>, report: &mut Report<'_>) -> Option<Value> {
    let hyperv = hyperv.filter(|hyperv| hyperv.settings.get("mode").is_some_and(|mode| mode == "passthrough"))?;
    report.exact("features[hyperv]", "features.hypervPassthrough");
    Some(json!({"enabled": hyperv.enabled}))
}

fn hyperv(domain: &Domain, report: &mut Report<'_>) -> Option<Value> {
    let own = |name: &str| domain.features.iter().find(|feature| feature.name.strip_prefix("hyperv.") == Some(name));
    let enabled = |name: &str| own(name).is_some_and(|feature| feature.enabled);
    // What it stands on may stand on something itself.
    let stands = |mut below: Option<&str>| {
        while let Some(name) = below {
            if !enabled(name) {
                return false;
            }
            below = HYPERV.iter().find(|(libvirt, _, _)| *libvirt == name).and_then(|(_, _, next)| *next);
        }
        true
    };
    let mut map = Map::new();
    for (libvirt, word, below) in HYPERV {
        let Some(feature) = own(libvirt) else { continue };
        let path = format!("features[hyperv.{libvirt}]");
        if feature.enabled && !stands(*below) {
            report.refused(&path, "KubeVirt admits it only with the enlightenment it stands on, which is off");
            continue;
        }
        report.exact(&path, &format!("{FEATURES}.hyperv.{word}"));
        map.insert((*word).to_owned(), enlightenment(feature, word));
    }
    (!map.is_empty()).then_some(Value::Object(map))
}

fn enlightenment(feature: &Feature, word: &str) -> Value {
    let setting = |path: &str| feature.settings.get(path);
    let on = |path: &str| setting(path).map(|state| json!({"enabled": state == "on"}));
    let retries = setting("retries").and_then(|retries| retries.parse::<u32>().ok());
    object([
        ("enabled", Some(json!(feature.enabled))),
        ("spinlocks", retries.filter(|_| word == "spinlocks").map(|retries| json!(retries))),
        ("vendorid", setting("value").filter(|_| word == "vendorid").map(|value| json!(value))),
        ("direct", on("direct.state").filter(|_| matches!(word, "synictimer" | "tlbflush"))),
        ("extended", on("extended.state").filter(|_| word == "tlbflush")),
    ])
}

/// The clock object.
pub(super) fn clock(domain: &Domain, binding: &Binding, report: &mut Report<'_>) -> Value {
    const UTC: &str = "spec.template.spec.domain.clock.utc";
    let clock = &domain.clock;
    let utc = (Some(json!({})), None);
    let (utc, timezone) = match (clock.offset.as_deref(), &clock.timezone, &binding.timezone) {
        (Some("utc") | None, _, _) => {
            report.exact("clock.offset", UTC);
            utc
        }
        (Some("timezone"), Some(zone), _) => {
            report.exact("clock.offset", "spec.template.spec.domain.clock.timezone");
            report.exact("clock.timezone", "spec.template.spec.domain.clock.timezone");
            (None, Some(json!(zone)))
        }
        (Some("localtime"), _, Some(zone)) => {
            report.approximate("clock.offset", "clock.timezone", "the zone that the binding names");
            (None, Some(json!(zone)))
        }
        (Some("localtime"), _, None) => {
            let why =
                "the nodes' local time is not the host's: `timezone` of the binding names the zone; UTC until then";
            report.refused("clock.offset", why);
            utc
        }
        (Some(_), _, _) => {
            report.approximate("clock.offset", UTC, "KubeVirt starts every clock at the time of now, in UTC");
            utc
        }
    };
    let timers = timers(&clock.timers, report);
    report.not_carried("clock", "KubeVirt has no field for it");
    object([("utc", utc), ("timezone", timezone), ("timer", timers)])
}

fn timers(timers: &[Timer], report: &mut Report<'_>) -> Option<Value> {
    const TO: &str = "spec.template.spec.domain.clock.timer";
    let mut map = Map::new();
    let mut lost: Vec<&str> = Vec::new();
    for timer in timers {
        let Some((word, policies)) = words_of(&timer.name) else {
            lost.push(&timer.name);
            continue;
        };
        let policy = timer.settings.get("tickpolicy");
        let kept = policy.filter(|policy| policies.contains(&policy.as_str()));
        let track = timer.settings.get("track");
        let tracked = track.filter(|track| word == "rtc" && matches!(track.as_str(), "guest" | "wall"));
        let told = ["tickpolicy", "track", "present"];
        let whole = policy == kept && track == tracked && timer.settings.keys().all(|key| told.contains(&key.as_str()));
        if !whole {
            lost.push(&timer.name);
        }
        let object = object([
            ("tickPolicy", kept.map(|policy| json!(policy))),
            ("track", tracked.map(|track| json!(track))),
            ("present", timer.settings.get("present").map(|present| json!(present == "yes"))),
        ]);
        map.insert(word.to_owned(), object);
    }
    if !lost.is_empty() {
        let rule = format!("KubeVirt has no words for all of: {}", lost.join(", "));
        report.approximate("clock.timers", TO, &rule);
    }
    report.exact("clock.timers", TO);
    (!map.is_empty()).then_some(Value::Object(map))
}

/// KubeVirt's word for a timer, and its words for what becomes of missed ticks.
fn words_of(name: &str) -> Option<(&'static str, &'static [&'static str])> {
    match name {
        "rtc" => Some(("rtc", &["delay", "catchup"])),
        "pit" => Some(("pit", &["delay", "catchup", "discard"])),
        "hpet" => Some(("hpet", &["delay", "catchup", "merge", "discard"])),
        "kvmclock" => Some(("kvm", &[])),
        "hypervclock" => Some(("hyperv", &[])),
        _ => None,
    }
}
