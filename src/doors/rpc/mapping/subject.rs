//! Which VM a call is about, or what leads to it.

use super::xml;
use crate::model::VmId;

/// Which VM a call is about, or what leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// No VM, or none in particular.
    None,
    /// This one.
    Vm(VmId),
    /// The one of this name.
    VmName(String),
    /// The one that runs under this number.
    VmNumber(i32),
    /// The one that this XML defines.
    DomainXml(String),
    /// The one whose memory is in this file; the XML is what it is to go on with, where that is said.
    SavedImage {
        /// The file.
        path: String,
        /// What the caller puts in the place of the XML in the file.
        xml: Option<String>,
    },
    /// The one of which this volume is a disk.
    Volume {
        /// The pool's name.
        pool: String,
        /// The volume's name in it.
        name: String,
        /// What is its path, for files.
        key: String,
    },
    /// The one that is this process.
    Process(u32),
    /// One that comes from another host.
    Arriving {
        /// The name that it will have, where that is said apart.
        name: Option<String>,
        /// What it is.
        xml: Option<String>,
    },
    /// These.
    Many(Vec<VmId>),
}

/// What a subject says of its VM by itself. What XML says is somebody's claim: libvirt refuses to define or start a VM
/// of which name and UUID are not both the claimed ones, if there is one with either.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownAs {
    /// Its UUID.
    pub vm: Option<VmId>,
    /// Its name.
    pub name: Option<String>,
}

impl Subject {
    /// What it says of its VM by itself; nothing where libvirt must be asked, and nothing where XML does not say it in
    /// words that have one meaning only.
    #[must_use]
    pub fn known_as(&self) -> KnownAs {
        match self {
            Self::Vm(vm) => KnownAs { vm: Some(*vm), name: None },
            Self::VmName(name) => KnownAs { vm: None, name: Some(name.clone()) },
            Self::DomainXml(xml) => xml::domain(xml).unwrap_or_default(),
            Self::SavedImage { path: _, xml } => xml.as_deref().and_then(xml::domain).unwrap_or_default(),
            Self::Arriving { name, xml } => {
                let claimed = xml.as_deref().and_then(xml::domain).unwrap_or_default();
                KnownAs { vm: claimed.vm, name: name.clone().or(claimed.name) }
            }
            Self::None | Self::VmNumber(_) | Self::Volume { .. } | Self::Process(_) | Self::Many(_) => {
                KnownAs::default()
            }
        }
    }
}
