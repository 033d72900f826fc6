//! The hypervisor's events find the lanes they are about, and whoever listens for what happened to any VM.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::{Address, Inner};
use crate::hypervisor::Event;
use crate::lanes::runner::Piece;
use crate::model::VmId;

/// Carries the hypervisor's events to the lanes they are about.
pub(super) async fn dispatch(lanes: std::sync::Weak<Inner>, mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        let Some(inner) = lanes.upgrade() else { return };
        // Nobody need be listening.
        let _ = match &event {
            Event::Changed(vm, _) | Event::Happened(vm, _) | Event::Gone(vm, _) => inner.happened.send(Some(*vm)),
            Event::Reconnected => inner.happened.send(None),
            Event::Power(..) | Event::Disconnected => Ok(0),
        };
        let addresses = inner.lanes.read().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Power(vm, power) => tell(&addresses, vm, Piece::Power(power)),
            Event::Changed(vm, cause) | Event::Gone(vm, cause) => tell(&addresses, vm, Piece::Changed(cause)),
            Event::Happened(vm, happening) => tell(&addresses, vm, Piece::Happened(happening)),
            Event::Disconnected => {
                inner.connected.store(false, Ordering::Relaxed);
                tracing::warn!("the connection to libvirt was lost");
            }
            Event::Reconnected => {
                inner.connected.store(true, Ordering::Relaxed);
                tracing::info!("libvirt is connected; every lane looks again");
                addresses.values().for_each(|address| address.ear.tell(Piece::Changed(None)));
            }
        }
    }
}

fn tell(addresses: &BTreeMap<VmId, Address>, vm: VmId, piece: Piece) {
    if let Some(address) = addresses.get(&vm) {
        address.ear.tell(piece);
    }
}
