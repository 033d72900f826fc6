use super::*;

/// What a call is answered with when libvirt answers the question that is asked instead.
fn answer(procedure: u32, call: &[u8], asks: (u32, &[u8]), reply: &[u8], eyes: &dyn Eyes) -> Vec<u8> {
    let Ok(Asked::Recount(recount)) = super::call(REMOTE, procedure, call, eyes) else {
        panic!("{procedure} is passed on as it is");
    };
    let question = recount.question(call).unwrap();
    assert_eq!((question.procedure, question.payload.as_slice()), asks);
    recount.answer(call, reply, eyes).unwrap()
}

fn numbered(of: &[(VmId, i32)]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.count(of.len());
    for (vm, number) in of {
        writer.named(name_of(*vm), vm.0).i32(*number);
    }
    writer.count(of.len());
    writer.into_bytes()
}

#[test]
fn vms_are_counted_and_numbered_from_the_list_of_those_that_are_seen() {
    let running = numbered(&[(THEIRS, 4), (MINE, 5), (LOOSE, 6)]);
    let asks = bytes(|w| w.u32(1).u32(1));
    assert_eq!(answer(51, &[], (273, &asks), &running, &hoster()), bytes(|w| w.i32(2)));
    assert_eq!(answer(51, &[], (273, &asks), &running, &secondary()), bytes(|w| w.i32(1)));
    let call = bytes(|w| w.i32(16));
    assert_eq!(answer(37, &call, (273, &asks), &running, &hoster()), bytes(|w| w.count(2).i32(5).i32(6)));
    let call = bytes(|w| w.i32(1));
    assert_eq!(answer(37, &call, (273, &asks), &running, &hoster()), bytes(|w| w.count(1).i32(5)));
    let call = bytes(|w| w.i32(-1));
    assert_eq!(answer(37, &call, (273, &asks), &running, &hoster()), bytes(|w| w.count(0)));
}

#[test]
fn defined_vms_are_counted_and_named_from_the_list_of_those_that_are_seen() {
    let off = numbered(&[(LOOSE, -1), (THEIRS, -1), (MINE, -1)]);
    let asks = bytes(|w| w.u32(1).u32(2));
    assert_eq!(answer(25, &[], (273, &asks), &off, &hoster()), bytes(|w| w.i32(2)));
    let call = bytes(|w| w.i32(16));
    let names = bytes(|w| w.count(2).string("loose").string("mine"));
    assert_eq!(answer(21, &call, (273, &asks), &off, &hoster()), names);
}

#[test]
fn volumes_are_counted_and_named_from_the_list_of_those_that_are_seen() {
    let volumes = bytes(|w| {
        w.count(2).string("images").string("theirs.qcow2").string("/pool/theirs.qcow2");
        w.string("images").string("a.iso").string("/pool/a.iso").count(2)
    });
    let call = bytes(|w| w.named("images", NETWORK));
    let asks = bytes(|w| w.named("images", NETWORK).u32(1).u32(0));
    assert_eq!(answer(91, &call, (282, &asks), &volumes, &secondary()), bytes(|w| w.i32(1)));
    let call = bytes(|w| w.named("images", NETWORK).i32(9));
    assert_eq!(answer(92, &call, (282, &asks), &volumes, &secondary()), bytes(|w| w.count(1).string("a.iso")));
}

#[test]
fn devices_are_counted_and_named_from_a_longer_list() {
    let devices = bytes(|w| w.count(3).string("net_vnet2_fe_54_00_00_00_02").string("computer").string("pci_1"));
    let asks = bytes(|w| w.optional_string(Some("net")).u32(16384).u32(3));
    let call = bytes(|w| w.optional_string(Some("net")).u32(3));
    assert_eq!(answer(111, &call, (112, &asks), &devices, &secondary()), bytes(|w| w.i32(2)));
    let call = bytes(|w| w.optional_string(Some("net")).i32(1).u32(3));
    assert_eq!(answer(112, &call, (112, &asks), &devices, &secondary()), bytes(|w| w.count(1).string("computer")));
}

#[test]
fn interfaces_are_counted_and_named_from_a_longer_list() {
    let names = bytes(|w| w.count(3).string("lo").string("vnet2").string("vnet1"));
    let shown = bytes(|w| w.count(2).string("lo").string("vnet1"));
    let asks = bytes(|w| w.u32(16384));
    for (count, list) in [(126, 127), (137, 138)] {
        assert_eq!(answer(count, &[], (list, &asks), &names, &secondary()), bytes(|w| w.i32(2)));
        assert_eq!(answer(list, &bytes(|w| w.i32(5)), (list, &asks), &names, &secondary()), shown);
    }
}

#[test]
fn secrets_are_counted_and_named_from_the_list_that_says_what_they_are_for() {
    let (kept, hidden) = (Uuid::from_u128(0xabcd), Uuid::from_u128(0xef01));
    let secrets = bytes(|w| {
        w.count(2).raw(hidden.as_bytes()).i32(5).string(&THEIRS.to_string());
        w.raw(kept.as_bytes()).i32(2).string("ceph").count(2)
    });
    let asks = bytes(|w| w.u32(1).u32(0));
    assert_eq!(answer(139, &[], (287, &asks), &secrets, &hoster()), bytes(|w| w.i32(1)));
    let shown = bytes(|w| w.count(1).string("00000000-0000-0000-0000-00000000abcd"));
    assert_eq!(answer(140, &bytes(|w| w.i32(9)), (287, &asks), &secrets, &hoster()), shown);
}

#[test]
fn a_list_asked_only_for_its_length_is_asked_for_whole() {
    let running = numbered(&[(THEIRS, 4), (MINE, 5)]);
    let (call, asks) = (bytes(|w| w.u32(0).u32(64)), bytes(|w| w.u32(1).u32(64)));
    let length = bytes(|w| w.count(0).count(1));
    assert_eq!(answer(273, &call, (273, &asks), &running, &secondary()), length);
    for procedure in [284, 285, 287, 401] {
        let none = bytes(|w| w.count(0).count(0));
        assert_eq!(answer(procedure, &call, (procedure, &asks), &none, &secondary()), none);
    }
    for procedure in [282, 404] {
        let call = bytes(|w| w.named("default", NETWORK).u32(0).u32(8));
        let asks = bytes(|w| w.named("default", NETWORK).u32(1).u32(8));
        let none = bytes(|w| w.count(0).count(0));
        assert_eq!(answer(procedure, &call, (procedure, &asks), &none, &secondary()), none);
    }
    let call = bytes(|w| w.named("default", NETWORK).optional_string(Some("52:54")).u32(0).u32(0));
    let asks = bytes(|w| w.named("default", NETWORK).optional_string(Some("52:54")).u32(1).u32(0));
    let none = bytes(|w| w.count(0).count(0));
    assert_eq!(answer(341, &call, (341, &asks), &none, &secondary()), none);
}

#[test]
fn a_reply_that_only_counts_asks_for_the_list_as_well() {
    let count = bytes(|w| w.count(0).count(3));
    let Ok(Shown::Recount(recount)) = reply(REMOTE, 273, &count, &secondary()) else { panic!("a bare count is shown") };
    assert_eq!(recount.question(&bytes(|w| w.u32(0).u32(1))).unwrap().payload, bytes(|w| w.u32(1).u32(1)));
    for procedure in [21, 25, 37, 51, 91, 92, 111, 112, 126, 127, 137, 138, 139, 140] {
        let shown = reply(REMOTE, procedure, &[0, 0, 0, 9], &secondary());
        assert!(matches!(shown, Ok(Shown::Recount(_))), "{procedure}: {shown:?}");
        assert_eq!(reply(REMOTE, procedure, &[0, 0, 0, 9], &operator()), Ok(Shown::Same));
    }
}

#[test]
fn whoever_sees_everything_has_no_other_question_asked() {
    assert_eq!(call(REMOTE, 51, &[], &operator()), Ok(Asked::Seen));
    assert_eq!(call(REMOTE, 273, &bytes(|w| w.u32(0).u32(0)), &operator()), Ok(Asked::Seen));
    assert_eq!(call(REMOTE, 273, &bytes(|w| w.u32(1).u32(0)), &secondary()), Ok(Asked::Seen));
}
