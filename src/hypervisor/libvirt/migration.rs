//! Beginning a migration, and waiting until one is over.
//!
//! ```text
//!  begin ──► thread with a connection of its own ──virDomainMigrateToURI3──► libvirtd ──► target's libvirtd
//!    │            refused: the command failed                                  │
//!    └── looks at the job: memory is sent, the command is done ◄───────────────┘
//!                 ended later: logged, and the lane looks
//! ```
//!
//! libvirt's call returns when the VM has moved, after hours perhaps, so it has a thread and a connection to itself and
//! none of the VM's few places. It is peer-to-peer: libvirtd itself speaks to the target and goes on when its client is
//! gone, so a migration outlives the agent that began it. No event says that one has begun, which is why it is looked for.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use virt::connect::Connect;
use virt::domain::MigrateParameters;
use virt::error::Error;
use virt::sys;

use super::core::{Core, given_up, look_up, pass, present};
use super::failure::{Fault, Reached};
use super::gate::Gate;
use super::outlet::Outlet;
use super::pauses::Pauses;
use super::perform::check_start;
use super::raw::flags;
use super::settle::lost_after_sending;
use super::{jobs, links, look};
use crate::hypervisor::Event;
use crate::model::operation::MigrateBeginArgs;
use crate::model::{StartId, VmId};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// How long libvirt is given to wind a migration up that it has agreed to abort.
const ABORT_LIMIT: Duration = Duration::from_secs(30);

/// What a migration's thread is given.
struct Departure {
    uri: String,
    vm: VmId,
    start: StartId,
    args: MigrateBeginArgs,
    gate: Arc<Gate>,
    outlet: Arc<Outlet>,
}

impl Core {
    /// Sends a VM on its way, and waits until it is on it, has arrived, or was refused.
    pub(super) async fn until_migrating(
        &self,
        vm: VmId,
        start: StartId,
        args: MigrateBeginArgs,
    ) -> Result<Value, Fault> {
        let (gate, to) = (Arc::new(Gate::default()), args.to.clone());
        let (tell, mut ended) = oneshot::channel();
        let (uri, outlet) = (self.uri.clone(), Arc::clone(&self.outlet));
        let departure = Departure { uri, vm, start, args, gate: Arc::clone(&gate), outlet };
        thread::Builder::new()
            .name("libvirt-migrate".to_owned())
            .spawn(move || departure.go(tell))
            .map_err(|error| Fault::Unsent(format!("no thread can be started for a migration: {error}")))?;
        let lost = self.until_lost();
        tokio::pin!(lost);
        let mut pauses = Pauses::from_to(FIRST_PAUSE, LAST_PAUSE);
        loop {
            tokio::select! {
                biased;
                ended = &mut ended => {
                    ended.unwrap_or_else(|_| Err(given_up(&gate, "the migration's thread broke off".to_owned())))?;
                    return Ok(json!({ "to": to, "over": true }));
                }
                reason = &mut lost => return Err(given_up(&gate, reason)),
                () = sleep(pauses.next()) => {}
            }
            // Whatever goes wrong here is told better by libvirt's own answer.
            if self.sends_memory(vm).await.unwrap_or(false) {
                return Ok(json!({ "to": to, "over": false }));
            }
        }
    }

    async fn sends_memory(&self, vm: VmId) -> Result<bool, Fault> {
        self.ask(Some(vm), move |connect, _| {
            let job = jobs::background(&look_up(connect, vm)?).map_err(Fault::harmless(connect))?;
            Ok(job.is_some_and(|job| job.is_migration_out() && job.sends_memory()))
        })
        .await
    }

    /// Waits until a VM whose migration was aborted is on its way no longer.
    pub(super) async fn until_staying(&self, vm: VmId) -> Result<Value, Fault> {
        let end = Instant::now() + ABORT_LIMIT;
        let mut pauses = Pauses::from_to(FIRST_PAUSE, LAST_PAUSE);
        while self.is_moving(vm).await.map_err(lost_after_sending)? {
            if Instant::now() >= end {
                let seconds = ABORT_LIMIT.as_secs();
                return Err(Fault::Failed(format!("libvirt has not ended the migration {seconds} s after its abort")));
            }
            sleep(pauses.next()).await;
        }
        Ok(Value::Null)
    }

    async fn is_moving(&self, vm: VmId) -> Result<bool, Fault> {
        self.ask(Some(vm), move |connect, _| {
            let moved = || Fault::Forbidden("the VM had moved before its migration could be aborted".to_owned());
            let domain = present(connect, vm)?.ok_or_else(moved)?;
            let fault = Fault::harmless(connect);
            if look::has_left(&domain).map_err(fault)? {
                return Err(moved());
            }
            Ok(jobs::background(&domain).map_err(fault)?.is_some_and(|job| job.is_migration_out()))
        })
        .await
    }
}

impl Departure {
    fn go(self, tell: oneshot::Sender<Result<(), Fault>>) {
        let ended = self.migrate();
        let Err(ended) = tell.send(ended) else { return };
        // Its command is done; what became of the migration is for the log, and for the lane to see.
        let (vm, to) = (self.vm, &self.args.to);
        match ended {
            Ok(()) => tracing::info!(%vm, to, "the VM has moved"),
            Err(fault) => tracing::warn!(%vm, to, reason = fault.text(), "the migration failed"),
        }
        self.outlet.send(Event::Changed(vm, None));
    }

    fn migrate(&self) -> Result<(), Fault> {
        let connect = links::open(&self.uri).map_err(Fault::Unsent)?;
        let domain = look_up(&connect, self.vm)?;
        check_start(&domain, self.start)?;
        let parameters = MigrateParameters {
            uri: self.args.through.clone(),
            bandwidth: Some(self.args.bandwidth).filter(|limit| *limit > 0),
            ..MigrateParameters::default()
        };
        pass(&self.gate)?;
        let moved = domain.migrate_to_uri3(Some(&self.args.to), parameters, flags_of(&self.args));
        moved.map_err(|error| self.fault_of(&connect, &error))
    }

    /// libvirtd is the target's client, and what it says of that connection, or of the VM there, sounds like what would
    /// be said of ours: a VM that can still be looked up here tells the two apart.
    fn fault_of(&self, connect: &Connect, error: &Error) -> Fault {
        match (Fault::of(connect, error, Reached::Perhaps), look_up(connect, self.vm)) {
            (Fault::Lost(reason) | Fault::NoSuchVm(reason), Ok(_)) => Fault::Failed(reason),
            (fault, _) => fault,
        }
    }
}

fn flags_of(args: &MigrateBeginArgs) -> sys::virDomainMigrateFlags {
    flags([
        (true, sys::VIR_MIGRATE_PEER2PEER),
        (args.live, sys::VIR_MIGRATE_LIVE),
        (args.persistent, sys::VIR_MIGRATE_PERSIST_DEST | sys::VIR_MIGRATE_UNDEFINE_SOURCE),
        (args.is_unsafe, sys::VIR_MIGRATE_UNSAFE),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_asked_of_libvirt() {
        let args = |live, persistent, is_unsafe| MigrateBeginArgs {
            to: "qemu+tls://b/system".to_owned(),
            through: None,
            live,
            persistent,
            is_unsafe,
            bandwidth: 0,
            lease_s: None,
        };
        assert_eq!(flags_of(&args(false, false, false)), sys::VIR_MIGRATE_PEER2PEER);
        let all = flags_of(&args(true, true, true));
        let expected = sys::VIR_MIGRATE_PEER2PEER
            | sys::VIR_MIGRATE_LIVE
            | sys::VIR_MIGRATE_PERSIST_DEST
            | sys::VIR_MIGRATE_UNDEFINE_SOURCE
            | sys::VIR_MIGRATE_UNSAFE;
        assert_eq!(all, expected);
    }
}
