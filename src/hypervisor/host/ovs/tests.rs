use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::*;

/// A server that says `answer` to whatever it is asked, and then waits until its client goes.
fn server(answer: &'static [u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = [0_u8; 4096];
        let _ = stream.read(&mut question).unwrap();
        stream.write_all(answer).unwrap();
        while stream.read(&mut question).is_ok_and(|read| read > 0) {}
    });
    (folder, path)
}

#[test]
fn a_servers_own_question_is_passed_over_and_rows_become_ports() {
    let (_folder, path) = server(
        br#"{"id":"echo","method":"echo","params":[]}{"error":null,"id":0,"result":[
        {"rows":[{"name":"br-int","ports":["set",[["uuid","p1"],["uuid","p2"]]]}]},
        {"rows":[{"_uuid":["uuid","p1"],"interfaces":["uuid","i1"],"tag":7,"trunks":["set",[]],"vlan_mode":["set",[]]},
                 {"_uuid":["uuid","p2"],"interfaces":["uuid","i2"],"tag":["set",[]],"trunks":["set",[10,20]],"vlan_mode":"trunk"}]},
        {"rows":[{"_uuid":["uuid","i1"],"name":"vnet0","external_ids":["map",[["attached-mac","52:54:00:00:00:01"],["iface-id","port-1"]]]},
                 {"_uuid":["uuid","i2"],"name":"vnet1","external_ids":["map",[]]},
                 {"_uuid":["uuid","i3"],"name":"gone","external_ids":["map",[]]}]}]}"#,
    );
    let found = read_ovs_ports(&path).unwrap();
    let first = OvsPort {
        bridge: Some("br-int".to_owned()),
        tag: Some(7),
        interface_id: Some("port-1".to_owned()),
        attached_mac: Some("52:54:00:00:00:01".parse().unwrap()),
        ..OvsPort::default()
    };
    let second = OvsPort {
        bridge: Some("br-int".to_owned()),
        trunks: vec![10, 20],
        vlan_mode: Some("trunk".to_owned()),
        ..OvsPort::default()
    };
    assert_eq!(found, BTreeMap::from([("vnet0".to_owned(), first), ("vnet1".to_owned(), second)]));
}

#[test]
fn a_database_that_is_none_refuses_or_says_nothing_is_a_fault_in_time() {
    let begun = Instant::now();
    assert!(matches!(read_ovs_ports(Path::new("/nowhere/db.sock")), Err(ReadOvsError::Io(_))));
    for answer in [
        &br#"{"error":{"error":"unknown database"},"id":0,"result":null}"#[..],
        br#"{"error":null,"id":0,"result":[{"error":"constraint violation"}]}"#,
        b"hello",
    ] {
        let (_folder, path) = server(answer);
        assert!(matches!(read_ovs_ports(&path), Err(ReadOvsError::Answer(_))));
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let (_folder, path) = server(b"{\"error\":");
    assert!(matches!(read_ovs_ports(&path), Err(ReadOvsError::Io(_))));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
