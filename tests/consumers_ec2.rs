//! EC2's answers, read by the software that reads them: cloud-init over HTTP, botocore, and Terraform's AWS provider.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use covirt::artifacts::{BindingText, Bundle, Fate, Format, Need, RenderError, Syntax};
use covirt::discovery::{Discovered, DiskDevice, Inventory, Limits, parse_domain, parse_network};
use serde_json::{Value, json};
use support::bundle::{fate, nothing_is_forgotten, text};
use support::consumers::{Consumers, said};
use support::debian::Debian;
use support::{shop, skip};

const ID: &str = "i-00d3f6a518f0e4f6e";

fn shop() -> Bundle {
    shop::shop(Format::Ec2)
}

fn json_of(bundle: &Bundle, path: &str) -> Value {
    serde_json::from_slice(&bundle.file(path).unwrap_or_else(|| panic!("no {path}")).bytes).unwrap()
}

fn meta_data<'a>(bundle: &'a Bundle, key: &str) -> &'a str {
    text(bundle, &format!("imds/latest/meta-data/{key}"))
}

/// The reference VM with a change in its binding.
fn changed(from: &str, to: &str) -> Result<Bundle, RenderError> {
    let binding = shop::binding(Format::Ec2);
    assert!(binding.text.contains(from), "{from}");
    shop::render(Format::Ec2, &shop::inventory(), &shop::toml(binding.text.replacen(from, to, 1)))
}

/// A binding for any VM.
fn binding_for(inventory: &Inventory) -> BindingText {
    let macs = inventory.domain.nics.iter().filter_map(|nic| nic.mac);
    let subnets: serde_json::Map<String, Value> =
        macs.map(|mac| (mac.to_string(), json!("subnet-05f0f0f0f0f0f0f04"))).collect();
    let binding = json!({
        "account": "123456789012", "region": "eu-central-1", "availability_zone": "eu-central-1a",
        "state": "running", "instance_type": "m7i.large", "image_id": "ami-05f0f0f0f0f0f0f01",
        "vpc_id": "vpc-05f0f0f0f0f0f0f02", "subnets": subnets,
    });
    BindingText { syntax: Syntax::Json, text: binding.to_string() }
}

/// Real domains, with a UUID where the file has none.
fn corpus(test: &str) -> Vec<(String, Inventory)> {
    let mut domains = shop::corpus(test);
    for (_, inventory) in &mut domains {
        inventory.domain.identity.uuid.get_or_insert_with(|| "0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f60".parse().unwrap());
    }
    domains
}

#[test]
fn the_reference_vm_renders_as_kept() {
    let bundle = shop();
    shop::is_golden(&bundle, "ec2-shop-front");
    assert_eq!(bundle, shop(), "the same input gives the same bytes");
}

#[test]
fn no_field_of_any_real_domain_is_forgotten() {
    let test = "no_field_of_any_real_domain_is_forgotten";
    let domains = corpus(test);
    for (name, inventory) in &domains {
        let bundle = shop::render(Format::Ec2, inventory, &binding_for(inventory))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        nothing_is_forgotten(name, &bundle);
        let disks = inventory.domain.disks.iter();
        let volumes = disks.filter(|disk| matches!(disk.device, DiskDevice::Disk | DiskDevice::Lun)).count();
        let described = json_of(&bundle, "api/DescribeVolumes.json");
        let ids: BTreeSet<&str> = described["Volumes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|volume| volume["VolumeId"].as_str().unwrap())
            .collect();
        assert!(ids.len() == volumes || has_one_source_twice(inventory), "{name}: {ids:?}");
    }
}

/// Whether two disks of a domain are one image, so that they are one volume.
fn has_one_source_twice(inventory: &Inventory) -> bool {
    let sources: Vec<_> = inventory.domain.disks.iter().filter_map(|disk| disk.source.as_ref()).collect();
    sources.iter().enumerate().any(|(nth, source)| sources.iter().skip(nth + 1).any(|other| other == source))
}

#[test]
fn ids_are_made_from_the_vm_and_stay() {
    let bundle = shop();
    let instance = &json_of(&bundle, "api/DescribeInstances.json")["Reservations"][0]["Instances"][0];
    assert_eq!(instance["InstanceId"], ID);
    assert_eq!(instance["PrivateIpAddress"], "192.0.2.21");
    assert_eq!(instance["NetworkInterfaces"][1]["Ipv6Addresses"][0]["Ipv6Address"], "2001:db8:b::21");
    assert_eq!(instance["CpuOptions"], json!({"CoreCount": 1, "ThreadsPerCore": 2}));
    assert_eq!(instance["BootMode"], "uefi");
    // The disks are booted from in the order that the devices have, and not in that of the XML.
    assert_eq!(instance["RootDeviceName"], "/dev/vda");
    let other = changed("team = \"retail\"", "team = \"back office\"").unwrap();
    let again = &json_of(&other, "api/DescribeInstances.json")["Reservations"][0]["Instances"][0];
    assert_eq!(instance["BlockDeviceMappings"], again["BlockDeviceMappings"]);
    assert_eq!(instance["NetworkInterfaces"], again["NetworkInterfaces"]);
}

#[test]
fn sizes_are_whole_gib_rounded_up_and_the_rule_is_named() {
    let mut inventory = shop::inventory();
    let bytes = |bytes| covirt::model::units::Bytes(bytes);
    let size = |capacity| covirt::discovery::DiskSize {
        capacity: bytes(capacity),
        allocation: bytes(0),
        physical: bytes(capacity),
    };
    inventory.domain.disks[0].size = Some(size((20 << 30) - 1));
    let bundle = shop::render(Format::Ec2, &inventory, &shop::binding(Format::Ec2)).unwrap();
    assert_eq!(json_of(&bundle, "api/DescribeVolumes.json")["Volumes"][0]["Size"], 20);
    let Fate::Approximate { rule, .. } = fate(&bundle, "disks[vda].size") else { panic!("the size is rounded") };
    assert!(rule.contains("rounded up"), "{rule}");
    inventory.domain.disks[0].size = Some(size((20 << 30) + 1));
    let wrong = shop::toml(shop::binding(Format::Ec2).text.replace("[volumes.vda]", "[volumes.vda]\nsize_gib = 20"));
    let error = shop::render(Format::Ec2, &inventory, &wrong).unwrap_err();
    assert!(error.to_string().contains("the disk has 21 GiB, and not 20"), "{error}");
}

#[test]
fn a_size_that_nobody_knows_is_left_out_and_reported() {
    let mut inventory = shop::inventory();
    inventory.pools.clear();
    inventory.domain.disks.iter_mut().for_each(|disk| disk.size = None);
    let sized = shop::toml(shop::binding(Format::Ec2).text.replace("[volumes.vda]", "[volumes.vda]\nsize_gib = 20"));
    let bundle = shop::render(Format::Ec2, &inventory, &sized).unwrap();
    assert_eq!(json_of(&bundle, "api/DescribeVolumes.json")["Volumes"][0]["Size"], 20);
    let volume = &json_of(&bundle, "api/DescribeVolumes.json")["Volumes"][1];
    assert!(volume.get("Size").is_none(), "{volume}");
    assert!(matches!(fate(&bundle, "disks[vdb].source"), Fate::Refused { .. }));
    assert!(matches!(fate(&bundle, "disks[vda].source"), Fate::Approximate { .. }));
}

#[test]
fn a_type_of_another_size_is_told_in_the_mapping() {
    assert!(matches!(fate(&shop(), "cpu.vcpus"), Fate::Exact { .. }));
    let bundle = changed("t3.medium", "m7i.xlarge").unwrap();
    let Fate::Approximate { rule, .. } = fate(&bundle, "cpu.vcpus") else { panic!("2 processors are not 4") };
    assert!(rule.contains("the VM has 2, and m7i.xlarge has 4"), "{rule}");
    assert!(bundle.file("api/DescribeInstanceCreditSpecifications.xml").is_none(), "its credits are not counted");
    let unknown = changed("t3.medium", "u-6tb1.56xlarge").unwrap();
    assert!(matches!(fate(&unknown, "memory.max_kib"), Fate::NotCarried { .. }));
}

#[test]
fn addresses_are_told_with_how_sure_they_are() {
    let mut inventory = shop::inventory();
    let nic = &mut inventory.domain.nics[0];
    let address = |ip: &str, origin| covirt::discovery::NicAddress::new(ip.parse().unwrap(), Some(24), origin);
    use covirt::discovery::AddressOrigin::{Agent, Arp, Lease};
    let addresses = |bundle: &Bundle| {
        let instance = json_of(bundle, "api/DescribeInstances.json");
        let nic = instance["Reservations"][0]["Instances"][0]["NetworkInterfaces"][0].clone();
        let private = nic["PrivateIpAddresses"].as_array().unwrap().clone();
        private.iter().map(|address| address["PrivateIpAddress"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    nic.addresses = vec![address("192.0.2.5", Arp)];
    let render = |inventory: &Inventory| shop::render(Format::Ec2, inventory, &shop::binding(Format::Ec2)).unwrap();
    assert_eq!(addresses(&render(&inventory)), Vec::<String>::new());
    let nic = &mut inventory.domain.nics[0];
    nic.addresses = vec![
        address("169.254.7.7", Agent),
        address("192.0.2.5", Agent),
        address("192.0.2.6", Agent),
        address("192.0.2.6", Lease),
    ];
    let bundle = render(&inventory);
    assert_eq!(addresses(&bundle), ["192.0.2.6", "192.0.2.5"]);
    assert_eq!(meta_data(&bundle, "local-ipv4"), "192.0.2.6");
    assert!(matches!(fate(&bundle, "nics[52:54:00:1a:2b:01].addresses"), Fate::Approximate { .. }));
}

#[test]
fn words_are_ec2s_own_and_what_it_has_none_for_is_refused() {
    let domain = |arch: &str, more: &str| {
        let xml = format!(
            "<domain type='kvm'><name>words</name><uuid>0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f61</uuid>\
             <memory>1048576</memory><vcpu current='3'>4</vcpu><os><type arch='{arch}'>hvm</type></os>\
             <cpu><topology sockets='1' dies='1' cores='2' threads='2'/></cpu>{more}</domain>"
        );
        Inventory::build(Discovered::from_domain(parse_domain(xml, Limits::default()).unwrap()))
    };
    let render = |inventory: &Inventory| shop::render(Format::Ec2, inventory, &binding_for(inventory)).unwrap();
    let described =
        |bundle: &Bundle| json_of(bundle, "api/DescribeInstances.json")["Reservations"][0]["Instances"][0].clone();
    let arm = render(&domain("aarch64", ""));
    assert_eq!(
        (&described(&arm)["Architecture"], &described(&arm)["BootMode"]),
        (&json!("arm64"), &json!("legacy-bios"))
    );
    // Three processors do not fill cores of two threads.
    assert_eq!(described(&arm)["CpuOptions"], json!({"CoreCount": 3, "ThreadsPerCore": 1}));
    assert!(matches!(fate(&arm, "cpu.topology"), Fate::Approximate { .. }));
    assert!(described(&arm).get("PrivateIpAddress").is_none() && described(&arm).get("RootDeviceName").is_none());

    let mainframe = render(&domain("s390x", ""));
    assert!(described(&mainframe).get("Architecture").is_none());
    assert!(matches!(fate(&mainframe, "platform.arch"), Fate::Refused { .. }));

    let behaviour = "api/DescribeInstanceAttribute.instanceInitiatedShutdownBehavior.json";
    let value = |bundle: &Bundle| json_of(bundle, behaviour)["InstanceInitiatedShutdownBehavior"]["Value"].clone();
    assert_eq!(value(&arm), "stop");
    let mut transient = domain("x86_64", "");
    transient.definition = covirt::discovery::Definition::Transient;
    assert_eq!(value(&render(&transient)), "terminate");
    transient.domain.lifecycle.insert("on_poweroff".to_owned(), "restart".to_owned());
    let restarted = render(&transient);
    assert_eq!(value(&restarted), Value::Null);
    assert!(matches!(fate(&restarted, "lifecycle.on_poweroff"), Fate::Refused { .. }));
}

#[test]
fn regions_are_in_their_partition() {
    for (region, partition, domain) in [
        ("eu-central-1", "aws", "amazonaws.com"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
    ] {
        let text = shop::binding(Format::Ec2).text.replace("eu-central-1", region);
        let bundle = shop::render(Format::Ec2, &shop::inventory(), &shop::toml(text)).unwrap();
        assert_eq!(meta_data(&bundle, "services/partition"), partition);
        assert_eq!(meta_data(&bundle, "services/domain"), domain);
    }
}

#[test]
fn a_bad_binding_is_refused_with_field_line_and_hint() {
    for (from, to, told) in [
        ("\"123456789012\"", "\"1234\"", ["line 1", "account", "12 digits"]),
        ("\"ami-05f0f0f0f0f0f0f01\"", "\"ami-xyz\"", ["line 7", "image_id", "8 or 17 hexadecimal digits"]),
        ("state = \"running\"", "state = \"asleep\"", ["line 5", "state", "running, stopped"]),
        ("state = \"running\"\n", "", ["line", "state", "needed"]),
        ("\"eu-central-1a\"", "\"eu-west-1a\"", ["line 3", "availability_zone", "eu-central-1 begins"]),
        ("\"52:54:00:1a:2b:01\" = \"subnet", "\"52:54:00:1a:2b:09\" = \"subnet", ["line 15", "subnets", "no such"]),
        ("\"52:54:00:1a:2b:01\" = \"subnet-05f0f0f0f0f0f0f04\"", "", ["line 14", "subnets", "every interface"]),
        ("[volumes.vda]", "[volumes.vdz]", ["line 18", "volumes.vdz", "its disks are vda, vdb"]),
        ("team =", "\"aws:team\" =", ["line 25", "tags.\"aws:team\"", "choose another beginning"]),
        ("team =", "Name =", ["line 25", "tags.Name", "made from the VM"]),
        ("\"2026-05-04T03:02:01Z\"", "\"yesterday\"", ["line 12", "launch_time", "RFC 3339"]),
        (
            "\"198.51.100.21/24\"",
            "\"198.51.100.21\"",
            ["line 32", "guest.nics.\"52:54:00:1a:2b:02\".addresses", "ADDRESS"],
        ),
        ("key_name", "keyname", ["line 11", "keyname", "did you mean key_name?"]),
    ] {
        let error = changed(from, to).unwrap_err();
        assert_eq!(error.code(), "binding-malformed", "{to}");
        for told in told {
            assert!(error.to_string().contains(told), "{to}: {told}: {error}");
        }
    }
    let error = changed("hostname = ", "user_data = \"password: hunter2\"\nhostname = ").unwrap_err();
    assert_eq!(error.code(), "artifact-secret");
    assert!(error.to_string().contains("guest.user_data") && !error.to_string().contains("hunter2"), "{error}");
    let long = format!("user_data = \"{}\"\nhostname = ", "#".repeat(17 << 10));
    assert_eq!(changed("hostname = ", &long).unwrap_err().code(), "artifact-too-large");
}

#[test]
fn the_draft_names_every_needed_field() {
    let draft = Format::Ec2.draft(&shop::inventory());
    let needed: Vec<&str> =
        draft.iter().filter(|field| field.need == Need::Required).map(|field| field.path[0].as_str()).collect();
    for field in ["account", "region", "availability_zone", "state", "instance_type", "image_id", "vpc_id", "subnets"] {
        assert!(needed.contains(&field), "{field}");
    }
    assert!(draft.iter().any(|field| field.path == ["guest", "hostname"]));
}

#[test]
fn the_worked_example_agrees() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/artifacts/golden");
    let read = |path: &str| std::fs::read_to_string(folder.join(path));
    let (Ok(domain), Ok(network)) = (read("input/domain.xml"), read("input/network-default.xml")) else {
        return skip("the_worked_example_agrees", &format!("no worked example at {}", folder.display()));
    };
    let live = parse_domain(domain, Limits::default()).unwrap();
    let networks = vec![parse_network(network, Limits::default()).unwrap()];
    let inventory = Inventory::build(Discovered { networks, ..Discovered::from_domain(live) });
    let given: Value = serde_json::from_str(&read("input/binding.json").unwrap()).unwrap();
    let (ec2, nic) = (&given["ec2"], &given["nics"]["52:54:00:9e:22:02"]);
    let mut binding = json!({
        "state": "running", "launch_time": "2026-01-01T00:00:00Z",
        "vpc_cidrs": ["192.168.122.0/24", "10.20.120.0/24"],
        "security_groups": [{"id": "sg-0c0ffee0000000001", "name": "default"}],
        "volumes": {"vda": {"size_gib": 20, "volume_type": "gp3"}, "vdb": {"size_gib": 10, "volume_type": "gp3"}},
        "guest": {
            "hostname": given["hostname"], "ssh_keys": [given["ssh_keys"]["ops"]],
            "nics": {"52:54:00:9e:22:02": {"addresses": [nic["address"]], "gateway": nic["gateway"]}},
        },
    });
    for (key, value) in ec2.as_object().unwrap() {
        binding[key] = value.clone();
    }
    let binding = BindingText { syntax: Syntax::Json, text: binding.to_string() };
    let bundle = shop::render(Format::Ec2, &inventory, &binding).unwrap();

    // The tree, but for what libvirt does not know and for the user data, which the example has made up.
    let left_out = ["profile", "ami-manifest-path"];
    for (path, theirs) in files_in(&folder.join("ec2/imds/latest/meta-data"), "") {
        if left_out.contains(&path.as_str()) {
            continue;
        }
        assert_eq!(meta_data(&bundle, &path).trim_end(), theirs.trim_end(), "{path}");
    }
    let document = "dynamic/instance-identity/document";
    let theirs: Value = serde_json::from_str(&read(&format!("ec2/imds/latest/{document}")).unwrap()).unwrap();
    assert_eq!(json_of(&bundle, &format!("imds/latest/{document}")), theirs);

    // The answers: what is said here is said there. Left aside is what the example says of every instance, and what
    // differs on purpose: nobody checks the source of packets here.
    let theirs: Value = serde_json::from_str(&read("ec2/describe-instances.json").unwrap()).unwrap();
    let mut ours = json_of(&bundle, "api/DescribeInstances.json");
    differs_only_in(
        &mut ours,
        &theirs,
        &["SourceDestCheck", "AvailabilityZoneId", "InstanceMetadataTags", "Tags", "Ipv6Addresses"],
    );
    let theirs: Value = serde_json::from_str(&read("ec2/describe-volumes.json").unwrap()).unwrap();
    let mut ours = json_of(&bundle, "api/DescribeVolumes.json");
    differs_only_in(&mut ours, &theirs, &["AvailabilityZoneId"]);
}

/// Every member of `ours` has the value of `theirs`, but for those named.
#[track_caller]
fn differs_only_in(ours: &mut Value, theirs: &Value, but_for: &[&str]) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (name, value) in ours.iter_mut().filter(|(name, _)| !but_for.contains(&name.as_str())) {
                differs_only_in(value, theirs.get(name).unwrap_or_else(|| panic!("only here: {name}")), but_for);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            assert_eq!(ours.len(), theirs.len());
            ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| differs_only_in(ours, theirs, but_for));
        }
        (ours, theirs) => assert_eq!(ours, theirs),
    }
}

fn files_in(folder: &Path, prefix: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files.extend(files_in(&entry.path(), &format!("{name}/")));
        } else {
            files.push((name, std::fs::read_to_string(entry.path()).unwrap()));
        }
    }
    files
}

/// What cloud-init makes of the tree of `bundle`, without the files named.
fn read_by_cloud_init(debian: &Debian, bundle: &Bundle, case: &str, without: &[&str]) -> Value {
    let work = tempfile::tempdir().unwrap();
    shop::write_under(work.path(), bundle);
    for path in without {
        std::fs::remove_file(work.path().join("imds/latest").join(path)).unwrap();
    }
    let cloud = work.path().join("cloud");
    let output = debian.python("ec2_cloud_init.py", &[&work.path().join("imds"), &cloud, Path::new(case)]);
    assert!(output.status.success(), "{}", said(&output));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

#[test]
fn cloud_init_reads_the_tree_over_http_in_a_guest_that_keeps_its_uuid() {
    let test = "cloud_init_reads_the_tree_over_http_in_a_guest_that_keeps_its_uuid";
    let Some(debian) = Debian::of(test) else { return };
    let bundle = shop();
    let read = read_by_cloud_init(&debian, &bundle, "guest", &[]);
    assert_eq!((&read["found"], &read["cloud"]), (&json!(true), &json!("unknown")));
    assert_eq!(read["instance_id"], ID);
    assert_eq!(read["hostname"], "shop-front.shop.example");
    assert_eq!((&read["zone"], &read["region"]), (&json!("eu-central-1a"), &json!("eu-central-1")));
    assert!(read["keys"][0].as_str().unwrap().ends_with("ops@shop.example"), "{}", read["keys"]);
    assert!(read["meta_data"]["public-keys"]["ops"].is_string(), "{}", read["meta_data"]["public-keys"]);
    assert!(read["user_data"].as_str().unwrap().starts_with("#cloud-config"));
    let ethernets = read["network"]["ethernets"].as_object().unwrap();
    assert_eq!(ethernets.len(), 2);
    assert_eq!(ethernets["enp2s0"]["match"]["macaddress"], "52:54:00:1a:2b:02");
    assert_eq!(ethernets["enp2s0"]["dhcp6"], true);
}

#[test]
fn cloud_init_reads_the_tree_with_a_token_and_the_identity_document_as_on_ec2() {
    let test = "cloud_init_reads_the_tree_with_a_token_and_the_identity_document_as_on_ec2";
    let Some(debian) = Debian::of(test) else { return };
    let read = read_by_cloud_init(&debian, &shop(), "aws", &[]);
    assert_eq!((&read["found"], &read["cloud"]), (&json!(true), &json!("aws")));
    assert_eq!(
        read["identity"]["document"]["instanceId"].as_str().or(read["identity"]["instanceId"].as_str()),
        Some(ID)
    );
    assert_eq!(read["instance_id"], ID);
}

#[test]
fn the_service_answers_with_and_without_a_token_and_refuses_a_wrong_one() {
    let test = "the_service_answers_with_and_without_a_token_and_refuses_a_wrong_one";
    let Some(debian) = Debian::of(test) else { return };
    let answers = read_by_cloud_init(&debian, &shop(), "tokens", &[]);
    assert_eq!(answers, json!({"none": 200, "right": 200, "wrong": 401, "no ttl": 400}));
}

#[test]
fn cloud_init_refuses_a_tree_without_an_instance_id_or_behind_tokens_alone() {
    let test = "cloud_init_refuses_a_tree_without_an_instance_id_or_behind_tokens_alone";
    let Some(debian) = Debian::of(test) else { return };
    let bundle = shop();
    let nothing = json!({"found": false});
    assert_eq!(read_by_cloud_init(&debian, &bundle, "guest", &["meta-data/instance-id"]), nothing);
    assert_eq!(read_by_cloud_init(&debian, &bundle, "insists", &[]), nothing);
    assert_eq!(read_by_cloud_init(&debian, &bundle, "strict", &[]), nothing);
}

/// What botocore finds wrong with the answers of a bundle, after a change to one of their files.
fn wrong(consumers: &Consumers, bundle: &Bundle, change: Option<(&str, &str, &str)>) -> Vec<String> {
    let work = tempfile::tempdir().unwrap();
    shop::write_under(work.path(), bundle);
    if let Some((file, from, to)) = change {
        let path = work.path().join("api").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has {from}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
    let output = consumers.python("ec2_botocore.py", &[&work.path().join("api")]);
    assert!(output.status.success(), "{}", said(&output));
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(verdict["answers"].as_u64().unwrap() >= 10, "{verdict}");
    serde_json::from_value(verdict["wrong"].clone()).unwrap()
}

#[test]
fn botocore_accepts_the_answers_and_reads_the_same_from_the_wire() {
    let test = "botocore_accepts_the_answers_and_reads_the_same_from_the_wire";
    let Some(consumers) = Consumers::of(test, "light") else { return };
    assert_eq!(wrong(&consumers, &shop(), None), Vec::<String>::new());
    for change in [
        ("DescribeVolumes.json", "\"Size\": 20", "\"Size\": \"twenty\""),
        ("DescribeVolumes.xml", "<size>20</size>", "<size>21</size>"),
        ("DescribeVolumes.xml", "<size>20</size>", "<size>twenty</size>"),
        ("DescribeInstances.json", "\"x86_64\"", "\"amd64\""),
        ("DescribeInstances.json", "\"ImageId\"", "\"ImageID\""),
        ("DescribeInstances.xml", "<instancesSet>", "<instanceSet>"),
        ("DescribeTags.xml", "<tagSet>", ""),
    ] {
        assert!(!wrong(&consumers, &shop(), Some(change)).is_empty(), "{change:?}");
    }
}

#[test]
fn botocore_accepts_the_answers_of_varied_real_domains() {
    let test = "botocore_accepts_the_answers_of_varied_real_domains";
    let Some(consumers) = Consumers::of(test, "light") else { return };
    for (name, inventory) in corpus(test).iter().step_by(43) {
        let binding = binding_for(inventory);
        let binding = BindingText { text: binding.text.replace("m7i.large", "t3.large"), ..binding };
        let bundle = shop::render(Format::Ec2, inventory, &binding).unwrap();
        assert_eq!(wrong(&consumers, &bundle, None), Vec::<String>::new(), "{name}");
    }
}

/// The folder that Terraform can take its AWS provider from.
fn terraform_plugins() -> Result<PathBuf, String> {
    Command::new("terraform").arg("version").output().map_err(|fault| format!("terraform: {fault}"))?;
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let folders = [
        std::env::var_os("COVIRT_TERRAFORM_PLUGINS").map(PathBuf::from).unwrap_or_default(),
        home.join(".terraform.d/plugins"),
        "/opt/tf-plugins".into(),
        "/usr/local/share/terraform/plugins".into(),
        "/usr/share/terraform/plugins".into(),
    ];
    let found = folders.into_iter().find(|folder| folder.join("registry.terraform.io/hashicorp/aws").is_dir());
    found.ok_or_else(|| "Terraform's provider hashicorp/aws is not there".to_owned())
}

#[test]
fn terraform_imports_the_vm_and_finds_nothing_to_change() {
    let test = "terraform_imports_the_vm_and_finds_nothing_to_change";
    let plugins = match terraform_plugins() {
        Ok(plugins) => plugins,
        Err(reason) => return skip(test, &reason),
    };
    let bundle = shop();
    let instance = json_of(&bundle, "api/DescribeInstances.json")["Reservations"][0]["Instances"][0].clone();
    let tags = instance["Tags"].as_array().unwrap().iter();
    let tags: serde_json::Map<String, Value> =
        tags.map(|tag| (tag["Key"].as_str().unwrap().to_owned(), tag["Value"].clone())).collect();
    let wanted = json!({
        "ami": instance["ImageId"], "instance_type": instance["InstanceType"], "key_name": instance["KeyName"],
        "subnet_id": instance["SubnetId"], "vpc_security_group_ids": ["sg-05f0f0f0f0f0f0f03"],
        "private_ip": "192.0.2.21", "source_dest_check": false, "tags": tags,
        "user_data": text(&bundle, "imds/latest/user-data"),
        "root_block_device": [{
            "volume_size": 20, "volume_type": "gp3", "delete_on_termination": false, "tags": {"covirt:format": "qcow2"},
        }],
    });
    let plan = |wanted: &Value, change: Option<(&str, &str)>| {
        let work = tempfile::tempdir().unwrap();
        shop::write_under(work.path(), &bundle);
        if let Some((from, to)) = change {
            let path = work.path().join("api/DescribeInstances.xml");
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{from}");
            std::fs::write(path, text.replace(from, to)).unwrap();
        }
        let root = work.path().join("terraform");
        std::fs::create_dir(&root).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/ec2_terraform.py");
        let mut command = Command::new("python3");
        command.args([&script, &work.path().join("api"), &root, &plugins]).arg(wanted.to_string());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    // Another size of disk and another user data are a change, and an instance that is gone is none.
    let mut other = wanted.clone();
    other["root_block_device"][0]["volume_size"] = json!(21);
    other["user_data"] = json!("#cloud-config\n");
    let (good, changed, gone) = std::thread::scope(|scope| {
        let changed = scope.spawn(|| plan(&other, None));
        let gone = scope.spawn(|| plan(&wanted, Some(("<name>running</name>", "<name>terminated</name>"))));
        (plan(&wanted, None), changed.join().unwrap(), gone.join().unwrap())
    });
    let told = good["said"].as_str().unwrap();
    assert!(told.contains("Plan: 1 to import, 0 to add, 0 to change, 0 to destroy."), "{told}");
    assert!(!told.contains("Warning"), "{told}");
    let files: Vec<&str> = bundle.files.iter().filter_map(|file| file.path.strip_prefix("api/")).collect();
    for asked in good["asked"].as_array().unwrap() {
        assert!(files.contains(&format!("{}.xml", asked.as_str().unwrap()).as_str()), "{asked} is answered");
    }
    let told = changed["said"].as_str().unwrap();
    assert!(told.contains("1 to import, 0 to add, 1 to change"), "{told}");
    assert!(told.contains("~ volume_size") && told.contains("~ user_data"), "{told}");
    assert_ne!(gone["code"], 0, "{}", gone["said"]);
}
