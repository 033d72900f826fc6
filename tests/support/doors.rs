//! Two providers' doors to one guest, and unmodified virsh at each.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use virt::connect::Connect;

use crate::covirtd::{Client, Covirtd, events};
use crate::support::qemu::{Guest, PrivateLibvirt};
use crate::support::until;

/// For what a guest or libvirt does on a slow machine.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// A guest that north has enrolled, and a door for each provider: north's has the host role, south's has not.
pub(crate) struct Doors<'a> {
    pub(crate) libvirt: &'a PrivateLibvirt,
    pub(crate) agent: Covirtd,
    pub(crate) guest: Guest,
    pub(crate) vm: String,
    pub(crate) north: Client,
    pub(crate) south: Client,
    folder: tempfile::TempDir,
}

/// How a client ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

/// A virsh that runs.
pub(crate) struct Virsh(pub(crate) Child);

impl Virsh {
    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(self) -> Said {
        Said::of(&self.0.wait_with_output().expect("wait for virsh"))
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("ask for virsh").is_some()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("kill virsh");
        self.0.wait().expect("wait for virsh");
    }
}

impl<'a> Doors<'a> {
    /// With a guest that is up; `config` is added behind the providers' tables.
    #[track_caller]
    pub(crate) fn booted(libvirt: &'a PrivateLibvirt, label: &str, config: &str) -> Self {
        let guest = Guest::boot(libvirt, label);
        guest.await_console("GUEST-READY", 1);
        Self::set(libvirt, guest, config)
    }

    #[track_caller]
    pub(crate) fn set(libvirt: &'a PrivateLibvirt, guest: Guest, config: &str) -> Self {
        Self::set_with(libvirt, guest, "", config)
    }

    /// With more in south's own table of the configuration.
    #[track_caller]
    pub(crate) fn set_with(libvirt: &'a PrivateLibvirt, guest: Guest, south: &str, config: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("covirt-").tempdir().expect("make a folder");
        let doors = format!("door = true\n{south}\n[doors]\ndir = '{}'\n{config}", folder.path().display());
        let north = "door = true\nroles = ['host']";
        let agent = Covirtd::start_with(env!("CARGO_BIN_EXE_covirtd"), libvirt.uri(), north, &doors);
        let (mut north, south) = (agent.client("north"), agent.client("south"));
        let vm = guest.domain(&libvirt.connect()).uuid_string().expect("a UUID");
        north.post(&format!("/v1/vms/{vm}/enrollment"), &json!({})).ok();
        Self { libvirt, agent, guest, vm, north, south, folder }
    }

    /// North gives south some actions.
    #[track_caller]
    pub(crate) fn delegate(&mut self, actions: &[&str], mode: &str) {
        let grant = json!({ "to": "south", "actions": actions, "mode": mode });
        self.north.post(&format!("/v1/vms/{}/delegations", self.vm), &grant).ok();
    }

    pub(crate) fn socket(&self, provider: &str) -> PathBuf {
        self.folder.path().join(provider).join("libvirt-sock")
    }

    /// What a client of this provider's connects to.
    pub(crate) fn uri(&self, provider: &str) -> String {
        format!("qemu:///system?socket={}", self.socket(provider).display())
    }

    /// libvirt's own library as a client at a door.
    #[track_caller]
    pub(crate) fn connect(&self, provider: &str) -> Connect {
        let uri = self.uri(provider);
        Connect::open(Some(&uri)).unwrap_or_else(|error| panic!("connect to {uri}: {error}"))
    }

    /// Begins a virsh at a door; `@` is the guest's name.
    #[track_caller]
    pub(crate) fn begin(&self, provider: &str, words: &[&str]) -> Virsh {
        let words = words.iter().map(|word| if *word == "@" { self.guest.name() } else { word });
        let mut virsh = Command::new("virsh");
        virsh.args(["-q", "-c", &self.uri(provider)]).args(words).env("LC_ALL", "C");
        virsh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Virsh(virsh.spawn().expect("start virsh"))
    }

    /// Runs one to its end.
    #[track_caller]
    pub(crate) fn virsh(&self, provider: &str, words: &[&str]) -> Said {
        self.begin(provider, words).end()
    }

    /// The provider's commands, the last one first.
    #[track_caller]
    pub(crate) fn commands(&mut self, provider: &str) -> Vec<Value> {
        let list = self.north.get(&format!("/v1/vms/{}/commands", self.vm)).ok();
        let all = list["commands"].as_array().expect("commands").clone();
        all.into_iter().rev().filter(|command| command["provider"] == provider).collect()
    }

    /// Waits until a provider has a command of this action in this state; the command.
    #[track_caller]
    pub(crate) fn command(&mut self, provider: &str, action: &str, state: &str) -> Value {
        until(&format!("{provider}'s {action} is {state}"), LONG, || {
            let found = self.commands(provider).into_iter().find(|command| command["action"] == action);
            found.filter(|command| command["state"] == state)
        })
    }

    /// What `covirt explain` prints of a command.
    #[track_caller]
    pub(crate) fn explain(&self, command: &Value) -> String {
        let id = command["id"].as_str().expect("an id");
        let mut covirt = Command::new(env!("CARGO_BIN_EXE_covirt"));
        covirt.arg("--socket").arg(self.agent.socket()).args(["--as", "north", "explain", id]);
        Said::of(&covirt.output().expect("run covirt")).ok()
    }

    /// The journalled facts of this kind about the VM, in order.
    #[track_caller]
    pub(crate) fn told(&mut self, kind: &str) -> Vec<Value> {
        events(&mut self.north, &self.vm).into_iter().filter(|event| event["kind"] == kind).collect()
    }

    /// libvirt's own word for what the guest does.
    #[track_caller]
    pub(crate) fn domstate(&self) -> String {
        self.libvirt.virsh(&["domstate", self.guest.name()]).trim().to_owned()
    }

    /// North keeps everybody else from changing the VM until the lock is given back; the lock's command.
    #[track_caller]
    pub(crate) fn lock(&mut self, lease_s: u64) {
        let args = json!({ "reason": "a test", "lease_s": lease_s });
        assert_eq!(self.north.run(&self.vm, "lock.acquire", &args)["state"], "done");
    }

    #[track_caller]
    pub(crate) fn unlock(&mut self) {
        assert_eq!(self.north.run(&self.vm, "lock.release", &json!({}))["state"], "done");
    }
}
