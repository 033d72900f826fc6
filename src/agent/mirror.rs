//! The journal's facts, mirrored to the journal of systemd by its native protocol.
//!
//! A copy for people and for whoever collects logs; the truth stays where it is. It follows the journal from a cursor of
//! its own that is kept in the state folder: at a crash a message may come twice, none is left out. Where there is no socket
//! at the start, nothing is mirrored, and one line says so. Nobody waits for it.
//!
//! A field's value that has a control character in it is written with its length, so that nothing in it can begin a field
//! of its own; in the sentence for people such characters are shown escaped.

pub mod ids;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixDatagram;

use crate::doors::events_for;
use crate::doors::wire::Event;
use crate::journal::{Entry, Journal, Position};
use crate::model::{ProviderId, VmId};
use crate::resolver::Fact;

/// How many records are read at once.
const PAGE: usize = 256;
/// How long is waited before a socket that takes nothing is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest sentence. *Units*: bytes.
const MESSAGE_MAX: usize = 4096;

/// Follows one journal.
pub struct Mirror {
    socket: PathBuf,
    cursor_file: PathBuf,
    cursor: Position,
    journal: Journal,
}

impl Mirror {
    /// A mirror to this socket, if it is there. One that was never run begins with what happens from now on.
    #[must_use]
    pub fn begin(socket: &Path, state_dir: &Path, journal: Journal) -> Option<Self> {
        if !socket.exists() {
            tracing::info!(socket = %socket.display(), "there is no journal of systemd; nothing is mirrored to it");
            return None;
        }
        let cursor_file = state_dir.join("journald.cursor");
        let kept = std::fs::read_to_string(&cursor_file).ok().and_then(|text| text.trim().parse().ok());
        let cursor = kept.unwrap_or_else(|| journal.last()).min(journal.last());
        Some(Self { socket: socket.to_owned(), cursor_file, cursor, journal })
    }

    /// Mirrors until the journal is closed.
    pub async fn run(mut self) {
        let mut durable = self.journal.watch();
        let mut complained = false;
        loop {
            match self.catch_up().await {
                Ok(()) => complained = false,
                Err(error) => {
                    if !std::mem::replace(&mut complained, true) {
                        tracing::warn!(%error, "the journal of systemd takes nothing; it is tried again");
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            let cursor = self.cursor;
            if durable.wait_for(|last| *last > cursor).await.is_err() {
                return;
            }
        }
    }

    async fn catch_up(&mut self) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.socket)?;
        loop {
            let page = self.journal.page(self.cursor, PAGE, None).await.map_err(io::Error::other)?;
            if page.is_empty() {
                return Ok(());
            }
            for (position, entry) in page {
                for message in messages(position, &entry) {
                    socket.send(&message).await?;
                }
                self.cursor = position;
            }
            let new = self.cursor_file.with_extension("new");
            std::fs::write(&new, self.cursor.to_string())?;
            std::fs::rename(&new, &self.cursor_file)?;
        }
    }
}

/// A record as messages of the native protocol, one a fact.
fn messages(position: Position, entry: &Entry) -> Vec<Vec<u8>> {
    let events = events_for(position, entry, &ProviderId::operator());
    entry.facts.iter().zip(&events).map(|(fact, event)| message(fact, event)).collect()
}

fn message(fact: &Fact, event: &Event) -> Vec<u8> {
    let kind = if let Fact::Host(host) = fact { format!("host.{}", host.kind()) } else { fact.kind().to_owned() };
    let mut bytes = Vec::new();
    let mut field = |name: &str, value: &str| write_field(&mut bytes, name, value);
    field("MESSAGE", &shown(&event.text));
    field("PRIORITY", if is_loud(fact) { "4" } else { "6" });
    field("SYSLOG_IDENTIFIER", "covirtd");
    if let Some(id) = ids::id_of(&kind) {
        field("MESSAGE_ID", id);
    }
    field("COVIRT_KIND", &kind);
    field("COVIRT_POSITION", &event.cursor.to_string());
    field("COVIRT_AT", &event.at.to_string());
    field("COVIRT_VM", &if event.vm == VmId::HOST { "the host".to_owned() } else { event.vm.to_string() });
    if let Fact::Admitted(admission) = fact {
        let command = &admission.command;
        field("COVIRT_PROVIDER", command.provider.as_str());
        field("COVIRT_COMMAND", &command.id.to_string());
        field("COVIRT_ACTION", command.operation.action().name());
        let called = command.call.as_ref().map(|call| &call.peer);
        if let Some(peer) = admission.peer.as_ref().or(called) {
            field("COVIRT_PEER", &peer.to_string());
        }
    }
    if let Fact::Ended { command, outcome } = fact {
        field("COVIRT_COMMAND", &command.to_string());
        field("COVIRT_OUTCOME", outcome.ending.as_str());
        field("COVIRT_CODE", outcome.code.as_str());
    }
    if let Fact::Host(host) = fact {
        field("COVIRT_PROVIDER", host.by().provider.as_str());
        if let Some(peer) = &host.by().peer {
            field("COVIRT_PEER", &peer.to_string());
        }
    }
    bytes
}

/// What the host's owner should not overlook.
fn is_loud(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Host(_)
            | Fact::Escalated { .. }
            | Fact::BecameUnknown { .. }
            | Fact::GlassBroken { .. }
            | Fact::Frozen { .. }
            | Fact::Vanished { .. }
    )
}

/// A sentence in which nothing acts on a terminal.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for one in text.chars() {
        if shown.len() >= MESSAGE_MAX {
            shown.push('…');
            break;
        }
        if one.is_control() { shown.extend(one.escape_default()) } else { shown.push(one) }
    }
    shown
}

/// `NAME=value` on a line; a value that has a control character in it with its length instead.
fn write_field(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    if value.chars().any(char::is_control) {
        bytes.push(b'\n');
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mono, Now, Wall};
    use crate::sovereignty::{By, HostFact};

    #[test]
    fn nothing_in_a_value_begins_a_field_of_its_own() {
        let reason = "so\nMESSAGE_ID=00000000000000000000000000000000\nPRIORITY=0".to_owned();
        let by = By::of(ProviderId::operator());
        let fact = Fact::Host(Box::new(HostFact::ProviderRemoved {
            by,
            provider: "south".parse().unwrap(),
            reason: Some(reason.clone()),
        }));
        let at = Now { mono: Mono(1), wall: Wall::from_micros(0) };
        let entry = Entry { vm: VmId::HOST, at, facts: vec![fact] };
        let text = String::from_utf8(messages(7, &entry).remove(0)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.iter().filter(|line| line.starts_with("MESSAGE_ID=")).count(), 1, "{text}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("PRIORITY=")).count(), 1, "{text}");
        assert!(lines[0].starts_with("MESSAGE=operator removed provider south: so\\nMESSAGE_ID"), "{text}");
        assert!(lines.contains(&"COVIRT_POSITION=7") && lines.contains(&"COVIRT_KIND=host.provider-removed"), "{text}");

        let mut bytes = Vec::new();
        write_field(&mut bytes, "NAME", "a\nb");
        assert_eq!(bytes, b"NAME\n\x03\0\0\0\0\0\0\0a\nb\n");
    }
}
