use super::*;
use crate::discovery::Limits;

const XML: &str = "<capabilities><host><uuid>2f7d0c1b-91a3-4e5f-8c60-5b4a3928171f</uuid><cpu><arch>x86_64</arch>\
    <model>Broadwell</model><vendor>Intel</vendor><feature name='vmx'/><pages unit='KiB' size='4'/>\
    <pages unit='KiB' size='2048'/></cpu><power_management><suspend_mem/></power_management><iommu support='yes'/>\
    <topology><cells num='2'><cell id='0'><memory unit='KiB'>1000</memory><pages unit='KiB' size='1048576'>3</pages>\
    <distances><sibling id='0' value='10'/></distances><cpus num='2'><cpu id='0'/><cpu id='1'/></cpus></cell>\
    <cell id='1'><memory unit='MiB'>1</memory><cpus num='4'/></cell></cells></topology>\
    <secmodel><model>apparmor</model><doi>0</doi></secmodel><secmodel><model>dac</model><doi>0</doi>\
    <baselabel type='kvm'>+0:+0</baselabel></secmodel></host><guest><os_type>hvm</os_type><arch name='x86_64'>\
    <wordsize>64</wordsize><emulator>/usr/bin/qemu-system-x86_64</emulator>\
    <machine maxCpus='255'>pc-i440fx-7.2</machine><machine canonical='pc-i440fx-7.2' maxCpus='255'>pc</machine>\
    <machine maxCpus='288'>pc-q35-7.2</machine><domain type='qemu'/><domain type='kvm'><machine>own</machine></domain>\
    </arch><features><acpi default='on' toggle='yes'/></features></guest></capabilities>";

#[test]
fn the_hosts_part_and_the_machines_are_read() {
    let read = parse_capabilities(XML, Limits::default()).unwrap();
    let machines =
        |kind: &str, names: &[&str]| (kind.to_owned(), names.iter().map(|name| (*name).to_owned()).collect());
    let expected = Capabilities {
        arch: Some("x86_64".to_owned()),
        cpu_model: Some("Broadwell".to_owned()),
        cpu_vendor: Some("Intel".to_owned()),
        cpus: 6,
        numa_cells: 2,
        memory_kib: Kib(1000 + 1024),
        page_sizes_kib: vec![Kib(4), Kib(2048), Kib(1_048_576)],
        iommu: Some(true),
        machines: BTreeMap::from([
            machines("x86_64/kvm", &["own"]),
            machines("x86_64/qemu", &["pc-i440fx-7.2", "pc-q35-7.2"]),
        ]),
        security_models: vec!["apparmor".to_owned(), "dac".to_owned()],
        unknown: Vec::new(),
    };
    assert_eq!(read, expected);
}

#[test]
fn what_is_new_is_listed_and_what_is_wrong_refused() {
    let read = parse_capabilities("<capabilities><host><warp factor='9'/></host></capabilities>", Limits::default());
    let paths: Vec<_> = read.unwrap().unknown.into_iter().map(|part| part.path).collect();
    assert_eq!(paths, ["/capabilities/host/warp"]);
    let wrong = XML.replace("unit='MiB'>1<", "unit='MiB'>many<");
    assert_eq!(parse_capabilities(wrong, Limits::default()).unwrap_err().code(), "capabilities-malformed");
}
