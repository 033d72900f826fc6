//! The agent dies at every point between two effects of a command's way, on a real guest: what it writes down, sends to
//! libvirtd, hears from it and tells its client. The points are those of a way that was watched from end to end. After the
//! next start the command has its one documented end, libvirt was asked once, and the VM shows what was done once.

#[path = "support/covirtd.rs"]
mod covirtd;
mod crash;
mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use covirtd::{Client, Covirtd, events};
use crash::{Effect, Point, Watcher, points};
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_covirtd");
const LONG: Duration = Duration::from_secs(60);
/// How long after the answer a death that is part of it may come.
const AFTERMATH: Duration = Duration::from_millis(200);

/// libvirt's numbers of the procedures that change something here.
mod procedure {
    pub(super) const SUSPEND: u32 = 34;
    pub(super) const SNAPSHOT_CREATE: u32 = 185;
    pub(super) const FSFREEZE: u32 = 335;
    pub(super) const FSTHAW: u32 = 336;
    pub(super) const BACKUP_BEGIN: u32 = 421;
}

/// A booted guest, enrolled by an agent that is watched.
struct Stage<'a> {
    libvirt: &'a PrivateLibvirt,
    watcher: Watcher,
    agent: Covirtd,
    guest: Guest,
    vm: String,
}

/// What is done and interrupted: a request of north's, with the call that it leads to.
struct Deed {
    path: String,
    body: Value,
    procedure: u32,
}

impl<'a> Stage<'a> {
    fn set(libvirt: &'a PrivateLibvirt, watcher: Watcher) -> Self {
        let guest = Guest::boot(libvirt, "crashing");
        guest.await_console("GUEST-READY", 1);
        let vm = guest.domain(&libvirt.connect()).uuid_string().expect("a UUID");
        let program = watcher.of(PROGRAM);
        let agent = Covirtd::start_with(program.to_str().expect("letters"), libvirt.uri(), "roles = ['host']", "");
        let stage = Self { libvirt, watcher, agent, guest, vm };
        stage.north().post(&format!("/v1/vms/{}/enrollment", stage.vm), &json!({})).ok();
        stage
    }

    fn north(&self) -> Client {
        self.agent.client("north")
    }

    fn command(&self, action: &str, args: &Value, procedure: u32) -> Deed {
        let body = json!({ "id": uuid::Uuid::now_v7(), "action": action, "args": args });
        Deed { path: format!("/v1/vms/{}/commands", self.vm), body, procedure }
    }

    #[track_caller]
    fn done(&self, action: &str, args: &Value) {
        let view = self.north().run(&self.vm, action, args);
        assert_eq!(view["state"], "done", "{action}: {view:#}");
    }

    /// Interrupts nothing; gives every point of its way.
    #[track_caller]
    fn watched(&self, deed: &Deed) -> Vec<Point> {
        self.watcher.forget();
        self.north().send("POST", &deed.path, 60, Some(&deed.body)).expect("an answer").ok();
        std::thread::sleep(AFTERMATH);
        // Questions change nothing, and dying between two of them is dying after the last effect.
        let counts = |effect: &Effect| effect.procedure == 0 || effect.procedure == deed.procedure;
        let way: Vec<Effect> = self.watcher.happened().into_iter().filter(counts).collect();
        points(&way)
    }

    /// Does it, and dies there; starts again, and asks for the same again. Whether it came to that point at all.
    #[track_caller]
    fn interrupted(&mut self, deed: &Deed, point: &Point) -> (bool, covirtd::Reply) {
        self.watcher.forget();
        self.watcher.arm(Some(point));
        let told = self.north().send("POST", &deed.path, 20, Some(&deed.body));
        let end = Instant::now() + if told.is_err() { LONG } else { AFTERMATH };
        while !self.watcher.died() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.watcher.arm(None);
        let died = self.watcher.died();
        assert!(died || told.is_ok(), "{point}: the connection broke and the agent lives: {told:?}");
        if died {
            self.agent.kill9();
            self.agent.up();
        }
        // Until it has seen the VM, it takes nothing: a provider tries again.
        let again = until("it takes commands again", LONG, || {
            let again = self.north().send("POST", &deed.path, 60, Some(&deed.body)).expect("an answer");
            (again.status != 503).then_some(again)
        });
        (died, again)
    }

    /// How often libvirtd was asked for it.
    fn asked(&self, deed: &Deed) -> usize {
        let sent = |effect: &Effect| {
            effect.kind == "request" && effect.procedure == deed.procedure && effect.moment == "after"
        };
        self.watcher.happened().iter().filter(|effect| sent(effect)).count()
    }

    /// How often each of these was journalled about a command.
    fn told<const N: usize>(&self, command: &str, kinds: [&str; N]) -> [usize; N] {
        let all = events(&mut self.north(), &self.vm);
        let of = |kind| move |event: &&Value| event["kind"] == kind && event["fact"]["command"] == command;
        kinds.map(|kind| all.iter().filter(of(kind)).count())
    }

    /// A command that was interrupted has one end, of which this is the state, and was executed once.
    #[track_caller]
    fn settled(&self, deed: &Deed, point: &Point, reply: covirtd::Reply) {
        let (view, id) = (reply.ok(), deed.body["id"].as_str().expect("an id"));
        assert_eq!(view["state"], "done", "{point}: {view:#}");
        assert!(["executed", "observed-done"].iter().any(|code| view["code"] == *code), "{point}: {view:#}");
        let [started, undone, ended] = self.told(id, ["started", "found-undone", "ended"]);
        assert_eq!((started, ended), (1 + undone, 1), "{point}: {view:#}");
        let asked = self.asked(deed);
        assert!((1..=1 + undone).contains(&asked), "{point}: asked {asked} times, seen undone {undone} times");
    }

    fn holds(&self) -> Vec<(String, String)> {
        let list = self.north().get(&format!("/v1/vms/{}/holds", self.vm)).ok();
        let hold = |view: &Value| (view["hold"].to_string(), view["owner"].to_string());
        list["holds"].as_array().expect("holds").iter().map(hold).collect()
    }

    #[track_caller]
    fn virsh(&self, arguments: &[&str]) -> String {
        self.libvirt.virsh(arguments).trim().to_owned()
    }

    #[track_caller]
    fn freeze_status(&self) -> String {
        self.virsh(&["qemu-agent-command", self.guest.name(), "{\"execute\":\"guest-fsfreeze-status\"}"])
    }

    fn file(&self, suffix: &str) -> String {
        self.libvirt.folder().join(format!("{}.{suffix}", self.guest.name())).display().to_string()
    }
}

/// Interrupts a deed at every point of its way; `deed` makes the `n`th of its kind, `seen` looks at the VM after it, and
/// `undo` makes it possible once more.
#[track_caller]
fn at_every_point<'a>(
    stage: &mut Stage<'a>,
    deed: impl Fn(&Stage<'a>, usize) -> Deed,
    seen: impl Fn(&Stage<'a>, usize),
    undo: impl Fn(&Stage<'a>, usize),
) {
    let first = deed(stage, 0);
    let way = stage.watched(&first);
    seen(stage, 0);
    undo(stage, 0);
    let mut reached = BTreeSet::new();
    for (n, point) in (1..).zip(&way) {
        let interrupted = deed(stage, n);
        let (died, reply) = stage.interrupted(&interrupted, point);
        stage.settled(&interrupted, point, reply);
        seen(stage, n);
        undo(stage, n);
        if died {
            reached.insert((point.effect.kind.clone(), point.effect.moment.clone()));
        }
    }
    everything_reached(&way, &reached);
    eprintln!("{}: {} points", first.body["action"], way.len());
}

/// A way may have an append more or less; every kind of point was come to.
#[track_caller]
fn everything_reached(way: &[Point], reached: &BTreeSet<(String, String)>) {
    let all = ["append before", "sync before", "sync after", "request before", "request after", "answer before"];
    let all = all.into_iter().chain(["reply before", "reply after"]).map(|point| point.split_once(' ').expect("two"));
    let missed: Vec<_> = all.filter(|(kind, moment)| !reached.contains(&((*kind).into(), (*moment).into()))).collect();
    assert!(missed.is_empty(), "never died at {missed:?} of {way:#?}");
}

#[test]
fn wherever_it_dies_a_command_ends_once_and_is_executed_once() {
    let test = "wherever_it_dies_a_command_ends_once_and_is_executed_once";
    let watcher = match Watcher::build() {
        Ok(watcher) => watcher,
        Err(reason) => return skip(test, &reason),
    };
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip(test, &reason),
    };
    let mut stage = Stage::set(&libvirt, watcher);
    let name = stage.guest.name().to_owned();

    at_every_point(
        &mut stage,
        |stage, _| stage.command("power.suspend", &json!({}), procedure::SUSPEND),
        |stage, _| assert_eq!(stage.virsh(&["domstate", &name]), "paused"),
        |stage, _| stage.done("power.resume", &json!({})),
    );

    let snapshot = |n: usize| json!({ "name": format!("s{n}") });
    at_every_point(
        &mut stage,
        |stage, n| stage.command("snapshot.create", &snapshot(n), procedure::SNAPSHOT_CREATE),
        |stage, n| assert_eq!(stage.virsh(&["snapshot-list", &name, "--name"]), format!("s{n}")),
        |stage, n| stage.done("snapshot.delete", &snapshot(n)),
    );

    // Something stays open: it is owned, once, whenever the agent died.
    let begin = |stage: &Stage, n: usize| {
        let (socket, scratch) = (stage.file("sock"), stage.file(&format!("scratch{n}")));
        json!({ "mode": "pull", "socket": socket, "scratch": { "vda": scratch }, "checkpoint": format!("north.c{n}") })
    };
    let hold = |hold: &str| vec![(format!("{hold:?}"), "\"north\"".to_owned())];
    at_every_point(
        &mut stage,
        |stage, n| stage.command("backup.begin", &begin(stage, n), procedure::BACKUP_BEGIN),
        |stage, n| {
            assert_eq!(stage.holds(), hold("backup"));
            assert!(stage.virsh(&["domjobinfo", &name]).contains("Backup"));
            assert_eq!(stage.virsh(&["checkpoint-list", &name, "--name"]), format!("north.c{n}"));
        },
        |stage, n| {
            stage.done("backup.end", &json!({}));
            stage.done("checkpoint.delete", &json!({ "name": format!("north.c{n}") }));
            assert!(stage.holds().is_empty());
        },
    );

    let freeze = json!({ "lease_s": 600 });
    at_every_point(
        &mut stage,
        |stage, _| stage.command("guest.freeze", &freeze, procedure::FSFREEZE),
        |stage, _| {
            assert_eq!(stage.holds(), hold("freeze"));
            assert!(stage.freeze_status().contains("frozen"));
        },
        |stage, _| {
            stage.done("guest.thaw", &json!({}));
            assert!(stage.holds().is_empty() && stage.freeze_status().contains("thawed"));
        },
    );
    errands(&mut stage);
    let audit = Client::new(&stage.agent.socket(), "operator").get("/v1/audit/verify").ok();
    assert_eq!(audit["verdict"], "intact", "{audit}");
}

/// What the agent does by itself, an errand that ends what is open, is interrupted the same way.
fn errands(stage: &mut Stage) {
    let path = format!("/v1/vms/{}/holds/freeze/release", stage.vm);
    let body = json!({ "reason": "the copy is made" });
    let release = Deed { path, body, procedure: procedure::FSTHAW };
    let freeze = json!({ "lease_s": 600 });
    stage.done("guest.freeze", &freeze);
    let way = stage.watched(&release);
    let mut reached = BTreeSet::new();
    for point in &way {
        stage.done("guest.freeze", &freeze);
        let before = ended_errands(stage);
        let (died, reply) = stage.interrupted(&release, point);
        if reply.status >= 400 {
            // It was over already when it was asked for again.
            assert_eq!(reply.code(), "unknown-hold", "{point}: {}", reply.body);
        }
        until("it is over", LONG, || stage.holds().is_empty().then_some(()));
        assert!(stage.freeze_status().contains("thawed"), "{point}");
        let (errands, asked) = (ended_errands(stage) - before, stage.asked(&release));
        // Thawing twice is thawing once, so an errand that is seen undone is sent again, and no other.
        assert!(errands == 1 && (1..=2).contains(&asked), "{point}: {errands} errands, asked {asked} times");
        if died {
            reached.insert((point.effect.kind.clone(), point.effect.moment.clone()));
        }
    }
    everything_reached(&way, &reached);
}

/// How many errands of the agent's own have ended.
fn ended_errands(stage: &Stage) -> usize {
    let all = events(&mut stage.north(), &stage.vm);
    let sent = |event: &&Value| event["kind"] == "admitted" && event["text"].to_string().contains("covirt sent");
    let ids: BTreeSet<String> =
        all.iter().filter(sent).map(|event| event["fact"]["command"]["id"].to_string()).collect();
    all.iter().filter(|e| e["kind"] == "ended" && ids.contains(&e["fact"]["command"].to_string())).count()
}

/// The host goes down: QEMU, libvirtd and the agent are gone at once, and come back without the guest.
#[test]
fn after_the_host_went_down_with_a_queue_every_command_ends_as_things_are_now() {
    let test = "after_the_host_went_down_with_a_queue_every_command_ends_as_things_are_now";
    let watcher = match Watcher::build() {
        Ok(watcher) => watcher,
        Err(reason) => return skip(test, &reason),
    };
    let libvirt = match PrivateLibvirt::own() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip(test, &reason),
    };
    let mut stage = Stage::set(&libvirt, watcher);
    let (vm, name) = (stage.vm.clone(), stage.guest.name().to_owned());
    stage.watcher.forget();
    stage.guest.halt();
    let taking = stage.command("snapshot.create", &json!({ "name": "cut" }), procedure::SNAPSHOT_CREATE);
    let cut = taking.body["id"].as_str().expect("an id");
    stage.north().post(&taking.path, &taking.body).ok();
    stage.north().until_state(&vm, cut, &["running"], LONG);
    until("libvirt works on the snapshot", LONG, || (stage.virsh(&["domcontrol", &name]) != "ok").then_some(()));
    let [suspend, start] = ["power.suspend", "power.start"].map(|action| {
        let id = stage.north().submit(&vm, action, &json!({}));
        assert_eq!(stage.north().command(&vm, &id)["state"], "queued", "{action}");
        id
    });

    stage.agent.kill9();
    libvirt.kill9();
    stage.guest.kill9();
    libvirt.up();
    until("the guest is known to be gone", LONG, || (stage.virsh(&["domstate", &name]) == "shut off").then_some(()));
    stage.agent.up();

    let mut north = stage.north();
    let mut ended = |id: &str| north.ended(&vm, id, LONG);
    let (taken, suspended, started) = (ended(cut), ended(&suspend), ended(&start));
    let says = |view: &Value| format!("{} {}", view["state"], view["code"]).replace('"', "");
    assert_eq!(says(&taken), "failed outcome-unknowable", "nobody can tell any more: {taken:#}");
    assert_eq!(says(&suspended), "impossible state-forbids", "{suspended:#}");
    assert_eq!(says(&started), "done executed", "{started:#}");
    for id in [cut, &suspend, &start] {
        assert_eq!(stage.told(id, ["ended"]), [1], "{id}");
    }
    assert_eq!((stage.asked(&taking), stage.told(cut, ["started"])), (1, [1]), "asked once, before it all went down");
    assert_eq!(stage.virsh(&["domstate", &name]), "running", "its provider's command started it, and nobody else");
}
