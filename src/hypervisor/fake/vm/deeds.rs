//! What single operations need and do, beyond what every operation does.

use serde_json::{Value, json};

use super::{Vm, failed, impossible};
use crate::discovery::{Limits, parse_domain};
use crate::hypervisor::JobProgress;
use crate::hypervisor::fake::definition::{Definition, Kept};
use crate::hypervisor::given;
use crate::model::{Bytes, Code, DeviceName, Ending, HoldKey, Operation, Outcome, PowerState};

/// What a disk has that nobody made larger.
const FIRST_CAPACITY: Bytes = Bytes(64 * 1024 * 1024);

impl Vm {
    /// What stands in the way of an operation in the VM's power state.
    pub(super) fn check_power(&self, operation: &Operation) -> Result<(), Outcome> {
        let power = self.state.power;
        match operation {
            // The guest is told, and does not hear it.
            Operation::PowerReboot(args) if power == PowerState::Paused => {
                let reason = format!("the guest did not restart within {} s", args.timeout_s);
                Err(Outcome::new(Ending::Failed, Code::GuestTimeout, reason))
            }
            // It is as it should be.
            Operation::PowerSuspend(_) if power == PowerState::Paused => Ok(()),
            Operation::BackupBegin(_) | Operation::CheckpointCreate(_) if power == PowerState::ShutOff => {
                Err(failed("Operation not supported: domain is inactive"))
            }
            _ if operation.action().spec().states.contains(&power) => Ok(()),
            _ => Err(impossible(&format!("Requested operation is not valid: domain is {power}"))),
        }
    }

    /// Jobs and backups are of disks that the VM has.
    pub(super) fn check_disks(&self, operation: &Operation) -> Result<(), Outcome> {
        let named = operation.disks().into_iter().flatten().map(DeviceName::Disk);
        match named.into_iter().find(|disk| !self.state.devices.contains(disk)) {
            Some(missing) => Err(impossible(&format!("the VM has no {missing}"))),
            None => Ok(()),
        }
    }

    /// A mirror lacks something at first, and until a test says that it does not.
    pub(super) fn begin_mirror(&mut self, operation: &Operation) {
        let (disk, to) = match operation {
            Operation::BlockCopy(args) => (&args.disk, Some(args.to.clone())),
            Operation::BlockCommit(args) if args.top.is_none() => (&args.disk, None),
            _ => return,
        };
        let hold = HoldKey::Block(disk.clone());
        self.mirrors.insert(disk.clone(), to);
        self.progress.push(JobProgress { hold, done: 0, total: 1, seconds_left: None, elapsed_s: None });
    }

    /// The VM goes over to a mirror, if it is asked to and the mirror has everything.
    pub(super) fn end_mirror(&mut self, operation: &Operation) -> Result<(), Outcome> {
        let Operation::BlockAbort(args) = operation else { return Ok(()) };
        let hold = HoldKey::Block(args.disk.clone());
        if args.pivot && self.progress.iter().any(|said| said.hold == hold && said.done < said.total) {
            return Err(impossible(&format!("{} is not ready for a pivot yet", args.disk)));
        }
        if let (Some(to), true, Kept::Defined(definition)) =
            (self.mirrors.remove(&args.disk), args.pivot, &mut self.definition)
        {
            definition.go_over(&args.disk, to);
        }
        Ok(())
    }

    /// A backup begins at a checkpoint that is there and makes one that is not.
    pub(super) fn check_checkpoints(&self, operation: &Operation) -> Result<(), Outcome> {
        let Operation::BackupBegin(args) = operation else { return Ok(()) };
        if let Some(name) = args.incremental.as_ref().filter(|name| !self.state.checkpoints.contains(*name)) {
            return Err(impossible(&format!("no domain checkpoint with matching name '{name}'")));
        }
        match args.checkpoint.as_ref().filter(|name| self.state.checkpoints.contains(*name)) {
            Some(name) => Err(failed(&format!("domain checkpoint {name} already exists"))),
            None => Ok(()),
        }
    }

    pub(super) fn resize(&mut self, disk: &str, operation: &Operation) -> Result<Value, Outcome> {
        let Operation::DiskResize(args) = operation else { return Ok(Value::Null) };
        let now = self.capacities.get(disk).copied().unwrap_or(FIRST_CAPACITY);
        if args.capacity < now {
            return Err(impossible(&format!("{disk} has {} bytes and is not made smaller", now.0)));
        }
        self.capacities.insert(disk.to_owned(), args.capacity);
        Ok(json!({ "disk": disk, "capacity": args.capacity, "before": now }))
    }

    /// What a call that was done gives back, as far as the fake knows it.
    pub(super) fn given(&self, operation: &Operation) -> Value {
        match operation {
            Operation::BackupBegin(args) => match args.about() {
                Some(named) => given::backup(args, named.iter().map(String::as_str)),
                None => given::backup(args, self.state.devices.iter().filter_map(disk_of)),
            },
            Operation::CheckpointCreate(args) => given::checkpoint(&args.name),
            Operation::CheckpointDelete(args) => given::checkpoint(&args.name),
            Operation::BlockCommit(args) => given::commit(args, args.top.is_none()),
            Operation::BlockPull(args) => given::pull(args),
            Operation::BlockCopy(args) => given::copy(args),
            Operation::BlockAbort(args) => json!({ "disk": args.disk, "pivot": args.pivot }),
            Operation::MigrateBegin(args) => json!({ "to": args.to, "over": false }),
            _ => Value::Null,
        }
    }

    /// The agent in a guest does nothing else while file systems stand still.
    pub(super) fn deed_of_agent(&self, operation: &Operation) -> Result<(), Outcome> {
        match operation {
            Operation::GuestSetPassword(args) if args.password.reveal().is_none() => {
                Err(impossible("the password was not kept over the restart of the agent; send the command again"))
            }
            Operation::GuestTrim(_) | Operation::GuestSetTime(_) | Operation::GuestSetPassword(_)
                if self.open.contains(&HoldKey::Freeze) =>
            {
                let action = operation.action();
                Err(failed(&format!("the guest's agent refuses {action}: the agent is in frozen state")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn set_autostart(&mut self, operation: &Operation) -> Result<Value, Outcome> {
        let Operation::AutostartSet(args) = operation else { return Ok(Value::Null) };
        if !self.is_defined() {
            return Err(impossible("the VM has no definition that its host could start it from"));
        }
        self.autostart = args.enabled;
        Ok(json!({ "autostart": args.enabled }))
    }

    pub(super) fn redefine(&mut self, operation: &Operation) -> Result<Value, Outcome> {
        let Operation::DefinitionDefine(args) = operation else { return Ok(Value::Null) };
        let asked =
            parse_domain(args.xml.clone(), Limits::default()).map_err(|error| impossible(&error.to_string()))?;
        if asked.identity.name != self.name {
            let reason = format!("the XML names the VM {:?}, and it is named {:?}", asked.identity.name, self.name);
            return Err(impossible(&reason));
        }
        let definition = Definition::of_domain(&asked);
        let generation = definition.digest();
        let changed = !self.is_defined() || self.state.definition != generation;
        // What is written anew as it is stays as it is.
        if changed {
            self.definition = Kept::Defined(definition);
        }
        Ok(json!({ "generation": generation, "changed": changed }))
    }

    pub(super) fn undefine(&mut self, operation: &Operation) -> Result<(), Outcome> {
        let Operation::DefinitionUndefine(args) = operation else { return Ok(()) };
        if !self.is_defined() {
            return Err(impossible("cannot undefine transient domain"));
        }
        let off = self.state.start.0.is_none();
        let kept = [
            (self.state.saved && !args.saved_image, "Refusing to undefine while domain managed save image exists"),
            (
                off && !self.state.snapshots.is_empty() && !args.snapshots_metadata,
                "cannot delete inactive domain with snapshots",
            ),
            (
                off && !self.state.checkpoints.is_empty() && !args.checkpoints_metadata,
                "cannot delete inactive domain with checkpoints",
            ),
        ];
        if let Some((_, reason)) = kept.into_iter().find(|(is_kept, _)| *is_kept) {
            return Err(impossible(reason));
        }
        self.definition = Kept::Transient;
        self.autostart = false;
        operation.effect().take(&mut self.state);
        Ok(())
    }
}

fn disk_of(device: &DeviceName) -> Option<&str> {
    match device {
        DeviceName::Disk(target) => Some(target),
        DeviceName::Nic(_) => None,
    }
}
