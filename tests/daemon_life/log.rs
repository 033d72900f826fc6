//! What covirtd logs, and what it never logs.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::service::Service;
use crate::support::agent::DEFAULT_VM;

#[test]
fn a_busy_log_of_everything_has_no_secret_in_it() {
    let mut service = Service::new("[log]\nfilter = 'trace'\n");
    service.start();
    service.enroll();
    let planted = "planted-5ecret-c0ffee";
    // Taken in, although the mock driver cannot do it; refused with the secret at every wrong place.
    let args = json!({ "user": "root", "password": planted });
    service.submit_with("guest.set-password", &args, &json!({}));
    service.submit_with("guest.set-password", &json!({ "user": "root", "password": { "x": planted } }), &json!({}));
    service.submit_with("guest.set-password", &json!({ "user": "root", "password": "x", "extra": 1 }), &json!({}));
    for path in ["/v1/events", "/v1/vms", &format!("/v1/vms/{DEFAULT_VM}/commands")] {
        service.get(path, "north");
    }
    service.reload();
    service.signal("TERM");
    assert!(service.ended().success());
    let log = service.log();
    assert!(log.contains("password: (hidden)") && log.contains("a request is refused"), "it is busy: {log}");
    assert!(!log.contains(planted), "{log}");
    for (path, bytes) in crate::support::cli::tree(service.folder()) {
        let found = bytes.windows(planted.len()).any(|part| part == planted.as_bytes());
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn what_comes_from_outside_forges_no_line() {
    let mut service = Service::new("[log]\nfilter = 'debug'\n");
    service.start();
    let forged = "north%0A2026-01-01T00:00:00Z  INFO covirt: forged";
    service.get(&format!("/v1/vms/{forged}"), "north");
    let stream = std::os::unix::net::UnixStream::connect(&service.socket).expect("connect");
    crate::service::exchange(stream, "GET", "/v1/whoami", "nor\u{1b}[31mth", "");
    service.enroll();
    let body = json!({ "id": Uuid::now_v7(), "action": "power.reboot", "args": {},
                       "break_glass": "x\n2026-01-01T00:00:00Z  INFO covirt: forged" });
    service.post(&format!("/v1/vms/{DEFAULT_VM}/commands"), "operator", &body);
    let log = service.log();
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01T00:00:00Z")), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
}

#[test]
fn lines_of_json_are_json_and_have_their_fields() {
    let mut service = Service::new("[log]\nformat = 'json'\n");
    service.start();
    let log = service.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let ready = lines.iter().find(|line| line["message"] == "covirtd is ready").expect("it is ready");
    assert_eq!((&ready["level"], &ready["hypervisor"]), (&json!("INFO"), &json!("test:///default")));
}
