//! How many connections are open at each kind of door. One process is one agent, so the numbers are the process's.

use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The API on the Unix socket.
    Api,
    /// The API over TLS.
    Tls,
    /// The libvirt-compatible doors.
    Libvirt,
}

static OPEN: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
static EVER: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Api, Self::Tls, Self::Libvirt];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Tls => "tls",
            Self::Libvirt => "libvirt",
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::Api => 0,
            Self::Tls => 1,
            Self::Libvirt => 2,
        }
    }

    /// How many are open.
    #[must_use]
    pub fn open(self) -> u64 {
        OPEN[self.place()].load(Ordering::Relaxed)
    }

    /// How many were ever opened.
    #[must_use]
    pub fn ever(self) -> u64 {
        EVER[self.place()].load(Ordering::Relaxed)
    }
}

/// A connection that is counted for as long as this is held.
#[derive(Debug)]
pub(crate) struct Counted(Kind);

impl Counted {
    pub(crate) fn at(kind: Kind) -> Self {
        OPEN[kind.place()].fetch_add(1, Ordering::Relaxed);
        EVER[kind.place()].fetch_add(1, Ordering::Relaxed);
        Self(kind)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN[self.0.place()].fetch_sub(1, Ordering::Relaxed);
    }
}
