//! libvirt's ways into its VMs.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Libvirt, console, export, figures, screen, volume};
use crate::hypervisor::{AskHypervisorError, Figures, GuestFacts, Held, Later, Others, Picture, Pipe, Reach, Volume};
use crate::model::VmId;

impl Reach for Libvirt {
    fn open_console(&self, vm: VmId, others: Others) -> Later<Result<Pipe, AskHypervisorError>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let opened = console::open_console(core.uri.clone(), vm, others).await;
            opened.map_err(|fault| fault.into_ask_error(&core.uri, Some(vm)))
        })
    }

    fn open_screen(&self, vm: VmId) -> Later<Result<Pipe, AskHypervisorError>> {
        self.ask(Some(vm), move |connect| screen::open(connect, vm))
    }

    fn open_nbd(&self, vm: VmId) -> Later<Result<Pipe, AskHypervisorError>> {
        let (core, exports) = (Arc::clone(&self.core), Arc::clone(&self.core.exports));
        Box::pin(async move {
            let opened = core.ask(Some(vm), move |connect, _| export::open(connect, vm, &exports)).await;
            let (stream, known) = opened.map_err(|fault| fault.into_ask_error(&core.uri, Some(vm)))?;
            let (mut gone, ended) = oneshot::channel();
            tokio::spawn(async move {
                // What is known of it keeps it open, too.
                gone.closed().await;
                drop(known);
            });
            Ok(Pipe { stream, ended })
        })
    }

    fn seal_exports(&self, vm: VmId) -> Held {
        Box::new(self.core.exports.seal(vm))
    }

    fn screenshot(&self, vm: VmId, number: u32) -> Later<Result<Picture, AskHypervisorError>> {
        self.ask(Some(vm), move |connect| screen::picture(connect, vm, number))
    }

    fn volume(&self, vm: VmId, target: String) -> Later<Result<Result<Volume, String>, AskHypervisorError>> {
        self.ask(Some(vm), move |connect| volume::find(connect, vm, &target))
    }

    fn read_volume(&self, key: String, offset: u64, length: u64) -> Later<Result<Vec<u8>, AskHypervisorError>> {
        self.ask(None, move |connect| volume::read(connect, &key, offset, length))
    }

    fn guest(&self, vm: VmId) -> Later<Result<GuestFacts, AskHypervisorError>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move { core.guest_facts(vm).await.map_err(|fault| fault.into_ask_error(&core.uri, Some(vm))) })
    }

    fn figures(&self, vms: Vec<VmId>) -> Later<Result<BTreeMap<VmId, Figures>, AskHypervisorError>> {
        self.ask(None, move |connect| figures::of(connect, &vms))
    }
}
