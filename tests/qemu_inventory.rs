//! The inventory against libvirt's own answers: what `virsh` prints of a running guest, question by question.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use covirt::discovery::{AddressOrigin, ChainEnd, DiskSource, Inventory, Nic};
use covirt::hypervisor::{Hypervisor, Libvirt, Options};
use covirt::model::VmId;
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};
use virt::connect::Connect;
use virt::sys;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime")
}

fn id_of(connect: &Connect, name: &str) -> VmId {
    VmId(connect.lookup_domain_by_name(name).expect("the guest is there").uuid().expect("a UUID"))
}

/// `Name:   value` lines.
fn fields(printed: &str) -> BTreeMap<String, String> {
    let pairs = printed.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

/// The words of each line of a table without its head.
fn rows(printed: &str) -> Vec<Vec<String>> {
    let words = printed.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    words.filter(|words| words.len() > 1).collect()
}

/// What is made around the guest, and cleared away.
struct Surroundings<'a> {
    libvirt: &'a PrivateLibvirt,
    pool: String,
    network: String,
    folder: PathBuf,
}

impl<'a> Surroundings<'a> {
    /// A pool with a base, an overlay on it and a raw volume; an isolated network with DHCP.
    fn make(libvirt: &'a PrivateLibvirt, folder: &Path) -> Self {
        let tag = std::process::id();
        let (pool, network) = (format!("images-{tag}"), format!("back-{tag}"));
        let images = folder.join("images");
        std::fs::create_dir(&images).expect("make a folder");
        let path = |name: &str| images.join(name).display().to_string();
        image(&["create", "-q", "-f", "qcow2", &path("base.qcow2"), "48M"]);
        let backing = ["-b", &path("base.qcow2"), "-F", "qcow2"];
        image(&[&["create", "-q", "-f", "qcow2"][..], &backing, &[&path("overlay.qcow2")]].concat());
        image(&["create", "-q", "-f", "raw", &path("outside.raw"), "8M"]);
        let xml = folder.join("pool.xml");
        let target = images.display();
        std::fs::write(
            &xml,
            format!("<pool type='dir'><name>{pool}</name><target><path>{target}</path></target></pool>"),
        )
        .expect("write a file");
        libvirt.virsh(&["pool-create", &xml.display().to_string()]);
        libvirt.virsh(&["vol-create-as", &pool, "plain.raw", "24M", "--format", "raw"]);
        let subnet = tag % 200 + 20;
        let xml = folder.join("network.xml");
        std::fs::write(
            &xml,
            format!(
                "<network><name>{network}</name><bridge name='cv{subnet}' stp='off' delay='0'/><mtu size='1400'/>\
                 <ip address='10.99.{subnet}.1' prefix='24'><dhcp><range start='10.99.{subnet}.100' end='10.99.{subnet}.200'/>\
                 <host mac='52:54:00:99:00:02' name='second' ip='10.99.{subnet}.7'/></dhcp></ip></network>"
            ),
        )
        .expect("write a file");
        libvirt.virsh(&["net-create", &xml.display().to_string()]);
        Self { libvirt, pool, network, folder: images }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The disks and the second interface, in the definition of a guest that is off.
    fn plug_into(&self, guest: &str) {
        let disks = [
            ("vdb", "file", format!("file='{}'", self.path("overlay.qcow2")), "qcow2"),
            ("vdc", "file", format!("file='{}'", self.path("outside.raw")), "raw"),
            ("vdd", "volume", format!("pool='{}' volume='plain.raw'", self.pool), "raw"),
        ];
        for (target, kind, source, format) in disks {
            self.attach(
                guest,
                &format!(
                    "<disk type='{kind}' device='disk'><driver name='qemu' type='{format}'/><source {source}/>\
                     <target dev='{target}' bus='virtio'/><serial>{target}-serial</serial></disk>"
                ),
            );
        }
        self.attach(
            guest,
            &format!(
                "<interface type='network'><mac address='52:54:00:99:00:02'/><source network='{}'/>\
                 <model type='virtio'/><rom enabled='no'/></interface>",
                self.network
            ),
        );
    }

    fn attach(&self, guest: &str, device: &str) {
        let file = self.folder.join("../device.xml");
        std::fs::write(&file, device).expect("write a file");
        self.libvirt.virsh(&["attach-device", guest, &file.display().to_string(), "--config"]);
    }
}

impl Drop for Surroundings<'_> {
    fn drop(&mut self) {
        let end = |words: &[&str]| {
            let _ = Command::new("virsh").args(["-q", "-c", self.libvirt.uri()]).args(words).output();
        };
        end(&["net-destroy", &self.network]);
        end(&["pool-destroy", &self.pool]);
    }
}

#[track_caller]
fn image(words: &[&str]) {
    let output = Command::new("qemu-img").args(words).output().expect("run qemu-img");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_inventory_of_a_running_guest_is_what_virsh_says_of_it() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("the_inventory_of_a_running_guest_is_what_virsh_says_of_it", &reason),
    };
    let folder = tempfile::tempdir().expect("make a folder");
    let around = Surroundings::make(&libvirt, folder.path());
    let guest = Guest::define(&libvirt, "inventory");
    around.plug_into(guest.name());
    let connect = libvirt.connect();
    guest.domain(&connect).create().expect("start");
    guest.await_agent();
    let vm = id_of(&connect, guest.name());
    let runtime = runtime();
    let adapter = Libvirt::connect(libvirt.uri(), Options::default()).expect("the adapter starts");
    let read = || runtime.block_on(adapter.inventory(vm)).expect("inventory");
    // The guest answers its agent before its interfaces have addresses, and they get them one after the other.
    let inventory = until("a lease of each interface, used by the guest", Duration::from_secs(60), || {
        let inventory = read();
        let from = |nic: &Nic, origin, family: fn(&IpAddr) -> bool| {
            nic.addresses.iter().any(|told| told.origin == origin && family(&told.ip))
        };
        // The guest gives each interface a link-local address of its own, too.
        let settled = |nic: &Nic| {
            from(nic, AddressOrigin::Lease, IpAddr::is_ipv4)
                && from(nic, AddressOrigin::Agent, IpAddr::is_ipv4)
                && from(nic, AddressOrigin::Agent, IpAddr::is_ipv6)
        };
        inventory.domain.nics.iter().all(settled).then_some(inventory)
    });
    let (virsh, name) = (|words: &[&str]| libvirt.virsh(words), guest.name());

    agrees_on_the_domain(&inventory, &virsh, name);
    agrees_on_disks(&inventory, &virsh, name);
    agrees_on_interfaces(&inventory, &virsh, name);
    agrees_on_volumes(&inventory, &virsh, &around);
    let unknown: Vec<String> =
        inventory.unknown().map(|(document, part)| format!("{document} {}", part.path)).collect();
    let of_surroundings: Vec<_> = unknown.iter().filter(|line| !line.starts_with("domain ")).collect();
    assert!(of_surroundings.is_empty(), "{of_surroundings:#?}");

    // All VMs at once tell the same, but for what only the agent and the volumes say.
    let all = runtime.block_on(adapter.inventories()).expect("inventories");
    let (_, bulk) = all.into_iter().find(|(found, _)| *found == vm).expect("the guest is listed");
    let bulk = bulk.expect("it was read");
    assert_eq!(bulk.generation(), read().generation());
    assert_eq!(bulk.networks, inventory.networks);
    assert_eq!(bulk.host.map(|host| host.libvirt_version), inventory.host.map(|host| host.libvirt_version));
}

fn agrees_on_the_domain(inventory: &Inventory, virsh: &impl Fn(&[&str]) -> String, name: &str) {
    let domain = &inventory.domain;
    let told = fields(&virsh(&["dominfo", name]));
    assert_eq!(told["Name"], domain.identity.name);
    assert_eq!(told["UUID"], domain.identity.uuid.expect("a UUID").to_string());
    assert_eq!(told["CPU(s)"], domain.cpu.vcpus.to_string());
    assert_eq!(told["Max memory"], format!("{} KiB", domain.memory.max_kib.0));
    assert_eq!(told["Used memory"], format!("{} KiB", domain.memory.current_kib.0));
    let running = virsh(&["vcpuinfo", name]).lines().filter(|line| line.starts_with("VCPU:")).count();
    assert_eq!(u32::try_from(running).unwrap(), domain.cpu.vcpus);
    let told = virsh(&["vcpucount", name, "--maximum", "--live"]);
    assert_eq!(told.trim(), domain.cpu.vcpus_max.to_string());
    let host = inventory.host.as_ref().expect("the host was asked");
    let version = virsh(&["version", "--daemon"]);
    for (what, ours) in [("libvirt", &host.libvirt_version), ("hypervisor", &host.hypervisor_version)] {
        let ours = ours.as_deref().unwrap_or_default();
        assert!(version.lines().any(|line| line.ends_with(&format!(" {ours}"))), "{what} {ours}: {version}");
    }
    assert_eq!(Some(virsh(&["hostname"]).trim()), host.name.as_deref());
    let capabilities = host.capabilities.as_ref().expect("the capabilities were read");
    let node = fields(&virsh(&["nodeinfo"]));
    assert_eq!(node["CPU model"], capabilities.arch.clone().unwrap_or_default());
    assert_eq!(node["CPU(s)"], capabilities.cpus.to_string());
    assert_eq!(node["Memory size"], format!("{} KiB", capabilities.memory_kib.0));
    let machine = domain.platform.machine.as_ref().expect("a machine");
    assert!(capabilities.machines.values().flatten().any(|known| known == machine), "{machine}");
}

fn agrees_on_disks(inventory: &Inventory, virsh: &impl Fn(&[&str]) -> String, name: &str) {
    let disks = &inventory.domain.disks;
    let listed = rows(&virsh(&["domblklist", name, "--details"]));
    assert_eq!(listed.len(), disks.len(), "{listed:?}");
    assert_eq!(disks.len(), 4);
    for (line, disk) in listed.iter().zip(disks) {
        let source = match disk.source.as_ref().expect("a source") {
            DiskSource::File { path } => ("file", path.clone()),
            // virsh shows the volume's name alone, or the file it turned out to be.
            DiskSource::Volume { volume, .. } => ("volume", volume.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(line[1], disk.device.as_str());
        assert_eq!(line[2], disk.target);
        assert_eq!((line[0].as_str(), &line[3]), (source.0, &source.1), "{line:?}");
        let told = fields(&virsh(&["domblkinfo", name, &disk.target]));
        let size = disk.size.expect("block info");
        assert_eq!(told["Capacity"], size.capacity.0.to_string(), "{}", disk.target);
        assert_eq!(told["Allocation"], size.allocation.0.to_string(), "{}", disk.target);
        assert_eq!(told["Physical"], size.physical.0.to_string(), "{}", disk.target);
        assert_eq!(disk.backing.end, ChainEnd::Seen, "{}", disk.target);
    }
}

fn agrees_on_interfaces(inventory: &Inventory, virsh: &impl Fn(&[&str]) -> String, name: &str) {
    let nics = &inventory.domain.nics;
    let listed = rows(&virsh(&["domiflist", name]));
    assert_eq!((listed.len(), nics.len()), (2, 2), "{listed:?}");
    for (line, nic) in listed.iter().zip(nics) {
        let mac = nic.mac.expect("a MAC").to_string();
        let ours = [nic.target.as_deref(), Some("network"), nic.source.network(), nic.model.as_deref(), Some(&mac)];
        let ours: Vec<&str> = ours.into_iter().map(|word| word.unwrap_or("-")).collect();
        assert_eq!(line, &ours);
        // The words are those of `virsh domifaddr`.
        for (source, origin) in [("lease", AddressOrigin::Lease), ("agent", AddressOrigin::Agent)] {
            let printed = virsh(&["domifaddr", name, "--source", source, "--full"]);
            let mut theirs: Vec<String> =
                rows(&printed).into_iter().filter(|row| row[1] == mac).map(|row| row[3].clone()).collect();
            let told = nic.addresses.iter().filter(|told| told.origin == origin);
            let mut ours: Vec<String> =
                told.map(|told| format!("{}/{}", told.ip, told.prefix.unwrap_or_default())).collect();
            theirs.sort();
            ours.sort();
            assert_eq!(ours, theirs, "{source} of {mac}");
        }
        let network = nic.source.network().expect("a network");
        let known = &inventory.networks[network];
        let told = fields(&virsh(&["net-info", network]));
        assert_eq!(told["UUID"], known.uuid.expect("a UUID").to_string());
        assert_eq!(Some(&told["Bridge"]), known.bridge.as_ref());
        let leases = virsh(&["net-dhcp-leases", network, &mac]);
        for lease in nic.addresses.iter().filter(|told| told.origin == AddressOrigin::Lease) {
            assert!(leases.contains(&lease.ip.to_string()), "{leases}");
            // virsh prints the host's local time; only the minute and second are the same everywhere.
            let expires = lease.expires.expect("an end").to_string();
            let minutes = expires.get(13..19).expect("a time").to_owned();
            assert!(leases.lines().any(|line| line.contains(&minutes)), "{expires}: {leases}");
        }
    }
    let fixed: Vec<_> = nics[1].addresses.iter().filter(|told| told.origin == AddressOrigin::StaticHost).collect();
    assert_eq!(fixed.len(), 1, "{:?}", nics[1].addresses);
    assert_eq!(inventory.networks[nics[1].source.network().unwrap()].mtu, Some(1400));
}

fn agrees_on_volumes(inventory: &Inventory, virsh: &impl Fn(&[&str]) -> String, around: &Surroundings<'_>) {
    let disks = &inventory.domain.disks;
    let named = |target: &str| {
        let disk = disks.iter().find(|disk| disk.target == target).expect("the disk");
        (disk, disk.volume.as_ref().map(|volume| (volume.pool.as_str(), volume.volume.as_str())))
    };
    let pool = around.pool.as_str();
    let (overlay, volume) = named("vdb");
    assert_eq!(volume, Some((pool, "overlay.qcow2")));
    let under: Vec<_> =
        overlay.backing.images.iter().map(|image| image.volume.as_ref().map(|v| v.volume.as_str())).collect();
    assert_eq!(under, [Some("base.qcow2")]);
    assert_eq!(named("vdc").1, Some((pool, "outside.raw")));
    assert_eq!(named("vdd").1, Some((pool, "plain.raw")));
    let known = &inventory.pools[pool];
    let names: Vec<_> = known.volumes.keys().map(String::as_str).collect();
    assert_eq!(names, ["base.qcow2", "outside.raw", "overlay.qcow2", "plain.raw"]);
    for (name, volume) in &known.volumes {
        let told = fields(&virsh(&["vol-info", name, pool, "--bytes"]));
        assert_eq!(told["Capacity"], format!("{} bytes", volume.capacity.0), "{name}");
        let allocation = volume.allocation.expect("an allocation");
        assert_eq!(told["Allocation"], format!("{} bytes", allocation.0), "{name}");
        assert_eq!(Some(told["Type"].as_str()), volume.kind.as_deref(), "{name}");
        let path = virsh(&["vol-path", name, pool]);
        assert_eq!(Some(path.trim()), volume.path.as_deref());
    }
    let told = fields(&virsh(&["pool-info", pool, "--bytes"]));
    assert_eq!(told["UUID"], known.uuid.expect("a UUID").to_string());
    assert_eq!(told["Capacity"], known.capacity.expect("a capacity").0.to_string());
    assert!(known.allocation.is_some() && known.available.is_some());
}

/// The links are the kernel's in libvirtd's own network, so this program goes there too.
#[test]
fn in_libvirts_network_the_guests_links_and_neighbours_are_told() {
    const NAME: &str = "in_libvirts_network_the_guests_links_and_neighbours_are_told";
    const INSIDE: &str = "COVIRT_TEST_INSIDE";
    if let Some(name) = std::env::var_os(INSIDE) {
        return look_from_inside(name.to_str().unwrap());
    }
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip(NAME, &reason),
    };
    let guest = Guest::boot(&libvirt, "links");
    // From outside nothing of its network is taken for what it is not.
    let vm = id_of(&libvirt.connect(), guest.name());
    let outside = Libvirt::connect(libvirt.uri(), Options::default()).expect("the adapter starts");
    let host = runtime().block_on(outside.inventory(vm)).expect("inventory").host.expect("a host");
    assert_eq!((host.links.len(), host.ovs_ports.len()), (0, 0), "{:?}", host.links);
    drop(outside);

    let pid = libvirt.pid();
    let mut inside = Command::new("nsenter");
    // Its /proc is that of its own processes, so this one must be one of them to find itself.
    inside.args(["mnt", "net", "pid"].map(|kind| {
        let option = if kind == "mnt" { "mount" } else { kind };
        format!("--{option}=/proc/{pid}/ns/{kind}")
    }));
    inside.arg(std::env::current_exe().unwrap()).args(["--exact", NAME, "--nocapture"]).env(INSIDE, guest.name());
    let output = inside.output().expect("run nsenter");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("1 passed"), "{told}");
}

fn look_from_inside(name: &str) {
    let connect = Connect::open(Some("qemu:///system")).expect("libvirtd's own socket is here");
    let vm = id_of(&connect, name);
    let adapter = Libvirt::connect("qemu:///system", Options::default()).expect("the adapter starts");
    let runtime = runtime();
    let inventory = until("a lease and a sight", Duration::from_secs(60), || {
        let inventory = runtime.block_on(adapter.inventory(vm)).expect("inventory");
        let addresses = &inventory.domain.nics[0].addresses;
        let from = |origin| addresses.iter().find(|told| told.origin == origin && told.ip.is_ipv4()).cloned();
        let (leased, seen) = (from(AddressOrigin::Lease), from(AddressOrigin::Arp));
        if let Some(leased) = leased.as_ref().filter(|_| seen.is_none()) {
            // The host asks who has it, and so sees it.
            let _ = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", (leased.ip, 9)));
        }
        leased.zip(seen).is_some_and(|(leased, seen)| leased.ip == seen.ip).then_some(inventory)
    });
    let host = inventory.host.expect("a host");
    let nic = &inventory.domain.nics[0];
    let tap = &host.links[nic.target.as_ref().expect("a tap")];
    let bridge = inventory.networks["default"].bridge.clone();
    assert_eq!((tap.kind.as_deref(), &tap.master, tap.up), (Some("tun"), &bridge, true));
    // libvirt gives the host's end the guest's address with another first byte.
    let (ours, theirs) = (tap.mac.expect("a MAC").to_string(), nic.mac.expect("a MAC").to_string());
    assert_eq!((ours.get(..2), ours.get(2..)), (Some("fe"), theirs.get(2..)));
    let bridge = &host.links[&bridge.expect("a bridge")];
    assert_eq!(bridge.kind.as_deref(), Some("bridge"));
    let subnet = &inventory.networks["default"].subnets[0];
    assert!(bridge.addresses.contains(&(subnet.host, subnet.prefix)), "{:?}", bridge.addresses);
    assert_eq!(host.links.len(), 2, "{:?}", host.links);
}

#[test]
fn the_mock_drivers_inventory_is_what_it_says_itself() {
    const URI: &str = "test:///default";
    // Its world is this process's, so its answers come by its own library and not by virsh.
    let connect = Connect::open(Some(URI)).expect("connect");
    let domain = connect.lookup_domain_by_name("test").expect("the mock driver has it");
    let vm = VmId(domain.uuid().expect("a UUID"));
    let adapter = Libvirt::connect(URI, Options::default()).expect("the adapter starts");
    let inventory = runtime().block_on(adapter.inventory(vm)).expect("inventory");
    let told = domain.info().expect("info");
    assert_eq!(inventory.domain.identity.name, domain.name().expect("a name"));
    assert_eq!(inventory.domain.memory.max_kib.0, told.max_mem);
    assert_eq!(inventory.domain.cpu.vcpus, told.nr_virt_cpu);
    let host = inventory.host.expect("a host");
    assert_eq!(host.name, connect.hostname().ok());
    assert!(host.links.is_empty() && host.ovs_ports.is_empty(), "its network is none");
    let capabilities = host.capabilities.expect("capabilities");
    assert_eq!((capabilities.cpus, capabilities.unknown), (16, Vec::new()));
    let sizes = domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE).expect("XML").matches("<disk ").count();
    assert_eq!(inventory.domain.disks.len(), sizes);
}
