//! One domain with one of nearly everything: where each part ends up, what is unknown, and that no secret gets in.

use super::*;

fn everything() -> Domain {
    domain(EVERYTHING)
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_domain_with_one_of_everything_is_the_golden_inventory() {
    golden("live-everything", &Inventory::build(Discovered::from_domain(everything())));
}

#[test]
fn every_word_that_nobody_knows_is_listed_with_its_line() {
    let found: Vec<(String, u64)> = everything().unknown.into_iter().map(|part| (part.path, part.line)).collect();
    let line = |word: &str| EVERYTHING[..EVERYTHING.find(word).unwrap()].lines().count() as u64;
    let expected = [
        ("/domain/features/timewarp/@factor", line("factor='9'")),
        ("/domain/cpu/warp", line("<warp")),
        ("/domain/devices/disk[1]/spin", line("<spin ")),
        ("/domain/devices/disk[2]/source/host/@socket", line("socket='/run/none'")),
        ("/domain/devices/disk[2]/target/@wobble", line("wobble")),
        ("/domain/devices/teleporter", line("<teleporter")),
        ("/domain/qemu:tomorrow", line("<qemu:tomorrow")),
    ];
    assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
}

#[test]
fn no_secret_of_any_kind_gets_in() {
    assert_eq!(EVERYTHING.matches("not-for-anyone").count(), 9);
    let json = serde_json::to_string(&Inventory::build(Discovered::from_domain(everything()))).unwrap();
    assert!(!json.contains("not-for-anyone"), "{json}");
    assert_eq!(everything().passthrough_arguments, 3);
    // Their names may stay.
    assert!(json.contains("io.systemd.credential:key") && json.contains("session"));
}

#[test]
fn the_chain_is_followed_to_its_end() {
    let disk = &everything().disks[0];
    assert_eq!(disk.backing.end, ChainEnd::Seen);
    let formats: Vec<_> = disk.backing.images.iter().map(|image| image.format.as_deref()).collect();
    assert_eq!(formats, [Some("qcow2"), Some("raw")]);
    let hosts = vec!["192.0.2.10:6789".to_owned(), "2001:db8::11".to_owned()];
    let base = DiskSource::Network { protocol: "rbd".to_owned(), name: Some("pool/atlas-base".to_owned()), hosts };
    assert_eq!(disk.backing.images[1].source, base);
    assert_eq!(disk.settings["backing[2].source.auth.secret.usage"], "atlas");
    assert_eq!(disk.encryption, Some(Encryption { format: "luks".to_owned(), engine: Some("qemu".to_owned()) }));
    let open = domain(
        "<domain><name>a</name><devices><disk type='file'><source file='/a'/><backingStore type='file'><format type='raw'/><source file='/b'/></backingStore><target dev='vda'/></disk></devices></domain>",
    );
    assert_eq!((open.disks[0].backing.images.len(), open.disks[0].backing.end), (1, ChainEnd::Unseen));
}

#[test]
fn options_of_a_disk_and_of_an_interface_are_kept_by_path() {
    let domain = everything();
    assert_eq!(domain.disks[0].iotune, settings(&[("read_bytes_sec", "1048576"), ("total_iops_sec", "2000")]));
    assert_eq!(domain.disks[0].settings["alias"], "ua-root");
    let nic = &domain.nics[0];
    assert_eq!((nic.queues, nic.mtu, nic.filter.as_deref()), (Some(8), Some(9000), Some("clean-traffic")));
    let expected = settings(&[
        ("coalesce.rx.frames.max", "7"),
        ("driver.host.csum", "off"),
        ("driver.name", "vhost"),
        ("driver.rx_queue_size", "1024"),
        ("filter.IP", "192.0.2.61"),
        ("filter.IP[2]", "192.0.2.62"),
        ("trustGuestRxFilters", "yes"),
    ]);
    assert_eq!(nic.settings, expected);
    assert_eq!(nic.bandwidth.as_ref().unwrap().inbound.unwrap().floor, Some(200));
    assert_eq!((domain.nics[1].vlan.tags.as_slice(), domain.nics[1].vlan.native), ([42, 47].as_slice(), Some(47)));
}

#[test]
fn host_devices_say_what_they_are_in_one_text() {
    let sources: Vec<String> = everything().hostdevs.into_iter().map(|hostdev| hostdev.source).collect();
    let expected =
        ["pci:0000:41:00.0", "usb:0951:1625", "c2177883-f1bb-47f0-914d-32a22e3a8804", "scsi:scsi_host0:0.1.2"];
    assert_eq!(sources, expected);
}

#[test]
fn the_boot_order_covers_every_kind_of_device() {
    let BootOrder::ByDevice(devices) = everything().boot else { panic!("by device") };
    let devices: Vec<&str> = devices.iter().map(|device| device.device.as_str()).collect();
    assert_eq!(devices, ["disk:vda", "nic:52:54:00:aa:00:01", "hostdev:1", "redirdev:0"]);
}

#[test]
fn features_of_groups_have_paths() {
    let features = everything().features;
    let names: Vec<(&str, bool)> = features.iter().map(|feature| (feature.name.as_str(), feature.enabled)).collect();
    let expected = [
        ("acpi", true),
        ("hyperv", true),
        ("hyperv.relaxed", true),
        ("hyperv.spinlocks", true),
        ("hyperv.stimer", true),
        ("hyperv.vapic", false),
        ("kvm.hidden", true),
        ("smm", true),
        ("ioapic", true),
        ("timewarp", true),
    ];
    assert_eq!(names, expected);
}

#[test]
fn what_libvirt_makes_up_for_one_run_is_left_out() {
    let json = serde_json::to_string(&everything()).unwrap();
    for word in ["/dev/pts", "7-atlas", "8d2b1f4a", "net0", "libvirt-1-storage", "svirt_t", "3600"] {
        assert!(EVERYTHING.contains(word) && !json.contains(word), "{word}");
    }
    assert!(json.contains("/srv/sockets/atlas.sock"));
}
