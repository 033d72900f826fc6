use super::*;
use crate::doors::rpc::xdr::Reader;

fn failure(code: i32, message: &str, detail: Option<&str>, vm: Option<VmId>) -> Vec<u8> {
    bytes(|w| {
        w.i32(code).i32(10).optional_string(Some(message)).i32(2).bool(vm.is_some());
        if let Some(vm) = vm {
            w.vm(vm);
        }
        w.optional_string(Some("operation failed: %s")).optional_string(detail).optional_string(None);
        w.i32(-1).i32(5).bool(true).named("default", NETWORK)
    })
}

fn shown(payload: &[u8], eyes: &Provider) -> Shown {
    error(payload, eyes, &eyes.host).unwrap()
}

/// The same code, one sentence, and nothing else.
fn left_out(code: i32) -> Shown {
    const SENTENCE: &str =
        "libvirt's text about this failure was left out, because it names a VM that is not yours to see";
    Shown::Changed(bytes(|w| {
        w.i32(code).i32(10).optional_string(Some(SENTENCE)).i32(2).bool(false);
        w.optional_string(None).optional_string(None).optional_string(None);
        w.i32(-1).i32(5).bool(true).named("default", NETWORK)
    }))
}

#[test]
fn an_error_that_names_a_vm_or_what_is_its_keeps_its_code_and_loses_its_text() {
    let by_text = [
        format!("operation failed: domain 'theirs' already exists with uuid {THEIRS}"),
        format!("internal error: {THEIRS} is busy"),
        "PCI device 0000:03:00.0 is in use by driver QEMU, domain theirs".to_owned(),
        "Could not open '/pool/theirs.qcow2': Failed to get \"write\" lock".to_owned(),
        "internal error: 52:54:00:00:00:02 is in use".to_owned(),
        "cannot delete vnet2".to_owned(),
        format!("network port {} already exists", port_of(THEIRS)),
        "volume theirs-data is in use".to_owned(),
    ];
    for text in &by_text {
        for eyes in [secondary(), hoster()] {
            assert_eq!(shown(&failure(9, text, None, None), &eyes), left_out(9), "{text}");
            assert_eq!(shown(&failure(9, "operation failed", Some(text), None), &eyes), left_out(9), "{text}");
        }
        assert_eq!(shown(&failure(9, text, None, None), &operator()), Shown::Same);
    }
    assert_eq!(shown(&failure(55, "not now", None, Some(THEIRS)), &hoster()), left_out(55));
    assert_eq!(shown(&failure(55, "not now", None, Some(MINE)), &secondary()), Shown::Same);
}

#[test]
fn an_error_that_names_nobody_or_somebody_seen_is_untouched() {
    for text in [
        "Requested operation is not valid: domain is not running".to_owned(),
        format!("operation failed: domain 'mine' already exists with uuid {MINE}"),
        "Could not open '/pool/mine.qcow2'".to_owned(),
        "xtheirsx is not theirs2's".to_owned(),
        format!("secret {NETWORK} has no value"),
    ] {
        assert_eq!(shown(&failure(9, &text, None, None), &secondary()), Shown::Same, "{text}");
    }
    let loose = failure(9, "domain 'loose' is busy", None, None);
    assert_eq!((shown(&loose, &hoster()), shown(&loose, &secondary())), (Shown::Same, left_out(9)));
}

#[test]
fn without_knowledge_of_the_host_a_quoted_domain_and_any_uuid_are_somebody() {
    for text in ["domain 'web' is already active".to_owned(), format!("{LOOSE} is busy")] {
        assert_eq!(shown(&failure(9, &text, None, None), &unsure()), left_out(9));
    }
    let own = Provider { host: HostNames::default(), ..hoster() };
    assert_eq!(shown(&failure(9, "domain 'web' is already active", None, None), &own), Shown::Same);
}

#[test]
fn that_there_is_no_such_thing_is_told_in_libvirts_own_words() {
    let text = format!("Domain not found: no domain with matching uuid '{THEIRS}' (theirs)");
    assert_eq!(shown(&failure(42, &text, None, None), &secondary()), Shown::Same);
    assert_eq!(shown(&failure(42, &text, None, Some(THEIRS)), &secondary()), left_out(42));
}

#[test]
fn a_cut_error_is_no_error() {
    let whole = failure(9, "m", Some("d"), Some(MINE));
    for end in 0..whole.len() {
        assert_eq!(error(&whole[..end], &secondary(), &host()), Err(ReadXdrError::Short), "{end}");
    }
}

#[test]
fn what_is_not_there_is_told_as_libvirt_tells_it() {
    let message = |program: u32, procedure: u32, call: &[u8]| {
        let payload = absent(program, procedure, call);
        let mut reader = Reader::new(&payload);
        let (code, domain) = (reader.i32().unwrap(), reader.i32().unwrap());
        let message = reader.optional_string().unwrap().unwrap().to_owned();
        assert_eq!((reader.i32(), reader.bool()), (Ok(2), Ok(false)));
        for _ in 0..3 {
            reader.optional_string().unwrap();
        }
        assert_eq!((reader.i32(), reader.i32(), reader.bool()), (Ok(-1), Ok(-1), Ok(false)));
        assert!(reader.rest().is_empty());
        (code, domain, message)
    };
    let vm = |text: &str| (42, 10, format!("Domain not found: {text}"));
    let uuid = format!("no domain with matching uuid '{THEIRS}' (theirs)");
    assert_eq!(message(REMOTE, 14, &bytes(|w| w.vm(THEIRS).u32(0))), vm(&uuid));
    assert_eq!(message(QEMU, 1, &bytes(|w| w.vm(THEIRS).string("q").u32(0))), vm(&uuid));
    assert_eq!(message(REMOTE, 186, &bytes(|w| w.string("snap").vm(THEIRS).u32(0))), vm(&uuid));
    assert_eq!(message(REMOTE, 316, &bytes(|w| w.i32(0).bool(true).vm(THEIRS))), vm(&uuid));
    assert_eq!(message(REMOTE, 22, &bytes(|w| w.i32(4))), vm("no domain with matching id 4"));
    assert_eq!(message(REMOTE, 23, &bytes(|w| w.string("x"))), vm("no domain with matching name 'x'"));
    let by_uuid = format!("no domain with matching uuid '{THEIRS}'");
    assert_eq!(message(REMOTE, 24, &bytes(|w| w.raw(THEIRS.0.as_bytes()))), vm(&by_uuid));
    assert_eq!(message(REMOTE, 344, &bytes(|w| w.count(1).vm(THEIRS))).0, 42);
    assert_eq!(message(REMOTE, 14, b"no"), (42, 10, "Domain not found".to_owned()));
    assert_eq!(message(REMOTE, 999, b"new"), (42, 10, "Domain not found".to_owned()));

    let volume = |text: &str| (50, 18, format!("Storage volume not found: no storage vol with matching {text}"));
    let named = bytes(|w| w.named("p", NETWORK).string("v"));
    assert_eq!(message(REMOTE, 95, &named), volume("name 'v'"));
    assert_eq!(message(REMOTE, 97, &bytes(|w| w.string("/v"))), volume("path '/v'"));
    assert_eq!(message(REMOTE, 209, &bytes(|w| w.string("p").string("v").string("k"))), volume("name 'v'"));
    assert_eq!(message(REMOTE, 114, &bytes(|w| w.string("d").u32(0))).0, 53);
    assert_eq!(message(REMOTE, 128, &bytes(|w| w.string("i"))).0, 57);
    assert_eq!(message(REMOTE, 129, &bytes(|w| w.string("i"))).0, 57);
    assert_eq!(message(REMOTE, 397, &bytes(|w| w.string("vnet1"))).0, 101);
    assert_eq!(message(REMOTE, 405, &bytes(|w| w.named("n", NETWORK).raw(NETWORK.as_bytes()))).0, 107);
    assert_eq!(message(REMOTE, 141, &bytes(|w| w.raw(NETWORK.as_bytes()))).0, 66);
    assert_eq!(message(REMOTE, 147, &bytes(|w| w.i32(1).string("/v"))).0, 66);
}
