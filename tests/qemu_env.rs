//! The test environment itself: private libvirtds and guests do what the other tests rely on.

mod support;

use std::time::Duration;

use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};
use virt::domain::DomainState;
use virt::enumutil::Enum;

#[test]
fn guest_boots_with_agent_and_address() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("guest_boots_with_agent_and_address", &reason),
    };
    let guest = Guest::boot(&libvirt, "boots");
    guest.await_console("GUEST-DHCP eth0", 1);
    let leases = libvirt.virsh(&["domifaddr", guest.name()]);
    assert!(leases.contains("192.168.122."), "libvirt knows the lease: {leases}");
}

#[test]
fn guest_suspends_and_resumes() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("guest_suspends_and_resumes", &reason),
    };
    let guest = Guest::boot(&libvirt, "suspends");
    let connection = libvirt.connect();
    let domain = guest.domain(&connection);
    domain.suspend().unwrap();
    assert_eq!(domain.state().unwrap().0, Enum::Known(DomainState::Paused));
    domain.resume().unwrap();
    assert_eq!(domain.state().unwrap().0, Enum::Known(DomainState::Running));
    guest.await_agent();
}

#[test]
fn guest_survives_a_killed_libvirtd() {
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("guest_survives_a_killed_libvirtd", &reason),
    };
    let guest = Guest::boot(&libvirt, "survives");
    let before = libvirt.connect();
    let id = guest.domain(&before).id();

    libvirt.kill9();
    // libvirt's client needs a moment to see that the other end is gone; the handle stays dead for ever after.
    until("a call on the old connection fails", Duration::from_secs(10), || before.list_domains().err());
    drop(before);
    virt::connect::Connect::open(Some(libvirt.uri())).expect_err("nothing listens while it is down");

    libvirt.up();
    let after = libvirt.connect();
    let domain = guest.domain(&after);
    assert_eq!(domain.id(), id, "the same QEMU, not a new one");
    assert_eq!(domain.state().unwrap().0, Enum::Known(DomainState::Running));
    domain.suspend().unwrap();
    domain.resume().unwrap();
    guest.await_agent();
    assert_eq!(guest.console().matches("GUEST-READY").count(), 1, "it was not booted anew");
}

#[test]
fn two_libvirtds_do_not_meet() {
    let (one, two) = match (PrivateLibvirt::own(), PrivateLibvirt::own()) {
        (Ok(one), Ok(two)) => (one, two),
        (Err(Skip(reason)), _) | (_, Err(Skip(reason))) => return skip("two_libvirtds_do_not_meet", &reason),
    };
    let guest = Guest::define(&one, "here");
    let ours = one.virsh(&["list", "--all", "--name"]);
    assert!(ours.contains(guest.name()), "{ours}");
    assert_eq!(two.virsh(&["list", "--all", "--name"]).trim(), "");
    // The same network, bridge and addresses in both.
    assert_eq!(one.virsh(&["net-list", "--name"]).trim(), "default");
    assert_eq!(two.virsh(&["net-list", "--name"]).trim(), "default");
    // A host's identity, by which migration tells hosts apart.
    let uuid = |libvirt: &PrivateLibvirt| {
        let capabilities = libvirt.virsh(&["capabilities"]);
        let (_, rest) = capabilities.split_once("<uuid>").expect("capabilities have the host's uuid");
        rest.split_once("</uuid>").expect("closed").0.to_owned()
    };
    assert_ne!(uuid(&one), uuid(&two));
}
