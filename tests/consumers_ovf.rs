//! OVF descriptors, read by DMTF's schema, virt-v2v and COT.
//!
//! What cannot run here is skipped with its reason; `tools/consumers-env.sh` fetches what is needed.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use covirt::artifacts::{Bundle, Format, RenderError};
use covirt::discovery::{DiskSize, Inventory};
use covirt::model::units::Bytes;
use support::bundle::nothing_is_forgotten;
use support::consumers::{Consumers, said};
use support::shop;
use uuid::Uuid;

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/artifacts");

fn bundle() -> Bundle {
    shop::shop(Format::Ovf)
}

fn descriptor(bundle: &Bundle) -> String {
    let file = bundle.files.iter().find(|file| file.path.ends_with(".ovf")).unwrap();
    String::from_utf8(file.bytes.clone()).unwrap()
}

/// What nobody told: a size for every disk, a UUID for the domain.
fn complete(inventory: &mut Inventory) {
    inventory.domain.identity.uuid.get_or_insert(Uuid::from_u128(7));
    let size = DiskSize { capacity: Bytes(1 << 30), allocation: Bytes(0), physical: Bytes(0) };
    for disk in &mut inventory.domain.disks {
        disk.size = Some(size);
    }
}

fn schema(test: &str) -> Option<PathBuf> {
    let schema = Path::new(SHARED).join("schemas/ovf/ovf-envelope.xsd");
    if !schema.exists() {
        support::skip(test, &format!("no schema at {}", schema.display()));
        return None;
    }
    Some(schema)
}

fn run(debian: &Consumers, words: &[&str]) -> Output {
    let mut command = Command::new(debian.folder().join("run"));
    command.args(words).env("LIBGUESTFS_BACKEND", "direct").output().unwrap()
}

fn validate(debian: &Consumers, schema: &Path, files: &[PathBuf]) -> Output {
    let mut words = vec!["xmllint", "--noout", "--nonet", "--schema", schema.to_str().unwrap()];
    words.extend(files.iter().map(|file| file.to_str().unwrap()));
    run(debian, &words)
}

/// A package: the descriptor with files of no bytes under the names it refers to, as long as its disks.
fn package(text: &str, name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    for href in text.split("ovf:href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        std::fs::File::create(folder.path().join(href)).unwrap().set_len(1 << 20).unwrap();
    }
    folder
}

fn print_source(debian: &Consumers, text: &str) -> Output {
    let folder = package(text, "vm.ovf");
    run(debian, &["virt-v2v", "-i", "ova", folder.path().to_str().unwrap(), "--print-source"])
}

fn cot_info(light: &Consumers, text: &str) -> Output {
    let folder = package(text, "vm.ovf");
    let cot =
        Command::new(light.folder().join("bin/cot")).args(["info", "-v"]).arg(folder.path().join("vm.ovf")).output();
    cot.unwrap()
}

#[test]
fn the_files_are_the_golden_ones() {
    shop::is_golden(&bundle(), "ovf-shop-front");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(bundle(), bundle());
}

#[test]
fn the_schema_accepts_the_descriptor_and_no_broken_one() {
    const TEST: &str = "the_schema_accepts_the_descriptor_and_no_broken_one";
    let (Some(schema), Some(debian)) = (schema(TEST), Consumers::of(TEST, "debian")) else { return };
    let text = descriptor(&bundle());
    let broken = [
        ("sound", text.clone()),
        ("namespace", text.replace("ovf/envelope/1", "ovf/envelope/9")),
        ("no Info", text.replacen("<ovf:Info>Virtual disks</ovf:Info>", "", 1)),
        ("no capacity", text.replacen("ovf:capacity=\"21474836480\"", "", 1)),
        ("no id", text.replacen("<ovf:VirtualSystem ovf:id=\"shop-front\">", "<ovf:VirtualSystem>", 1)),
        (
            "order",
            text.replacen("<rasd:ElementName>vda</rasd:ElementName>", "", 1).replacen(
                "<rasd:ResourceType>17</rasd:ResourceType>",
                "<rasd:ResourceType>17</rasd:ResourceType><rasd:ElementName>vda</rasd:ElementName>",
                1,
            ),
        ),
        ("no number", text.replacen("<rasd:VirtualQuantity>4<", "<rasd:VirtualQuantity>four<", 1)),
        (
            "a child of CIM's that OVF has not",
            text.replacen("<rasd:Address>52", "<rasd:MACAddress/><rasd:Address>52", 1),
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (what, text) in broken {
        let file = folder.path().join("a.ovf");
        std::fs::write(&file, &text).unwrap();
        let output = validate(&debian, &schema, std::slice::from_ref(&file));
        assert_eq!(output.status.success(), what == "sound", "{what}: {}", said(&output));
    }
}

#[test]
fn virt_v2v_reads_the_machine() {
    const TEST: &str = "virt_v2v_reads_the_machine";
    let Some(debian) = Consumers::of(TEST, "debian") else { return };
    let output = print_source(&debian, &descriptor(&bundle()));
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    for line in [
        "source name: shop-front",
        "memory: 3221225472 (bytes)",
        "nr vCPUs: 4",
        "CPU topology: sockets: 1 cores/socket: 4 threads/core: 1",
        "firmware: uefi",
        "0 [scsi]",
        "1 [scsi]",
        "Bridge \"front\" mac: 52:54:00:1a:2b:01 [vmxnet3]",
        "Bridge \"Back office\" mac: 52:54:00:1a:2b:02 [vmxnet3]",
    ] {
        assert!(told.contains(line), "no {line:?} in:\n{told}");
    }
}

#[test]
fn virt_v2v_refuses_what_is_no_machine() {
    const TEST: &str = "virt_v2v_refuses_what_is_no_machine";
    let Some(debian) = Consumers::of(TEST, "debian") else { return };
    let text = descriptor(&bundle());
    for (what, text) in [
        ("a disk without its file", text.replacen("ovf:href=\"shop-front.qcow2\"", "ovf:HREF=\"x\"", 1)),
        ("text that is no XML", text.replacen("</ovf:Envelope>", "", 1)),
    ] {
        let output = print_source(&debian, &text);
        assert!(!output.status.success(), "{what}: {}", said(&output));
    }
    // In another namespace it sees nothing and goes on with what it takes for granted.
    let told = said(&print_source(&debian, &text.replace("ovf/envelope/1", "ovf/envelope/9")));
    assert!(told.contains("could not parse ovf:Name") && !told.contains("[scsi]"), "{told}");
}

#[test]
fn cot_reads_the_package() {
    const TEST: &str = "cot_reads_the_package";
    let Some(light) = Consumers::of(TEST, "light") else { return };
    let text = descriptor(&bundle());
    let output = cot_info(&light, &text);
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    let line = |words: &[&str]| told.lines().any(|line| words.iter().all(|word| line.contains(word)));
    for words in [
        ["shop-front.qcow2", "20 GiB", "SCSI 0:0"],
        ["shop-data.raw", "40 GiB", "SCSI 0:1"],
        ["net0", ":", "front"],
        ["net1", ":", "Back office"],
        ["None (default)", "3 GiB", "60 GiB"],
        ["Product:", "Shop", "front"],
        ["region", "north", ""],
    ] {
        assert!(line(&words), "no line with {words:?} in:\n{told}");
    }
    let much = cot_info(&light, &text.replacen("ovf:capacity=\"21474836480\"", "ovf:capacity=\"much\"", 1));
    assert!(!much.status.success(), "{}", said(&much));
    // It tells this error, and ends well all the same.
    let elsewhere = said(&cot_info(&light, &text.replace("ovf/envelope/1", "ovf/envelope/9")));
    assert!(elsewhere.contains("unknown namespace") && !elsewhere.contains("20 GiB"), "{elsewhere}");
}

/// Names that need escaping, of every kind that XML can hold.
#[test]
fn consumers_read_odd_names_back() {
    const TEST: &str = "consumers_read_odd_names_back";
    let (Some(schema), Some(debian)) = (schema(TEST), Consumers::of(TEST, "debian")) else { return };
    let mut inventory = shop::inventory();
    inventory.domain.identity.name = "a & <b> \"c\" 'd' é".to_owned();
    inventory.domain.identity.description = Some("]]> <x/>\tand\nmore".to_owned());
    let text = descriptor(&shop::render(Format::Ovf, &inventory, &shop::binding(Format::Ovf)).unwrap());
    let output = print_source(&debian, &text);
    assert!(said(&output).contains("source name: a & <b> \"c\" 'd' é\n"), "{}", said(&output));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.ovf");
    std::fs::write(&file, &text).unwrap();
    assert!(validate(&debian, &schema, std::slice::from_ref(&file)).status.success());
    let path = "string(//*[local-name()='Annotation'])";
    let read = run(&debian, &["xmllint", "--xpath", path, file.to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&read.stdout).trim_end(), "]]> <x/>\tand\nmore");
    inventory.domain.identity.name = "bell\u{7}".to_owned();
    let refused = shop::render(Format::Ovf, &inventory, &shop::binding(Format::Ovf)).unwrap_err();
    assert_eq!(refused.code(), "artifact-refused");
}

#[test]
fn every_corpus_domain_is_described_and_the_schema_accepts_it() {
    const TEST: &str = "every_corpus_domain_is_described_and_the_schema_accepts_it";
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (name, mut inventory) in shop::corpus(TEST) {
        complete(&mut inventory);
        let bundle = shop::render(Format::Ovf, &inventory, &shop::toml("")).unwrap_or_else(|e| panic!("{name}: {e}"));
        nothing_is_forgotten(&name, &bundle);
        let file = folder.path().join(format!("{name}.ovf"));
        std::fs::write(&file, descriptor(&bundle)).unwrap();
        files.push(file);
    }
    let (Some(schema), Some(debian), false) = (schema(TEST), Consumers::of(TEST, "debian"), files.is_empty()) else {
        return;
    };
    for some in files.chunks(100) {
        let output = validate(&debian, &schema, some);
        assert!(output.status.success(), "{}", said(&output));
    }
}

/// The VM that was worked through by hand, in its facts.
#[test]
fn the_worked_example_says_the_same() {
    const TEST: &str = "the_worked_example_says_the_same";
    let golden = Path::new(SHARED).join("golden");
    let Ok(domain) = std::fs::read_to_string(golden.join("input/domain.xml")) else {
        return support::skip(TEST, &format!("no worked example at {}", golden.display()));
    };
    let binding = "[disks.vda]\ncapacity = 21474836480\n[disks.vdb]\ncapacity = 10737418240\n";
    let ours = shop::render(Format::Ovf, &shop::inventory_of(&domain), &shop::toml(binding)).unwrap();
    let (ours, theirs) = (descriptor(&ours), std::fs::read_to_string(golden.join("ovf/web01.ovf")).unwrap());
    let facts = |text: &str| -> Vec<String> {
        let kept = |line: &&str| {
            ["File", "Disk ", "Network ", "OperatingSystemSection ", "Config"].iter().any(|name| line.contains(name))
                || [
                    "Address>",
                    "AddressOnParent>",
                    "Connection>",
                    "CoresPerSocket",
                    "HostResource>",
                    "Parent>",
                    "Quantity>",
                    "SubType>",
                    "ResourceType>",
                    "InstanceID>",
                ]
                .iter()
                .any(|name| line.contains(name))
        };
        text.lines()
            .filter(kept)
            .map(|line| line.trim().trim_end_matches("/>").trim_end_matches('>').to_owned())
            .collect()
    };
    // Of a qcow2 image nobody knows how large the exported file will be; and the example's TPM is left out there.
    let tpm = [
        "<rasd:ResourceSubType>vmware.vtpm</rasd:ResourceSubType",
        "<rasd:ResourceType>1</rasd:ResourceType",
        "<rasd:InstanceID>8</rasd:InstanceID",
    ];
    let ours: Vec<String> = facts(&ours).into_iter().filter(|line| !tpm.contains(&line.as_str())).collect();
    let theirs: Vec<String> =
        facts(&theirs).into_iter().map(|line| line.replace(" ovf:size=\"2362179584\"", "")).collect();
    assert_eq!(ours, theirs);
}

#[test]
fn a_binding_that_cannot_be_is_refused_with_its_place() {
    let mut inventory = shop::inventory();
    inventory.pools.clear();
    inventory.domain.disks.iter_mut().for_each(|disk| disk.size = None);
    let refuse = |text: &str| shop::render(Format::Ovf, &inventory, &shop::toml(text)).unwrap_err();
    let sizes = "[disks.vda]\ncapacity = 1\n[disks.vdb]\ncapacity = 1\n";
    let fault = |text: &str| match refuse(text) {
        RenderError::Binding(fault) => fault,
        other => panic!("{text}: {other}"),
    };
    let unknown = fault("");
    assert_eq!((unknown.field.as_str(), unknown.hint.is_some()), ("disks.vda.capacity", true));
    let typed = fault("os_type = 94\n[disks.vda]\ncapacity = \"much\"\n");
    assert_eq!(typed.line, Some(3));
    let stray = fault("colour = 'red'\n");
    assert!(stray.line == Some(1) && stray.to_string().contains("colour"), "{stray}");
    assert_eq!(fault(&format!("{sizes}[disks.vdz]\nsize = 1\n")).field, "disks.vdz");
    assert_eq!(fault("[disks.vda]\ncapacity = 1\nfile = '../a'\n").field, "disks.vda.file");
    let twice = "[disks.vda]\ncapacity = 1\nfile = 'a'\n[disks.vdb]\ncapacity = 1\nfile = 'A'\n";
    assert_eq!(fault(twice).field, "disks.vdb.file");
    assert_eq!(
        fault(&format!("{sizes}[networks]\n'52:54:00:00:00:09' = 'x'\n")).field,
        "networks.\"52:54:00:00:00:09\""
    );
    assert!(matches!(
        refuse(&format!("{sizes}[properties.admin_password]\nvalue = 'x'\n")),
        RenderError::Secret { field } if field == "properties.admin_password"
    ));
}
