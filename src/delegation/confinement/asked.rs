//! What a command names of the host, before anybody looks whether it may.

use crate::model::operation::BackupMode;
use crate::model::{Action, Operation};

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is used as it is.
    Opened,
    /// It is made anew.
    Created,
}

/// One thing that is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// A file.
    File(How, String),
    /// libvirt's XML.
    Xml(How, String),
    /// Another host's libvirt, or where QEMU is to send a VM to.
    Uri(String),
    /// What no confined provider may name.
    Never(&'static str),
}

/// What a command names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked(Vec<Named>);

impl Asked {
    /// By a command's own arguments.
    #[must_use]
    pub fn of(operation: &Operation) -> Self {
        let opened = |path: &String| Named::File(How::Opened, path.clone());
        let created = |path: &String| Named::File(How::Created, path.clone());
        Self(match operation {
            Operation::BackupBegin(args) => {
                let files = args.files.values().chain(args.scratch.values()).map(created);
                let socket = args.socket.iter().filter(|_| args.mode == BackupMode::Pull).map(created);
                files.chain(socket).collect()
            }
            // An image is named by its number or by its path, and looked for in the disk's own chain.
            Operation::BlockCommit(args) => args.top.iter().chain(&args.base).filter(is_path).map(opened).collect(),
            Operation::BlockPull(args) => args.base.iter().filter(is_path).map(opened).collect(),
            Operation::BlockCopy(args) => {
                let how = if args.reuse { How::Opened } else { How::Created };
                vec![Named::File(how, args.to.clone())]
            }
            Operation::DeviceAttach(args) | Operation::DeviceUpdate(args) => {
                vec![Named::Xml(How::Opened, args.xml.clone())]
            }
            Operation::DefinitionDefine(args) => vec![Named::Xml(How::Opened, args.xml.clone())],
            Operation::MigrateBegin(args) => {
                [Some(&args.to), args.through.as_ref()].into_iter().flatten().cloned().map(Named::Uri).collect()
            }
            // What they name is in the guest, or libvirt's own name for a thing of this VM.
            Operation::PowerStart(_)
            | Operation::PowerShutdown(_)
            | Operation::PowerReboot(_)
            | Operation::PowerReset(_)
            | Operation::PowerStop(_)
            | Operation::PowerSuspend(_)
            | Operation::PowerResume(_)
            | Operation::PowerSave(_)
            | Operation::PowerRestore(_)
            | Operation::PowerSaveRemove(_)
            | Operation::SnapshotCreate(_)
            | Operation::SnapshotRevert(_)
            | Operation::SnapshotDelete(_)
            | Operation::CpuSet(_)
            | Operation::MemorySet(_)
            | Operation::MetadataSet(_)
            | Operation::NicQos(_)
            | Operation::DiskIotune(_)
            | Operation::AutostartSet(_)
            | Operation::BackupEnd(_)
            | Operation::CheckpointCreate(_)
            | Operation::CheckpointDelete(_)
            | Operation::DiskResize(_)
            | Operation::BlockAbort(_)
            | Operation::DeviceDetach(_)
            | Operation::GuestFreeze(_)
            | Operation::GuestThaw(_)
            | Operation::GuestTrim(_)
            | Operation::GuestCommand(_)
            | Operation::GuestSetTime(_)
            | Operation::GuestSetPassword(_)
            | Operation::DefinitionUndefine(_)
            | Operation::DefinitionRename(_)
            | Operation::MigrateAbort(_)
            | Operation::LockAcquire(_)
            | Operation::LockRelease(_)
            | Operation::ConsoleOpen(_)
            | Operation::ScreenOpen(_)
            | Operation::ScreenCapture(_)
            | Operation::DiskRead(_)
            | Operation::GuestInfo(_)
            | Operation::InspectRead(_)
            // A client's own call is judged by all its texts.
            | Operation::Relayed(_) => Vec::new(),
        })
    }

    /// By the texts of a libvirt client's own call, whatever each of them is for.
    #[must_use]
    pub fn of_texts<'a>(action: Action, texts: impl IntoIterator<Item = &'a str>) -> Self {
        if is_within(action) {
            return Self::default();
        }
        let how = how_of(action);
        let named = texts.into_iter().filter_map(|text| {
            let inner = text.trim_start();
            if inner.starts_with('<') {
                Some(Named::Xml(how, text.to_owned()))
            } else if is_uri(inner) {
                Some(Named::Uri(text.to_owned()))
            } else if is_path(&text) {
                Some(Named::File(how, text.to_owned()))
            } else {
                None
            }
        });
        Self(named.collect())
    }

    /// A file as well, though its text does not look like one: libvirt takes a relative path from its own folder.
    #[must_use]
    pub fn and_file(mut self, path: &str) -> Self {
        if !is_path(&path) {
            self.0.push(Named::File(How::Created, path.to_owned()));
        }
        self
    }

    /// What no confined provider may name, whatever else it names; a noun and what is wrong with it.
    #[must_use]
    pub fn never(what: &'static str) -> Self {
        Self(vec![Named::Never(what)])
    }

    /// Whether nothing of the host is named.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn named(&self) -> impl Iterator<Item = &Named> {
        self.0.iter()
    }
}

fn is_path(text: &impl AsRef<str>) -> bool {
    text.as_ref().starts_with('/')
}

/// Whether a text begins as a URI does: a scheme, and what follows it.
fn is_uri(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

/// Actions whose texts are the guest's own, or are kept and never read by libvirt.
fn is_within(action: Action) -> bool {
    matches!(
        action,
        Action::GuestFreeze
            | Action::GuestThaw
            | Action::GuestTrim
            | Action::GuestCommand
            | Action::GuestSetTime
            | Action::GuestSetPassword
            | Action::GuestInput
            | Action::MetadataSet
            | Action::LockAcquire
            | Action::LockRelease
            | Action::InspectRead
    )
}

/// What a client's call does with the files that it names.
fn how_of(action: Action) -> How {
    let makes = matches!(
        action,
        Action::PowerSave | Action::MemoryDump | Action::BackupBegin | Action::SnapshotCreate | Action::BlockCopy
    );
    if makes { How::Created } else { How::Opened }
}
