//! A real guest that north has enrolled at a covirtd of the test's own, and what tests say to it as north.

// Each test file is a crate of its own and uses a part of this; what only one of them needs, it adds to `Stage` itself.
#![allow(dead_code)]

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::covirtd::{Client, Covirtd, events};
use crate::support::qemu::{Guest, PrivateLibvirt};

/// For what a guest or libvirt does on a slow machine.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// The guest, its agent, and two providers.
pub(crate) struct Stage<'a> {
    pub(crate) libvirt: &'a PrivateLibvirt,
    pub(crate) agent: Covirtd,
    pub(crate) guest: Guest,
    pub(crate) vm: String,
    pub(crate) north: Client,
    pub(crate) south: Client,
}

impl<'a> Stage<'a> {
    /// With this guest, and these tables in the agent's configuration.
    #[track_caller]
    pub(crate) fn set(libvirt: &'a PrivateLibvirt, guest: Guest, config: &str) -> Self {
        let vm = guest.domain(&libvirt.connect()).uuid_string().expect("a UUID");
        let agent = Covirtd::start_with(env!("CARGO_BIN_EXE_covirtd"), libvirt.uri(), "roles = ['host']", config);
        let (mut north, south) = (agent.client("north"), agent.client("south"));
        north.post(&format!("/v1/vms/{vm}/enrollment"), &json!({})).ok();
        Self { libvirt, agent, guest, vm, north, south }
    }

    /// With a guest that is up.
    #[track_caller]
    pub(crate) fn booted(libvirt: &'a PrivateLibvirt, label: &str, config: &str) -> Self {
        let guest = Guest::boot(libvirt, label);
        guest.await_console("GUEST-READY", 1);
        Self::set(libvirt, guest, config)
    }

    /// North gives south some actions.
    #[track_caller]
    pub(crate) fn delegate(&mut self, actions: &[&str], mode: &str) {
        let grant = json!({ "to": "south", "actions": actions, "mode": mode });
        self.north.post(&format!("/v1/vms/{}/delegations", self.vm), &grant).ok();
    }

    /// Runs a command to its end; the command.
    #[track_caller]
    pub(crate) fn run(&mut self, action: &str, args: &Value) -> Value {
        self.north.run(&self.vm, action, args)
    }

    /// Runs a command that must be done; its result.
    #[track_caller]
    pub(crate) fn done(&mut self, action: &str, args: &Value) -> Value {
        let view = self.run(action, args);
        assert_eq!(view["state"], "done", "{action}: {view:#}");
        view["result"].clone()
    }

    /// Runs a command that must end so: state, code and a part of its reason.
    #[track_caller]
    pub(crate) fn ends(&mut self, action: &str, args: &Value, wanted: [&str; 3]) {
        let view = self.run(action, args);
        assert_eq!((&view["state"], &view["code"]), (&json!(wanted[0]), &json!(wanted[1])), "{action}: {view:#}");
        assert!(view["reason"].as_str().is_some_and(|reason| reason.contains(wanted[2])), "{action}: {view:#}");
    }

    /// Runs a command that the VM's state must forbid, for this reason.
    #[track_caller]
    pub(crate) fn forbidden(&mut self, action: &str, args: &Value, because: &str) {
        self.ends(action, args, ["impossible", "state-forbids", because]);
    }

    /// Sends a command and does not wait for its end; its id.
    #[track_caller]
    pub(crate) fn submit(&mut self, action: &str, args: &Value) -> String {
        self.north.submit(&self.vm, action, args)
    }

    /// Sends a command that must not even be taken in; the code of the refusal.
    #[track_caller]
    pub(crate) fn refused(&mut self, action: &str, args: &Value) -> String {
        self.north.try_submit(&self.vm, action, args, 30).expect("an answer").code().to_owned()
    }

    /// Waits until a command has ended.
    #[track_caller]
    pub(crate) fn ended(&mut self, id: &str) -> Value {
        self.north.ended(&self.vm, id, LONG)
    }

    /// The VM as covirt reads it now.
    #[track_caller]
    pub(crate) fn read(&mut self) -> Value {
        self.done("inspect.read", &json!({}))
    }

    /// Fails if libvirt's own refusal to do two things at once was ever given to a provider: the lane could have seen that.
    #[track_caller]
    pub(crate) fn nobody_met_libvirts_lock(&mut self) {
        let lock = |event: &Value| event["fact"].to_string().contains("state change lock");
        let met: Vec<Value> = self.told("ended").into_iter().filter(lock).collect();
        assert!(met.is_empty(), "{met:#?}");
    }

    /// The journalled facts of this kind about the VM, in order.
    #[track_caller]
    pub(crate) fn told(&mut self, kind: &str) -> Vec<Value> {
        events(&mut self.north, &self.vm).into_iter().filter(|event| event["kind"] == kind).collect()
    }

    /// Runs virsh, in whose words `@` is the guest's name.
    #[track_caller]
    pub(crate) fn virsh(&self, words: &[&str]) -> String {
        self.libvirt.virsh(&self.named(words))
    }

    /// Whether virsh succeeds.
    pub(crate) fn virsh_can(&self, words: &[&str]) -> bool {
        let mut virsh = Command::new("virsh");
        virsh.args(["-q", "-c", self.libvirt.uri()]).args(self.named(words));
        virsh.output().expect("run virsh").status.success()
    }

    fn named<'w>(&'w self, words: &[&'w str]) -> Vec<&'w str> {
        words.iter().map(|word| if *word == "@" { self.guest.name() } else { *word }).collect()
    }

    /// libvirt's word for what the guest does.
    #[track_caller]
    pub(crate) fn domstate(&self) -> String {
        self.virsh(&["domstate", "@"]).trim().to_owned()
    }
}
