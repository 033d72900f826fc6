use super::*;

/// What is shown of the reply to the secondary, to the host role, and to one who knows nothing.
fn shown(procedure: u32, payload: &[u8]) -> [Shown; 3] {
    [secondary(), hoster(), unsure()].map(|eyes| reply(REMOTE, procedure, payload, &eyes).unwrap())
}

const SAME: Shown = Shown::Same;
const HIDDEN: Shown = Shown::Hidden;

#[test]
fn a_look_up_finds_only_what_is_seen() {
    for procedure in [22, 23, 24] {
        assert_eq!(shown(procedure, &bytes(|w| w.vm(MINE))), [SAME, SAME, SAME]);
        assert_eq!(shown(procedure, &bytes(|w| w.vm(LOOSE))), [HIDDEN, SAME, HIDDEN]);
        assert_eq!(shown(procedure, &bytes(|w| w.vm(THEIRS))), [HIDDEN, HIDDEN, HIDDEN]);
    }
    for procedure in [95, 96, 97] {
        let volume = |name: &str| bytes(|w| w.string("images").string(name).string(&format!("/pool/{name}")));
        assert_eq!(shown(procedure, &volume("mine.qcow2")), [SAME, SAME, HIDDEN]);
        assert_eq!(shown(procedure, &volume("theirs.qcow2")), [HIDDEN, HIDDEN, HIDDEN]);
        assert_eq!(shown(procedure, &volume("a.iso")), [SAME, SAME, HIDDEN]);
    }
    let path = |path: &str| bytes(|w| w.string(path));
    assert_eq!(shown(100, &path("/pool/theirs.qcow2")), [HIDDEN, HIDDEN, HIDDEN]);
    assert_eq!(shown(100, &path("/nvram/theirs_VARS.fd")), [HIDDEN, HIDDEN, HIDDEN]);
    for procedure in [113, 297] {
        assert_eq!(shown(procedure, &path("pci_0000_00_02_0")), [SAME, SAME, SAME]);
        assert_eq!(shown(procedure, &path("net_vnet2_fe_54_00_00_00_02")), [HIDDEN, HIDDEN, HIDDEN]);
    }
    for procedure in [128, 129] {
        assert_eq!(shown(procedure, &bytes(|w| w.string("eth0").string("02:00:00:00:00:99"))), [SAME, SAME, HIDDEN]);
        assert_eq!(shown(procedure, &bytes(|w| w.string("vnet2").string(""))), [HIDDEN, HIDDEN, HIDDEN]);
    }
    for procedure in [141, 147] {
        let secret = |usage: i32, of: &str| bytes(|w| w.raw(NETWORK.as_bytes()).i32(usage).string(of));
        assert_eq!(shown(procedure, &secret(2, "client.admin")), [SAME, SAME, SAME]);
        assert_eq!(shown(procedure, &secret(1, "/pool/theirs.qcow2")), [HIDDEN, HIDDEN, HIDDEN]);
    }
    let port = |vm| bytes(|w| w.named("default", NETWORK).raw(port_of(vm).as_bytes()));
    assert_eq!(shown(405, &port(MINE)), [SAME, SAME, HIDDEN]);
    assert_eq!(shown(405, &port(LOOSE)), [HIDDEN, SAME, HIDDEN]);
    assert_eq!(shown(405, &port(THEIRS)), [HIDDEN, HIDDEN, HIDDEN]);
    assert_eq!(shown(397, &bytes(|w| w.string("vnet1").string("f"))), [SAME, SAME, HIDDEN]);
    assert_eq!(shown(397, &bytes(|w| w.string("vnet2").string("f"))), [HIDDEN, HIDDEN, HIDDEN]);
}

#[test]
fn a_secrets_value_needs_the_role_that_reads_secrets() {
    assert_eq!(reply(REMOTE, 145, &bytes(|w| w.opaque(b"x")), &hoster()), Ok(HIDDEN));
    let reader = Provider { secrets: true, ..hoster() };
    assert_eq!(reply(REMOTE, 145, &bytes(|w| w.opaque(b"x")), &reader), Ok(SAME));
    let blind = Provider { secrets: false, ..operator() };
    assert_eq!(reply(REMOTE, 145, &bytes(|w| w.opaque(b"x")), &blind), Ok(HIDDEN));
}

#[test]
fn what_a_newer_libvirt_answers_is_shown_to_the_host_role_when_it_names_nobody_unseen() {
    assert_eq!(shown(999, b""), [SAME, SAME, SAME]);
    assert_eq!(shown(999, b"some"), [HIDDEN, SAME, HIDDEN]);
    assert_eq!(shown(999, &bytes(|w| w.i32(7).vm(LOOSE))), [HIDDEN, SAME, HIDDEN]);
    assert_eq!(shown(999, &bytes(|w| w.i32(7).vm(THEIRS))), [HIDDEN, HIDDEN, HIDDEN]);
    let text = format!("<vm><uuid>{THEIRS}</uuid></vm>");
    assert_eq!(shown(999, &bytes(|w| w.string(&text))), [HIDDEN, HIDDEN, HIDDEN]);
    assert_eq!(reply(0x1234, 1, b"some", &secondary()), Ok(HIDDEN));
    assert_eq!(reply(0x1234, 1, b"some", &operator()), Ok(SAME));
}

fn asked(program: u32, procedure: u32, payload: &[u8]) -> [Asked; 2] {
    [secondary(), hoster()].map(|eyes| call(program, procedure, payload, &eyes).unwrap())
}

const SEEN: Asked = Asked::Seen;
const UNSEEN: Asked = Asked::Unseen;

#[test]
fn a_call_is_passed_on_only_when_the_vm_that_it_names_is_seen() {
    // The UUID counts, whatever name and number stand beside it.
    let disguised = |vm: VmId| bytes(|w| w.named("mine", vm.0).i32(5).u32(0));
    for (program, procedure) in [(REMOTE, 14), (REMOTE, 8), (REMOTE, 443), (QEMU, 1), (QEMU, 3), (QEMU, 7), (LXC, 1)] {
        assert_eq!(asked(program, procedure, &disguised(MINE)), [SEEN, SEEN]);
        assert_eq!(asked(program, procedure, &disguised(LOOSE)), [UNSEEN, SEEN]);
        assert_eq!(asked(program, procedure, &disguised(THEIRS)), [UNSEEN, UNSEEN]);
    }
    for procedure in [186, 412] {
        assert_eq!(asked(REMOTE, procedure, &bytes(|w| w.string("snap").vm(THEIRS).u32(0))), [UNSEEN, UNSEEN]);
        assert_eq!(asked(REMOTE, procedure, &bytes(|w| w.string("snap").vm(LOOSE).u32(0))), [UNSEEN, SEEN]);
    }
    assert_eq!(asked(REMOTE, 23, &bytes(|w| w.string("theirs"))), [UNSEEN, UNSEEN]);
    assert_eq!(asked(REMOTE, 23, &bytes(|w| w.string("nobody"))), [UNSEEN, SEEN]);
    assert_eq!(asked(REMOTE, 24, &bytes(|w| w.raw(LOOSE.0.as_bytes()))), [UNSEEN, SEEN]);
    let stats = bytes(|w| w.count(2).vm(MINE).vm(LOOSE).u32(0).u32(0));
    assert_eq!(asked(REMOTE, 344, &stats), [SEEN, SEEN]);
    assert_eq!(asked(REMOTE, 344, &bytes(|w| w.count(0).u32(0).u32(0))), [SEEN, SEEN]);
    for (vm, whom) in [(MINE, [SEEN, SEEN]), (LOOSE, [UNSEEN, SEEN]), (THEIRS, [UNSEEN, UNSEEN])] {
        assert_eq!(asked(REMOTE, 316, &bytes(|w| w.i32(0).bool(true).vm(vm))), whom);
        assert_eq!(asked(QEMU, 4, &bytes(|w| w.bool(true).vm(vm).bool(false).u32(0))), whom);
    }
    assert_eq!(asked(REMOTE, 316, &bytes(|w| w.i32(0).bool(false))), [SEEN, SEEN]);
    assert_eq!(call(REMOTE, 14, &disguised(MINE)[..10], &hoster()), Err(ReadXdrError::Short));
}

#[test]
fn a_made_up_volume_is_told_by_pool_and_name_whatever_its_key_says() {
    let made_up = |name: &str| bytes(|w| w.string("images").string(name).string("/pool/mine.qcow2").u64(0));
    for procedure in [94, 98, 99, 100, 165, 208, 209, 259, 260, 378] {
        assert_eq!(asked(REMOTE, procedure, &made_up("theirs.qcow2")), [UNSEEN, UNSEEN], "{procedure}");
        assert_eq!(asked(REMOTE, procedure, &made_up("loose.qcow2")), [UNSEEN, SEEN], "{procedure}");
        assert_eq!(asked(REMOTE, procedure, &made_up("a.iso")), [SEEN, SEEN], "{procedure}");
    }
    // Of a pool of which nobody knows where it lies, the file's name decides.
    let elsewhere = bytes(|w| w.string("other").string("theirs.qcow2").string("/other/theirs.qcow2").u32(0));
    assert_eq!(asked(REMOTE, 98, &elsewhere), [UNSEEN, UNSEEN]);
    assert_eq!(asked(REMOTE, 95, &bytes(|w| w.named("images", NETWORK).string("theirs.qcow2"))), [UNSEEN, UNSEEN]);
    for procedure in [96, 97] {
        assert_eq!(asked(REMOTE, procedure, &bytes(|w| w.string("/pool/theirs.qcow2"))), [UNSEEN, UNSEEN]);
        assert_eq!(asked(REMOTE, procedure, &bytes(|w| w.string("/pool/mine.qcow2"))), [SEEN, SEEN]);
    }
    let clone = |of: &str| {
        bytes(|w| w.named("images", NETWORK).string("<volume/>").string("images").string(of).string("").u32(0))
    };
    assert_eq!(asked(REMOTE, 125, &clone("theirs.qcow2")), [UNSEEN, UNSEEN]);
    assert_eq!(asked(REMOTE, 125, &clone("a.iso")), [SEEN, SEEN]);
}

#[test]
fn calls_about_the_host_are_told_by_whose_it_is_that_they_name() {
    for procedure in [113, 114, 115, 116, 117, 118, 119, 120, 124, 301, 429, 430, 433, 434, 435, 436] {
        assert_eq!(asked(REMOTE, procedure, &bytes(|w| w.string("pci_1").u32(0))), [SEEN, SEEN]);
        let tap = bytes(|w| w.string("net_vnet2_fe_54_00_00_00_02").u32(0));
        assert_eq!(asked(REMOTE, procedure, &tap), [UNSEEN, UNSEEN]);
    }
    let registered = bytes(|w| w.i32(0).bool(true).string("net_vnet2_fe_54_00_00_00_02"));
    assert_eq!(asked(REMOTE, 374, &registered), [UNSEEN, UNSEEN]);
    for procedure in [130, 132, 133, 134, 156] {
        // A wrong address beside the name helps nobody.
        let tap = bytes(|w| w.string("vnet2").string("52:54:00:00:00:01").u32(0));
        assert_eq!(asked(REMOTE, procedure, &tap), [UNSEEN, UNSEEN]);
    }
    assert_eq!(asked(REMOTE, 128, &bytes(|w| w.string("vnet2"))), [UNSEEN, UNSEEN]);
    assert_eq!(asked(REMOTE, 129, &bytes(|w| w.string("fe:54:00:00:00:02"))), [UNSEEN, UNSEEN]);
    assert_eq!(asked(REMOTE, 129, &bytes(|w| w.string("fe:54:00:00:00:01"))), [SEEN, SEEN]);
    for procedure in [405, 407, 408, 409, 410] {
        let port = |vm| bytes(|w| w.named("default", NETWORK).raw(port_of(vm).as_bytes()).u32(0));
        assert_eq!(asked(REMOTE, procedure, &port(THEIRS)), [UNSEEN, UNSEEN]);
        assert_eq!(asked(REMOTE, procedure, &port(MINE)), [SEEN, SEEN]);
    }
    for procedure in [397, 398, 400] {
        assert_eq!(asked(REMOTE, procedure, &bytes(|w| w.string("vnet2").string("f").u32(0))), [UNSEEN, UNSEEN]);
        assert_eq!(asked(REMOTE, procedure, &bytes(|w| w.string("vnet3").string("f").u32(0))), [UNSEEN, SEEN]);
    }
    let secret = bytes(|w| w.raw(NETWORK.as_bytes()).i32(1).string("/pool/theirs.qcow2").u32(0));
    for procedure in [143, 144, 145, 146] {
        assert_eq!(asked(REMOTE, procedure, &secret), [UNSEEN, UNSEEN]);
    }
    let registered = bytes(|w| w.i32(0).bool(true).raw(&secret));
    assert_eq!(asked(REMOTE, 380, &registered), [UNSEEN, UNSEEN]);
    assert_eq!(asked(REMOTE, 147, &bytes(|w| w.i32(1).string("/pool/theirs.qcow2"))), [UNSEEN, UNSEEN]);
    assert_eq!(asked(REMOTE, 141, &bytes(|w| w.raw(NETWORK.as_bytes()))), [SEEN, SEEN]);
}
