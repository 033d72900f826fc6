use super::*;

/// A list with how many it has behind it, where the procedure has that.
fn list<Of: Copy>(of: &[Of], counted: bool, write: impl Fn(&mut Writer, Of)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.count(of.len());
    for one in of {
        write(&mut writer, *one);
    }
    if counted {
        writer.count(of.len());
    }
    writer.into_bytes()
}

fn vms(of: &[VmId]) -> Vec<u8> {
    list(of, true, |writer, vm| {
        writer.vm(vm);
    })
}

#[test]
fn a_list_has_only_the_vms_that_are_seen_and_its_count_says_so() {
    let all = vms(&[THEIRS, MINE, LOOSE]);
    assert_eq!(reply(REMOTE, 273, &all, &secondary()), Ok(Shown::Changed(vms(&[MINE]))));
    assert_eq!(reply(REMOTE, 273, &all, &hoster()), Ok(Shown::Changed(vms(&[MINE, LOOSE]))));
    assert_eq!(reply(REMOTE, 273, &all, &operator()), Ok(Shown::Same));
    assert_eq!(reply(REMOTE, 273, &vms(&[MINE]), &secondary()), Ok(Shown::Same));
    assert_eq!(reply(REMOTE, 273, &vms(&[]), &secondary()), Ok(Shown::Same));
    assert_eq!(reply(REMOTE, 273, &vms(&[THEIRS, LOOSE]), &secondary()), Ok(Shown::Changed(vms(&[]))));
}

#[test]
fn a_list_that_is_of_another_length_than_it_says_is_not_shown() {
    for told in [0, 2, u32::MAX] {
        let mut other = vms(&[MINE]);
        other.truncate(other.len() - 4);
        other.extend(told.to_be_bytes());
        assert_eq!(reply(REMOTE, 273, &other, &secondary()), Ok(Shown::Hidden), "{told}");
    }
}

#[test]
fn a_list_with_something_behind_it_is_not_shown() {
    let mut longer = vms(&[MINE]);
    longer.extend(*b"more");
    assert_eq!(reply(REMOTE, 273, &longer, &secondary()), Ok(Shown::Hidden));
}

#[test]
fn bulk_statistics_have_only_the_vms_that_are_seen_with_every_kind_of_parameter() {
    let stats = |of: &[VmId]| {
        list(of, false, |writer, vm| {
            writer.vm(vm).count(7);
            writer.string("state.state").u32(1).i32(-1).string("vcpu.current").u32(2).u32(2);
            writer.string("l").u32(3).u64(u64::MAX).string("cpu.time").u32(4).u64(9);
            writer.string("ratio").u32(5).u64(f64::to_bits(0.5)).string("yes").u32(6).u32(1);
            writer.string("net.0.name").u32(7).string("vnet2");
        })
    };
    let all = stats(&[MINE, THEIRS, LOOSE]);
    assert_eq!(reply(REMOTE, 344, &all, &secondary()), Ok(Shown::Changed(stats(&[MINE]))));
    assert_eq!(reply(REMOTE, 344, &all, &hoster()), Ok(Shown::Changed(stats(&[MINE, LOOSE]))));
    assert_eq!(reply(REMOTE, 344, &stats(&[MINE]), &secondary()), Ok(Shown::Same));
    let strange = list(&[MINE], false, |writer, vm| {
        writer.vm(vm).count(1).string("new").u32(8).u32(0);
    });
    assert_eq!(reply(REMOTE, 344, &strange, &secondary()), Err(ReadXdrError::NoSuchValue(8)));
}

#[test]
fn volumes_are_left_out_when_they_are_the_disks_of_vms_that_are_not_seen() {
    type Volume = (&'static str, &'static str, &'static str);
    let volumes = |of: &[Volume]| {
        list(of, true, |writer, (pool, name, key)| {
            writer.string(pool).string(name).string(key);
        })
    };
    let mine = ("images", "mine.qcow2", "/pool/mine.qcow2");
    let base = ("images", "base-mine.qcow2", "/pool/base-mine.qcow2");
    let iso = ("images", "installer.iso", "/pool/installer.iso");
    let loose = ("images", "loose.qcow2", "/pool/loose.qcow2");
    let data = ("lvm", "loose-data", "aBcD-eFgH");
    let theirs = ("images", "theirs.qcow2", "/pool/theirs.qcow2");
    let below = ("images", "base-theirs.qcow2", "/pool/base-theirs.qcow2");
    let block = ("lvm", "theirs-data", "iJkL-mNoP");
    let image = ("rbd-pool", "theirs", "rbd/theirs");
    let all = volumes(&[theirs, mine, below, base, iso, block, loose, data]);
    let shown = volumes(&[mine, base, iso]);
    assert_eq!(reply(REMOTE, 282, &all, &secondary()), Ok(Shown::Changed(shown)));
    let shown = volumes(&[mine, base, iso, loose, data]);
    assert_eq!(reply(REMOTE, 282, &all, &hoster()), Ok(Shown::Changed(shown)));
    assert_eq!(reply(REMOTE, 282, &volumes(&[image, iso]), &hoster()), Ok(Shown::Changed(volumes(&[iso]))));
    assert_eq!(reply(REMOTE, 282, &volumes(&[iso]), &unsure()), Ok(Shown::Changed(volumes(&[]))));
}

#[test]
fn the_host_ends_of_nics_are_no_devices_of_those_who_do_not_see_the_vm() {
    let devices = |of: &[&str]| {
        list(of, true, |writer, name| {
            writer.string(name);
        })
    };
    let tap = |number: u32| format!("net_vnet{number}_fe_54_00_00_00_0{number}");
    let all = devices(&["computer", &tap(1), &tap(2), "pci_0000_00_02_0", &tap(3), "net_eth0_02_00_00_00_00_99"]);
    let shown = devices(&["computer", &tap(1), "pci_0000_00_02_0", "net_eth0_02_00_00_00_00_99"]);
    assert_eq!(reply(REMOTE, 285, &all, &secondary()), Ok(Shown::Changed(shown)));
    let shown = devices(&["computer", &tap(1), "pci_0000_00_02_0", &tap(3), "net_eth0_02_00_00_00_00_99"]);
    assert_eq!(reply(REMOTE, 285, &all, &hoster()), Ok(Shown::Changed(shown)));
    let shown = devices(&["computer", "pci_0000_00_02_0"]);
    assert_eq!(reply(REMOTE, 285, &all, &unsure()), Ok(Shown::Changed(shown)));
    // The MAC address tells even where nobody knows the name.
    let renamed = devices(&["net_tap_x_fe_54_00_00_00_02", "net_", "net_lo_00_00_00_00_00_00"]);
    let shown = devices(&["net_", "net_lo_00_00_00_00_00_00"]);
    assert_eq!(reply(REMOTE, 285, &renamed, &hoster()), Ok(Shown::Changed(shown)));
}

#[test]
fn host_interfaces_are_left_out_by_name_and_by_mac_address() {
    let interfaces = |of: &[(&str, &str)]| {
        list(of, true, |writer, (name, mac)| {
            writer.string(name).string(mac);
        })
    };
    let (lo, other, by_mac) = (("lo", ""), ("vnet2", ""), ("tap7", "FE:54:00:00:00:02"));
    let all = interfaces(&[lo, other, ("vnet1", "fe:54:00:00:00:01"), by_mac]);
    let shown = interfaces(&[lo, ("vnet1", "fe:54:00:00:00:01")]);
    assert_eq!(reply(REMOTE, 284, &all, &secondary()), Ok(Shown::Changed(shown.clone())));
    assert_eq!(reply(REMOTE, 284, &all, &hoster()), Ok(Shown::Changed(shown)));
}

#[test]
fn secrets_are_left_out_by_the_volume_or_the_vm_that_they_are_for() {
    let secrets = |of: &[(u128, i32, &str)]| {
        list(of, true, |writer, (uuid, usage, text)| {
            writer.raw(Uuid::from_u128(uuid).as_bytes()).i32(usage).string(text);
        })
    };
    let theirs = THEIRS.0.to_string();
    let ceph = (5, 2, "client.cinder secret");
    let all = secrets(&[(4, 1, "/pool/theirs.qcow2"), ceph, (6, 5, &theirs), (7, 1, "/pool/mine.qcow2")]);
    let shown = secrets(&[ceph, (7, 1, "/pool/mine.qcow2")]);
    assert_eq!(reply(REMOTE, 287, &all, &secondary()), Ok(Shown::Changed(shown.clone())));
    assert_eq!(reply(REMOTE, 287, &all, &hoster()), Ok(Shown::Changed(shown)));
}

#[test]
fn leases_are_shown_by_mac_address_and_those_without_a_vm_only_with_the_host_role() {
    type Lease = (Option<&'static str>, Option<&'static str>);
    let leases = |of: &[Lease]| {
        list(of, true, |writer, (mac, host)| {
            writer.string("virbr0").u64(9).i32(0).optional_string(mac).optional_string(None);
            writer.string("192.0.2.7").u32(24).optional_string(host).optional_string(Some("01:02"));
        })
    };
    // A guest that gives itself the name of another is still told by its address.
    let mine = (Some("52:54:00:00:00:01"), Some("theirs"));
    let theirs = (Some("52:54:00:00:00:02"), Some("mine"));
    let (stranger, nameless) = ((Some("02:00:00:00:00:77"), Some("printer")), (None, None));
    let named = (None, Some("theirs"));
    let all = leases(&[theirs, mine, stranger, nameless, named]);
    assert_eq!(reply(REMOTE, 341, &all, &secondary()), Ok(Shown::Changed(leases(&[mine]))));
    let shown = leases(&[mine, stranger, nameless]);
    assert_eq!(reply(REMOTE, 341, &all, &hoster()), Ok(Shown::Changed(shown)));
    assert_eq!(reply(REMOTE, 341, &all, &unsure()), Ok(Shown::Changed(leases(&[]))));
}

#[test]
fn ports_and_filter_bindings_are_the_vms_whose_nics_they_serve() {
    let ports = |of: &[Uuid]| {
        list(of, true, |writer, port| {
            writer.named("default", NETWORK).raw(port.as_bytes());
        })
    };
    let (mine, theirs, loose, other) = (port_of(MINE), port_of(THEIRS), port_of(LOOSE), Uuid::nil());
    let all = ports(&[mine, theirs, loose, other]);
    assert_eq!(reply(REMOTE, 404, &all, &secondary()), Ok(Shown::Changed(ports(&[mine]))));
    assert_eq!(reply(REMOTE, 404, &all, &hoster()), Ok(Shown::Changed(ports(&[mine, loose, other]))));
    let bindings = |of: &[&str]| {
        list(of, true, |writer, device| {
            writer.string(device).string("clean-traffic");
        })
    };
    let all = bindings(&["vnet1", "vnet2", "vnet3", "veth9"]);
    assert_eq!(reply(REMOTE, 401, &all, &secondary()), Ok(Shown::Changed(bindings(&["vnet1"]))));
    let shown = bindings(&["vnet1", "vnet3", "veth9"]);
    assert_eq!(reply(REMOTE, 401, &all, &hoster()), Ok(Shown::Changed(shown)));
}

#[test]
fn lists_of_what_is_only_the_hosts_are_not_looked_at() {
    for procedure in [36, 38, 50, 52, 71, 72, 73, 74, 178, 179, 281, 283, 286] {
        assert_eq!(reply(REMOTE, procedure, b"whatever", &unsure()), Ok(Shown::Same), "{procedure}");
    }
}

proptest::proptest! {
    #[test]
    fn any_list_keeps_its_count_and_never_has_anyone_unseen(
        all in proptest::collection::vec(0_u128..12, 0..40),
        hidden in proptest::collection::btree_set(0_u128..12, 0..12),
    ) {
        let all: Vec<VmId> = all.into_iter().map(id).collect();
        let eyes = Provider { hidden: hidden.iter().copied().map(id).filter(|vm| *vm != MINE).collect(), ..hoster() };
        let shown = match reply(REMOTE, 273, &vms(&all), &eyes).unwrap() {
            Shown::Same => vms(&all),
            Shown::Changed(payload) => payload,
            other @ (Shown::Hidden | Shown::Recount(_)) => panic!("{other:?}"),
        };
        let kept: Vec<VmId> = all.iter().copied().filter(|vm| eyes.sees(*vm)).collect();
        proptest::prop_assert_eq!(&shown, &vms(&kept));
        for vm in &eyes.hidden {
            proptest::prop_assert!(!contains(&shown, vm.0.as_bytes()));
        }
    }
}
