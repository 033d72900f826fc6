use super::*;

fn legacy(vm: VmId) -> Vec<u8> {
    bytes(|w| w.vm(vm).i32(2).i32(0))
}

fn callback(vm: VmId) -> Vec<u8> {
    bytes(|w| w.i32(3).vm(vm).i32(2).i32(0))
}

#[test]
fn events_are_shown_of_the_vms_that_are_seen() {
    let begin_with_vm = [107, 169, 170, 171, 172, 173, 195, 224, 241, 248, 268, 269, 270, 276, 292, 311];
    for procedure in begin_with_vm {
        for (vm, host_role, other) in [(MINE, true, true), (THEIRS, false, false), (LOOSE, true, false)] {
            let expect = |is_shown| Ok(if is_shown { Shown::Same } else { Shown::Hidden });
            assert_eq!(event(REMOTE, procedure, &legacy(vm), &hoster()), expect(host_role), "{procedure}");
            assert_eq!(event(REMOTE, procedure, &legacy(vm), &secondary()), expect(other), "{procedure}");
            assert_eq!(event(REMOTE, procedure, &legacy(vm), &operator()), Ok(Shown::Same));
        }
    }
    let begin_with_registration = (318..=333).chain([339, 346, 348, 354, 359, 363, 367, 379, 385, 423, 438]);
    for (program, procedure) in begin_with_registration.map(|number| (REMOTE, number)).chain([(QEMU, 6)]) {
        assert_eq!(event(program, procedure, &callback(MINE), &secondary()), Ok(Shown::Same), "{procedure}");
        assert_eq!(event(program, procedure, &callback(THEIRS), &secondary()), Ok(Shown::Hidden), "{procedure}");
        assert_eq!(event(program, procedure, &callback(LOOSE), &hoster()), Ok(Shown::Same), "{procedure}");
        assert_eq!(event(program, procedure, &callback(THEIRS), &hoster()), Ok(Shown::Hidden), "{procedure}");
        assert_eq!(event(program, procedure, &callback(MINE)[..20], &hoster()), Err(ReadXdrError::Short));
    }
}

#[test]
fn events_of_the_host_are_shown_and_those_of_its_things_by_whose_they_are() {
    for procedure in [315, 362, 370, 373] {
        assert_eq!(event(REMOTE, procedure, b"whatever", &unsure()), Ok(Shown::Same));
    }
    for procedure in [376, 377] {
        let of = |name: &str| bytes(|w| w.i32(1).string(name).i32(0).i32(0));
        assert_eq!(event(REMOTE, procedure, &of("pci_0000_00_02_0"), &unsure()), Ok(Shown::Same));
        assert_eq!(event(REMOTE, procedure, &of("net_vnet2_fe_54_00_00_00_02"), &hoster()), Ok(Shown::Hidden));
        assert_eq!(event(REMOTE, procedure, &of("net_vnet1_fe_54_00_00_00_01"), &secondary()), Ok(Shown::Same));
    }
    for procedure in [382, 383] {
        let of = |text: &str| bytes(|w| w.i32(1).raw(NETWORK.as_bytes()).i32(5).string(text).i32(0).i32(0));
        assert_eq!(event(REMOTE, procedure, &of("ceph"), &secondary()), Ok(Shown::Same));
        assert_eq!(event(REMOTE, procedure, &of(&THEIRS.to_string()), &hoster()), Ok(Shown::Hidden));
    }
}

#[test]
fn an_event_of_a_newer_libvirt_is_shown_when_it_begins_with_a_vm_that_is_seen() {
    assert_eq!(event(REMOTE, 999, &callback(MINE), &secondary()), Ok(Shown::Same));
    for vm in [THEIRS, LOOSE] {
        assert_eq!(event(REMOTE, 999, &callback(vm), &secondary()), Ok(Shown::Hidden));
    }
    assert_eq!(event(REMOTE, 999, b"something quite else", &secondary()), Ok(Shown::Hidden));
    assert_eq!(event(REMOTE, 999, b"something quite else", &hoster()), Ok(Shown::Same));
    assert_eq!(event(REMOTE, 999, &callback(LOOSE), &hoster()), Ok(Shown::Same));
    assert_eq!(event(REMOTE, 999, &callback(THEIRS), &hoster()), Ok(Shown::Hidden));
}
