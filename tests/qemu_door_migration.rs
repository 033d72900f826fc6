//! Live migration by virsh with a door at the source, at the target, and at both: peer to peer, managed by the client, and
//! tunnelled.
//!
//! Needs QEMU and two libvirtds. One guest goes back and forth, and must be the same boot of its kernel all the way.

#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/door.rs"]
mod door;
mod support;

use std::process::Command;

use door::{Door, PROVIDER};
use serde_json::{Value, json};
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::skip;

/// Which boot of its kernel the guest is at, by its agent.
#[track_caller]
fn boot_id(libvirt: &PrivateLibvirt, guest: &Guest) -> String {
    let ask = |execute: &str, arguments: Value| -> Value {
        let question = json!({ "execute": execute, "arguments": arguments }).to_string();
        let answer = libvirt.virsh(&["qemu-agent-command", guest.name(), &question]);
        serde_json::from_str::<Value>(&answer).expect("the agent answers JSON")["return"].take()
    };
    let handle = ask("guest-file-open", json!({ "path": "/proc/sys/kernel/random/boot_id" }));
    let read = ask("guest-file-read", json!({ "handle": handle }));
    ask("guest-file-close", json!({ "handle": handle }));
    read["buf-b64"].as_str().expect("a boot id").to_owned()
}

/// One of two hosts.
struct Host {
    libvirt: PrivateLibvirt,
    door: Door,
}

impl Host {
    fn uri(&self, way: Way) -> String {
        match way {
            Way::Direct => self.libvirt.uri().to_owned(),
            Way::Door => self.door.uri(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Door,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    PeerToPeer,
    ByTheClient,
    Tunnelled,
}

#[test]
fn a_guest_moves_through_doors_at_either_end() {
    let two = PrivateLibvirt::own().and_then(|here| Ok([here, PrivateLibvirt::own()?]));
    let two = match two {
        Ok(two) => two.map(|libvirt| Host { door: Door::open(&libvirt), libvirt }),
        Err(Skip(reason)) => return skip("a_guest_moves_through_doors_at_either_end", &reason),
    };
    let sockets = tempfile::Builder::new().prefix("covirt-").tempdir().expect("make a folder");
    let guest = Guest::boot(&two[0].libvirt, "wanders");
    let boot = boot_id(&two[0].libvirt, &guest);
    let vm = two[0].libvirt.virsh(&["domuuid", guest.name()]).trim().to_owned();

    let moves = [
        (Way::Door, Way::Direct, Kind::PeerToPeer),
        (Way::Direct, Way::Door, Kind::PeerToPeer),
        (Way::Door, Way::Door, Kind::PeerToPeer),
        (Way::Door, Way::Direct, Kind::ByTheClient),
        (Way::Direct, Way::Door, Kind::ByTheClient),
        (Way::Door, Way::Door, Kind::ByTheClient),
        (Way::Direct, Way::Door, Kind::Tunnelled),
        (Way::Door, Way::Door, Kind::Tunnelled),
    ];
    for (index, (from, to, kind)) in moves.into_iter().enumerate() {
        let (source, target) = (&two[index % 2], &two[(index + 1) % 2]);
        // As a target, libvirt takes a socket's URI only with the transport in it.
        let target_uri = target.uri(to).replace("qemu://", "qemu+unix://");
        let through = format!("unix://{}/{index}", sockets.path().display());
        let mut virsh = Command::new("timeout");
        virsh.args(["120", "virsh", "-q", "-c", &source.uri(from), "migrate", guest.name(), &target_uri]);
        virsh.args(["--live", "--unsafe", "--persistent", "--undefinesource"]);
        match kind {
            Kind::PeerToPeer => virsh.args(["--p2p", "--migrateuri", &through]),
            Kind::ByTheClient => virsh.args(["--migrateuri", &through]),
            Kind::Tunnelled => virsh.args(["--p2p", "--tunnelled"]),
        };
        let output = virsh.output().expect("virsh starts");
        assert!(output.status.success(), "{kind:?} from {from:?} to {to:?}: {output:?}");
        let there = target.libvirt.virsh(&["domstate", guest.name()]);
        assert_eq!(there.trim(), "running", "{kind:?} from {from:?} to {to:?}");
        assert!(!source.libvirt.virsh(&["list", "--all", "--name"]).contains(guest.name()), "it has left");
        assert_eq!(boot_id(&target.libvirt, &guest), boot, "{kind:?} from {from:?} to {to:?}");
        // Whoever brought it here is its primary.
        if to == Way::Door
            && let Some(mut south) = target.door.client()
        {
            let view = south.get(&format!("/v1/vms/{vm}")).ok();
            assert_eq!(view["delegations"]["primary"], PROVIDER, "{kind:?} from {from:?} to {to:?}: {view:#}");
        }
    }
}
