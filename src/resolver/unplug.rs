//! Unplugs that ended because the guest did not let go of its device in time. QEMU takes none of them back, so that the
//! guest may obey at any time until the VM stops: then it was the command that asked for it, and no stranger.

use super::state::{State, Tracked};
use crate::model::{Code, CommandId, DeviceName, Now, Operation, Outcome, VmState};

impl State {
    /// The guest is told once more: whether it obeys is that command's business.
    pub(super) fn unplug_started(&mut self, command: CommandId) {
        if let Some(device) = self.unplugged_by(command) {
            self.unobeyed.remove(&device);
        }
    }

    /// A command has ended.
    pub(super) fn unplug_ended(&mut self, command: CommandId, outcome: &Outcome) {
        let kept = |device: &DeviceName| self.believed.as_ref().is_some_and(|vm| vm.devices.contains(device));
        if let Some(device) = self.unplugged_by(command).filter(kept)
            && outcome.code == Code::GuestTimeout
        {
            self.unobeyed.insert(device, command);
        }
        self.forget_unplugs();
    }

    /// The VM was seen, and was believed to be so before.
    pub(super) fn unplugs_seen(&mut self, at: Now, before: Option<&VmState>) {
        let (Some(before), Some(now)) = (before, &self.believed) else { return };
        if before.start != now.start {
            self.unobeyed.clear();
        }
        for gone in before.devices.difference(&now.devices) {
            if let Some(command) = self.unobeyed.remove(gone) {
                self.obeyed.insert(gone.clone(), (command, at.mono));
            }
        }
        self.obeyed.retain(|device, (command, _)| !now.devices.contains(device) && self.commands.contains_key(command));
        self.forget_unplugs();
    }

    /// The command whose guest obeyed late, after this one had come, and took from it what it needs.
    pub(super) fn deprived(&self, of_what: &Tracked) -> Option<&Tracked> {
        let needed = of_what.command().operation.needs();
        let (command, _) = (needed.iter().filter_map(|device| self.obeyed.get(device)))
            .find(|(_, at)| *at >= of_what.received.mono)?;
        self.commands.get(command)
    }

    /// The command that asked for what is seen now, where nothing else differs.
    pub(super) fn obeyed_late(&self, seen: &VmState) -> Option<CommandId> {
        let before = self.believed.as_ref()?;
        let mut gone = before.devices.difference(&seen.devices);
        let first = self.unobeyed.get(gone.next()?)?;
        let all = gone.all(|device| self.unobeyed.contains_key(device));
        let alone = VmState { devices: before.devices.clone(), ..seen.clone() } == *before;
        (all && alone && seen.devices.is_subset(&before.devices)).then_some(*first)
    }

    fn unplugged_by(&self, command: CommandId) -> Option<DeviceName> {
        let Operation::DeviceDetach(args) = &self.commands.get(&command)?.command().operation else { return None };
        Some(args.device.clone())
    }

    fn forget_unplugs(&mut self) {
        let vm = self.believed.as_ref();
        self.unobeyed.retain(|device, _| vm.is_some_and(|vm| vm.devices.contains(device)));
    }
}
