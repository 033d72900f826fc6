//! The VM's own resource: what the provider's schema can say of it.
//!
//! Assumes an inventory that the provider can read. Guarantees attributes of the schema only, and no value that is not
//! the VM's.

use super::hcl::{Block, Value, quote};
use super::surroundings::Surroundings;
use crate::artifacts::guest::network_of;
use crate::discovery::{
    AddressOrigin, BootOrder, ConsoleRole, Disk, DiskBus, DiskDevice, DiskSource, Graphics, GraphicsPort, Inventory,
    Nic, NicSource,
};

/// The resource.
pub(super) fn resource(inventory: &Inventory, name: &str, around: &Surroundings) -> Block {
    let domain = &inventory.domain;
    let number = |number: u64| Value::expression(number.to_string());
    let text = |text: &Option<String>| text.as_ref().map(Value::text);
    let direct = domain.direct_boot.as_ref();
    let mut block = Block::resource("libvirt_domain", name)
        .set("name", Value::text(&domain.identity.name))
        .set_if("description", text(&domain.identity.description))
        .set("vcpu", number(u64::from(domain.cpu.vcpus_max)))
        .set("memory", number(mebibytes(inventory)))
        .set_if("arch", text(&domain.platform.arch))
        .set_if("machine", text(&domain.platform.machine))
        .set_if("emulator", text(&domain.platform.emulator))
        .set_if("firmware", text(&domain.firmware.loader))
        .set_if("kernel", direct.and_then(|boot| text(&boot.kernel)))
        .set_if("initrd", direct.and_then(|boot| text(&boot.initrd)))
        .set_if("cmdline", direct.and_then(|boot| boot.cmdline.as_ref()).map(|line| cmdline(line)))
        .set_if("qemu_agent", domain.guest_agent.is_some().then(|| Value::expression("true")));
    block = block.block_if(domain.firmware.nvram.as_ref().map(|file| {
        let nvram = Block::new("nvram").set("file", Value::text(file));
        nvram.set_if("template", text(&domain.firmware.nvram_template))
    }));
    block =
        block.block_if(domain.cpu.mode.as_ref().map(|mode| Block::new("cpu").set("mode", Value::text(mode.as_str()))));
    if let BootOrder::ByClass(classes) = &domain.boot {
        let classes = classes.iter().map(|class| class.as_str().to_owned()).collect();
        block = block.block(Block::new("boot_device").set("dev", Value::Texts(classes)));
    }
    for disk in domain.disks.iter().filter_map(|disk| disk_block(disk, around)) {
        block = block.block(disk);
    }
    for nic in &domain.nics {
        block = block.block(nic_block(nic, inventory));
    }
    for filesystem in &domain.filesystems {
        if let (Some(source), Some(target)) = (&filesystem.source, &filesystem.target) {
            let shared = Block::new("filesystem")
                .set("source", Value::text(source))
                .set("target", Value::text(target))
                .set("readonly", Value::expression(filesystem.read_only.to_string()));
            block = block.block(shared);
        }
    }
    for console in domain.consoles.iter().filter(|console| console.role == ConsoleRole::Console) {
        let described = Block::new("console")
            .set("type", Value::text(&console.kind))
            .set("target_port", Value::text(console.port.unwrap_or(0).to_string()))
            .set_if("target_type", text(&console.target));
        block = block.block(described);
    }
    block = block.block_if(domain.graphics.first().map(graphics_block));
    block =
        block.block_if(domain.videos.first().map(|video| Block::new("video").set("type", Value::text(&video.model))));
    block.block_if(domain.tpm.as_ref().map(|tpm| {
        Block::new("tpm")
            .set_if("model", text(&tpm.model))
            .set("backend_type", Value::text(&tpm.backend))
            .set_if("backend_version", text(&tpm.version))
    }))
}

/// Memory as the schema counts it.
pub(super) fn mebibytes(inventory: &Inventory) -> u64 {
    inventory.domain.memory.max_kib.0 / 1024
}

/// The kernel's command line: the schema's word for arguments that are not split.
fn cmdline(line: &str) -> Value {
    Value::expression(format!("[{{ {} = {} }}]", quote("_"), quote(line)))
}

/// One disk; none for an empty drive.
fn disk_block(disk: &Disk, around: &Surroundings) -> Option<Block> {
    let block = Block::new("disk");
    let volume = |pool: &str, volume: &str| around.volumes.get(&(pool.to_owned(), volume.to_owned()));
    let resource = disk.volume.as_ref().and_then(|at| volume(&at.pool, &at.volume));
    let reference = |name: &String| Value::expression(format!("libvirt_volume.{name}.id"));
    let block = match (disk.source.as_ref()?, resource) {
        (DiskSource::File { .. } | DiskSource::Volume { .. }, Some(name)) if disk.device == DiskDevice::Disk => {
            block.set("volume_id", reference(name))
        }
        (DiskSource::File { path }, _) => block.set("file", Value::text(path)),
        (DiskSource::Block { device }, _) => block.set("block_device", Value::text(device)),
        (DiskSource::Volume { pool, volume: name, .. }, _) => match volume(pool, name) {
            Some(resource) => block.set("volume_id", reference(resource)),
            None => return None,
        },
        (DiskSource::Network { .. }, _) => block.set("url", Value::text(url(disk)?)),
        (
            DiskSource::Directory { .. }
            | DiskSource::Nvme { .. }
            | DiskSource::VhostUser { .. }
            | DiskSource::Unknown { .. },
            _,
        ) => return None,
    };
    let scsi = (disk.bus == Some(DiskBus::Scsi)).then(|| Value::expression("true"));
    Some(block.set_if("scsi", scsi).set_if("wwn", disk.wwn.as_ref().map(Value::text)))
}

/// A network disk as the provider spells it when it reads the VM.
pub(super) fn url(disk: &Disk) -> Option<String> {
    let Some(DiskSource::Network { protocol, name, hosts }) = &disk.source else {
        return None;
    };
    Some(format!("{protocol}://{}{}", hosts.first()?, name.as_deref().unwrap_or_default()))
}

/// The attribute that says what an interface is plugged into; none where the schema has none.
pub(super) fn plug(nic: &Nic) -> Option<(&'static str, &str)> {
    match &nic.source {
        NicSource::Network { network, .. } => Some(("network_name", network)),
        NicSource::Bridge { bridge } => Some(("bridge", bridge.as_deref()?)),
        NicSource::Direct { device, mode } => {
            let device = device.as_deref()?;
            match mode.as_deref() {
                Some("bridge") => Some(("macvtap", device)),
                Some("passthrough") => Some(("passthrough", device)),
                // libvirt's own default.
                Some("vepa") | None => Some(("vepa", device)),
                Some(_) => None,
            }
        }
        NicSource::User
        | NicSource::Ethernet
        | NicSource::Hostdev { .. }
        | NicSource::VhostUser { .. }
        | NicSource::Vdpa { .. }
        | NicSource::Internal { .. }
        | NicSource::Socket { .. }
        | NicSource::Unknown { .. } => None,
    }
}

fn nic_block(nic: &Nic, inventory: &Inventory) -> Block {
    let mut block = Block::new("network_interface");
    if let Some((attribute, value)) = plug(nic) {
        block = block.set(attribute, Value::text(value));
    }
    // The provider spells MACs in upper case.
    block = block.set_if("mac", nic.mac.map(|mac| Value::text(mac.to_string().to_ascii_uppercase())));
    let fixed = nic.addresses.iter().filter(|address| address.origin == AddressOrigin::StaticHost);
    let fixed: Vec<String> = fixed.map(|address| address.ip.to_string()).collect();
    let hosts =
        network_of(nic, inventory).into_iter().flat_map(|network| &network.subnets).flat_map(|subnet| &subnet.hosts);
    let hostname = hosts.filter(|host| host.mac.is_some() && host.mac == nic.mac).find_map(|host| host.name.as_ref());
    block
        .set_if("addresses", (!fixed.is_empty()).then_some(Value::Texts(fixed)))
        .set_if("hostname", hostname.map(Value::text))
}

fn graphics_block(graphics: &Graphics) -> Block {
    let auto = match graphics.port {
        GraphicsPort::Auto(_) => Some(true),
        GraphicsPort::Fixed(_) => Some(false),
        GraphicsPort::Unsaid => None,
    };
    let listen_type = if graphics.listen.is_some() { "address" } else { "none" };
    Block::new("graphics")
        .set("type", Value::text(graphics.kind.as_str()))
        .set_if("autoport", auto.map(|auto| Value::expression(auto.to_string())))
        .set("listen_type", Value::text(listen_type))
        .set_if("listen_address", graphics.listen.as_ref().map(Value::text))
}
