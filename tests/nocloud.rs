//! NoCloud seeds, read back by the software that reads them in a guest: cloud-init, netplan, and a reader of discs.
//!
//! What cannot run here prints `SKIPPED: reason` and returns; `tools/cloud-init-env.sh` fetches what is needed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use covirt::artifacts::{BindingText, Bundle, Fate, Format, RenderError, Source, Subject, Syntax};
use covirt::cli::artifacts_dir::write_bundle;
use covirt::discovery::{Discovered, Inventory, Limits, parse_domain, parse_network};
use serde_json::{Value, json};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn fixture(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join("fixtures").join(path)).unwrap()
}

fn inventory(domain: &str) -> Inventory {
    let live = parse_domain(fixture(&format!("domain/{domain}.xml")), Limits::default()).unwrap();
    let network = parse_network(fixture("network/front.xml"), Limits::default()).unwrap();
    Inventory::build(Discovered { networks: vec![network], ..Discovered::from_domain(live) })
}

fn shop_binding() -> Value {
    serde_json::from_str(&fixture("bundle/nocloud-shop-front.binding.json")).unwrap()
}

fn try_render(inventory: &Inventory, source: &Source, binding: &Value) -> Result<Bundle, RenderError> {
    let binding = BindingText { syntax: Syntax::Json, text: binding.to_string() };
    Format::NoCloud.render(&Subject::new(inventory, source), &binding)
}

fn render(domain: &str, binding: &Value) -> Bundle {
    let source = Source::Libvirt { uri: "qemu:///system".to_owned() };
    try_render(&inventory(domain), &source, binding).unwrap()
}

fn shop() -> Bundle {
    render("live-uefi-two-nics", &shop_binding())
}

fn text<'a>(bundle: &'a Bundle, path: &str) -> &'a str {
    std::str::from_utf8(&bundle.file(path).unwrap().bytes).unwrap()
}

/// The folder of the unpacked consumers, made once; none with the reason printed.
fn consumers() -> Option<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOLDER.get_or_init(|| {
        let run = Command::new(Path::new(ROOT).join("tools/cloud-init-env.sh")).output();
        let output = run.map_err(|fault| fault.to_string())?;
        if output.status.success() {
            Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    });
    match found {
        Ok(folder) => Some(folder),
        Err(reason) => {
            eprintln!("SKIPPED: {reason}");
            None
        }
    }
}

fn run(folder: &Path, words: &[&str]) -> Output {
    Command::new(folder.join("run")).args(words).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What cloud-init's own data source makes of a seed folder.
fn read_by_cloud_init(folder: &Path, seed: &Path, work: &Path) -> Value {
    let script = Path::new(ROOT).join("tests/consumers/nocloud.py");
    let words = [Path::new("/usr/bin/python3"), &script, seed, work].map(|path| path.to_str().unwrap());
    let output = run(folder, &words);
    assert!(output.status.success(), "{}", said(&output));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

#[test]
fn the_text_files_are_the_golden_ones() {
    let bundle = shop();
    let folder = Path::new(ROOT).join("fixtures/bundle/nocloud-shop-front");
    let bless = std::env::var_os("COVIRT_BLESS").is_some();
    // The content of the disc and of the inventory is held by their digests in the manifest.
    for file in bundle.files.iter().filter(|file| !["seed.iso", "inventory.json"].contains(&file.path.as_str())) {
        let path = folder.join(&file.path);
        if bless {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &file.bytes).unwrap();
        }
        let expected = std::fs::read(&path).expect("the golden file is there (make it with COVIRT_BLESS=1)");
        assert!(file.bytes == expected, "{} differs", path.display());
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(shop(), shop());
}

#[test]
fn every_field_of_the_inventory_has_a_fate() {
    let inventory = serde_json::to_value(inventory("live-uefi-two-nics")).unwrap();
    let mapping = shop().mapping;
    for (name, value) in inventory.as_object().unwrap() {
        let told = |field: &str| mapping.0.iter().any(|entry| entry.field == field);
        match value {
            Value::Object(fields) if !told(name) && name != "networks" => {
                for field in fields.keys() {
                    assert!(told(&format!("{name}.{field}")), "{name}.{field}");
                }
            }
            Value::Array(items) if !told(name) => {
                for item in items {
                    let item = item.as_object().unwrap();
                    let key = item.get("target").filter(|_| name == "disks").or(item.get("mac")).unwrap();
                    for field in item.keys() {
                        let path = format!("{name}[{}].{field}", key.as_str().unwrap());
                        assert!(told(&path), "{path}");
                    }
                }
            }
            Value::Object(networks) if name == "networks" => {
                for (key, network) in networks {
                    for field in network.as_object().unwrap().keys() {
                        assert!(told(&format!("networks[{key}].{field}")), "networks[{key}].{field}");
                    }
                }
            }
            _ => assert!(told(name), "{name}"),
        }
    }
}

#[test]
fn only_one_interface_has_the_default_route() {
    let bundle = shop();
    assert_eq!(text(&bundle, "network-config").matches("0.0.0.0/0").count(), 1);
}

#[test]
fn interfaces_without_a_mac_or_with_a_trunk_are_reported() {
    let bundle = render("inactive-bios-many-sources", &json!({}));
    let refused: Vec<&str> = bundle
        .mapping
        .0
        .iter()
        .filter(|entry| matches!(entry.fate, Fate::Refused { .. }))
        .map(|entry| entry.field.as_str())
        .collect();
    assert_eq!(refused, ["nics[1].mac", "nics[1].addresses", "nics[52:54:00:1a:2b:13].vlan"]);
    assert!(text(&bundle, "meta-data").contains("local-hostname: \"ledger---co-2\""));
}

#[test]
fn a_binding_that_cannot_hold_is_refused_by_code() {
    let source = Source::File;
    let inventory = inventory("live-uefi-two-nics");
    for (binding, code) in [
        (json!({"hostnam": "typo"}), "binding-malformed"),
        (json!({"hostname": "two words"}), "binding-malformed"),
        (json!({"nics": {"52:54:00:00:00:09": {}}}), "binding-malformed"),
        (json!({"nics": {"52:54:00:1a:2b:02": {"addresses": ["198.51.100.21"]}}}), "binding-malformed"),
        (json!({"ssh_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}), "artifact-secret"),
        (json!({"user_data": "#cloud-config\npassword: hunter2\n"}), "artifact-secret"),
    ] {
        let error = try_render(&inventory, &source, &binding).unwrap_err();
        assert_eq!(error.code(), code, "{binding}");
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn a_connection_with_a_password_is_not_named_in_a_manifest() {
    let inventory = inventory("live-uefi-two-nics");
    let uri = "qemu+ssh://ops:hunter2@host.example/system".to_owned();
    let error = try_render(&inventory, &Source::Libvirt { uri }, &json!({})).unwrap_err();
    assert_eq!(error.code(), "artifact-secret");
    let uri = "qemu+tcp://ops@[2001:db8::1]:16509/system".to_owned();
    try_render(&inventory, &Source::Libvirt { uri }, &json!({})).unwrap();
}

#[test]
fn cloud_init_reads_identity_keys_and_network_from_the_folder() {
    let Some(folder) = consumers() else { return };
    let work = tempfile::tempdir().unwrap();
    let seed = work.path().join("seed");
    write_bundle(&shop(), &seed).unwrap();
    let read = read_by_cloud_init(folder, &seed, &work.path().join("cloud"));
    assert_eq!(read["found"], true);
    assert_eq!(read["instance_id"], "0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f60");
    assert_eq!(read["hostname"], "shop-front.shop.example");
    assert_eq!(read["keys"], shop_binding()["ssh_keys"]);
    let interfaces = read["interfaces"].as_array().unwrap();
    assert_eq!(interfaces.len(), 2);
    assert_eq!(interfaces[0]["mac_address"], "52:54:00:1a:2b:01");
    assert_eq!(interfaces[0]["subnets"][0]["address"], "192.0.2.21");
    assert_eq!(interfaces[1]["mac_address"], "52:54:00:1a:2b:02");
    assert_eq!(interfaces[1]["mtu"], 1450);
    assert_eq!(interfaces[1]["subnets"][0]["address"], "198.51.100.21");
}

#[test]
fn cloud_init_finds_no_seed_in_a_folder_without_meta_data() {
    let Some(folder) = consumers() else { return };
    let work = tempfile::tempdir().unwrap();
    let seed = work.path().join("seed");
    write_bundle(&shop(), &seed).unwrap();
    std::fs::remove_file(seed.join("meta-data")).unwrap();
    let read = read_by_cloud_init(folder, &seed, &work.path().join("cloud"));
    assert_eq!(read, json!({"found": false}));
}

#[test]
fn the_schema_of_cloud_init_accepts_the_user_data_and_refuses_a_broken_one() {
    let Some(folder) = consumers() else { return };
    let work = tempfile::tempdir().unwrap();
    let bundle = shop();
    let program = folder.join("root/usr/bin/cloud-init");
    let check = |name: &str, content: &str| {
        let path = work.path().join(name);
        std::fs::write(&path, content).unwrap();
        let program = program.to_str().unwrap();
        run(folder, &["/usr/bin/python3", program, "schema", "--config-file", path.to_str().unwrap()])
    };
    for name in ["user-data", "vendor-data"] {
        let output = check(name, text(&bundle, name));
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
    let broken = check("broken", "#cloud-config\npreserve_hostname: 7\nusers: maybe\n");
    assert!(!broken.status.success(), "{}", said(&broken));
}

#[test]
fn netplan_accepts_the_network_and_refuses_a_broken_one() {
    let Some(folder) = consumers() else { return };
    let generate = folder.join("root/usr/libexec/netplan/generate");
    let check = |network: &str| {
        let work = tempfile::tempdir().unwrap();
        let etc = work.path().join("etc/netplan");
        std::fs::create_dir_all(&etc).unwrap();
        let indented: String = network.lines().map(|line| format!("  {line}\n")).collect();
        std::fs::write(etc.join("50-seed.yaml"), format!("network:\n{indented}")).unwrap();
        let words = [generate.to_str().unwrap(), "--root-dir", work.path().to_str().unwrap()];
        let output = run(folder, &words);
        let units = work.path().join("run/systemd/network");
        let made = std::fs::read_dir(units).map_or(0, Iterator::count);
        (output, made)
    };
    let bundle = shop();
    let (output, made) = check(text(&bundle, "network-config"));
    assert!(output.status.success(), "{}", said(&output));
    assert!(made >= 2, "one unit for each interface, found {made}");
    let (broken, _) = check(&text(&bundle, "network-config").replace("192.0.2.21/24", "192.0.2.21/99"));
    assert!(!broken.status.success(), "{}", said(&broken));
}

#[test]
fn an_independent_reader_finds_the_files_on_the_disc() {
    let Some(folder) = consumers() else { return };
    let work = tempfile::tempdir().unwrap();
    let bundle = shop();
    let disc = work.path().join("seed.iso");
    std::fs::write(&disc, &bundle.file("seed.iso").unwrap().bytes).unwrap();
    let disc = disc.to_str().unwrap();
    // -R and -J read the two name extensions, each on its own.
    for extension in ["-R", "-J"] {
        let listing = run(folder, &["isoinfo", extension, "-f", "-i", disc]);
        let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
        let mut names: Vec<&str> = listing.lines().collect();
        names.sort_unstable();
        assert_eq!(names, ["/meta-data", "/network-config", "/user-data", "/vendor-data"], "{extension}");
        for name in names {
            let content = run(folder, &["isoinfo", extension, "-x", name, "-i", disc]).stdout;
            assert_eq!(content, bundle.file(&name[1..]).unwrap().bytes, "{extension} {name}");
        }
    }
    let label = run(folder, &["isoinfo", "-d", "-i", disc]);
    assert!(said(&label).contains("Volume id: cidata"), "{}", said(&label));
}

#[test]
fn blkid_sees_the_label_that_cloud_init_looks_for() {
    let work = tempfile::tempdir().unwrap();
    let disc = work.path().join("seed.iso");
    std::fs::write(&disc, &shop().file("seed.iso").unwrap().bytes).unwrap();
    let found = ["blkid", "/usr/sbin/blkid", "/sbin/blkid"]
        .iter()
        .find_map(|program| Command::new(program).arg("-p").arg(&disc).output().ok());
    match found {
        None => eprintln!("SKIPPED: blkid is not there"),
        Some(output) => {
            assert!(said(&output).contains("LABEL=\"cidata\""), "{}", said(&output));
            assert!(said(&output).contains("TYPE=\"iso9660\""), "{}", said(&output));
        }
    }
}
