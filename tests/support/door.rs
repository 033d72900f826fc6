//! A libvirtd as a provider meets it: directly, or through a door.
//!
//! `COVIRT_DOOR_RELAY=PROGRAM` puts another relay in the door's place, started as `PROGRAM LISTEN-SOCKET UPSTREAM-SOCKET`:
//! what fails with any relay is no fault of ours.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::covirtd::{Client, Covirtd};
use crate::support::qemu::PrivateLibvirt;

/// A door to one libvirtd; closed on drop.
pub(crate) struct Door {
    socket: PathBuf,
    keeper: Keeper,
}

enum Keeper {
    Covirtd { agent: Box<Covirtd>, _folder: tempfile::TempDir },
    Relay { child: Child, _folder: tempfile::TempDir },
}

/// What a client meets.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Manners {
    /// A door, which refuses some.
    Door,
    /// Something that lets all pass.
    Relay,
}

/// The provider whose door it is.
pub(crate) const PROVIDER: &str = "south";

impl Door {
    /// Opens south's door. South has the host role, so that on VMs which nobody co-manages it has plain libvirt.
    #[track_caller]
    pub(crate) fn open(libvirt: &PrivateLibvirt) -> Self {
        let upstream = socket_of(libvirt.uri());
        match std::env::var_os("COVIRT_DOOR_RELAY") {
            Some(program) => Self::relay(Path::new(&program), &upstream),
            None => Self::covirtd(libvirt),
        }
    }

    fn covirtd(libvirt: &PrivateLibvirt) -> Self {
        let folder = tempfile::Builder::new().prefix("covirt-").tempdir().expect("make a folder");
        // South's table is the last one of its configuration.
        let more = format!(
            "door = true\nroles = ['host', 'read-secure']\nmay_enroll = true\n[doors]\ndir = '{}'\n",
            folder.path().display()
        );
        let agent = Box::new(Covirtd::start(env!("CARGO_BIN_EXE_covirtd"), libvirt.uri(), &more));
        let socket = folder.path().join(PROVIDER).join("libvirt-sock");
        Self { socket, keeper: Keeper::Covirtd { agent, _folder: folder } }
    }

    fn relay(program: &Path, upstream: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("covirt-").tempdir().expect("make a folder");
        let socket = folder.path().join("libvirt-sock");
        let mut command = Command::new(program);
        command.arg(&socket).arg(upstream).stdin(Stdio::null());
        // SAFETY: prctl is one system call and may be made between fork and exec. Needed so that a test that is killed
        // leaves no relay behind.
        unsafe {
            command.pre_exec(|| nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(Into::into));
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let door = Self { socket, keeper: Keeper::Relay { child, _folder: folder } };
        crate::support::until("the relay listens", Duration::from_secs(10), || door.socket.exists().then_some(()));
        door
    }

    /// What a client is told to connect to.
    pub(crate) fn uri(&self) -> String {
        format!("qemu:///system?socket={}", self.socket.display())
    }

    /// What stands there.
    pub(crate) fn manners(&self) -> Manners {
        match self.keeper {
            Keeper::Covirtd { .. } => Manners::Door,
            Keeper::Relay { .. } => Manners::Relay,
        }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Makes south the primary of a VM, so that what its clients change there goes through the lane.
    #[track_caller]
    pub(crate) fn enroll(&self, vm: &str) {
        if let Some(mut south) = self.client() {
            south.post(&format!("/v1/vms/{vm}/enrollment"), &json!({})).ok();
        }
    }

    /// South's way to the API; none when another relay stands in the door's place.
    pub(crate) fn client(&self) -> Option<Client> {
        match &self.keeper {
            Keeper::Covirtd { agent, .. } => Some(agent.client(PROVIDER)),
            Keeper::Relay { .. } => None,
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Self::Relay { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A domain's XML with a screen to look at in the place of its video device.
pub(crate) fn with_screen(xml: &str) -> String {
    let (before, rest) = xml.split_once("<video>").expect("it has a video device");
    let (_, after) = rest.split_once("</video>").expect("it ends");
    let screen = "<video><model type='vga'/></video><graphics type='vnc' autoport='yes' listen='127.0.0.1'/>";
    format!("{before}{screen}{after}")
}

/// The socket that a URI names.
#[track_caller]
pub(crate) fn socket_of(uri: &str) -> PathBuf {
    let (_, socket) = uri.split_once("socket=").unwrap_or_else(|| panic!("{uri} names no socket"));
    PathBuf::from(socket)
}
