//! The host's own answers against the programs that made them so: links in a network namespace of the test's own, ports
//! in a database of Open vSwitch's own server.

mod support;

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use covirt::discovery::{Link, OvsPort};
use covirt::hypervisor::host::{holds_libvirtd, read_links, read_ovs_ports};
use support::{skip, until};

/// Says to this program, started again by its own test, that it is inside the namespace.
const INSIDE: &str = "COVIRT_TEST_INSIDE";

const LINKS: &str = "set -e
ip link set lo up
ip link add br0 type bridge
ip link set br0 mtu 1450 address 02:00:00:00:00:01 up
ip addr add 192.0.2.1/24 dev br0
ip addr add 2001:db8::1/64 dev br0 nodad
ip tuntap add vnet0 mode tap
ip link set vnet0 address fe:54:00:00:00:09 master br0 up
ip link add veth0 type veth peer name veth1
ip link add link veth0 name veth0.42 type vlan id 42 2>/dev/null && ip link set veth0.42 master br0 || true
ip link add link veth1 name macvtap0 type macvtap mode bridge 2>/dev/null || true
ip neigh add 192.0.2.9 lladdr 52:54:00:00:00:09 dev br0 nud stale
ip neigh add 192.0.2.10 lladdr 52:54:00:00:00:0a dev br0 nud failed
exec \"$@\"";

#[test]
fn links_of_a_network_namespace_are_read_as_they_were_made() {
    const NAME: &str = "links_of_a_network_namespace_are_read_as_they_were_made";
    if let Some(uri) = std::env::var_os(INSIDE) {
        return inside(uri.to_str().unwrap());
    }
    let may = Command::new("unshare").args(["--net", "ip", "link", "add", "br0", "type", "bridge"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        return skip(NAME, "namespaces and bridges need root, unshare and ip");
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("libvirt-sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let uri = format!("qemu:///system?socket={}", socket.display());
    assert!(holds_libvirtd(&uri), "it listens in our own namespace");
    let mut child = Command::new("unshare");
    child.args(["--net", "sh", "-c", LINKS, "sh"]).arg(std::env::current_exe().unwrap());
    child.args(["--exact", NAME, "--nocapture"]).env(INSIDE, uri);
    let output = child.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("1 passed"), "{told}");
}

fn inside(uri: &str) {
    assert!(!holds_libvirtd(uri), "it listens in another namespace");
    let read = read_links().unwrap();
    let names: Vec<&str> = read.links.keys().map(String::as_str).collect();
    for name in ["br0", "lo", "veth0", "veth1", "vnet0"] {
        assert!(names.contains(&name), "{name} of {names:?}");
    }
    let br0 = &read.links["br0"];
    assert_eq!((br0.kind.as_deref(), br0.mtu, br0.up), (Some("bridge"), 1450, true));
    assert_eq!(br0.mac.unwrap().to_string(), "02:00:00:00:00:01");
    let told: Vec<String> = br0.addresses.iter().map(|(ip, prefix)| format!("{ip}/{prefix}")).collect();
    assert!(told.contains(&"192.0.2.1/24".to_owned()) && told.contains(&"2001:db8::1/64".to_owned()), "{told:?}");
    let shape = |name: &str| {
        let Link { kind, master, lower, vlan, .. } = read.links[name].clone();
        (kind, master, lower, vlan)
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(shape("vnet0"), (some("tun"), some("br0"), None, None));
    assert_eq!(shape("veth0"), (some("veth"), None, None, None));
    // Not every kernel has these.
    for (name, expected) in [
        ("veth0.42", (some("vlan"), some("br0"), some("veth0"), Some(42))),
        ("macvtap0", (some("macvtap"), None, some("veth1"), None)),
    ] {
        if names.contains(&name) {
            assert_eq!(shape(name), expected);
        } else {
            skip(&format!("{name} of links_of_a_network_namespace"), "this kernel makes no such link");
        }
    }
    assert!(!read.links["veth1"].up);
    let neighbours: Vec<String> = read.neighbours.iter().map(|seen| format!("{} {}", seen.mac, seen.ip)).collect();
    assert_eq!(neighbours, ["52:54:00:00:00:09 192.0.2.9"], "a failed entry is no sight");
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ports_of_open_vswitchs_own_database_are_read_as_they_were_made() {
    const NAME: &str = "ports_of_open_vswitchs_own_database_are_read_as_they_were_made";
    let env = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/ovsdb-env.sh")).output().unwrap();
    if !env.status.success() {
        return skip(NAME, String::from_utf8_lossy(&env.stderr).trim());
    }
    let run = String::from_utf8(env.stdout).unwrap().trim().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("db.sock");
    let remote = format!("unix:{}", socket.display());
    let made = Command::new(&run)
        .args(["sh", "-c", "ovsdb-tool create \"$0/conf.db\" \"$OVS_SCHEMA_DIR/vswitch.ovsschema\""])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut server = Command::new(&run);
    server.arg("ovsdb-server").arg(format!("--remote=p{remote}")).arg("--no-chdir");
    server.arg(format!("--unixctl={}", folder.path().join("ctl").display())).arg(folder.path().join("conf.db"));
    let _server = Server(server.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until("the database's socket", Duration::from_secs(10), || socket.exists().then_some(()));
    assert_eq!(read_ovs_ports(&socket).unwrap(), BTreeMap::new());
    let id = "iface-id=09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f";
    vsctl(&run, &remote, &["add-br", "br-int"]);
    vsctl(
        &run,
        &remote,
        &[
            "add-port",
            "br-int",
            "vnet0",
            "tag=7",
            "--",
            "set",
            "Interface",
            "vnet0",
            "external_ids:attached-mac=\"52:54:00:00:00:01\"",
            &format!("external_ids:{id}"),
        ],
    );
    vsctl(&run, &remote, &["add-port", "br-int", "vnet1", "trunks=10,20", "vlan_mode=native-untagged", "tag=10"]);
    vsctl(&run, &remote, &["add-bond", "br-int", "bond0", "eth0", "eth1"]);
    let found = read_ovs_ports(&socket).unwrap();
    let on_bridge = OvsPort { bridge: Some("br-int".to_owned()), ..OvsPort::default() };
    let expected = BTreeMap::from([
        ("br-int".to_owned(), on_bridge.clone()),
        ("eth0".to_owned(), on_bridge.clone()),
        ("eth1".to_owned(), on_bridge.clone()),
        (
            "vnet0".to_owned(),
            OvsPort {
                tag: Some(7),
                interface_id: Some("09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f".to_owned()),
                attached_mac: Some("52:54:00:00:00:01".parse().unwrap()),
                ..on_bridge.clone()
            },
        ),
        (
            "vnet1".to_owned(),
            OvsPort { tag: Some(10), trunks: vec![10, 20], vlan_mode: Some("native-untagged".to_owned()), ..on_bridge },
        ),
    ]);
    assert_eq!(found, expected);
}

#[track_caller]
fn vsctl(run: &str, remote: &str, arguments: &[&str]) {
    // No switch answers, so nobody is waited for.
    let mut program = Command::new(Path::new(run));
    program.args(["ovs-vsctl", "--no-wait", &format!("--db={remote}")]).args(arguments);
    let output = program.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
