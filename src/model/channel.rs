//! Ways into a VM that stay open: its console, its screen, the export of a backup, the contents of a disk.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::device::is_target;
use super::footprint::{Footprint, Resource};

/// What a channel leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ChannelKind {
    /// The serial console; one at a time.
    Console,
    /// The graphical screen.
    Screen,
    /// What a pull backup serves over NBD.
    Nbd,
    /// The contents of the disk of this target, of a VM that is off.
    Disk(String),
}

impl ChannelKind {
    /// The action that opens it.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self {
            Self::Console => Action::ConsoleOpen,
            Self::Screen => Action::ScreenOpen,
            Self::Nbd => Action::BackupBegin,
            Self::Disk(_) => Action::DiskRead,
        }
    }

    /// What must wait while it is open: a disk that is being read keeps the VM off and its contents as they are.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        match self {
            Self::Console | Self::Screen | Self::Nbd => Footprint::default(),
            Self::Disk(target) => Footprint {
                reads: BTreeSet::from([Resource::Power, Resource::Process, Resource::Disk(target.clone())]),
                writes: BTreeSet::new(),
            },
        }
    }
}

impl fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Console => f.write_str("console"),
            Self::Screen => f.write_str("screen"),
            Self::Nbd => f.write_str("nbd"),
            Self::Disk(target) => write!(f, "disk:{target}"),
        }
    }
}

impl From<ChannelKind> for String {
    fn from(kind: ChannelKind) -> Self {
        kind.to_string()
    }
}

/// Why a text names no kind of channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no channel: console, screen, nbd or disk:<target> is expected")]
pub struct ParseChannelKindError(String);

impl FromStr for ChannelKind {
    type Err = ParseChannelKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.split_once(':')) {
            ("console", _) => Ok(Self::Console),
            ("screen", _) => Ok(Self::Screen),
            ("nbd", _) => Ok(Self::Nbd),
            (_, Some(("disk", target))) if is_target(target) => Ok(Self::Disk(target.to_owned())),
            (_, Some(_) | None) => Err(ParseChannelKindError(text.chars().take(64).collect())),
        }
    }
}

impl TryFrom<String> for ChannelKind {
    type Error = ParseChannelKindError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::action::Way;

    #[test]
    fn a_kind_is_read_back_as_written() {
        for text in ["console", "screen", "nbd", "disk:vda"] {
            assert_eq!(text.parse::<ChannelKind>().unwrap().to_string(), text);
        }
        for text in ["", "disk", "disk:", "disk:../a", "vnc"] {
            text.parse::<ChannelKind>().unwrap_err();
        }
    }

    #[test]
    fn a_channel_is_opened_under_an_action_that_says_so() {
        for kind in [ChannelKind::Console, ChannelKind::Screen, ChannelKind::Disk("vda".to_owned())] {
            assert_eq!(kind.action().spec().way, Way::Channel, "{kind}");
        }
        // What a backup serves belongs to whoever began it.
        assert_eq!(ChannelKind::Nbd.action(), Action::BackupBegin);
    }
}
