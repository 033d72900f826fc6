use super::*;
use crate::discovery::{DiskSource, Limits};

fn pool(xml: &str) -> Pool {
    parse_pool(xml, Limits::default()).unwrap()
}

fn volume(xml: &str) -> Volume {
    parse_volume(xml, Limits::default()).unwrap()
}

#[test]
fn the_fixtures_are_read_whole() {
    let images = pool(include_str!("../../../fixtures/pool/images.xml"));
    assert_eq!((images.name.as_str(), &images.kind), ("images", &PoolType::Dir));
    assert_eq!(images.available, Some(Bytes(63_854_694_400)));
    assert_eq!(images.target.as_deref(), Some("/var/lib/libvirt/images"));
    let vg0 = pool(include_str!("../../../fixtures/pool/vg0.xml"));
    assert_eq!(vg0.source_name.as_deref(), Some("vg0"));
    assert_eq!(vg0.source["device.path"], "/dev/sdb1");
    assert_eq!(vg0.source["format.type"], "lvm2");
    let front = volume(include_str!("../../../fixtures/volume/shop-front.qcow2.xml"));
    assert_eq!((front.capacity, front.physical), (Bytes(21_474_836_480), Some(Bytes(2_147_483_648))));
    assert_eq!((front.format.as_deref(), front.kind.as_deref()), (Some("qcow2"), Some("file")));
    assert_eq!(front.settings["target.compat"], "1.1");
    assert_eq!(front.settings["target.clusterSize"], "65536");
    let data = volume(include_str!("../../../fixtures/volume/shop-data.xml"));
    assert_eq!(data.settings["source.device.path"], "/dev/sdb1");
    for unknown in [images.unknown, vg0.unknown, front.unknown, data.unknown] {
        assert_eq!(unknown, []);
    }
}

#[test]
fn credentials_are_told_of_and_not_kept() {
    let read = pool(
        "<pool type='rbd' xmlns:rbd='http://libvirt.org/schemas/storagepool/rbd/1.0' \
         xmlns:fs='http://libvirt.org/schemas/storagepool/fs/1.0'><source><name>rbd</name><host name='a' port='1'/>\
         <host name='b'/><auth type='ceph' username='admin'><secret uuid='2ec115d7-3a88-3ceb-bc12-0ac909a6fd87'/></auth>\
         </source><fs:mount_opts><fs:option name='password=hush'/><fs:option name='nodev'/></fs:mount_opts>\
         <rbd:config_opts><rbd:option name='key' value='hush'/><rbd:option name='timeout' value='5'/></rbd:config_opts>\
         </pool>",
    );
    assert_eq!(read.name, "rbd", "the source's name, as libvirt does it");
    assert_eq!(read.auth.as_deref(), Some("ceph"));
    assert_eq!(read.source["host[1].port"], "1");
    assert_eq!(read.settings["mount_opts.option[1]"], "password");
    assert_eq!(read.settings["config_opts.option[2]"], "timeout=5");
    assert_eq!(read.unknown, []);
    let told = serde_json::to_string(&read).unwrap();
    assert!(!told.contains("hush") && !told.contains("admin") && !told.contains("2ec115d7"), "{told}");
}

#[test]
fn a_volume_says_what_is_under_it_and_in_which_unit() {
    let of = |path: &str| {
        let xml = format!(
            "<volume><name>v</name><capacity unit='G'>5</capacity><allocation>294912</allocation>\
             <target><format type='qcow2'/><features><lazy_refcounts/></features>\
             <encryption format='luks'><secret type='passphrase' uuid='2ec115d7-3a88-3ceb-bc12-0ac909a6fd87'/>\
             </encryption></target><backingStore><path>{path}</path><format type='raw'/></backingStore></volume>"
        );
        volume(&xml)
    };
    let read = of("/i/base");
    assert_eq!((read.capacity, read.allocation, read.physical), (Bytes(5 << 30), Some(Bytes(294_912)), None));
    assert_eq!(read.encryption.as_deref(), Some("luks"));
    assert_eq!(read.settings["target.features.lazy_refcounts"], "");
    assert_eq!(read.unknown, []);
    let source = |path: &str| of(path).backing.unwrap().source;
    assert_eq!(source("/i/base"), DiskSource::File { path: "/i/base".to_owned() });
    assert_eq!(source("/dev/vg/base"), DiskSource::Block { device: "/dev/vg/base".to_owned() });
    let network = |name: &str| DiskSource::Network {
        protocol: "https".to_owned(),
        name: Some(name.to_owned()),
        hosts: vec!["far:8443".to_owned()],
    };
    assert_eq!(source("https://u:hush@far:8443/i/base?sig=hush"), network("i/base"));
    assert_eq!(source("json:{\"password\":\"hush\"}"), DiskSource::Unknown { raw: "json".to_owned() });
}

#[test]
fn what_is_no_pool_or_volume_has_a_code_and_a_line() {
    let of_pool = |xml: &str| parse_pool(xml, Limits::default()).unwrap_err();
    assert_eq!(of_pool("<pool type='dir'/>").code(), "pool-malformed");
    assert_eq!(of_pool("<pool><name>n</name></pool>").code(), "pool-malformed");
    assert_eq!(of_pool("<volume/>").code(), "pool-unsupported");
    let fault =
        parse_volume("<volume><name>v</name>\n<capacity unit='furlong'>1</capacity></volume>", Limits::default());
    let fault = fault.unwrap_err();
    assert_eq!((fault.code(), fault.place().map(|place| place.line)), ("volume-malformed", Some(2)));
}
