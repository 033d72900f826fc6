//! The config drive, read by cloud-init: from the tree, and from the disc through both of its kinds of names.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::setup::{OnDisk, SECOND, bundle, tagged_bundle, verdict};
use crate::support;
use crate::support::consumers::said;
use crate::support::debian::Debian;

#[test]
fn cloud_init_reads_the_drive_from_the_tree_and_from_the_disc() {
    let Some(consumers) = Debian::of("cloud_init_reads_the_drive_from_the_tree_and_from_the_disc") else { return };
    let disk = OnDisk::of(&bundle());
    let disc = disk.path("config-2.iso");
    for (extension, root) in [("-R", "rock-ridge"), ("-J", "joliet")] {
        let listing = isoinfo(&consumers, &[extension, "-f", "-i", disc.to_str().unwrap()]);
        let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
        let files: Vec<&str> = listing.lines().filter(|line| line.rsplit('/').next().unwrap().contains('_')).collect();
        assert_eq!(files.len(), 10, "{listing}");
        for name in files {
            let content = isoinfo(&consumers, &[extension, "-x", name, "-i", disc.to_str().unwrap()]).stdout;
            let there = disk.path(root).join(name.trim_start_matches('/'));
            std::fs::create_dir_all(there.parent().unwrap()).unwrap();
            std::fs::write(there, content).unwrap();
        }
    }
    let label = isoinfo(&consumers, &["-d", "-i", disc.to_str().unwrap()]);
    assert!(said(&label).contains("Volume id: config-2"), "{}", said(&label));
    for root in ["config-2", "rock-ridge", "joliet"] {
        let found = cloud_init(&consumers, &disk.path(root), &disk.path(&format!("work-{root}")));
        assert_eq!(found["found"], true, "{root}: {found}");
        assert_eq!(found["version"], 2);
        assert_eq!(found["instance_id"], "0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f60");
        assert_eq!(found["hostname"], "shop-front.shop.example");
        assert_eq!(found["zone"], "nova");
        assert_eq!(found["keys"].as_array().unwrap().len(), 1);
        let interfaces = found["interfaces"].to_string();
        assert!(interfaces.contains("192.0.2.21") && interfaces.contains("198.51.100.21"), "{interfaces}");
        assert_eq!(interfaces.matches("\"gateway\":\"").count(), 1, "{interfaces}");
    }
}

#[test]
fn cloud_init_refuses_a_drive_without_an_id_and_one_whose_json_is_cut() {
    let Some(consumers) = Debian::of("cloud_init_refuses_a_drive_without_an_id") else { return };
    let disk = OnDisk::of(&bundle());
    // cloud-init takes the newest form that it knows by name, and `latest` where it knows none.
    let forms = ["latest", "2018-08-27"].map(|form| format!("config-2/openstack/{form}/meta_data.json"));
    let whole = std::fs::read(disk.path(&forms[0])).unwrap();
    for form in &forms {
        disk.break_json(form, |data| drop(data.as_object_mut().unwrap().remove("uuid")));
    }
    let found = cloud_init(&consumers, &disk.path("config-2"), &disk.path("work-1"));
    assert_eq!(found["found"], false, "{found}");
    assert!(found["fault"].as_str().unwrap().contains("uuid"), "{found}");
    for form in &forms {
        std::fs::write(disk.path(form), &whole[..whole.len() / 2]).unwrap();
    }
    let found = cloud_init(&consumers, &disk.path("config-2"), &disk.path("work-2"));
    assert_eq!(found["found"], false, "{found}");
}

#[test]
fn cloud_init_converts_the_network_for_every_kind_of_guest() {
    let Some(consumers) = Debian::of("cloud_init_converts_the_network_for_every_kind_of_guest") else { return };
    let disk = OnDisk::of(&bundle());
    let data = disk.path("config-2/openstack/latest/network_data.json");
    for (kind, words) in [
        ("netplan", ["192.0.2.21/24", "198.51.100.21/24", "mtu: 1450"]),
        ("networkd", ["192.0.2.21/24", "198.51.100.21/24", "Gateway=192.0.2.1"]),
        ("eni", ["192.0.2.21/24", "198.51.100.21/24", "mtu 1450"]),
    ] {
        let out = disk.path(kind);
        let output = net_convert(&consumers, &data, kind, &out);
        assert!(output.status.success(), "{kind}: {}", said(&output));
        let written = all_text(&out);
        for word in words {
            assert!(written.contains(word), "{kind} lacks {word}:\n{written}");
        }
        assert!(!written.contains("198.51.100.1\n"), "{kind} has two default routes:\n{written}");
    }
    disk.break_json("config-2/openstack/latest/network_data.json", |data| data["networks"][0]["link"] = json!(null));
    disk.break_json("config-2/openstack/latest/network_data.json", |data| {
        drop(data["links"][0].as_object_mut().unwrap().remove("type"));
    });
    let output = net_convert(&consumers, &data, "netplan", &disk.path("broken"));
    assert!(!output.status.success(), "{}", said(&output));
}

#[test]
fn cloud_init_sets_up_vlans_both_families_and_routes() {
    let Some(consumers) = Debian::of("cloud_init_sets_up_vlans_both_families_and_routes") else { return };
    let disk = OnDisk::of(&tagged_bundle());
    let data = disk.path("config-2/openstack/latest/network_data.json");
    let output = net_convert(&consumers, &data, "netplan", &disk.path("netplan"));
    assert!(output.status.success(), "{}", said(&output));
    let written = all_text(&disk.path("netplan"));
    for word in ["2001:db8:9::21/64", "203.0.113.0/24", "id: 10", "link: back0", "10.0.10.5/24"] {
        assert!(written.contains(word), "it lacks {word}:\n{written}");
    }
    // The first interface's network advertises itself, and is the default route of IPv6 already.
    assert!(!written.contains("2001:db8:9::1\n"), "{written}");
}

#[test]
fn blkid_sees_the_label_by_which_the_drive_is_found() {
    let disk = OnDisk::of(&bundle());
    let programs = ["blkid", "/usr/sbin/blkid", "/sbin/blkid"];
    let run = |program: &&str| Command::new(program).arg("-p").arg(disk.path("config-2.iso")).output().ok();
    match programs.iter().find_map(run) {
        None => support::skip("blkid_sees_the_label_by_which_the_drive_is_found", "blkid is not there"),
        Some(output) => {
            assert!(said(&output).contains("LABEL=\"config-2\""), "{}", said(&output));
            assert!(said(&output).contains("TYPE=\"iso9660\""), "{}", said(&output));
        }
    }
}

/// What cloud-init's data source makes of a drive.
fn cloud_init(debian: &Debian, root: &Path, work: &Path) -> Value {
    verdict(&debian.python("openstack_cloud_init.py", &[root, work]))
}

/// A reader of discs.
fn isoinfo(debian: &Debian, arguments: &[&str]) -> Output {
    let arguments: Vec<&Path> = arguments.iter().map(Path::new).collect();
    debian.run(Path::new("isoinfo"), &arguments)
}

/// cloud-init's converter, for one kind of guest.
fn net_convert(debian: &Debian, data: &Path, kind: &str, out: &Path) -> Output {
    let program = debian.path("usr/bin/cloud-init");
    let second = format!("eth1,{SECOND}");
    let words =
        ["--kind", "network_data.json", "-m", "eth0,52:54:00:1a:2b:01", "-m", &second, "-D", "debian", "-O", kind];
    let mut arguments =
        [&program, Path::new("devel"), Path::new("net-convert"), Path::new("--network-data"), data].to_vec();
    arguments.extend(words.iter().map(Path::new));
    arguments.extend([Path::new("-d"), out]);
    debian.run(Path::new("/usr/bin/python3"), &arguments)
}

/// All text under a folder.
fn all_text(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &all_text(&path);
        } else {
            text += &String::from_utf8_lossy(&std::fs::read(path).unwrap());
        }
    }
    text
}
