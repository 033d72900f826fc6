//! The point after which a call counts as sent.
//!
//! A caller that stops waiting (the connection is gone, a thread hangs in it) must know whether its call can still
//! happen. The gate answers once and for all: whoever comes first, the thread that sends or the caller that gives up,
//! decides; a call given up before it was sent never leaves.

use std::sync::atomic::{AtomicU8, Ordering};

const WAITING: u8 = 0;
const SENT: u8 = 1;
const GIVEN_UP: u8 = 2;

/// One call's gate.
#[derive(Debug, Default)]
pub(super) struct Gate(AtomicU8);

/// What the thread that is about to send finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// The call is wanted, and from now on counts as sent.
    Open,
    /// Its caller gave up.
    Shut,
}

/// What the caller that gives up finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// In time: the call will never be sent.
    BeforeSending,
    /// Too late: it may have been performed.
    AfterSending,
}

impl Gate {
    pub(super) fn pass(&self) -> Passage {
        match self.0.compare_exchange(WAITING, SENT, Ordering::AcqRel, Ordering::Acquire) {
            Err(GIVEN_UP) => Passage::Shut,
            // A call of several requests passes more than once.
            Ok(_) | Err(_) => Passage::Open,
        }
    }

    pub(super) fn give_up(&self) -> GivenUp {
        match self.0.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire) {
            Err(SENT) => GivenUp::AfterSending,
            Ok(_) | Err(_) => GivenUp::BeforeSending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_given_up_is_never_sent() {
        let gate = Gate::default();
        assert_eq!(gate.give_up(), GivenUp::BeforeSending);
        assert_eq!(gate.pass(), Passage::Shut);
        assert_eq!(gate.give_up(), GivenUp::BeforeSending);
    }

    #[test]
    fn a_sent_call_stays_sent() {
        let gate = Gate::default();
        assert_eq!(gate.pass(), Passage::Open);
        assert_eq!(gate.give_up(), GivenUp::AfterSending);
        assert_eq!(gate.pass(), Passage::Open);
    }
}
