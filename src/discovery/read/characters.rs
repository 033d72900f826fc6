//! Character devices: serial ports, consoles, channels.

use super::parts::{device_parts, keep_address};
use super::words;
use crate::discovery::device::Channel;
use crate::discovery::domain::{AgentState, Console, ConsoleRole, GuestAgent};
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;

/// The name of the guest agent's channel.
const AGENT_CHANNEL: &str = "org.qemu.guest_agent.0";

/// Folders in which libvirt makes up sockets.
const RUNTIME_FOLDERS: &[&str] = &["/var/lib/libvirt/qemu/", "/run/libvirt/", "/var/run/libvirt/"];

/// Reads a serial port or a console.
pub(super) fn read_console(element: Element<'_>, role: ConsoleRole) -> Console {
    let mut settings = Settings::new();
    let target = element.child("target");
    let console = Console {
        role,
        kind: element.owned("type").unwrap_or_default(),
        target: target.and_then(|target| target.owned("type")),
        port: target.and_then(|target| target.number_if_any("port")),
        settings: Settings::new(),
    };
    keep_host_end(element, &mut settings);
    Console { settings, ..console }
}

/// Reads a channel; with it, whether it is the guest agent's.
pub(super) fn read_channel(element: Element<'_>) -> (Channel, Option<GuestAgent>) {
    let mut settings = Settings::new();
    let target = element.child("target");
    let said = |name| target.and_then(|target: Element<'_>| target.owned(name));
    let state = said("state").map(AgentState::from);
    let channel = Channel {
        kind: element.owned("type").unwrap_or_default(),
        target: said("type"),
        name: said("name"),
        settings: Settings::new(),
    };
    keep_host_end(element, &mut settings);
    let agent = (channel.name.as_deref() == Some(AGENT_CHANNEL)).then_some(GuestAgent { state });
    (Channel { settings, ..channel }, agent)
}

/// Keeps what the host's end of a character device says, but for what is made up at each start.
pub(super) fn keep_host_end(element: Element<'_>, settings: &mut Settings) {
    // The pty of this run, once more.
    element.ignore_attributes(&["tty"]);
    leave_out_runtime_paths(element);
    keep_address(device_parts(element, settings), settings);
    words::CHARACTER.keep(element, "", settings);
}

/// Whether libvirt makes such paths up at each start.
pub(super) fn is_made_up(path: &str) -> bool {
    RUNTIME_FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// Passes over paths of ptys, and of sockets that libvirt made up.
pub(super) fn leave_out_runtime_paths(element: Element<'_>) {
    let pty = element.attribute("type") == Some("pty");
    for source in element.children("source") {
        if pty || source.peek("path").is_some_and(is_made_up) {
            source.ignore_attributes(&["path"]);
        }
    }
}
