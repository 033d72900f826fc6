//! Enrollment of a VM that bears another manager's mark, and of one that bears none.

use std::process::Command;

use super::support::agent::Setup;

const NOVA: &str = "<metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'>\
                    <nova:name>web</nova:name></nova:instance></metadata>";

#[tokio::test]
async fn whoever_enrolls_a_vm_is_warned_of_its_other_manager() {
    let agent = Setup::with_definition(NOVA).start();
    let path = format!("/v1/vms/{}/enrollment", agent.vm(1));
    let answer = agent.request("POST", &path, "north", None).await.expect(201);
    assert_eq!(answer.json["delegations"]["primary"], "north", "the VM is told as before: {}", answer.json);
    let warnings = answer.json["warnings"].as_array().expect("warnings");
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert_eq!(warning["manager"], "nova");
    assert_eq!(warning["mark"], "http://openstack.org/xmlns/libvirt/nova/1.1");
    assert!(warning["tell"].as_str().is_some_and(|tell| tell.contains("sync_power_state_interval")), "{warning}");
    assert_eq!(warning["documentation"], "docs/managers.md#nova");
    let log = agent.log();
    let line = log.lines().find(|line| line.contains("another manager may act on this VM by itself"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(
        line.contains("WARN") && line.contains("OpenStack Nova") && line.contains("docs/managers.md#nova"),
        "{line}"
    );

    // The same for people.
    agent.request("DELETE", &path, "north", None).await.expect(204);
    let mut covirt = Command::new(env!("CARGO_BIN_EXE_covirt"));
    covirt.env("COVIRT_SOCKET", agent.socket()).env("COVIRT_AS", "north").args(["vm", "enroll", "vm1"]);
    let output = tokio::task::spawn_blocking(move || covirt.output().expect("run covirt")).await.expect("it ends");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{said}");
    assert!(said.contains("warning: OpenStack Nova knows this VM, too"), "{said}");
    assert!(said.contains("docs/managers.md#nova"), "{said}");
}

#[tokio::test]
async fn nobody_is_warned_of_a_vm_without_marks() {
    let agent = Setup::with_vms(1).start();
    let path = format!("/v1/vms/{}/enrollment", agent.vm(1));
    let answer = agent.request("POST", &path, "north", None).await.expect(201);
    assert!(answer.json.get("warnings").is_none(), "{}", answer.json);
    assert!(!agent.log().contains("another manager"), "{}", agent.log());
}
