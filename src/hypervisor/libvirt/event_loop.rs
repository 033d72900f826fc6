//! libvirt's event loop, on a thread of its own, once per process.
//!
//! libvirt delivers events and keepalive answers only to a process that runs an event loop, and only on connections
//! opened after the loop was registered: so this comes before the first connection. The loop sleeps in `poll` until
//! there is something to do.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

/// Why events cannot be received.
#[derive(Debug, Clone, thiserror::Error)]
#[error("libvirt's event loop cannot be started: {reason}")]
pub struct StartEventLoopError {
    reason: String,
}

static STARTED: OnceLock<Result<(), StartEventLoopError>> = OnceLock::new();

/// Starts the loop, the first time it is called.
pub(super) fn ensure_running() -> Result<(), StartEventLoopError> {
    STARTED.get_or_init(start).clone()
}

fn start() -> Result<(), StartEventLoopError> {
    // Every error comes back as a value too; libvirt's own copy of it on stderr would only be noise.
    virt::error::clear_error_callback();
    virt::event::event_register_default_impl()
        .map_err(|error| StartEventLoopError { reason: error.message().to_owned() })?;
    thread::Builder::new()
        .name("libvirt-events".to_owned())
        .spawn(run)
        .map(drop)
        .map_err(|error| StartEventLoopError { reason: error.to_string() })
}

fn run() {
    loop {
        if let Err(error) = virt::event::event_run_default_impl() {
            tracing::error!(error = error.message(), "libvirt's event loop stumbled");
            // It failed before it could sleep, and libvirt tells nobody when it would work again; without this pause a
            // lasting fault would keep a core busy.
            thread::sleep(Duration::from_millis(100));
        }
    }
}
