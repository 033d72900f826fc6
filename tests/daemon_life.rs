//! `covirtd` as a service: what the service manager is told, sockets that are passed, reloading, stopping, logs, metrics.
//!
//! The manager is a socket of the test's own, and the agent the built one on libvirt's mock driver.

#[path = "daemon_life/activated.rs"]
mod activated;
#[path = "support/authority.rs"]
mod authority;
#[path = "daemon_life/log.rs"]
mod log;
#[path = "daemon_life/metrics.rs"]
mod metrics;
#[path = "daemon_life/restrictions.rs"]
mod restrictions;
#[path = "daemon_life/service.rs"]
mod service;
#[path = "daemon_life/stuck.rs"]
mod stuck;
mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use serde_json::json;
use uuid::Uuid;

use service::Service;

#[test]
fn ready_is_said_once_the_socket_serves_and_stopping_when_it_is_told_to() {
    let mut service = Service::new("");
    service.start();
    assert!(service.manager.next("STATUS=").contains("0 VMs are co-managed; libvirt is connected"));
    assert_eq!(service.get("/readyz", "").0, 200);
    service.signal("TERM");
    assert!(service.manager.next("STOPPING=1").contains("STATUS="));
    assert!(service.ended().success(), "{}", service.log());
}

#[test]
fn the_watchdog_is_fed_while_the_agent_works() {
    let mut service = Service::new("");
    service.environment.push(("WATCHDOG_USEC".to_owned(), "400000".to_owned()));
    service.start();
    for _ in 0..3 {
        assert!(service.manager.next("WATCHDOG=1").contains("STATUS="));
    }
}

#[test]
fn a_watchdog_for_another_process_is_not_fed() {
    let mut service = Service::new("");
    service.environment.push(("WATCHDOG_USEC".to_owned(), "400000".to_owned()));
    service.environment.push(("WATCHDOG_PID".to_owned(), "1".to_owned()));
    service.start();
    assert!(!service.manager.next("STATUS=").contains("WATCHDOG=1"));
}

#[test]
fn a_reload_is_announced_and_what_can_change_changes_at_once() {
    let mut service = Service::new("[log]\nfilter = 'info'\n");
    service.start();
    service.enroll();
    service.write(
        "conf.d/10.toml",
        "[lane]\nqueue_limit = 1\n[log]\nfilter = 'covirt=debug'\n[agent]\nsocket_mode = '0600'\n",
    );
    service.reload();
    let log = service.log();
    assert!(log.contains("the configuration was read again"), "{log}");
    assert!(log.contains("keys=\"agent.socket_mode\"") || log.contains("agent.socket_mode"), "{log}");
    assert!(log.contains("when covirtd is started again"), "{log}");
    // One command waits for one that never comes; a second has no place any more.
    let waits = json!({ "after": [Uuid::now_v7()] });
    assert_eq!(service.submit("power.suspend", &waits).0, 202);
    let (status, refused) = service.submit("power.resume", &waits);
    assert_eq!((status, &refused["code"]), (429, &json!("queue-full")), "{refused}");
}

#[test]
fn a_reload_with_a_mistake_changes_nothing_and_names_it() {
    let mut service = Service::new("");
    service.start();
    service.enroll();
    service.write("conf.d/10.toml", "[lane]\nqueue_limit = 0\n");
    service.reload();
    let log = service.log();
    assert!(
        log.contains("conf.d/10.toml:2:15")
            && log.contains("the configuration was not read again; the one before stays in force"),
        "{log}"
    );
    let waits = json!({ "after": [Uuid::now_v7()] });
    for _ in 0..3 {
        assert_eq!(service.submit("power.suspend", &waits).0, 202);
    }
}

#[test]
fn a_clients_time_is_that_of_the_last_reload() {
    use std::io::Read;
    let mut service = Service::new("[limits]\nhead_timeout_ms = 600000\n");
    service.start();
    service.write("conf.d/10.toml", "[limits]\nhead_timeout_ms = 50\n");
    service.reload();
    let mut idle = std::os::unix::net::UnixStream::connect(&service.socket).expect("connect");
    idle.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("a time limit");
    let mut answer = Vec::new();
    idle.read_to_end(&mut answer).expect("it is closed");
    assert!(!service.log().contains("started again"), "{}", service.log());
}

#[test]
fn a_standing_answer_and_a_hook_are_those_of_the_last_reload() {
    let mut service = Service::new("");
    service.start();
    service.write(
        "conf.d/10.toml",
        "[[provider]]\nid = 'south'\nstanding = 'theirs-first'\n[hook]\ncommand = ['/bin/false']\n",
    );
    service.reload();
    assert!(!service.log().contains("started again"), "{}", service.log());
}

#[test]
fn a_socket_that_is_passed_stays_its_managers() {
    let mut service = Service::new("");
    let path = service.folder().join("passed.sock");
    let socket = UnixListener::bind(&path).expect("bind");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("chmod");
    let before = std::fs::metadata(&path).expect("a socket").ino();
    service.pass(&socket, "api");
    service.socket = path.clone();
    service.start();
    assert_eq!(service.get("/readyz", "").0, 200);
    assert!(!service.folder().join("api.sock").exists(), "the configured socket is not made");
    service.signal("TERM");
    assert!(service.ended().success());
    let after = std::fs::metadata(&path).expect("the socket is still there");
    assert_eq!((after.ino(), after.mode() & 0o777), (before, 0o640));
    // Whoever connects meanwhile waits for the next start.
    let waiting = std::thread::spawn({
        let path = path.clone();
        move || service::get(&path, "/healthz", "")
    });
    service.start();
    assert_eq!(waiting.join().expect("an answer").0, 200);
}

#[test]
fn a_socket_that_is_not_what_its_name_says_is_refused_and_one_without_meaning_closed() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let mut service = Service::new("");
    service.pass(&port, "api");
    let said = service.fails();
    assert!(said.contains("passed as \"api\" cannot be used"), "{said}");
    let mut service = Service::new("");
    service.pass(&port, "web");
    service.start();
    assert!(service.log().contains("under a name that means nothing"), "{}", service.log());
}

#[test]
fn while_it_stops_new_commands_are_refused_by_name_and_a_restart_loses_nothing() {
    let mut service = Service::new("");
    service.start();
    service.enroll();
    let waits = json!({ "after": [Uuid::now_v7()] });
    let (_, queued) = service.submit("power.suspend", &waits);
    service.signal("TERM");
    service.manager.next("STOPPING=1");
    assert!(service.ended().success(), "{}", service.log());
    service.start();
    let id = queued["id"].as_str().expect("an id");
    let (_, found) = service.get(&format!("/v1/commands/{id}"), "north");
    assert_eq!(found["state"], "queued", "{found}");
}
