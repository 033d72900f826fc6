//! `/metrics`, `/livez` and `/readyz`, with real commands; and the dashboard that is drawn from them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::service::{Service, exchange};
use crate::support::skip;

/// Samples by name and labels, and the kind of each family, read by the rules of the text format 0.0.4.
struct Exposed {
    samples: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

impl Exposed {
    #[track_caller]
    fn read(text: &str) -> Self {
        let (mut samples, mut kinds) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a kind");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(kinds.insert(name.to_owned(), kind.to_owned()), None, "{line}: twice");
            } else if line.starts_with("# HELP ") {
                assert!(line.splitn(4, ' ').nth(3).is_some_and(|help| !help.is_empty()), "{line}");
            } else {
                assert!(!line.starts_with('#') && !line.is_empty(), "{line}");
                let (series, value) = line.rsplit_once(' ').expect("a series and a value");
                let name = series.split('{').next().expect("a name");
                assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{line}");
                let family =
                    ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
                assert!(kinds.contains_key(family) || kinds.contains_key(name), "{line}: no TYPE before");
                let value = value.parse().unwrap_or_else(|_| panic!("{line}: no number"));
                assert!(samples.insert(series.to_owned(), value).is_none(), "{line}: twice");
            }
        }
        Self { samples, kinds }
    }

    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.samples))
    }
}

/// A service at which something has happened.
fn busy() -> Service {
    let mut service = Service::new("[metrics]\nlisten = '127.0.0.1:0'\n");
    service.start();
    service.enroll();
    let (status, done) = service.submit("power.suspend", &json!({}));
    assert_eq!((status, &done["state"]), (200, &json!("done")), "{done}");
    service.submit("power.suspend", &json!({}));
    service.submit("power.resume", &json!({ "after": [uuid::Uuid::now_v7()] }));
    service
}

#[test]
fn counters_move_with_commands_and_no_series_names_a_vm() {
    let service = busy();
    let text = service.text("/metrics", "operator");
    let seen = Exposed::read(&text);
    let received = "covirt_commands_received_total{provider=\"north\",action=\"power.suspend\"}";
    assert!((seen.value(received) - 2.0).abs() < 0.1);
    let done = "covirt_commands_ended_total{provider=\"north\",action=\"power.suspend\",state=\"done\"}";
    assert!((seen.value(done) - 1.0).abs() < 0.1);
    assert!((seen.value("covirt_commands{provider=\"north\",state=\"queued\"}") - 1.0).abs() < 0.1);
    assert!((seen.value("covirt_lanes") - 1.0).abs() < 0.1);
    assert!(seen.value("covirt_journal_append_seconds_count") >= 5.0);
    assert!((seen.value("covirt_libvirt_connected") - 1.0).abs() < 0.1);
    assert!(seen.value("covirt_connections{door=\"api\"}") >= 1.0);
    assert!((seen.value(&format!("covirt_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))) - 1.0).abs() < 0.1);
    assert!(!text.contains(crate::support::agent::DEFAULT_VM), "{text}");
}

#[test]
fn commands_that_wait_are_counted_again_after_a_restart() {
    let mut service = busy();
    service.signal("TERM");
    assert!(service.ended().success());
    service.start();
    let seen = Exposed::read(&service.text("/metrics", "operator"));
    assert!((seen.value("covirt_commands{provider=\"north\",state=\"queued\"}") - 1.0).abs() < 0.1);
}

#[test]
fn a_provider_sees_no_numbers_of_others() {
    let service = busy();
    let text = service.text("/metrics", "south");
    assert!(text.contains("covirt_build_info") && text.contains("covirt_libvirt_connected 1"), "{text}");
    assert!(!text.contains("north") && !text.contains("covirt_lanes") && !text.contains("journal"), "{text}");
    Exposed::read(&text);
    assert!(service.text("/metrics", "north").contains("covirt_commands_received_total{provider=\"north\""));
}

#[test]
fn the_port_serves_what_is_to_be_watched_and_nothing_else() {
    let service = busy();
    let log = service.log();
    let at = log.split("metrics are served address=").nth(1).expect("a port").split_whitespace().next().expect("one");
    let ask = |path: &str| exchange(std::net::TcpStream::connect(at).expect("connect"), "GET", path, "", "");
    let (status, text) = ask("/metrics");
    assert_eq!(status, 200);
    Exposed::read(&text).value("covirt_lanes");
    assert_eq!(ask("/readyz").0, 200);
    assert_eq!(ask("/livez").0, 200);
    for path in ["/v1/vms", "/healthz", "/v1/events", "/openapi.json"] {
        assert_eq!(ask(path).0, 404, "{path}");
    }
}

#[test]
fn an_agent_without_its_libvirt_lives_and_is_not_ready() {
    let mut service = Service::new("");
    service.write("conf.d/10.toml", "[agent]\nconnect = 'test:///no/such/file.xml'\n");
    service.start();
    assert_eq!(service.get("/livez", "").0, 200);
    let (status, why) = service.get("/readyz", "");
    assert_eq!(status, 503, "{why}");
    assert!(why["reasons"][0].as_str().is_some_and(|reason| reason.contains("libvirt is not connected")), "{why}");
}

/// Prometheus' own tool; none, and the test is skipped, where it cannot be had.
fn promtool(test: &str) -> Option<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/promtool-env.sh");
    let output = Command::new(script).output().expect("run promtool-env.sh");
    if output.status.success() {
        return Some(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    skip(test, String::from_utf8_lossy(&output.stderr).trim());
    None
}

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    let name = "promtool_finds_nothing_to_say_about_the_metrics";
    let Some(promtool) = promtool(name) else { return };
    let text = busy().text("/metrics", "operator");
    let mut promtool = Command::new(promtool);
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("start promtool");
    promtool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("write");
    let output = promtool.wait_with_output().expect("its end");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

const DASHBOARD: &str = include_str!("../../packaging/grafana/covirt.json");

/// Every expression of the dashboard, with the panel that has it.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().expect("a title");
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.to_owned(), target))
    });
    targets.map(|(title, target)| (title, target["expr"].as_str().expect("an expression").to_owned())).collect()
}

#[test]
fn the_dashboard_is_of_a_form_that_grafana_loads() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    assert!(dashboard["schemaVersion"].as_u64() >= Some(36), "the data source is an object from there on");
    assert_eq!(dashboard["id"], Value::Null, "an id belongs to one Grafana");
    assert!(dashboard["uid"].as_str().is_some_and(|uid| uid.len() <= 40));
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let source = variables.iter().find(|variable| variable["type"] == "datasource").expect("a data source");
    assert_eq!((&source["name"], &source["query"]), (&json!("datasource"), &json!("prometheus")));
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}: the id twice");
        let place = &panel["gridPos"];
        let (x, w) = (place["x"].as_u64().expect("x"), place["w"].as_u64().expect("w"));
        assert!(x + w <= 24, "{panel}: wider than the grid");
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        }
    }
}

#[test]
fn the_dashboard_uses_metrics_that_there_are() {
    let known = Exposed::read(&busy().text("/metrics", "operator"));
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let all = expressions(&dashboard);
    assert!(all.len() >= 10);
    for (panel, expression) in all {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics: Vec<&str> = words.filter(|word| word.starts_with("covirt_")).collect();
        assert!(!metrics.is_empty(), "{panel}: {expression}");
        for metric in metrics {
            let family = metric.strip_suffix("_bucket").unwrap_or(metric);
            assert!(known.kinds.contains_key(family), "{panel}: there is no {metric}");
        }
    }
}

#[test]
fn the_dashboards_expressions_parse() {
    let name = "the_dashboards_expressions_parse";
    let Some(promtool) = promtool(name) else { return };
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let rules: Vec<Value> = expressions(&dashboard)
        .into_iter()
        .enumerate()
        .map(|(number, (_, expression))| {
            let expression = expression.replace("$__rate_interval", "5m").replace("$provider", "north");
            json!({ "record": format!("panel:{number}"), "expr": expression })
        })
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules.yml");
    // JSON is YAML.
    std::fs::write(&path, json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string()).expect("write");
    let output = Command::new(promtool).args(["check", "rules"]).arg(&path).output().expect("run promtool");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}
