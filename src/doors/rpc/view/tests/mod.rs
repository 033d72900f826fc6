//! A host with three VMs, and three providers that see different ones of them.

mod errors;
mod events;
mod hostile;
mod known;
mod lists;
mod recorded;
mod recounts;
mod table;
mod things;
mod xml;

use std::collections::BTreeSet;

use uuid::Uuid;

use super::*;
use crate::doors::rpc::frame::{LXC, QEMU, REMOTE};
use crate::doors::rpc::xdr::Writer;
use crate::model::VmId;

const fn id(number: u128) -> VmId {
    VmId(Uuid::from_u128(0x1111_2222_3333_4444_0000_0000_0000_0000 + number))
}

/// Co-managed by the provider that looks.
const MINE: VmId = id(1);
/// Co-managed, by others.
const THEIRS: VmId = id(2);
/// Co-managed by nobody.
const LOOSE: VmId = id(3);
const NETWORK: Uuid = Uuid::from_u128(0x9999_8888_7777_6666_5555_4444_3333_2222);

/// The ports of the three VMs.
fn port_of(vm: VmId) -> Uuid {
    Uuid::from_u128(vm.0.as_u128() ^ (7 << 64))
}

fn domain_xml(vm: VmId, name: &str, number: u32) -> String {
    format!(
        "<domain type='qemu' id='{number}'><name>{name}</name><uuid>{vm}</uuid>\
         <os><nvram>/nvram/{name}_VARS.fd</nvram></os><devices>\
         <disk type='file' device='disk'><source file='/pool/{name}.qcow2' index='1'/>\
         <backingStore type='file'><source file='/pool/base-{name}.qcow2'/><backingStore/></backingStore></disk>\
         <disk type='volume' device='disk'><source pool='lvm' volume='{name}-data'/></disk>\
         <disk type='network' device='disk'><source protocol='rbd' name='rbd/{name}'/></disk>\
         <interface type='network'><mac address='52:54:00:00:00:0{number}'/>\
         <source network='default' portid='{}' bridge='virbr0'/><target dev='vnet{number}'/></interface>\
         </devices></domain>",
        port_of(vm)
    )
}

fn host() -> HostNames {
    let mut host = HostNames::default();
    for (vm, name, number) in [(MINE, "mine", 1), (THEIRS, "theirs", 2), (LOOSE, "loose", 3)] {
        host.observe(vm, name, &[&domain_xml(vm, name, number)]);
    }
    host.observe_pool("images", "/pool/");
    host.is_all();
    host
}

/// A provider that looks.
#[derive(Clone)]
struct Provider {
    host: HostNames,
    sees_host: bool,
    secrets: bool,
    hidden: BTreeSet<VmId>,
    all: bool,
}

impl Eyes for Provider {
    fn sees(&self, vm: VmId) -> bool {
        vm == MINE || (self.sees_host && !self.hidden.contains(&vm))
    }

    fn sees_name(&self, name: &str) -> bool {
        self.host.named(name).map_or(self.sees_host, |vm| self.sees(vm))
    }

    fn sees_secrets(&self) -> bool {
        self.secrets
    }

    fn sees_host(&self) -> bool {
        self.sees_host
    }

    fn sees_all(&self) -> bool {
        self.all
    }

    fn whose(&self, thing: Thing<'_>) -> Whose {
        self.host.whose(thing, &|vm| self.sees(vm))
    }
}

fn provider(sees_host: bool) -> Provider {
    Provider { host: host(), sees_host, secrets: false, hidden: BTreeSet::from([THEIRS]), all: false }
}

/// Sees the VM that it co-manages and no other.
fn secondary() -> Provider {
    provider(false)
}

/// Has the host role: sees all but the VM of others.
fn hoster() -> Provider {
    provider(true)
}

/// As the secondary, with a host of which not everything is known.
fn unsure() -> Provider {
    let mut provider = provider(false);
    provider.host = HostNames::default();
    provider
}

/// Sees everything.
fn operator() -> Provider {
    Provider { all: true, secrets: true, hidden: BTreeSet::new(), ..provider(true) }
}

fn name_of(vm: VmId) -> &'static str {
    match vm {
        MINE => "mine",
        THEIRS => "theirs",
        LOOSE => "loose",
        _ => "other",
    }
}

trait Words {
    fn vm(&mut self, vm: VmId) -> &mut Self;
    fn named(&mut self, name: &str, uuid: Uuid) -> &mut Self;
}

impl Words for Writer {
    fn vm(&mut self, vm: VmId) -> &mut Self {
        self.named(name_of(vm), vm.0).i32(7)
    }

    fn named(&mut self, name: &str, uuid: Uuid) -> &mut Self {
        self.string(name).raw(uuid.as_bytes())
    }
}

/// A payload.
fn bytes(write: impl FnOnce(&mut Writer) -> &mut Writer) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.into_bytes()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The text of a payload that is one string.
fn text_of(shown: &Shown) -> &str {
    let Shown::Changed(payload) = shown else { panic!("{shown:?} is no other text") };
    crate::doors::rpc::xdr::Reader::new(payload).string().unwrap()
}
