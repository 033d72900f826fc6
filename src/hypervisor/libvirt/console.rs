//! A VM's serial console, carried between libvirt's stream and a socket.
//!
//! Each has a thread and a connection of its own: it takes neither from calls, and ends with them. The stream does not
//! block; libvirt's event loop rings when there is something to do. Whatever comes is taken at once, because libvirt's
//! client would keep all of it; what the peer does not take in time is kept up to a bound, and then the console ends.

use std::os::raw::{c_char, c_int, c_void};
use std::os::unix::net::UnixStream as Socket;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot};
use virt::connect::Connect;
use virt::error::Error;
use virt::stream::Stream;
use virt::sys;

use super::core::look_up;
use super::failure::Fault;
use super::links::open;
use crate::hypervisor::{Others, Pipe, PipeEnd};
use crate::model::VmId;

/// How much a peer may be behind. *Units*: bytes.
const KEPT_MAX: usize = 1024 * 1024;
/// How much is moved at once. *Units*: bytes.
const CHUNK: usize = 16 * 1024;
/// How long the last words of a console are kept for a peer that does not take them.
const LAST_WORDS: Duration = Duration::from_secs(5);

type Opened = Result<Pipe, Fault>;

/// Opens a console on a thread of its own, which carries it to its end.
pub(super) async fn open_console(uri: String, vm: VmId, others: Others) -> Opened {
    let (reply, opened) = oneshot::channel();
    let carry = move || run(&uri, vm, others, reply);
    let started = thread::Builder::new().name("libvirt-console".to_owned()).spawn(carry);
    started.map_err(|error| Fault::Failed(format!("no thread for the console: {error}")))?;
    opened.await.unwrap_or_else(|_| Err(Fault::Failed("the console broke off".to_owned())))
}

fn run(uri: &str, vm: VmId, others: Others, reply: oneshot::Sender<Opened>) {
    let connect = match open(uri) {
        Ok(connect) => connect,
        Err(reason) => return drop(reply.send(Err(Fault::Unsent(reason)))),
    };
    let (bell, console) = match Console::open(&connect, vm, others) {
        Ok(opened) => opened,
        Err(fault) => return drop(reply.send(Err(fault))),
    };
    let failed = |error: std::io::Error| Fault::Failed(format!("the console cannot be carried: {error}"));
    let prepared = Socket::pair().and_then(|(ours, theirs)| {
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok((ours, theirs, runtime))
    });
    let (ours, theirs, runtime) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return drop(reply.send(Err(failed(error)))),
    };
    let (tell, ended) = oneshot::channel();
    if reply.send(Ok(Pipe { stream: theirs, ended })).is_err() {
        return; // Nobody wants it any more.
    }
    let end = runtime.block_on(async {
        match UnixStream::from_std(ours) {
            Ok(peer) => carry(&console, &bell, peer).await,
            Err(error) => PipeEnd::Broken(error.to_string()),
        }
    });
    let _ = tell.send(end);
}

async fn carry(console: &Console, bell: &Notify, mut peer: UnixStream) -> PipeEnd {
    let (mut from_peer, mut to_peer) = peer.split();
    let (mut kept, mut typed): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    let mut chunk = vec![0; CHUNK];
    loop {
        loop {
            match console.receive(&mut chunk) {
                Taken::Bytes(0) => {
                    let _ = tokio::time::timeout(LAST_WORDS, to_peer.write_all(&kept)).await;
                    return PipeEnd::Closed;
                }
                Taken::Bytes(count) => kept.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Taken::Later => break,
                Taken::Failed(reason) => return PipeEnd::Broken(reason),
            }
            if kept.len() > KEPT_MAX {
                return PipeEnd::Overrun;
            }
        }
        while !typed.is_empty() {
            match console.send(&typed) {
                Taken::Bytes(count) => drop(typed.drain(..count.min(typed.len()))),
                Taken::Later => break,
                Taken::Failed(reason) => return PipeEnd::Broken(reason),
            }
        }
        console.listen(if typed.is_empty() { Wanted::ToReceive } else { Wanted::ToReceiveAndSend });
        tokio::select! {
            () = bell.notified() => {}
            written = to_peer.write(&kept), if !kept.is_empty() => match written {
                Ok(count) => drop(kept.drain(..count)),
                Err(_) => return PipeEnd::Closed,
            },
            read = from_peer.read(&mut chunk), if typed.is_empty() => match read {
                Ok(0) | Err(_) => return PipeEnd::Closed,
                Ok(count) => typed.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            },
        }
    }
}

/// What came of moving bytes.
enum Taken {
    /// So many; none received means the end.
    Bytes(usize),
    /// Not now: the bell rings when it is time.
    Later,
    /// It broke.
    Failed(String),
}

/// What the bell is to ring for.
#[derive(Clone, Copy)]
enum Wanted {
    ToReceive,
    ToReceiveAndSend,
}

/// An open console. The connection outlives it.
struct Console {
    stream: Stream,
}

impl Console {
    fn open(connect: &Connect, vm: VmId, others: Others) -> Result<(Arc<Notify>, Self), Fault> {
        let fault = Fault::harmless(connect);
        let domain = look_up(connect, vm)?;
        let stream = Stream::new(connect, sys::VIR_STREAM_NONBLOCK).map_err(fault)?;
        let flags = match others {
            Others::Stay => sys::VIR_DOMAIN_CONSOLE_SAFE,
            Others::CutOff => sys::VIR_DOMAIN_CONSOLE_SAFE | sys::VIR_DOMAIN_CONSOLE_FORCE,
        };
        domain.open_console(None, &stream, flags).map_err(fault)?;
        let bell = Arc::new(Notify::new());
        let console = Self { stream };
        console.hang(Arc::clone(&bell)).map_err(fault)?;
        Ok((bell, console))
    }

    /// Has libvirt's event loop ring the bell.
    fn hang(&self, bell: Arc<Notify>) -> Result<(), Error> {
        let opaque = Arc::into_raw(bell).cast_mut().cast::<c_void>();
        // SAFETY: the stream is open; `ring` is given the bell, whose count this keeps up until `forget` gives it back.
        let added =
            unsafe { sys::virStreamEventAddCallback(self.stream.as_ptr(), 0, Some(ring), opaque, Some(forget)) };
        if added < 0 {
            let error = Error::last_error();
            // SAFETY: libvirt did not take the bell, so that nobody else gives its count back.
            unsafe { forget(opaque) };
            return Err(error);
        }
        Ok(())
    }

    fn listen(&self, wanted: Wanted) {
        let events = match wanted {
            Wanted::ToReceive => sys::VIR_STREAM_EVENT_READABLE,
            Wanted::ToReceiveAndSend => sys::VIR_STREAM_EVENT_READABLE | sys::VIR_STREAM_EVENT_WRITABLE,
        };
        // SAFETY: the stream is open and has a callback. Should it fail, the stream is broken, and the next move says so.
        unsafe { sys::virStreamEventUpdateCallback(self.stream.as_ptr(), events.cast_signed()) };
    }

    fn receive(&self, into: &mut [u8]) -> Taken {
        // SAFETY: the stream is open, and libvirt writes at most as much as there is room for.
        taken(unsafe { sys::virStreamRecv(self.stream.as_ptr(), into.as_mut_ptr().cast::<c_char>(), into.len()) })
    }

    fn send(&self, bytes: &[u8]) -> Taken {
        // SAFETY: the stream is open, and libvirt reads no more than that.
        taken(unsafe { sys::virStreamSend(self.stream.as_ptr(), bytes.as_ptr().cast::<c_char>(), bytes.len()) })
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // SAFETY: the stream is open until its own drop; the callback is its only one. What fails here is gone already.
        unsafe {
            sys::virStreamEventRemoveCallback(self.stream.as_ptr());
            sys::virStreamAbort(self.stream.as_ptr());
        }
    }
}

fn taken(result: c_int) -> Taken {
    match usize::try_from(result) {
        Ok(count) => Taken::Bytes(count),
        Err(_) if result == -2 => Taken::Later,
        Err(_) => Taken::Failed(Error::last_error().message().to_owned()),
    }
}

/// libvirt's event loop has something for a stream.
unsafe extern "C" fn ring(stream: sys::virStreamPtr, _events: c_int, opaque: *mut c_void) {
    // Until the thread has looked, libvirt would go on saying so, and its loop never sleep.
    // SAFETY: libvirt calls this with an open stream.
    unsafe { sys::virStreamEventUpdateCallback(stream, 0) };
    // SAFETY: `hang` gave this bell, and its count is kept up until `forget`.
    let bell = unsafe { &*opaque.cast::<Notify>() };
    bell.notify_one();
}

/// libvirt will not ring any more.
unsafe extern "C" fn forget(opaque: *mut c_void) {
    // SAFETY: `hang` gave this count, and it is given back once.
    drop(unsafe { Arc::from_raw(opaque.cast::<Notify>()) });
}
