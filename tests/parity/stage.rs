//! A VM on one of the backends, brought back to where a behaviour begins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::sys;

use covirt::discovery::{Generation, Limits, parse_domain};
use covirt::hypervisor::{AskHypervisorError, Event, Fake, Hypervisor, Libvirt, Mode, Options};
use covirt::model::{Cause, Happening, HoldKey, Kib, PowerState, StartId, VmId, VmState};

use super::behaviour::{Backend, Ground, Need};
use crate::support::qemu::{Guest, PrivateLibvirt};

const MOCK: &str = "test:///default";
const URI: &str = "https://bell.example/";
/// How long an event may take that is to come.
const EVENT_LIMIT: Duration = Duration::from_secs(5);

/// A VM with all around it.
pub(crate) struct Stage {
    pub(crate) backend: Backend,
    pub(crate) hypervisor: Box<dyn Hypervisor>,
    pub(crate) vm: VmId,
    events: Receiver<Event>,
    /// What words in braces stand for.
    words: BTreeMap<&'static str, String>,
    world: World,
    /// Another VM: what happens to it is told after what happened before to ours.
    bell: VmId,
    rung: u32,
    pristine: BTreeMap<Ground, String>,
}

enum World {
    Fake(Fake),
    Mock(Connect),
    Qemu(Box<Qemu>),
}

struct Qemu {
    // Ended before the libvirtd that runs them.
    guest: Guest,
    _bell: Guest,
    connect: Connect,
    libvirt: PrivateLibvirt,
    /// Its disk before it was ever started.
    pristine: PathBuf,
}

impl Stage {
    pub(crate) fn fake() -> Self {
        let fake = Fake::new(Mode::Auto);
        let vm = VmId(Uuid::from_u128(7));
        let events = fake.events();
        let words = words("parity", vm, &plain_xml("parity", vm), "/nowhere");
        Self::new(
            Backend::Fake,
            Box::new(fake.clone()),
            events,
            words,
            World::Fake(fake),
            (vm, VmId(Uuid::from_u128(8))),
        )
    }

    pub(crate) fn mock() -> Self {
        let libvirt = Libvirt::connect(MOCK, Options::default()).expect("the adapter starts");
        let connect = Connect::open(Some(MOCK)).expect("connect");
        let [vm, bell] = ["parity", "parity-bell"].map(|name| {
            let vm = VmId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()));
            connect.define_domain_xml(&plain_xml(name, vm)).expect("define");
            vm
        });
        let xml = xml_of(&connect, vm);
        let events = libvirt.events();
        let words = words("parity", vm, &xml, "/nowhere");
        Self::new(Backend::Mock, Box::new(libvirt), events, words, World::Mock(connect), (vm, bell))
    }

    pub(crate) fn qemu(libvirtd: PrivateLibvirt, label: &str) -> Self {
        let guest = Guest::define(&libvirtd, label);
        let bell = Guest::define(&libvirtd, &format!("{label}-bell"));
        let connect = libvirtd.connect();
        let id = |guest: &Guest| VmId(guest.domain(&connect).uuid().expect("a UUID"));
        let (vm, bell_id) = (id(&guest), id(&bell));
        let libvirt = Libvirt::connect(libvirtd.uri(), Options::default()).expect("the adapter starts");
        let dir = libvirtd.folder().to_str().expect("a path of letters").to_owned();
        make_disk(&libvirtd.folder().join(format!("{}.vdb", guest.name())));
        let words = words(guest.name(), vm, &xml_of(&connect, vm), &dir);
        let events = libvirt.events();
        let pristine = libvirtd.folder().join(format!("pristine-{}.qcow2", guest.name()));
        std::fs::copy(libvirtd.folder().join(format!("{}.qcow2", guest.name())), &pristine).expect("copy the disk");
        let world = World::Qemu(Box::new(Qemu { guest, _bell: bell, connect, libvirt: libvirtd, pristine }));
        Self::new(Backend::Qemu, Box::new(libvirt), events, words, world, (vm, bell_id))
    }

    fn new(
        backend: Backend,
        hypervisor: Box<dyn Hypervisor>,
        events: Receiver<Event>,
        words: BTreeMap<&'static str, String>,
        world: World,
        (vm, bell): (VmId, VmId),
    ) -> Self {
        Self { backend, hypervisor, vm, events, words, world, bell, rung: 0, pristine: BTreeMap::new() }
    }

    /// Arguments with the stage's words in them.
    pub(crate) fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.fill_text(text)),
            Value::Array(all) => all.iter().map(|value| self.fill(value)).collect(),
            Value::Object(all) => {
                Value::Object(all.iter().map(|(name, value)| (name.clone(), self.fill(value))).collect())
            }
            other => other.clone(),
        }
    }

    pub(crate) fn fill_text(&self, text: &str) -> String {
        self.words
            .iter()
            .fold(text.to_owned(), |text, (word, stands_for)| text.replace(&format!("{{{word}}}"), stands_for))
    }

    /// Whether this machine has it; why not.
    pub(crate) fn has(&self, need: Need) -> Result<(), String> {
        match (need, self.backend) {
            (Need::TrafficControl, Backend::Fake | Backend::Mock) => Ok(()),
            (Need::TrafficControl, Backend::Qemu) => {
                // What libvirt puts below each of its classes.
                let lo = ["qdisc", "add", "dev", "lo", "root", "sfq", "perturb", "10"];
                let tried = Command::new("unshare").args(["-n", "tc"]).args(lo).output();
                match tried {
                    Ok(tried) if tried.status.success() => Ok(()),
                    _ => Err("this kernel cannot limit an interface's traffic".to_owned()),
                }
            }
        }
    }

    pub(crate) async fn look(&self) -> Result<VmState, AskHypervisorError> {
        self.hypervisor.observe(self.vm).await
    }

    /// Brings the VM to where a behaviour begins.
    pub(crate) async fn set(&mut self, ground: Ground) {
        let mut ends = Vec::new();
        match &self.world {
            World::Fake(fake) => {
                fake.undefine(self.vm);
                fake.define(self.vm, &self.words["name"], plain_state(&self.words["xml"], ground));
            }
            World::Mock(connect) => {
                ends = clear(connect, self.vm);
                let domain = connect.define_domain_xml(&self.words["xml"]).expect("define");
                if ground != Ground::Off {
                    domain.create().expect("start");
                }
            }
            World::Qemu(qemu) => {
                // Beginning anew costs a boot: what left no trace leaves the ground as it was.
                let traces = format!("{:?}{}", self.look().await.ok(), qemu.traces(self.vm));
                if self.pristine.get(&ground) == Some(&traces) {
                    qemu.clear_files();
                    return;
                }
                ends = qemu.set(self.vm, &self.words["xml"], ground);
                let traces = format!("{:?}{}", self.look().await.ok(), qemu.traces(self.vm));
                self.pristine.insert(ground, traces);
            }
        }
        // The adapter asks whether the VM is gone before it says that it ended: that may come late, and in any order.
        let end = Instant::now() + EVENT_LIMIT;
        while !ends.is_empty() {
            let event =
                timeout_at(end, self.events.recv()).await.unwrap_or_else(|_| panic!("nobody tells of {ends:?}"));
            let event = event.expect("the hypervisor is there");
            if self.is_ours(&event) {
                ends.retain(|cause| event.cause() != Some(*cause));
            }
        }
    }

    /// What has happened until now is of no interest.
    pub(crate) async fn forget_events(&mut self) {
        self.events_of_step(&[]).await;
    }

    /// What is told of the VM from the last time on. Those that are `wanted` are waited for, in whatever order they come.
    pub(crate) async fn events_of_step(&mut self, wanted: &[Event]) -> Vec<Event> {
        let (mut heard, mut missing) = (Vec::new(), wanted.to_vec());
        let end = Instant::now() + EVENT_LIMIT;
        while !missing.is_empty() {
            let Ok(event) = timeout_at(end, self.events.recv()).await else { break };
            let event = event.expect("the hypervisor is there");
            if let Some(found) = missing.iter().position(|missing| *missing == event) {
                missing.remove(found);
            }
            heard.extend(Some(event).filter(|event| self.is_ours(event)));
        }
        let bell = self.ring();
        loop {
            let event = timeout(EVENT_LIMIT, self.events.recv()).await.expect("the bell is heard");
            let event = event.expect("the hypervisor is there");
            if event == bell {
                return heard;
            }
            heard.extend(Some(event).filter(|event| self.is_ours(event)));
        }
    }

    fn is_ours(&self, event: &Event) -> bool {
        match event {
            Event::Changed(vm, _) | Event::Power(vm, _) | Event::Happened(vm, _) | Event::Gone(vm, _) => *vm == self.vm,
            Event::Disconnected | Event::Reconnected => true,
        }
    }

    fn ring(&mut self) -> Event {
        self.rung += 1;
        let uri = format!("{URI}{}", self.rung);
        let happening = Happening { cause: Cause::MetadataChanged, subject: Some(uri.clone()) };
        let event = Event::Happened(self.bell, happening);
        let connect = match &self.world {
            World::Fake(fake) => {
                fake.emit(event.clone());
                return event;
            }
            World::Mock(connect) => connect,
            World::Qemu(qemu) => &qemu.connect,
        };
        let kind = sys::VIR_DOMAIN_METADATA_ELEMENT.cast_signed();
        let bell = connect.lookup_domain_by_uuid(self.bell.0).expect("the bell is there");
        let config = sys::VIR_DOMAIN_AFFECT_CONFIG;
        bell.set_metadata(kind, Some("<rung/>"), Some("bell"), Some(&uri), config).expect("the bell is rung");
        event
    }

    /// Something that is open ends by itself.
    pub(crate) async fn let_end(&self, hold: &HoldKey, within: Duration) -> Result<(), String> {
        if let World::Fake(fake) = &self.world {
            fake.change(self.vm, |state| {
                state.jobs.remove(hold);
            });
        }
        let end = Instant::now() + within;
        loop {
            match self.look().await {
                Ok(state) if !state.jobs.contains(hold) => return Ok(()),
                Ok(_) | Err(AskHypervisorError::Failed(_)) if Instant::now() < end => {}
                Ok(_) => return Err(format!("{hold} is open after {within:?}")),
                Err(error) => return Err(error.to_string()),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Something that is open can be gone over to.
    pub(crate) async fn until_ready(&self, hold: &HoldKey, within: Duration) -> Result<(), String> {
        if let World::Fake(fake) = &self.world {
            let done = covirt::hypervisor::JobProgress {
                hold: hold.clone(),
                done: 1,
                total: 1,
                seconds_left: None,
                elapsed_s: None,
            };
            fake.set_progress(self.vm, vec![done]);
        }
        let end = Instant::now() + within;
        loop {
            match self.hypervisor.progress(self.vm).await {
                Ok(all) if all.iter().any(|job| job.hold == *hold && job.total > 0 && job.done == job.total) => {
                    return Ok(());
                }
                Ok(_) | Err(AskHypervisorError::Failed(_)) if Instant::now() < end => {}
                Ok(all) => return Err(format!("{hold} is not ready after {within:?}: {all:?}")),
                Err(error) => return Err(error.to_string()),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let World::Mock(connect) = &self.world {
            clear(connect, self.vm);
            clear(connect, self.bell);
        }
    }
}

impl Qemu {
    fn set(&self, vm: VmId, xml: &str, ground: Ground) -> Vec<Cause> {
        let ends = clear(&self.connect, vm);
        self.clear_files();
        let (dir, name) = (self.libvirt.folder(), self.guest.name());
        std::fs::copy(&self.pristine, dir.join(format!("{name}.qcow2"))).expect("a disk as it was");
        let domain = self.connect.define_domain_xml(xml).expect("define");
        if ground != Ground::Off {
            domain.create().expect("start");
        }
        if ground == Ground::Booted {
            self.guest.await_agent();
            self.guest.await_console("GUEST-READY", 1);
        }
        ends
    }

    /// Removes what behaviours have left beside the VM's own files.
    fn clear_files(&self) {
        let (dir, name) = (self.libvirt.folder(), self.guest.name());
        let own = ["vdb", "console", "qcow2"].map(|suffix| format!("{name}.{suffix}"));
        for entry in std::fs::read_dir(dir).expect("read the folder").filter_map(Result::ok) {
            let file = entry.file_name().into_string().unwrap_or_default();
            let of_guest = file.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            if of_guest && !own.contains(&file) {
                std::fs::remove_file(entry.path()).expect("remove what the last one left");
            }
        }
    }

    /// All that libvirt knows of the VM and that a behaviour may have changed.
    fn traces(&self, vm: VmId) -> String {
        let Ok(domain) = self.connect.lookup_domain_by_uuid(vm.0) else { return String::new() };
        let xml = |flags| domain.xml_desc(flags).unwrap_or_default();
        let autostart = domain.autostart().unwrap_or_default();
        let (snapshots, saved) =
            (domain.num_snapshots(0).unwrap_or_default(), domain.has_managed_save(0).unwrap_or_default());
        format!("{:?}{}{}{autostart}{snapshots}{saved}", domain.id(), xml(0), xml(sys::VIR_DOMAIN_XML_INACTIVE))
    }
}

/// Removes a VM with all that libvirt keeps of it; what will be told of that, each after the other.
fn clear(connect: &Connect, vm: VmId) -> Vec<Cause> {
    let Ok(domain) = connect.lookup_domain_by_uuid(vm.0) else { return Vec::new() };
    let destroyed = domain.destroy().is_ok();
    let flags = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
    // A transient one is gone with its process. The mock driver forgets checkpoints without being told to.
    let undefined = domain
        .undefine_flags(flags | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA)
        .or_else(|_| domain.undefine_flags(flags));
    let ends = [(destroyed, Cause::Destroyed), (undefined.is_ok(), Cause::Undefined)];
    ends.into_iter().filter(|(is_told, _)| *is_told).map(|(_, cause)| cause).collect()
}

fn xml_of(connect: &Connect, vm: VmId) -> String {
    let found = connect.lookup_domain_by_uuid(vm.0);
    let xml = found.and_then(|domain: Domain| domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE));
    xml.expect("its XML")
}

fn make_disk(path: &Path) {
    let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(path).arg("8M").status();
    assert!(made.is_ok_and(|status| status.success()));
}

/// What words in the list stand for.
fn words(name: &str, vm: VmId, xml: &str, dir: &str) -> BTreeMap<&'static str, String> {
    let domain = parse_domain(xml, Limits::default()).expect("the definition is read");
    let mac = domain.nics.iter().find_map(|nic| nic.mac).expect("an interface").to_string();
    let nic = |more: &str| {
        format!(
            "<interface type='network'><mac address='52:54:00:c0:c1:c2'/><source network='default'/>\
             <model type='virtio'/>{more}</interface>"
        )
    };
    let vdb = format!(
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{dir}/{name}.vdb'/>\
         <target dev='vdb' bus='virtio'/></disk>"
    );
    let wider = xml.replace(">4</vcpu>", ">6</vcpu>");
    assert_ne!(wider, xml);
    let renamed = xml.replace(&format!("<name>{name}</name>"), "<name>another</name>");
    BTreeMap::from([
        ("dir", dir.to_owned()),
        ("mac", mac),
        ("name", name.to_owned()),
        ("nic", nic("")),
        ("nic-down", nic("<link state='down'/>")),
        ("renamed", renamed),
        ("uuid", vm.to_string()),
        ("vdb", vdb),
        ("wider", wider),
        ("xml", xml.to_owned()),
    ])
}

/// A VM of the same shape as the guest that runs on QEMU, where nothing is behind its devices.
fn plain_xml(name: &str, vm: VmId) -> String {
    format!(
        "<domain type='test'><name>{name}</name><uuid>{vm}</uuid><memory unit='KiB'>131072</memory>\
         <currentMemory unit='KiB'>131072</currentMemory><vcpu current='1'>4</vcpu>\
         <os><type arch='x86_64'>hvm</type></os><devices>\
         <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/nowhere/{name}.qcow2'/>\
         <target dev='vda' bus='virtio'/></disk>\
         <interface type='network'><mac address='52:54:00:0d:0e:0f'/><source network='default'/>\
         <model type='virtio'/></interface></devices></domain>"
    )
}

/// What a look at that VM shows, for the hypervisor that has only the look.
fn plain_state(xml: &str, ground: Ground) -> VmState {
    let domain = parse_domain(xml, Limits::default()).expect("the definition is read");
    let disks = domain.disks.iter().map(|disk| format!("disk:{}", disk.target));
    let nics = domain.nics.iter().filter_map(|nic| nic.mac.map(|mac| format!("nic:{mac}")));
    let (power, start) = match ground {
        Ground::Off => (PowerState::ShutOff, None),
        Ground::Running | Ground::Booted => (PowerState::Running, Some(3)),
    };
    VmState {
        power,
        start: StartId(start),
        vcpus: domain.cpu.vcpus,
        vcpus_max: domain.cpu.vcpus_max,
        memory_kib: domain.memory.current_kib,
        memory_max_kib: Kib(131_072),
        snapshots: [].into(),
        checkpoints: [].into(),
        devices: disks.chain(nics).map(|name| name.parse().expect("a device's name")).collect(),
        jobs: [].into(),
        saved: false,
        definition: Some(Generation::of_definition(&domain).to_string()),
    }
}
