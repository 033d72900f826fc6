//! What a pull backup serves over NBD on its Unix socket.
//!
//! The path is the word of whoever began the backup, and what is there now may be something else. So whoever answers
//! must be the process of this very VM: the kernel says which process it is, and that process which VM it runs. A
//! process that only says so gains nothing, because it serves what it has anyway.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use super::core::look_up;
use super::exports::{Exports, Known};
use super::failure::Fault;
use super::owned::free;
use super::xml::child;
use crate::model::VmId;
use crate::model::xml::parse;

/// Connects to the export of the backup that is open.
pub(super) fn open(connect: &Connect, vm: VmId, exports: &Arc<Exports>) -> Result<(UnixStream, Known), Fault> {
    let domain = look_up(connect, vm)?;
    let xml = backup_xml(&domain).map_err(Fault::harmless(connect))?;
    let unserved = || Fault::Forbidden("the open backup is not served on a Unix socket of this host".to_owned());
    let socket = socket_in(&xml).ok_or_else(unserved)?;
    let (stream, known) = exports.enter(vm, &socket)?;
    if !is_of(&stream, vm) {
        return Err(Fault::Forbidden("what answers at the backup's socket is not this VM's process".to_owned()));
    }
    Ok((stream, known))
}

fn backup_xml(domain: &Domain) -> Result<String, Error> {
    // SAFETY: the domain is open; the text, if there is one, ends with a zero byte and is the caller's to free.
    let text = unsafe { sys::virDomainBackupGetXMLDesc(domain.as_ptr(), 0) };
    if text.is_null() {
        return Err(Error::last_error());
    }
    // SAFETY: see above.
    let xml = unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: see above.
    unsafe { free(text.cast()) };
    Ok(xml)
}

fn socket_in(xml: &str) -> Option<String> {
    let document = parse(xml).ok()?;
    let server = child(document.root_element(), "server")?;
    server.attribute("transport").filter(|transport| *transport == "unix")?;
    server.attribute("socket").map(str::to_owned)
}

/// Whether the process at the other end runs this VM.
fn is_of(stream: &UnixStream, vm: VmId) -> bool {
    let Ok(peer) = getsockopt(stream, PeerCredentials) else { return false };
    let words = std::fs::read(format!("/proc/{}/cmdline", peer.pid())).unwrap_or_default();
    names(&words, vm)
}

fn names(command_line: &[u8], vm: VmId) -> bool {
    let words: Vec<&[u8]> = command_line.split(|byte| *byte == 0).collect();
    let uuid = vm.to_string();
    words.windows(2).any(|pair| pair[0] == b"-uuid" && pair[1] == uuid.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_unix_socket_is_an_export() {
        let unix = "<domainbackup mode='pull'><server transport='unix' socket='/s'/></domainbackup>";
        assert_eq!(socket_in(unix).as_deref(), Some("/s"));
        let tcp = "<domainbackup mode='pull'><server transport='tcp' name='localhost' port='1'/></domainbackup>";
        assert_eq!(socket_in(tcp), None);
    }

    #[test]
    fn a_process_is_known_by_the_vm_on_its_command_line() {
        let vm = VmId(uuid::Uuid::from_u128(7));
        let line = format!("qemu\0-name\0guest=a\0-uuid\0{vm}\0-display\0none\0");
        assert!(names(line.as_bytes(), vm));
        assert!(!names(line.as_bytes(), VmId(uuid::Uuid::from_u128(8))));
        assert!(!names(format!("cat\0{vm}\0").as_bytes(), vm), "it must be the VM that it runs");
    }

    #[test]
    fn a_socket_of_this_very_process_is_no_export() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert!(!is_of(&ours, VmId(uuid::Uuid::from_u128(7))));
    }
}
