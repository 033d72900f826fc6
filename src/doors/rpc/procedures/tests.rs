use std::collections::BTreeSet;
use std::path::Path;

use super::*;

/// libvirt's own list, when it is there.
fn libvirts() -> Option<Vec<Vec<String>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/libvirt-rpc/procedures.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return None;
    };
    Some(text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect())
}

/// What of libvirt's permissions lets one only look.
fn only_looks(permission: &str) -> bool {
    let verb = permission.split(':').nth(1).unwrap_or(permission);
    matches!(verb, "getattr" | "read" | "read_secure" | "none" | "screenshot" | "data_read" | "detect_storage_pools")
        || verb.starts_with("search_")
        || matches!(verb, "mem_read" | "block_read")
}

/// What libvirt lets only a writer do though it changes nothing, and why a door lets it pass as a read.
const READS_OF_WRITERS: [(&str, &str); 12] = [
    ("domain_get_time", "asks the guest's agent"),
    ("domain_get_hostname", "asks the guest's agent"),
    ("domain_get_guest_info", "asks the guest's agent"),
    ("domain_get_guest_vcpus", "asks the guest's agent"),
    ("domain_get_fsinfo", "asks the guest's agent"),
    ("domain_get_vcpus_flags", "may ask the guest's agent"),
    ("domain_interface_addresses", "may ask the guest's agent"),
    ("domain_authorized_ssh_keys_get", "asks the guest's agent"),
    ("domain_save_image_get_xml_desc", "reads a file; of which VM is looked at"),
    ("domain_migrate_get_max_downtime", "gives back what is set"),
    ("domain_migrate_get_max_speed", "gives back what is set"),
    ("domain_migrate_get_compression_cache", "gives back what is set"),
];

/// What libvirt takes for a read and is none.
const WRITES_OF_READERS: [&str; 1] = ["domain_set_scheduler_parameters"];

#[test]
fn every_line_of_the_table_is_read() {
    assert!(read(TABLE).all(|line| line.is_some()));
    assert_eq!(read(TABLE).count(), all().count(), "no number is there twice");
    let names: BTreeSet<(u32, &str)> = all().map(|procedure| (procedure.program, procedure.name)).collect();
    assert_eq!(names.len(), all().count(), "no name is there twice");
}

#[test]
fn the_table_has_all_of_libvirts_procedures_and_no_others() {
    let Some(theirs) = libvirts() else { return };
    let theirs: Vec<(u32, &str)> = theirs.iter().map(|row| (row[0].parse().unwrap(), row[1].as_str())).collect();
    let of = |program| all().filter(move |procedure| procedure.program == program);
    let ours: Vec<(u32, &str)> = of(REMOTE).map(|procedure| (procedure.number, procedure.name)).collect();
    assert_eq!(ours, theirs);
    assert_eq!((of(REMOTE).count(), of(QEMU).count(), of(LXC).count()), (443, 7, 1));
}

#[test]
fn a_vm_is_where_libvirt_puts_it() {
    let Some(theirs) = libvirts() else { return };
    for row in theirs {
        let ours = find(REMOTE, row[0].parse().unwrap()).unwrap();
        let place = match row[4].as_str() {
            "remote_nonnull_domain" if ours.name != "connect_get_all_domain_stats" => Place::First,
            "remote_nonnull_domain_snapshot" | "remote_nonnull_domain_checkpoint" => Place::InNamed,
            _ => continue,
        };
        assert_eq!(ours.place, place, "{}", ours.name);
    }
}

#[test]
fn nothing_that_libvirt_lets_only_writers_do_passes_as_a_read() {
    let Some(theirs) = libvirts() else { return };
    for row in theirs {
        let ours = find(REMOTE, row[0].parse().unwrap()).unwrap();
        let looks = row[2].split(' ').all(only_looks);
        let excepted = READS_OF_WRITERS.iter().any(|(name, _)| *name == ours.name);
        match &ours.handling {
            Handling::Pass | Handling::Read | Handling::HostRead => {
                assert_ne!(looks, excepted, "{}: {}", ours.name, row[2]);
            }
            Handling::HostWrite | Handling::HostEither | Handling::Refuse | Handling::Act(_) => {
                assert_eq!(looks, WRITES_OF_READERS.contains(&ours.name), "{}: {}", ours.name, row[2]);
            }
        }
    }
}

#[test]
fn what_acts_on_a_vm_is_no_look_and_names_its_vm() {
    for procedure in all() {
        let acts = matches!(procedure.handling, Handling::Act(_));
        assert!(!acts || procedure.place != Place::Nowhere, "{}", procedure.name);
        if let Handling::Act(actions) = &procedure.handling {
            let once: BTreeSet<&Action> = actions.iter().collect();
            assert_eq!(once.len(), actions.len(), "{}", procedure.name);
            assert!(!actions.iter().any(|action| action.is_read()), "{}", procedure.name);
        } else {
            assert_eq!(procedure.returns, Returns::Other, "{}: nobody answers a read but libvirt", procedure.name);
        }
    }
}

#[test]
fn every_action_that_a_client_can_ask_for_is_asked_for_by_some_procedure() {
    let asked: BTreeSet<Action> = all()
        .filter_map(|procedure| if let Handling::Act(actions) = &procedure.handling { Some(actions) } else { None })
        .flatten()
        .copied()
        .collect();
    let never: Vec<&str> = Action::ALL.into_iter().filter(|action| !asked.contains(action)).map(Action::name).collect();
    // A backup is ended by libvirt's word for ending whatever runs; a disk is written by way of its volume.
    // What the API alone gives is at this door a read (a picture, the guest's word) or the host's (a volume).
    let at_the_api = ["screen.capture", "disk.read", "guest.info"];
    let (api, elsewhere): (Vec<&str>, Vec<&str>) = never.into_iter().partition(|name| at_the_api.contains(name));
    assert_eq!(api, at_the_api);
    assert_eq!(elsewhere, ["backup.end", "disk.write", "lock.acquire", "lock.release", "inspect.read"]);
}

#[test]
fn numbers_and_names_are_found() {
    assert_eq!(name_of(REMOTE, 34), Some("domain_suspend"));
    assert_eq!(name_of(QEMU, 1), Some("domain_monitor_command"));
    for (program, number) in [(REMOTE, 0), (REMOTE, 444), (REMOTE, u32::MAX), (QEMU, 8), (7, 1)] {
        assert_eq!(name_of(program, number), None);
        assert_eq!(returns(program, number), Returns::Other);
    }
    assert_eq!(returns(REMOTE, 34), Returns::Nothing);
    assert_eq!(returns(REMOTE, 196), Returns::Domain);
    assert_eq!(returns(REMOTE, 358), Returns::Zero);
}

#[test]
fn a_line_that_says_something_else_is_not_read() {
    for line in [
        "1 a - other",
        "x a - other pass",
        "1 a here other pass",
        "1 a - much pass",
        "1 a - other power.explode",
        "1 a - other pass pass",
        "1",
    ] {
        assert_eq!(read_line(REMOTE, line), None, "{line}");
    }
}
