//! Where events leave the adapter: one bounded channel that says so when its reader fell behind.
//!
//! The channel's last place is kept for [`Event::Reconnected`], which asks the reader to look at everything again.
//! Once it stands there, events may be dropped for as long as it is unread: the look comes after them.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::hypervisor::Event;

/// Events that wait for the reader.
const CAPACITY: usize = 1024;

/// The sending side.
#[derive(Default)]
pub(super) struct Outlet(Mutex<Option<Open>>);

struct Open {
    sender: mpsc::Sender<Event>,
    flow: Flow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// Every event is delivered.
    Whole,
    /// The marker is the last in the channel; what comes now is covered by it.
    Marked,
}

impl Outlet {
    /// A new receiver of all later events; an earlier one gets no more.
    pub(super) fn open(&self) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Open { sender, flow: Flow::Whole });
        receiver
    }

    /// Delivers an event, or sees to it that the reader learns that it missed some.
    pub(super) fn send(&self, event: Event) {
        let mut outlet = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = outlet.as_mut() else { return };
        // Nothing follows the marker, so an empty channel means that it was read.
        if open.flow == Flow::Marked && open.sender.capacity() == open.sender.max_capacity() {
            open.flow = Flow::Whole;
        }
        if open.flow == Flow::Marked {
            return;
        }
        let event = if open.sender.capacity() > 1 {
            event
        } else {
            open.flow = Flow::Marked;
            Event::Reconnected
        };
        if let Err(mpsc::error::TrySendError::Closed(_)) = open.sender.try_send(event) {
            *outlet = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::VmId;
    use uuid::Uuid;

    fn changed(n: usize) -> Event {
        Event::Changed(VmId(Uuid::from_u128(n as u128)), None)
    }

    #[test]
    fn a_reader_that_falls_behind_is_told_once_and_then_gets_all_again() {
        let outlet = Outlet::default();
        let mut events = outlet.open();
        for n in 0..CAPACITY * 3 {
            outlet.send(changed(n));
        }
        for n in 0..CAPACITY - 1 {
            assert_eq!(events.try_recv().unwrap(), changed(n));
        }
        // Still unread: what comes now is covered.
        outlet.send(changed(1));
        assert_eq!(events.try_recv().unwrap(), Event::Reconnected);
        events.try_recv().unwrap_err();
        outlet.send(changed(7));
        assert_eq!(events.try_recv().unwrap(), changed(7));
    }

    #[test]
    fn without_a_reader_events_are_dropped() {
        let outlet = Outlet::default();
        outlet.send(changed(1));
        drop(outlet.open());
        outlet.send(changed(2));
        let mut events = outlet.open();
        outlet.send(changed(3));
        assert_eq!(events.try_recv().unwrap(), changed(3));
    }
}
