//! A VM's graphical screen, as a socket and as a picture.

use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tokio::sync::oneshot;
use virt::connect::Connect;
use virt::stream::Stream;
use virt::sys;

use super::core::look_up;
use super::failure::Fault;
use crate::hypervisor::{Picture, Pipe};
use crate::model::VmId;

/// The largest picture that is taken. *Units*: bytes.
const PICTURE_MAX: usize = 128 * 1024 * 1024;
const CHUNK: usize = 256 * 1024;

/// Opens the first screen, past its password: whoever may open it was asked before.
pub(super) fn open(connect: &Connect, vm: VmId) -> Result<Pipe, Fault> {
    let domain = look_up(connect, vm)?;
    let opened = domain.open_graphics_fd(0, sys::VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH);
    let number = opened.map_err(Fault::harmless(connect))?;
    let number = i32::try_from(number).map_err(|_| Fault::Failed("libvirt gave no descriptor".to_owned()))?;
    // SAFETY: libvirt has just given this descriptor to its caller, and nobody else has it.
    let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(number) });
    pipe(stream)
}

/// A socket that says no more of its end than that it came.
pub(super) fn pipe(stream: UnixStream) -> Result<Pipe, Fault> {
    stream.set_nonblocking(true).map_err(|error| Fault::Failed(format!("the socket cannot be used: {error}")))?;
    let (_, ended) = oneshot::channel();
    Ok(Pipe { stream, ended })
}

/// Takes a picture.
pub(super) fn picture(connect: &Connect, vm: VmId, screen: u32) -> Result<Picture, Fault> {
    let fault = Fault::harmless(connect);
    let domain = look_up(connect, vm)?;
    let stream = Stream::new(connect, 0).map_err(fault)?;
    let media_type = domain.screenshot(&stream, screen, 0).map_err(fault)?;
    let bytes = drained(connect, stream, PICTURE_MAX)?;
    Ok(Picture { media_type, bytes })
}

/// All that a stream gives, up to so much.
pub(super) fn drained(connect: &Connect, stream: Stream, most: usize) -> Result<Vec<u8>, Fault> {
    let fault = Fault::harmless(connect);
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    loop {
        let count = usize::try_from(stream.recv(&mut chunk).map_err(fault)?).unwrap_or(0);
        if count == 0 {
            break;
        }
        if bytes.len().saturating_add(count) > most {
            let _ = stream.abort();
            return Err(Fault::Failed(format!("libvirt gave more than {most} bytes")));
        }
        bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
    }
    stream.finish().map_err(fault)?;
    Ok(bytes)
}
