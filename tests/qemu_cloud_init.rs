//! The discs that are rendered for a VM configure that VM: a Debian with cloud-init in it, booted with the disc attached.
//!
//! What the guest became is read from its console, where cloud-init writes it, and asked of its agent.

#[path = "support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::Duration;

use covirt::artifacts::{BindingText, Format};
use covirt::discovery::{AddressOrigin, Inventory};
use covirt::hypervisor::{Hypervisor, Libvirt, Options};
use covirt::model::VmId;
use serde_json::{Value, json};
use support::bundle::nothing_is_forgotten;
use support::qemu::{CloudGuest, PrivateLibvirt, Skip};
use support::{accept, shop, skip, varied};

/// A public key of nobody.
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF ops@shop.example";

/// What differs between the two cases.
struct Case {
    test: &'static str,
    format: Format,
    /// The disc's path in the bundle.
    disc: &'static str,
    /// The class of cloud-init's that must find it.
    datasource: &'static str,
    /// The last byte of the guest's MACs and addresses, so that cases do not meet on one network.
    number: u8,
    /// Whether the binding has the guest's part in a table; else it is all of it.
    in_guest_table: bool,
}

#[test]
fn a_real_cloud_init_is_configured_by_the_nocloud_seed() {
    is_configured(&Case {
        test: "a_real_cloud_init_is_configured_by_the_nocloud_seed",
        format: Format::NoCloud,
        disc: "seed.iso",
        datasource: "DataSourceNoCloud",
        number: 41,
        in_guest_table: false,
    });
}

#[test]
fn a_real_cloud_init_is_configured_by_the_config_drive() {
    is_configured(&Case {
        test: "a_real_cloud_init_is_configured_by_the_config_drive",
        format: Format::OpenStack,
        disc: "config-2.iso",
        datasource: "DataSourceConfigDrive",
        number: 42,
        in_guest_table: true,
    });
}

fn is_configured(case: &Case) {
    let libvirtd = match PrivateLibvirt::get() {
        Ok(libvirtd) => libvirtd,
        Err(Skip(reason)) => return skip(case.test, &reason),
    };
    let n = case.number;
    let macs = [format!("52:54:00:c0:ff:{n:02x}"), format!("52:54:00:c1:ff:{n:02x}")];
    let guest = match CloudGuest::define(&libvirtd, case.datasource, [&macs[0], &macs[1]]) {
        Ok(guest) => guest,
        Err(Skip(reason)) => return skip(case.test, &reason),
    };
    // The first interface has what the network keeps for it, the second what the operator says.
    let reserved = format!("192.168.122.{n}");
    let bound = format!("10.99.{n}.2");
    guest.reserve(&macs[0], &reserved);

    let inventory = inventory(&libvirtd, &guest);
    let of_guest = json!({
        "hostname": format!("front-{n}"),
        "ssh_keys": [KEY],
        "nics": { &macs[1]: { "addresses": [format!("{bound}/24")] } },
    });
    let bundle = shop::render(case.format, &inventory, &binding(case, &inventory, of_guest)).unwrap();
    let disc: PathBuf = guest.folder().join(format!("{}.iso", guest.name()));
    std::fs::write(&disc, &bundle.file(case.disc).expect("the bundle has the disc").bytes).unwrap();
    guest.attach_read_only(&disc, "vdb");
    guest.start();

    let console = guest.await_line("finished at", Duration::from_secs(600));
    let finished = console.lines().find(|line| line.contains("finished at")).unwrap();
    assert!(finished.contains(case.datasource) && finished.contains("/dev/vdb"), "{finished}");
    let table: Vec<&str> = console.lines().filter(|line| line.contains("ci-info")).collect();
    for (mac, ip) in [(&macs[0], &reserved), (&macs[1], &bound)] {
        let told = table.iter().any(|line| line.contains(mac.as_str()) && line.contains(ip.as_str()));
        assert!(told, "{mac} has {ip}:\n{}", table.join("\n"));
    }
    assert!(table.iter().any(|line| line.contains("ops@shop.example")), "{}", table.join("\n"));
    guest.await_console(&format!("front-{n} login:"), Duration::from_secs(60));

    // The running guest, told by itself.
    let inventory = support::until("the agent tells the addresses", Duration::from_secs(60), || {
        Some(self::inventory(&libvirtd, &guest)).filter(|inventory| agent_tells(inventory, &bound))
    });
    assert!(agent_tells(&inventory, &reserved), "{:?}", inventory.domain.nics);
    renders_for_all(case.test, &inventory);
}

/// What the format needs, with what the guest is to become.
fn binding(case: &Case, inventory: &Inventory, guest: Value) -> BindingText {
    let mut text = varied::binding_for(case.format, inventory);
    let mut binding: Value = serde_json::from_str(&text.text).unwrap();
    if case.in_guest_table {
        binding["guest"] = guest;
    } else {
        binding = guest;
    }
    text.text = binding.to_string();
    text
}

/// The running guest in all formats, with no field forgotten, and accepted by each provider's own software.
fn renders_for_all(test: &str, inventory: &Inventory) {
    for format in Format::ALL.iter().copied() {
        let bundle = varied::render(format, inventory).unwrap_or_else(|reason| panic!("{}: {reason}", format.name()));
        nothing_is_forgotten(format.name(), &bundle);
        let folder = tempfile::tempdir().unwrap();
        shop::write_under(folder.path(), &bundle);
        if let Some(complaints) = accept::complaints(test, format, &[folder.path().to_owned()]) {
            assert!(complaints.is_empty(), "{}: {complaints:?}", format.name());
        }
    }
}

fn agent_tells(inventory: &Inventory, ip: &str) -> bool {
    let mut addresses = inventory.domain.nics.iter().flat_map(|nic| &nic.addresses);
    addresses.any(|address| address.origin == AddressOrigin::Agent && address.ip.to_string() == ip)
}

fn inventory(libvirtd: &PrivateLibvirt, guest: &CloudGuest) -> Inventory {
    let vm = VmId(guest.uuid());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let libvirt = Libvirt::connect(libvirtd.uri(), Options::default()).expect("the adapter starts");
    runtime.block_on(libvirt.inventory(vm)).expect("the inventory")
}
