//! Which connections lead into exports of backups, so that all of them are cut off before QEMU is to stop serving.
//!
//! QEMU stops its NBD server only once the last client has gone, and nothing else of the VM goes on meanwhile. A client
//! that was cut off within its handshake is one that QEMU 7.2 never sees go (its sockets are watched by the loop that
//! waits), so nobody may be connected when a backup ends.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::failure::Fault;
use crate::model::VmId;

/// The connections of every VM.
#[derive(Debug, Default)]
pub(super) struct Exports(Mutex<BTreeMap<VmId, Of>>);

#[derive(Debug, Default)]
struct Of {
    seals: usize,
    next: u64,
    open: BTreeMap<u64, UnixStream>,
}

/// A connection that is known; forgotten when this is dropped.
#[derive(Debug)]
pub(super) struct Known {
    exports: Arc<Exports>,
    vm: VmId,
    number: u64,
}

/// Nobody is connected to a VM's export, nor comes in, while this is held.
#[derive(Debug)]
pub(super) struct Seal {
    exports: Arc<Exports>,
    vm: VmId,
}

impl Exports {
    /// Connects to an export, without waiting for whoever serves it.
    ///
    /// *Errors*: the backup is being ended; nobody serves there.
    pub(super) fn enter(self: &Arc<Self>, vm: VmId, path: &str) -> Result<(UnixStream, Known), Fault> {
        // Held until the connection is known, so that none is made beside a seal.
        let mut table = self.table();
        let of = table.entry(vm).or_default();
        let entered = if of.seals > 0 {
            Err(Fault::Forbidden("the backup is being ended".to_owned()))
        } else {
            let failed = |error| Fault::Failed(format!("the backup's socket cannot be connected to: {error}"));
            connected(path).and_then(|stream| Ok((stream.try_clone()?, stream))).map_err(failed)
        };
        let entered = entered.map(|(kept, stream)| {
            of.next += 1;
            of.open.insert(of.next, kept);
            (stream, Known { exports: Arc::clone(self), vm, number: of.next })
        });
        tidy(&mut table, vm);
        entered
    }

    /// Cuts off whoever is connected, and keeps everybody out while what is given back is held.
    pub(super) fn seal(self: &Arc<Self>, vm: VmId) -> Seal {
        let mut table = self.table();
        let of = table.entry(vm).or_default();
        of.seals += 1;
        for stream in std::mem::take(&mut of.open).into_values() {
            // One that has gone already is what is wanted.
            let _ = stream.shutdown(Shutdown::Both);
        }
        Seal { exports: Arc::clone(self), vm }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<VmId, Of>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let mut table = self.exports.table();
        if let Some(of) = table.get_mut(&self.vm) {
            of.open.remove(&self.number);
        }
        tidy(&mut table, self.vm);
    }
}

impl Drop for Seal {
    fn drop(&mut self) {
        let mut table = self.exports.table();
        if let Some(of) = table.get_mut(&self.vm) {
            of.seals = of.seals.saturating_sub(1);
        }
        tidy(&mut table, self.vm);
    }
}

fn tidy(table: &mut BTreeMap<VmId, Of>, vm: VmId) {
    // The numbers go on while a connection of the VM is known, so that none is another's.
    if table.get(&vm).is_some_and(|of| of.seals == 0 && of.open.is_empty()) {
        table.remove(&vm);
    }
}

/// A socket of the file system never makes one wait that does not block: it is connected, or it is not.
fn connected(path: &str) -> std::io::Result<UnixStream> {
    use std::os::fd::AsRawFd;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(socket))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn vm(number: u128) -> VmId {
        VmId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_seal_cuts_off_who_is_there_and_keeps_out_who_comes_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let served = UnixListener::bind(&path).unwrap();
        let (exports, path) = (Arc::new(Exports::default()), path.to_str().unwrap());
        let (_ours, _known) = exports.enter(vm(1), path).unwrap();
        let (_other, _its) = exports.enter(vm(2), path).unwrap();
        let [mut theirs, mut others] = [(); 2].map(|()| served.accept().unwrap().0);
        let seal = exports.seal(vm(1));
        assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0, "it is told at once");
        assert!(matches!(exports.enter(vm(1), path), Err(Fault::Forbidden(_))));
        others.set_nonblocking(true).unwrap();
        assert!(others.read(&mut [0; 8]).is_err(), "another VM's goes on");
        drop(seal);
        exports.enter(vm(1), path).unwrap();
    }

    #[test]
    fn one_that_has_gone_is_closed_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let served = UnixListener::bind(&path).unwrap();
        let exports = Arc::new(Exports::default());
        let (ours, known) = exports.enter(vm(1), path.to_str().unwrap()).unwrap();
        let mut theirs = served.accept().unwrap().0;
        drop((ours, known));
        assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
        assert!(exports.table().is_empty());
        assert!(matches!(exports.enter(vm(1), "/nowhere/s"), Err(Fault::Failed(_))));
        assert!(exports.table().is_empty());
    }
}
