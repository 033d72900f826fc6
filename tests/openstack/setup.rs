//! The VMs whose bundles the tests look at, and a bundle on disk that can be broken.

use std::path::PathBuf;
use std::process::Output;

use covirt::artifacts::{BindingText, Bundle, Format};
use covirt::discovery::{
    Bandwidth, HugePages, Inventory, LaunchSecurity, NumaCell, Rate, Rng, RngRate, Settings, Tpm, Trunk, Watchdog,
};
use covirt::model::units::Kib;
use serde_json::Value;

use crate::support::bundle::text;
use crate::support::consumers::said;
use crate::support::shop;

/// The interface whose port is Open vSwitch's.
pub(crate) const SECOND: &str = "52:54:00:1a:2b:02";

/// The golden VM in its surroundings.
pub(crate) fn inventory() -> Inventory {
    shop::inventory()
}

pub(crate) fn binding() -> BindingText {
    shop::binding(Format::OpenStack)
}

pub(crate) fn bundle() -> Bundle {
    shop::render(Format::OpenStack, &inventory(), &binding()).unwrap()
}

pub(crate) fn read(bundle: &Bundle, path: &str) -> Value {
    serde_json::from_str(text(bundle, path)).unwrap()
}

/// A bundle on disk, with the domain it was made from.
pub(crate) struct OnDisk {
    pub(crate) folder: tempfile::TempDir,
}

impl OnDisk {
    pub(crate) fn of(bundle: &Bundle) -> Self {
        let folder = tempfile::tempdir().unwrap();
        shop::write_under(folder.path(), bundle);
        std::fs::write(folder.path().join("domain.xml"), shop::fixture("domain/live-uefi-two-nics.xml")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes a JSON file.
    pub(crate) fn break_json(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(self.path(name), value.to_string()).unwrap();
    }

    /// Changes a text.
    pub(crate) fn break_text(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        std::fs::write(self.path(name), text.replace(from, to)).unwrap();
    }
}

pub(crate) fn verdict(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(stdout.lines().last().unwrap_or_else(|| panic!("{}", said(output)))).unwrap()
}

/// The whole of what a domain can ask of Nova, in one VM.
pub(crate) fn demanding() -> Inventory {
    let mut inventory = inventory();
    let domain = &mut inventory.domain;
    let cell = |id, cpus: &str, mib: u64| NumaCell {
        id,
        cpus: Some(cpus.to_owned()),
        memory_kib: Kib(mib * 1024),
        settings: Settings::new(),
    };
    domain.cpu.numa = vec![cell(0, "0-1", 1024), cell(1, "2-3", 2048)];
    domain.cpu.pinning.vcpus = (0..4).map(|nth| (nth, (nth + 8).to_string())).collect();
    domain.cpu.pinning.emulator = Some("2".to_owned());
    domain.cpu.settings = Settings::from([("cputune.shares".to_owned(), "2048".to_owned())]);
    domain.memory.hugepages = vec![HugePages { page_kib: Kib(2048), nodeset: None }];
    domain.platform.machine = Some("pc-q35-7.2".to_owned());
    domain.tpm = Some(Tpm {
        model: Some("tpm-crb".to_owned()),
        backend: "emulator".to_owned(),
        version: Some("2.0".to_owned()),
        settings: Settings::new(),
    });
    domain.watchdogs = vec![Watchdog {
        model: "i6300esb".to_owned(),
        action: "poweroff".to_owned(),
        address: None,
        settings: Settings::new(),
    }];
    domain.rngs = vec![Rng {
        model: "virtio".to_owned(),
        backend: "random".to_owned(),
        source: Some("/dev/urandom".to_owned()),
        rate: Some(RngRate { bytes: 1024, period_ms: 1000 }),
        settings: Settings::new(),
    }];
    domain.launch_security =
        Some(LaunchSecurity { kind: "sev".to_owned(), policy: Some("0x0007".to_owned()), settings: Settings::new() });
    for nic in &mut domain.nics {
        nic.queues = Some(4);
        let rate = Rate { average: Some(1000), peak: Some(5000), burst: Some(1024), floor: None };
        nic.bandwidth = Some(Bandwidth { inbound: Some(rate), outbound: Some(rate) });
    }
    for disk in &mut domain.disks {
        disk.iotune = Settings::from([("total_iops_sec".to_owned(), "500".to_owned())]);
    }
    let second = domain.nics.iter_mut().find(|nic| nic.mac.is_some_and(|mac| mac.to_string() == SECOND)).unwrap();
    second.vlan.tags = vec![10, 20, 42];
    second.vlan.trunk = Trunk::Yes;
    second.vlan.native = Some(42);
    inventory
}

pub(crate) fn demanding_bundle() -> Bundle {
    let trunk = format!(
        "[ports.\"{SECOND}\"]\ntrunk = {{ 10 = \"6f2d9c1e-5b4a-4f3e-8d7c-1a2b3c4d5e10\", \
         20 = \"6f2d9c1e-5b4a-4f3e-8d7c-1a2b3c4d5e20\" }}"
    );
    let text = binding().text.replace(&format!("[ports.\"{SECOND}\"]"), &trunk);
    let text = format!("pci_alias = \"gpu:1\"\nimage_id = \"6f2d9c1e-5b4a-4f3e-8d7c-1a2b3c4d5eff\"\n{text}");
    shop::render(Format::OpenStack, &demanding(), &shop::toml(text)).unwrap()
}

/// The VM with both families of addresses, routes, and VLANs that the guest sets up on a trunk.
pub(crate) fn tagged_bundle() -> Bundle {
    let mut inventory = inventory();
    let second = inventory.domain.nics.iter_mut().find(|nic| nic.mac.is_some_and(|mac| mac.to_string() == SECOND));
    let second = second.unwrap();
    second.vlan.tags = vec![10, 20];
    second.vlan.trunk = Trunk::Yes;
    let text = binding().text.replace(
        "dns = [\"198.51.100.53\"]",
        "dns = [\"198.51.100.53\", \"2001:db8:9::53\"]\ngateway6 = \"2001:db8:9::1\"\n\
         name = \"back0\"\nroutes = [{to = \"203.0.113.0/24\", via = \"198.51.100.2\"}]\n\
         vlans = [{id = 10, addresses = [\"10.0.10.5/24\"]}, {id = 20}]",
    );
    let text = text.replace("\"198.51.100.21/24\"", "\"198.51.100.21/24\", \"2001:db8:9::21/64\"");
    shop::render(Format::OpenStack, &inventory, &shop::toml(text)).unwrap()
}
