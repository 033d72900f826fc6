//! Image properties that Nova reads (`ImageMetaProps`), in Nova's own order and types.
//!
//! Assumes that a value is one of Nova's words for its name. Guarantees that a name Nova does not know cannot be
//! written, and both spellings of a value: Glance's, where all is text, and that of Nova's own XML.

use serde_json::{Map, Value};

/// Defines the names, in the order in which Nova lists them.
macro_rules! names {
    ($($variant:ident = $name:literal,)+) => {
        /// A property's name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Property {
            $($variant,)+
        }

        impl Property {
            /// The name as Glance has it.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

names! {
    Architecture = "hw_architecture",
    BootMenu = "hw_boot_menu",
    CdromBus = "hw_cdrom_bus",
    DiskBus = "hw_disk_bus",
    FloppyBus = "hw_floppy_bus",
    FirmwareType = "hw_firmware_type",
    FirmwareStateless = "hw_firmware_stateless",
    InputBus = "hw_input_bus",
    MachineType = "hw_machine_type",
    PointerModel = "hw_pointer_model",
    Pmu = "hw_pmu",
    GuestAgent = "hw_qemu_guest_agent",
    RngModel = "hw_rng_model",
    TimeHpet = "hw_time_hpet",
    SerialPortCount = "hw_serial_port_count",
    ScsiModel = "hw_scsi_model",
    VideoModel = "hw_video_model",
    VifModel = "hw_vif_model",
    ViommuModel = "hw_viommu_model",
    VmMode = "hw_vm_mode",
    WatchdogAction = "hw_watchdog_action",
    VifMultiqueue = "hw_vif_multiqueue_enabled",
    TpmModel = "hw_tpm_model",
    TpmVersion = "hw_tpm_version",
    MaxPhysAddrMode = "hw_maxphysaddr_mode",
    MaxPhysAddrBits = "hw_maxphysaddr_bits",
    SoundModel = "hw_sound_model",
    UsbModel = "hw_usb_model",
    RedirectedUsbPorts = "hw_redirected_usb_ports",
    HypervisorType = "img_hv_type",
    HideHypervisor = "img_hide_hypervisor_id",
    OsDistro = "os_distro",
    SecureBoot = "os_secure_boot",
    OsType = "os_type",
}

/// Where a property is, for the report.
pub(super) fn place(property: Property) -> String {
    format!("image.json: {}", property.name())
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PropertyValue {
    Text(String),
    Flag(bool),
    Number(u64),
}

impl PropertyValue {
    /// As Glance keeps it.
    pub(super) fn in_glance(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }

    /// As Nova writes it into a domain's metadata: in Python's words.
    pub(super) fn in_nova(&self) -> String {
        match self {
            Self::Flag(true) => "True".to_owned(),
            Self::Flag(false) => "False".to_owned(),
            Self::Text(_) | Self::Number(_) => self.in_glance(),
        }
    }
}

/// Properties, in Nova's order.
#[derive(Debug, Default)]
pub(super) struct Properties(std::collections::BTreeMap<Property, PropertyValue>);

impl Properties {
    pub(super) fn text(&mut self, property: Property, text: impl Into<String>) {
        self.0.insert(property, PropertyValue::Text(text.into()));
    }

    pub(super) fn flag(&mut self, property: Property, flag: bool) {
        self.0.insert(property, PropertyValue::Flag(flag));
    }

    pub(super) fn number(&mut self, property: Property, number: u64) {
        self.0.insert(property, PropertyValue::Number(number));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Property, &PropertyValue)> {
        self.0.iter().map(|(property, value)| (*property, value))
    }

    /// As members of an image.
    pub(super) fn in_glance(&self) -> Map<String, Value> {
        self.iter().map(|(property, value)| (property.name().to_owned(), Value::from(value.in_glance()))).collect()
    }
}
