//! Two unmodified virsh at the doors of two providers, on one real guest: what one does to a co-managed VM takes the way of
//! every command, and both are told so in libvirt's own words.

#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/doors.rs"]
mod doors;
mod support;

use serde_json::{Value, json};
use virt::sys;

use doors::Doors;
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};

/// Every write listens for a rival, so that two calls meet however slow this machine is.
const MEETING: &str = "[lane]\ngather_ms = 5000\ngather_for = 'writes'\n";

#[track_caller]
fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is missing:\n{text}");
    }
}

fn at(command: &Value, field: &str) -> jiff::Timestamp {
    command[field].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{field}: {command:#}"))
}

#[test]
fn two_conflicting_calls_both_end_as_the_rules_say_and_explain_tells_it() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("two_conflicting_calls_both_end_as_the_rules_say_and_explain_tells_it", &reason);
        }
    };
    let mut doors = Doors::booted(&libvirt, "conflict", MEETING);
    doors.delegate(&["power.*"], "shared");
    // Only one order lets both succeed: what is off cannot be suspended.
    let stop = doors.begin("north", &["destroy", "@"]);
    doors.command("north", "power.stop", "queued");
    let suspend = doors.begin("south", &["suspend", "@"]);
    suspend.end().ok();
    stop.end().ok();
    let (stop, suspend) =
        (doors.command("north", "power.stop", "done"), doors.command("south", "power.suspend", "done"));
    assert_eq!(suspend["rule"], "feasibility", "{suspend:#}");
    assert!(at(&suspend, "finished_at") <= at(&stop, "started_at"), "{suspend:#}\n{stop:#}");
    assert_eq!(doors.domstate(), "shut off");
    let story = doors.explain(&stop);
    has(&story, &["domain_destroy", "north sent power.stop", "conflicts with south's power.suspend", "feasibility"]);
    has(&story, &["it ended done"]);
    has(&doors.explain(&suspend), &["domain_suspend", "it goes first, then north's power.stop"]);
}

#[test]
fn a_standing_answer_speaks_for_a_client_that_cannot_be_asked() {
    let test = "a_standing_answer_speaks_for_a_client_that_cannot_be_asked";
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip(test, &reason),
    };
    let guest = Guest::define(&libvirt, "standing");
    let mut doors = Doors::set_with(&libvirt, guest, "standing = 'mine-first'", MEETING);
    doors.delegate(&["metadata.*"], "shared");
    // Without the answer the one that came first would go first.
    let mark = |of: &str| format!("<by>{of}</by>");
    let write = |doors: &Doors<'_>, by: &str| {
        doors.begin(by, &["metadata", "@", "urn:covirt:test", "--key", "t", "--config", "--set", &mark(by)])
    };
    let first = write(&doors, "north");
    doors.command("north", "metadata.set", "queued");
    let second = write(&doors, "south");
    first.end().ok();
    second.end().ok();
    let (north, south) =
        (doors.command("north", "metadata.set", "done"), doors.command("south", "metadata.set", "done"));
    assert_eq!(north["rule"], "callback", "{north:#}");
    assert!(at(&south, "finished_at") <= at(&north, "started_at"), "{south:#}\n{north:#}");
    has(&doors.explain(&north), &["conflicts with south's metadata.set", "rule callback"]);
    let kept = doors.virsh("north", &["metadata", "@", "urn:covirt:test"]).ok();
    assert!(kept.contains("north") && !kept.contains("south"), "{kept}");
}

#[test]
fn equal_wishes_are_one_execution_and_both_clients_are_told_that_it_is_done() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("equal_wishes_are_one_execution_and_both_clients_are_told_that_it_is_done", &reason);
        }
    };
    let mut doors = Doors::booted(&libvirt, "equal", MEETING);
    doors.delegate(&["power.*"], "shared");
    let first = doors.begin("north", &["destroy", "@"]);
    doors.command("north", "power.stop", "queued");
    let second = doors.begin("south", &["destroy", "@"]);
    first.end().ok();
    second.end().ok();
    let states = [doors.commands("north"), doors.commands("south")].map(|all| all[0]["state"].clone());
    assert!(states.contains(&json!("done")) && states.contains(&json!("coalesced")), "{states:?}");
    // A start gives the VM back, which is looked up for the one whose own call was not made.
    let first = doors.begin("north", &["start", "@"]);
    doors.command("north", "power.start", "queued");
    let second = doors.begin("south", &["start", "@"]);
    first.end().ok();
    second.end().ok();
    assert_eq!(doors.domstate(), "running");
    let states = [doors.commands("north"), doors.commands("south")].map(|all| all[0]["state"].clone());
    assert!(states.contains(&json!("done")) && states.contains(&json!("coalesced")), "{states:?}");
}

#[test]
fn a_refused_call_is_told_in_libvirts_words() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("a_refused_call_is_told_in_libvirts_words", &reason),
    };
    let mut doors = Doors::booted(&libvirt, "refused", "");
    doors.delegate(&["snapshot.*"], "shared");
    let said = doors.virsh("south", &["destroy", "@"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let name = doors.guest.name();
    assert!(said.err.starts_with(&format!("error: Failed to destroy domain '{name}'\nerror: covirt ")), "{said:?}");
    has(&said.err, &["power.stop", "north", "delegate"]);
    assert_eq!(doors.domstate(), "running");
    // A program sees the code.
    let connection = doors.connect("south");
    let error = doors.guest.domain(&connection).destroy().unwrap_err();
    assert_eq!((error.code().to_raw(), error.domain().to_raw()), (sys::VIR_ERR_ACCESS_DENIED, sys::VIR_FROM_QEMU));
    // The connection goes on.
    assert_eq!(doors.guest.domain(&connection).info().unwrap().nr_virt_cpu, 1);
    // What the VM's state does not allow libvirt would refuse with the same code.
    let said = doors.virsh("north", &["resume", "@"]);
    has(&said.err, &["error: Failed to resume domain", "covirt explain "]);
    assert_eq!(doors.guest.domain(&doors.connect("north")).resume().unwrap_err().code().to_raw(), 55);
}

#[test]
fn a_secondary_sees_only_its_vms() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("a_secondary_sees_only_its_vms", &reason),
    };
    let other = Guest::define(&libvirt, "unseen");
    let mut doors = Doors::set(&libvirt, Guest::define(&libvirt, "seen"), "");
    assert_eq!(doors.virsh("south", &["list", "--all", "--name"]).ok().trim(), "");
    doors.delegate(&["power.*"], "shared");
    let names = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(doors.virsh("south", &["list", "--all", "--name"]).ok()), [doors.guest.name()]);
    assert!(names(doors.virsh("north", &["list", "--all", "--name"]).ok()).contains(&other.name().to_owned()));
    let other_id = other.domain(&libvirt.connect()).uuid_string().unwrap();
    for words in [["dominfo", other.name()], ["domstate", &other_id], ["start", &other_id], ["dumpxml", other.name()]] {
        let said = doors.virsh("south", &words);
        assert_eq!(said.code, Some(1), "{said:?}");
        has(&said.err, &["failed to get domain"]);
    }
    let connection = doors.connect("south");
    assert_eq!(connection.num_of_defined_domains().unwrap(), 1);
    let error = connection.lookup_domain_by_name(other.name()).unwrap_err();
    assert_eq!(error.code().to_raw(), sys::VIR_ERR_NO_DOMAIN);
    assert_eq!(
        error.message(),
        libvirt.connect().lookup_domain_by_name("no-such").unwrap_err().message().replace("no-such", other.name())
    );
    // What it may do, it does.
    doors.virsh("south", &["start", "@"]).ok();
    doors.command("south", "power.start", "done");
    doors.virsh("south", &["destroy", "@"]).ok();
}

#[test]
fn who_makes_a_vm_by_its_door_is_its_primary() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("who_makes_a_vm_by_its_door_is_its_primary", &reason),
    };
    let mut doors = Doors::set(&libvirt, Guest::define(&libvirt, "first"), "");
    let name = format!("made-{}", std::process::id());
    let uuid = uuid::Uuid::now_v7();
    let xml = format!(
        "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory>65536</memory>\
         <os><type>hvm</type></os></domain>"
    );
    let file = doors.agent.folder().join("made.xml");
    std::fs::write(&file, &xml).unwrap();
    let file = file.to_str().unwrap();
    let said = doors.virsh("south", &["define", file]);
    assert_eq!(said.code, Some(1), "{said:?}");
    has(&said.err, &["host role"]);
    doors.virsh("north", &["define", file]).ok();
    let view = doors.north.get(&format!("/v1/vms/{uuid}")).ok();
    assert_eq!(view["delegations"]["primary"], "north", "{view:#}");
    // From then on it is co-managed: its end takes the lane, and so does its return.
    doors.virsh("north", &["undefine", &name]).ok();
    doors.virsh("north", &["define", file]).ok();
    doors.virsh("north", &["undefine", &name]).ok();
    let commands = doors.north.get(&format!("/v1/vms/{uuid}/commands")).ok();
    let mut actions: Vec<&str> =
        commands["commands"].as_array().unwrap().iter().filter_map(|command| command["action"].as_str()).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["definition.define", "definition.undefine", "definition.undefine"], "{commands:#}");
}

#[test]
fn a_vm_that_nobody_co_manages_is_plain_libvirts_for_the_host_role() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("a_vm_that_nobody_co_manages_is_plain_libvirts_for_the_host_role", &reason);
        }
    };
    let free = Guest::define(&libvirt, "free");
    let mut doors = Doors::set(&libvirt, Guest::define(&libvirt, "mine"), "");
    doors.virsh("north", &["start", free.name(), "--paused"]).ok();
    doors.virsh("north", &["resume", free.name()]).ok();
    doors.virsh("north", &["destroy", free.name()]).ok();
    let uuid = free.domain(&libvirt.connect()).uuid_string().unwrap();
    assert_eq!(doors.north.get(&format!("/v1/vms/{uuid}/commands")).code(), "unknown-vm");
    until("nothing of it is journalled", std::time::Duration::from_secs(5), || {
        let log = doors.agent.log();
        (!log.contains("panicked")).then_some(())
    });
}

#[test]
fn a_backup_begun_at_a_door_stays_open_for_everybody_until_its_client_ends_it() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("a_backup_begun_at_a_door_stays_open_for_everybody_until_its_client_ends_it", &reason);
        }
    };
    let mut doors = Doors::booted(&libvirt, "backup", "");
    doors.delegate(&["disk.resize"], "shared");
    let xml = format!(
        "<domainbackup mode='pull'><server transport='unix' socket='{}/nbd-{}'/></domainbackup>",
        libvirt.folder().display(),
        std::process::id()
    );
    let file = doors.agent.folder().join("backup.xml");
    std::fs::write(&file, xml).unwrap();
    doors.virsh("north", &["backup-begin", "@", file.to_str().unwrap()]).ok();
    let holds = doors.north.get(&format!("/v1/vms/{}/holds", doors.vm)).ok();
    assert_eq!((&holds["holds"][0]["hold"], &holds["holds"][0]["owner"]), (&json!("backup"), &json!("north")));
    let resize = doors.begin("south", &["blockresize", "@", "vda", "100M"]);
    doors.command("south", "disk.resize", "queued");
    doors.virsh("north", &["domjobabort", "@"]).ok();
    resize.end().ok();
    assert_eq!(doors.command("north", "backup.end", "done")["code"], "executed");
    let holds = doors.north.get(&format!("/v1/vms/{}/holds", doors.vm)).ok();
    assert_eq!(holds["holds"], json!([]));
}
