use std::path::Path;

use super::super::decided::{self, Names, Shows};
use super::super::listing::Listing;
use super::super::remote;
use super::*;

#[test]
fn every_procedure_of_the_remote_program_is_decided_and_named_as_libvirt_names_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/libvirt-rpc/procedures.csv");
    let Ok(table) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return;
    };
    let mut decided = remote::NAMES.iter();
    for line in table.lines().skip(1) {
        let mut fields = line.split(',');
        let mut field = || fields.next().unwrap();
        let (number, name, acl, _, first) = (field().parse::<u32>().unwrap(), field(), field(), field(), field());
        assert_eq!(decided.next(), Some(&(number, name)));
        let found = decided::of(REMOTE, number).unwrap();
        // An event has no permission of its own, and nothing else has its name.
        let is_event = name.contains("_event_") && acl == "none";
        let shown_as_event = matches!(found.shows, Shows::Event(_));
        assert_eq!(is_event, shown_as_event, "{name}");
        let names = match first {
            "remote_nonnull_domain" if name == "connect_get_all_domain_stats" => Some(Names::Vms),
            "remote_nonnull_domain" => Some(Names::Vm),
            "remote_nonnull_domain_snapshot" | "remote_nonnull_domain_checkpoint" => Some(Names::VmAfterName),
            "remote_nonnull_storage_vol" => Some(Names::Volume),
            "remote_nonnull_interface" => Some(Names::Interface),
            "remote_nonnull_network_port" => Some(Names::Port),
            "remote_nonnull_nwfilter_binding" => Some(Names::Binding),
            "remote_nonnull_secret" => Some(Names::Secret),
            _ => None,
        };
        assert!(names.is_none_or(|names| names == found.names), "{name}");
        // Whoever lists, counts or looks something up says why that is shown as it is.
        let lists = ["_list_", "_num_of_", "_lookup_", "leases", "all_domain_stats"];
        if found.shows == Shows::Plain && lists.iter().any(|part| name.contains(part)) {
            let (of_one_vm, of_host) = (
                matches!(found.names, Names::Vm | Names::VmAfterName | Names::Device),
                name.starts_with("auth_")
                    || ["network", "nwfilter", "storage_pool"].iter().any(|kind| name.contains(kind)),
            );
            assert!(of_one_vm || of_host, "{name} is shown as it is");
        }
    }
    assert_eq!(decided.as_slice(), [(444, "network_set_metadata"), (445, "network_get_metadata")]);
}

#[test]
fn the_other_programs_are_decided_and_nothing_else_is() {
    let of = |program, last: u32| (0..=last + 1).filter(move |number| decided::of(program, *number).is_some());
    assert!(of(QEMU, 7).eq(1..=7));
    assert!(of(LXC, 1).eq(1..=1));
    assert!(of(REMOTE, 445).eq(1..=445));
    assert_eq!(decided::of(REMOTE, u32::MAX), None);
    assert_eq!(decided::of(0x1234, 1), None);
}

#[test]
fn every_list_that_is_sifted_has_a_layout() {
    for number in 1..446 {
        let is_list = decided::of(REMOTE, number).unwrap().shows == Shows::List;
        // These are asked for in the stead of a count.
        let is_asked = [112, 127, 138].contains(&number);
        assert_eq!(Listing::of(number).is_some(), is_list || is_asked, "{number}");
    }
}

#[test]
fn a_reply_is_never_taken_for_an_event() {
    for number in [107, 318, 376, 382, 315] {
        assert_eq!(reply(REMOTE, number, &bytes(|w| w.vm(MINE)), &secondary()), Ok(Shown::Hidden));
    }
}
