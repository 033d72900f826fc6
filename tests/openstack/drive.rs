//! The config drive, read by cloud-init: from the tree, and from the disc through both of its kinds of names.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::setup::{OnDisk, SECOND, bundle, verdict};
use crate::support;
use crate::support::consumers::said;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn cloud_init_reads_the_drive_from_the_tree_and_from_the_disc() {
    let Some(consumers) = Debian::of("cloud_init_reads_the_drive_from_the_tree_and_from_the_disc") else { return };
    let disk = OnDisk::of(&bundle());
    let disc = disk.path("config-2.iso");
    for (extension, root) in [("-R", "rock-ridge"), ("-J", "joliet")] {
        let listing = consumers.run(&["isoinfo", extension, "-f", "-i", disc.to_str().unwrap()]);
        let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
        let files: Vec<&str> = listing.lines().filter(|line| line.rsplit('/').next().unwrap().contains('_')).collect();
        assert_eq!(files.len(), 10, "{listing}");
        for name in files {
            let content = consumers.run(&["isoinfo", extension, "-x", name, "-i", disc.to_str().unwrap()]).stdout;
            let there = disk.path(root).join(name.trim_start_matches('/'));
            std::fs::create_dir_all(there.parent().unwrap()).unwrap();
            std::fs::write(there, content).unwrap();
        }
    }
    let label = consumers.run(&["isoinfo", "-d", "-i", disc.to_str().unwrap()]);
    assert!(said(&label).contains("Volume id: config-2"), "{}", said(&label));
    for root in ["config-2", "rock-ridge", "joliet"] {
        let found = consumers.cloud_init(&disk.path(root), &disk.path(&format!("work-{root}")));
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
    let found = consumers.cloud_init(&disk.path("config-2"), &disk.path("work-1"));
    assert_eq!(found["found"], false, "{found}");
    assert!(found["fault"].as_str().unwrap().contains("uuid"), "{found}");
    for form in &forms {
        std::fs::write(disk.path(form), &whole[..whole.len() / 2]).unwrap();
    }
    let found = consumers.cloud_init(&disk.path("config-2"), &disk.path("work-2"));
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
        let output = consumers.net_convert(&data, kind, &out);
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
    let output = consumers.net_convert(&data, "netplan", &disk.path("broken"));
    assert!(!output.status.success(), "{}", said(&output));
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

/// cloud-init and a reader of discs, unpacked from Debian's packages.
struct Debian(PathBuf);

impl Debian {
    fn of(test: &str) -> Option<Self> {
        let output = Command::new(Path::new(ROOT).join("tools/cloud-init-env.sh")).output().unwrap();
        if output.status.success() {
            return Some(Self(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())));
        }
        support::skip(test, String::from_utf8_lossy(&output.stderr).trim());
        None
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(self.0.join("run")).args(words).output().unwrap()
    }

    /// What cloud-init's data source makes of a drive.
    fn cloud_init(&self, root: &Path, work: &Path) -> Value {
        let script = Path::new(ROOT).join("tests/consumers/openstack_cloud_init.py");
        let words = [Path::new("/usr/bin/python3"), &script, root, work].map(|path| path.to_str().unwrap());
        verdict(&self.run(&words))
    }

    /// cloud-init's converter, for one kind of guest.
    fn net_convert(&self, data: &Path, kind: &str, out: &Path) -> Output {
        let program = self.0.join("root/usr/bin/cloud-init");
        let paths = [program.as_path(), data, out].map(|path| path.to_str().unwrap().to_owned());
        let [program, data, out] = &paths;
        let first = "eth0,52:54:00:1a:2b:01";
        let second = format!("eth1,{SECOND}");
        let mut words = vec!["/usr/bin/python3", program, "devel", "net-convert", "--network-data", data, "--kind"];
        words.extend(["network_data.json", "-m", first, "-m", &second, "-D", "debian", "-O", kind, "-d", out]);
        self.run(&words)
    }
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
