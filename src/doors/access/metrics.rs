//! libvirt's figures in Prometheus' format.
//!
//! `net.0.rx.bytes` becomes `covirt_vm_net_rx_bytes{vm,name,index="0",device="vnet3"}`: the numbers in libvirt's names
//! are labels, and so is the device's name where libvirt tells it. libvirt does not say which of its figures only rise,
//! so all of them are gauges; `rate()` works on them all the same.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::Value;

use crate::doors::wire::VmStats;

type Labels = Vec<(String, String)>;
type Metric = Family<Labels, Gauge<f64, AtomicU64>>;

/// The figures of these VMs as one exposition.
pub(crate) fn exposition(vms: &[VmStats]) -> String {
    let mut metrics: BTreeMap<String, (String, Metric)> = BTreeMap::new();
    for vm in vms {
        for (name, value) in &vm.figures {
            let Some(value) = number(value) else { continue };
            let (metric, indices) = split(name);
            let mut labels: Labels = vec![("vm".to_owned(), vm.vm.to_string()), ("name".to_owned(), vm.name.clone())];
            labels.extend(
                indices.iter().zip(["index", "index2"]).map(|(index, label)| (label.to_owned(), index.clone())),
            );
            if let Some(device) = device(&vm.figures, name) {
                labels.push(("device".to_owned(), device.to_owned()));
            }
            let known = metrics.entry(metric).or_insert_with(|| (pattern(name), Metric::default()));
            known.1.get_or_create(&labels).set(value);
        }
    }
    let mut registry = Registry::default();
    for (name, (pattern, metric)) in metrics {
        registry.register(name, format!("libvirt's {pattern}"), metric);
    }
    let mut text = String::new();
    // A string takes everything.
    let _ = encode(&mut text, &registry);
    text
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_bool().map(|yes| if yes { 1.0 } else { 0.0 }))
}

/// The metric of a figure, and the numbers in its name.
fn split(name: &str) -> (String, Vec<String>) {
    let (mut metric, mut indices) = ("covirt_vm".to_owned(), Vec::new());
    for part in name.split('.') {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            indices.push(part.to_owned());
        } else {
            metric.push('_');
            metric.extend(part.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
        }
    }
    (metric, indices)
}

/// libvirt's name with its numbers left open.
fn pattern(name: &str) -> String {
    let open =
        |part: &str| if part.bytes().all(|byte| byte.is_ascii_digit()) { "N".to_owned() } else { part.to_owned() };
    name.split('.').map(open).collect::<Vec<_>>().join(".")
}

/// The name of the device that a figure is about.
fn device<'a>(figures: &'a BTreeMap<String, Value>, name: &str) -> Option<&'a str> {
    let mut parts = name.split('.');
    let (kind, index) = (parts.next()?, parts.next()?);
    figures.get(&format!("{kind}.{index}.name"))?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_figure_keeps_its_value_and_its_place() {
        let figures = json!({
            "block.0.name": "vda", "block.0.rd.bytes": 4096, "block.1.name": "vdb", "block.1.rd.bytes": 1,
            "balloon.current": 131_072, "state.state": 1, "cpu.time": 18_000_000_000_u64, "dirtyrate.calc_status": 2,
        });
        let figures = serde_json::from_value(figures).unwrap();
        let vm =
            VmStats { vm: "00000000-0000-0000-0000-000000000001".parse().unwrap(), name: "a\"b".to_owned(), figures };
        let text = exposition(&[vm]);
        let labels = "vm=\"00000000-0000-0000-0000-000000000001\",name=\"a\\\"b\"";
        for line in [
            "# TYPE covirt_vm_block_rd_bytes gauge".to_owned(),
            format!("covirt_vm_block_rd_bytes{{{labels},index=\"0\",device=\"vda\"}} 4096.0"),
            format!("covirt_vm_balloon_current{{{labels}}} 131072.0"),
            "# EOF".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("block_name"), "{text}");
    }
}
