//! KubeVirt's admission, as far as it judges what this renderer can write: the published schema knows none of it.
//!
//! Assumes the specification of an instance as JSON. Guarantees that one which passes breaks none of the rules below;
//! each is said in a comment in our own words.
//! *Source*: <https://github.com/kubevirt/kubevirt/tree/main/pkg/virt-api/webhooks>
//! (`validating-webhook/admitters/vmi-create-admitter.go`, `amd64.go`, `arm64.go`, `s390x.go`, `hyperv.go`),
//! <https://github.com/kubevirt/kubevirt/tree/main/pkg/network/admitter>,
//! <https://github.com/kubevirt/kubevirt/tree/main/pkg/liveupdate/memory>.

mod disks;
mod domain;
mod interfaces;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::artifacts::error::RenderError;

/// A rule that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cause {
    /// Where, below the instance's specification.
    field: String,
    /// What KubeVirt wants.
    rule: &'static str,
}

/// The causes found so far.
#[derive(Debug, Default)]
struct Causes(Vec<Cause>);

impl Causes {
    /// Notes a cause unless `holds`.
    fn want(&mut self, holds: bool, field: impl Into<String>, rule: &'static str) {
        if !holds {
            self.0.push(Cause { field: field.into(), rule });
        }
    }
}

/// Refuses a specification that KubeVirt would refuse; `machines` are the patterns the cluster was told to admit.
pub(super) fn check(spec: &Value, machines: &[String]) -> Result<(), RenderError> {
    match causes(spec, machines).into_iter().next() {
        None => Ok(()),
        Some(Cause { field, rule }) => {
            Err(RenderError::Refused { field, why: format!("KubeVirt's admission refuses it: {rule}") })
        }
    }
}

fn causes(spec: &Value, machines: &[String]) -> Vec<Cause> {
    let mut causes = Causes::default();
    domain::check(spec, machines, &mut causes);
    disks::check(spec, &mut causes);
    interfaces::check(spec, &mut causes);
    causes.0
}

/// Whether a serial number has only the characters that libvirt takes in one, and not too many.
pub(super) fn is_serial(text: &str) -> bool {
    let letters = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'+' | b'-'));
    !text.is_empty() && text.len() <= 256 && letters
}

/// Whether a disk can have blocks of that size. *Units*: bytes.
pub(super) fn is_block_size(size: u64) -> bool {
    (512..=2_097_152).contains(&size) && size.is_power_of_two()
}

/// The elements of a list; none where it is missing.
fn items<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

fn is_on(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

/// A feature's state: there, and not switched off.
fn is_enabled(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).is_some_and(|state| state.get("enabled").and_then(Value::as_bool) != Some(false))
}

fn has(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).is_some()
}

/// A PCI address in full: `0000:04:00.0`.
fn is_pci_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let hex = |part: &str, long: usize| part.len() == long && part.bytes().all(|b| b.is_ascii_hexdigit());
    match parts.as_slice() {
        [domain, bus, slot, function] => {
            let short = function.len() == 1 && function.bytes().all(|b| (b'0'..=b'7').contains(&b));
            hex(domain, 4) && hex(bus, 2) && hex(slot, 2) && short && text.matches(':').count() == 2
        }
        _ => false,
    }
}
