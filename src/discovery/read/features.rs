//! `<features>` and `<clock>`.

use super::words;
use crate::discovery::domain::{Clock, Feature, Timer};
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;

/// Features that hold features.
const GROUPS: &[&str] = &["hyperv", "kvm", "xen", "capabilities"];

/// Reads `<features>`. Its words are an open list: a feature that is not known is kept by name, too.
pub(super) fn read(domain: Element<'_>) -> Vec<Feature> {
    let mut features = Vec::new();
    let Some(element) = domain.child("features") else {
        return features;
    };
    for feature in element.elements().filter(|feature| feature.namespace().is_none()) {
        feature.mark();
        let inner = feature.elements().filter(|_| GROUPS.contains(&feature.name()));
        let own = read_feature(feature, feature.name().to_owned());
        let before = features.len();
        for part in inner.filter(|part| part.namespace().is_none()) {
            part.mark();
            features.push(read_feature(part, format!("{}.{}", feature.name(), part.name())));
        }
        // A group says something itself only with attributes of its own, or when it is empty.
        if features.len() == before || !own.settings.is_empty() || !own.enabled {
            features.insert(before, own);
        }
    }
    features
}

fn read_feature(element: Element<'_>, name: String) -> Feature {
    let mut settings = Settings::new();
    let state = element.attribute("state");
    match state {
        Some("on" | "off" | "yes" | "no") | None => {}
        Some(other) => drop(settings.insert("state".to_owned(), other.to_owned())),
    }
    words::FEATURE.keep(element, "", &mut settings);
    Feature { name, enabled: !matches!(state, Some("off" | "no")), settings }
}

/// Reads `<clock>`.
pub(super) fn read_clock(domain: Element<'_>) -> Clock {
    let Some(element) = domain.child("clock") else {
        return Clock::default();
    };
    let mut settings = Settings::new();
    // Seconds are moved by the guest and left out; a word (`reset`) was chosen.
    if let Some(word) = element.attribute("adjustment").filter(|text| text.trim().parse::<i64>().is_err()) {
        settings.insert("adjustment".to_owned(), word.to_owned());
    }
    let (offset, timezone) = (element.owned("offset"), element.owned("timezone"));
    let timers = element.children("timer").map(read_timer).collect();
    words::CLOCK.keep(element, "", &mut settings);
    Clock { offset, timezone, settings, timers }
}

fn read_timer(element: Element<'_>) -> Timer {
    let mut settings = Settings::new();
    let name = element.owned("name").unwrap_or_default();
    words::TIMER.keep(element, "", &mut settings);
    Timer { name, settings }
}
