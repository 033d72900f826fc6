use super::*;

fn directory() -> Directory {
    let peers = |uids: &[u32]| Peers { uids: uids.iter().copied().collect(), ..Peers::default() };
    Directory {
        providers: BTreeMap::from([
            ("north".parse().unwrap(), (peers(&[100, 7]), Enrolling::Yes)),
            ("south".parse().unwrap(), (peers(&[101, 7]), Enrolling::No)),
        ]),
        operator: Peers { uids: BTreeSet::from([0]), gids: BTreeSet::from([50]), ..Peers::default() },
        ..Directory::default()
    }
}

fn who(uid: u32, gid: u32, named: Option<&str>) -> Result<String, Code> {
    let peer = Peer::Local { uid, gid: Some(gid), pid: None };
    directory().identify(&peer.into(), named).map(|caller| caller.provider.to_string()).map_err(|refusal| refusal.code)
}

#[test]
fn the_kernel_says_who_a_peer_is() {
    assert_eq!(who(100, 1, None).unwrap(), "north");
    assert_eq!(who(0, 0, None).unwrap(), "operator");
    assert_eq!(who(9, 50, None).unwrap(), "operator");
    assert_eq!(who(9, 9, None), Err(Code::Unidentified));
}

#[test]
fn a_peer_names_only_whom_it_may_speak_for() {
    assert_eq!(who(7, 1, None), Err(Code::Unidentified));
    assert_eq!(who(7, 1, Some("south")).unwrap(), "south");
    assert_eq!(who(100, 1, Some("south")), Err(Code::Forbidden));
    assert_eq!(who(100, 1, Some("operator")), Err(Code::Forbidden));
    assert_eq!(who(100, 1, Some("No Name")), Err(Code::Malformed));
}

fn key(number: u8) -> KeyId {
    KeyId::of_spki(&[number])
}

fn holder(number: u8, uris: &[&str]) -> Proven {
    let peer = Peer::Key { key: key(number), address: "192.0.2.7:40000".to_owned() };
    Proven { peer, uris: uris.iter().map(|uri| uri.parse().unwrap()).collect() }
}

/// North by two keys, south by a name of its own, east by what the trust domain calls it.
fn remote() -> Directory {
    let north = Peers { keys: BTreeSet::from([key(1), key(2)]), ..Peers::default() };
    let south = Peers { uris: BTreeSet::from(["spiffe://b/south".parse().unwrap()]), ..Peers::default() };
    Directory {
        providers: BTreeMap::from([
            ("north".parse().unwrap(), (north, Enrolling::Yes)),
            ("south".parse().unwrap(), (south, Enrolling::No)),
            ("east".parse().unwrap(), (Peers::default(), Enrolling::No)),
        ]),
        operator: Peers { uids: BTreeSet::from([0]), keys: BTreeSet::from([key(9)]), ..Peers::default() },
        trust_domain: Some("a".parse().unwrap()),
        ..Directory::default()
    }
}

fn names(directory: &Directory, proven: &Proven) -> Vec<String> {
    directory.callers(proven).into_iter().map(|caller| caller.provider.to_string()).collect()
}

#[test]
fn each_of_a_providers_keys_is_the_provider() {
    let directory = remote();
    for number in [1, 2] {
        assert_eq!(names(&directory, &holder(number, &[])), ["north"]);
        assert!(directory.pins(&key(number)));
    }
    assert_eq!(names(&directory, &holder(3, &[])), [""; 0]);
    assert_eq!(names(&directory, &holder(9, &[])), ["operator"]);
    assert!(!directory.pins(&key(3)));
}

#[test]
fn a_name_that_an_authority_vouches_for_is_the_provider() {
    let directory = remote();
    assert_eq!(names(&directory, &holder(3, &["spiffe://b/south"])), ["south"]);
    assert_eq!(names(&directory, &holder(3, &["spiffe://a/provider/east"])), ["east"]);
    assert_eq!(names(&directory, &holder(3, &["spiffe://b/provider/east"])), [""; 0]);
    // Nobody becomes the operator by a name, nor by what the kernel does not say.
    assert_eq!(names(&directory, &holder(3, &["spiffe://a/provider/operator"])), [""; 0]);
}

#[test]
fn who_is_known_by_keys_or_names_has_none_of_the_trust_domain() {
    let directory = remote();
    assert_eq!(names(&directory, &holder(3, &["spiffe://a/provider/north"])), [""; 0]);
    assert_eq!(names(&directory, &holder(3, &["spiffe://a/provider/south"])), [""; 0]);
}

#[test]
fn a_revoked_key_speaks_for_nobody() {
    let mut directory = remote();
    directory.revoked = BTreeSet::from([key(1), key(3), key(9)]);
    assert!(!directory.pins(&key(1)) && directory.pins(&key(2)));
    for number in [1, 3, 9] {
        assert_eq!(names(&directory, &holder(number, &["spiffe://b/south", "spiffe://a/provider/east"])), [""; 0]);
    }
}

#[test]
fn two_directories_know_together_whoever_one_of_them_knows() {
    let mut joined = Directory::default();
    let north = Peers { keys: BTreeSet::from([key(4)]), ..Peers::default() };
    joined.providers.insert("north".parse().unwrap(), (north, Enrolling::No));
    joined.providers.insert("west".parse().unwrap(), (Peers::default(), Enrolling::Yes));
    joined.revoked.insert(key(2));
    let both = remote().with(&joined);
    assert_eq!(names(&both, &holder(4, &[])), ["north"]);
    assert_eq!(names(&both, &holder(1, &[])), ["north"]);
    assert_eq!(names(&both, &holder(2, &[])), [""; 0]);
    assert!(both.knows(&"west".parse().unwrap()));
    assert_eq!(both.as_provider(&holder(1, &[]), &"north".parse().unwrap()).unwrap().enrolling, Enrolling::Yes);
}
