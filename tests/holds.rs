//! What commands leave open, seen from outside: a whole agent on the hypervisor in memory, spoken to over its socket.

#[path = "support/covirtd.rs"]
mod covirtd;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use covirt::doors::enrollment::{Audience, Enrollment, Joined, Registrar, Store};
use covirt::doors::identity::{Directory, Enrolling, Peers};
use covirt::doors::reach::{Reach, Reaches};
use covirt::doors::{self, Api, Bindings, Callbacks, Limits, Listener, Roster, Sessions};
use covirt::hypervisor::{Fake, How, JobProgress, Mode};
use covirt::journal::{Disk, Journal, Restored, TAIL_FLOOR};
use covirt::lanes::{History, Lanes};
use covirt::model::{CommandId, DeviceName, HoldKey, Kib, Operation, PowerState, StartId, VmId, VmState};
use covirt::resolver::Policy;
use covirtd::{Client, Session};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(60);
const NUMBER: u128 = 7;

/// Nobody joins here.
struct NobodyListens;

impl Audience for NobodyListens {
    fn joined(&self, _joined: &Joined) {}

    fn noted(&self, _fact: covirt::sovereignty::HostFact) {}
}

/// An agent in this process: north is the primary of its one VM, south may do all but power, east has no part.
struct Agent {
    fake: Fake,
    folder: tempfile::TempDir,
    vm: String,
    _stop: watch::Sender<bool>,
    _runtime: tokio::runtime::Runtime,
}

impl Agent {
    fn start(mode: Mode) -> Self {
        let fake = Fake::new(mode);
        let id = VmId(Uuid::from_u128(NUMBER));
        fake.define(id, "web01", running());
        let folder = tempfile::Builder::new().prefix("holds-").tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (stop, stopped) = watch::channel(false);
        runtime.block_on(async {
            let (store, Restored { states, last, coverage, .. }) = Disk::new().restore().unwrap();
            let journal = Journal::start_keeping(Box::new(store), coverage, TAIL_FLOOR).unwrap();
            let sessions = Sessions::default();
            let asker = Arc::new(Callbacks::new(sessions.clone(), BTreeMap::new(), None));
            let policy = Policy { gather: Duration::from_millis(50), ..Policy::default() };
            let history = History::new(states, last);
            let lanes = Lanes::start(Arc::new(fake.clone()), journal, asker, policy, history).await;
            let us = Peers { uids: [nix::unistd::getuid().as_raw()].into(), ..Peers::default() };
            let provider = |name: &str, enrolling| (name.parse().unwrap(), (us.clone(), enrolling));
            let providers =
                [provider("north", Enrolling::Yes), provider("south", Enrolling::No), provider("east", Enrolling::No)];
            let directory = Directory { providers: providers.into(), operator: us.clone(), ..Directory::default() };
            let bindings = Bindings::new(folder.path().join("bindings"));
            // The fake's VMs have no files that anything could be beside.
            let reaches = ["north", "south", "east"].map(|name| (name.parse().unwrap(), Reach::Host));
            let reaches = Reaches::new(reaches.into());
            let store = Store::open(&folder.path().join("providers.json")).unwrap();
            let enrollment = Enrollment {
                registrar: Arc::new(Registrar::new(store, None, NobodyListens, lanes.now().wall).unwrap()),
                endpoint: None,
                server_ca: None,
                overlap: Duration::ZERO,
                api_port: None,
                libvirt_port: None,
            };
            let roster = Roster::new(directory);
            let api = Api::new(lanes, roster, sessions, Limits::default(), bindings, reaches, enrollment);
            let listener = Listener::bind(&folder.path().join("s"), 0o600).await.unwrap();
            tokio::spawn(doors::serve(listener, api, stopped));
        });
        let agent = Self { fake, folder, vm: id.to_string(), _stop: stop, _runtime: runtime };
        agent.client("north").post(&format!("{}/enrollment", agent.path()), &json!({})).ok();
        let actions = ["guest.*", "backup.*", "block.*", "lock.*"];
        let shared = json!({ "to": "south", "actions": actions, "mode": "shared" });
        agent.client("north").post(&format!("{}/delegations", agent.path()), &shared).ok();
        agent
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn client(&self, who: &str) -> Client {
        Client::new(&self.socket(), who)
    }

    fn path(&self) -> String {
        format!("/v1/vms/{}", self.vm)
    }

    fn holds(&self, who: &str) -> Vec<Value> {
        let list = self.client(who).get(&format!("{}/holds", self.path())).ok();
        list["holds"].as_array().unwrap().clone()
    }

    /// Waits until the journal tells of something, and gives it.
    #[track_caller]
    fn told(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let (mut client, end) = (self.client("north"), Instant::now() + SOON);
        let (mut passed, mut after) = (Vec::new(), 0);
        while Instant::now() < end {
            // Answered as soon as there is more.
            let page = client.get(&format!("/v1/events?after={after}&vm={}&wait=1", self.vm)).ok();
            after = page["cursor"].as_u64().expect("a cursor");
            let events = page["events"].as_array().expect("events");
            if let Some(event) = events.iter().find(|event| is(event)) {
                return event.clone();
            }
            passed.extend(events.iter().cloned());
        }
        panic!("{what}: not in {passed:#?}")
    }

    #[track_caller]
    fn closed(&self, hold: &str) -> Value {
        self.told("its end", |event| event["kind"] == "hold-closed" && event["fact"]["hold"] == hold)["fact"].clone()
    }

    /// The errand that ended something: a command of covirt's own, done, as everybody may see it.
    #[track_caller]
    fn errand(&self, hold: &str, action: &str) {
        let fact = self.closed(hold);
        assert_eq!(fact["how"]["how"], "by-command", "{fact}");
        let id = fact["how"]["command"].as_str().unwrap();
        let view = self.client("north").get(&format!("/v1/commands/{id}")).ok();
        assert_eq!((&view["provider"], &view["action"]), (&json!("covirt"), &json!(action)), "{view}");
        assert_eq!(view["state"], "done", "{view}");
        self.told("its sending", |event| {
            event["kind"] == "admitted" && event["text"].as_str().unwrap().starts_with(&format!("covirt sent {action}"))
        });
    }

    fn thaws(&self) -> usize {
        self.fake.executed().iter().filter(|(_, done)| matches!(done, Operation::GuestThaw(_))).count()
    }

    fn release(&self, who: &str, hold: &str, reason: &str, wait: u32) -> covirtd::Reply {
        let path = format!("{}/holds/{hold}/release", self.path());
        self.client(who).send("POST", &path, wait, Some(&json!({ "reason": reason }))).unwrap()
    }

    fn covirt(&self, who: &str, words: &[&str]) -> Output {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_covirt"));
        command.env("COVIRT_SOCKET", self.socket()).env("COVIRT_AS", who).env("COLUMNS", "200");
        command.args(words).output().unwrap()
    }

    fn freeze(&self, lease_s: u32) -> Value {
        let view = self.client("south").run(&self.vm, "guest.freeze", &json!({ "lease_s": lease_s }));
        assert_eq!(view["state"], "done", "{view}");
        view
    }

    fn back_up(&self) -> Value {
        let args = json!({ "mode": "push", "files": { "vda": "/backup/south" } });
        let view = self.client("south").run(&self.vm, "backup.begin", &args);
        assert_eq!(view["state"], "done", "{view}");
        view
    }

    fn migrate(&self, class: &str) -> String {
        let args = json!({ "to": "qemu+tls://elsewhere/system" });
        let body = json!({ "id": Uuid::now_v7(), "action": "migrate.begin", "args": args, "class": class });
        let view = self.client("north").post(&format!("{}/commands", self.path()), &body).ok();
        view["id"].as_str().unwrap().to_owned()
    }
}

fn running() -> VmState {
    VmState {
        power: PowerState::Running,
        start: StartId(Some(3)),
        vcpus: 1,
        vcpus_max: 4,
        memory_kib: Kib(1024),
        memory_max_kib: Kib(2048),
        snapshots: BTreeSet::new(),
        checkpoints: BTreeSet::new(),
        devices: [DeviceName::Disk("vda".to_owned())].into(),
        jobs: BTreeSet::new(),
        saved: false,
        definition: None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_freeze_whose_lease_runs_out_is_thawed_by_covirt() {
    let agent = Agent::start(Mode::Auto);
    let frozen = agent.freeze(1);
    let opened = agent.told("the freeze", |event| event["kind"] == "hold-opened");
    assert_eq!((&opened["fact"]["hold"], &opened["fact"]["owner"]), (&json!("freeze"), &json!("south")));
    assert_eq!(opened["fact"]["command"], frozen["id"]);
    agent.errand("freeze", "guest.thaw");
    let given_up = agent.told("why", |event| event["kind"] == "hold-given-up");
    assert_eq!(given_up["fact"]["why"]["why"], "lease-expired", "{given_up}");
    assert_eq!((agent.thaws(), agent.holds("north").len()), (1, 0));
}

#[test]
fn a_freeze_ends_with_its_owners_last_session_and_not_with_one_that_was_replaced() {
    let agent = Agent::start(Mode::Auto);
    let older = Session::open(&agent.socket(), "south", None);
    agent.freeze(600);
    let newer = Session::open(&agent.socket(), "south", None);
    assert!(older.asks.recv_timeout(SOON).is_err(), "the older session is over, and was asked nothing");
    let north = Session::open(&agent.socket(), "north", None);
    drop(north);
    assert_eq!(agent.holds("south").len(), 1);
    let before = agent.client("north").get("/healthz").ok()["journal"].as_u64().unwrap();
    drop(newer);
    agent.errand("freeze", "guest.thaw");
    let given_up = agent.told("why", |event| event["kind"] == "hold-given-up");
    assert_eq!(given_up["fact"]["why"]["why"], "session-lost", "{given_up}");
    assert!(given_up["cursor"].as_u64().unwrap() > before, "{given_up}");
}

#[test]
fn what_is_open_is_ended_by_its_owner_or_the_operator_with_a_reason_and_a_proof() {
    let agent = Agent::start(Mode::Auto);
    agent.freeze(600);
    for (who, hold, reason, status, code) in [
        ("east", "freeze", "mine", 404, "unknown-vm"),
        ("north", "freeze", "in the way", 403, "forbidden"),
        ("south", "backup", "mine", 404, "unknown-hold"),
        ("south", "window", "mine", 400, "malformed"),
        ("south", "freeze", "", 400, "malformed"),
        ("south", "freeze", "two\nlines", 400, "malformed"),
        ("south", "freeze", &"x".repeat(1025), 400, "malformed"),
    ] {
        let refused = agent.release(who, hold, reason, 0);
        assert_eq!((refused.status, refused.code()), (status, code), "{who} {hold}: {}", refused.body);
    }
    assert_eq!(agent.release("north", "freeze", "in the way", 0).body["holder"], "south");
    assert_eq!((agent.thaws(), agent.client("east").get("/v1/holds").ok()), (0, json!({ "holds": [] })));
    for (who, why) in [("south", "the snapshot is made"), ("operator", "the guest hangs")] {
        if agent.holds("south").is_empty() {
            agent.freeze(600);
        }
        let reply = agent.release(who, "freeze", why, 60);
        assert_eq!((reply.status, &reply.body["closed"]["verified"]), (200, &json!(true)), "{}", reply.body);
        assert_eq!(reply.body["closed"]["how"]["how"], "by-command", "{}", reply.body);
        agent.told("the reason", |event| {
            event["text"].as_str().unwrap().contains(&format!("{who} asked for it: {why}"))
        });
        assert!(agent.holds("south").is_empty());
    }
    assert_eq!(agent.thaws(), 2);
}

#[test]
fn an_end_that_takes_long_is_told_as_it_stands_and_proven_later() {
    let agent = Agent::start(Mode::Auto);
    agent.freeze(600);
    agent.fake.set_mode(Mode::Stepped);
    let reply = agent.release("south", "freeze", "done", 1);
    assert_eq!((reply.status, &reply.body["closed"]), (202, &Value::Null), "{}", reply.body);
    assert_eq!(reply.body["open"]["ending"], "south asked for it: done", "{}", reply.body);
    let thaw: CommandId = agent.fake.waiting().remove(0);
    agent.fake.finish(thaw, How::Normally).unwrap();
    agent.errand("freeze", "guest.thaw");
}

#[test]
fn a_routine_migration_waits_for_anothers_backup_and_says_so() {
    let agent = Agent::start(Mode::Auto);
    let backup = agent.back_up();
    let migrate = agent.migrate("routine");
    let mut north = agent.client("north");
    agent.told("the verdict", |event| event["kind"] == "settled");
    let waits = north.command(&agent.vm, &migrate);
    let reason = waits["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("the backup of south is open for"), "{waits}");
    assert_eq!((&waits["state"], &waits["waiting_on"]), (&json!("queued"), &json!([backup["id"]])));
    let progress = JobProgress { hold: HoldKey::Backup, done: 1, total: 4, seconds_left: Some(3), elapsed_s: Some(1) };
    agent.fake.set_progress(VmId(Uuid::from_u128(NUMBER)), vec![progress]);
    let list = agent.client("operator").get("/v1/holds").ok();
    let hold = &list["holds"][0];
    assert_eq!(hold["progress"], json!({ "done": 1, "total": 4, "seconds_left": 3, "elapsed_s": 1 }));
    assert_eq!((&hold["hold"], &hold["owner"], &hold["name"]), (&json!("backup"), &json!("south"), &json!("web01")));
    assert_eq!((&hold["command"], &hold["action"]), (&backup["id"], &json!("backup.begin")));
    assert_eq!(hold["waiting"], json!([{ "command": migrate, "provider": "north", "action": "migrate.begin" }]));
    let ended = agent.client("south").run(&agent.vm, "backup.end", &json!({}));
    assert_eq!(ended["state"], "done", "{ended}");
    assert_eq!(agent.closed("backup")["how"], json!({ "how": "by-command", "command": ended["id"] }));
    assert_eq!(north.ended(&agent.vm, &migrate, SOON)["state"], "done");
}

#[test]
fn a_critical_migration_aborts_a_backup_and_its_owner_is_told() {
    let agent = Agent::start(Mode::Auto);
    agent.back_up();
    let listener = covirtd::Listener::open(&agent.socket(), "south", 0);
    let migrate = agent.migrate("critical");
    assert_eq!(agent.client("north").ended(&agent.vm, &migrate, SOON)["state"], "done");
    let (_, given_up) = listener.next("why it ends", |event| event["kind"] == "hold-given-up");
    assert_eq!(given_up["fact"]["why"], json!({ "why": "yielded", "to": migrate }), "{given_up}");
    let (_, over) = listener.next("its end", |event| event["kind"] == "hold-closed");
    assert_eq!(over["fact"]["hold"], "backup", "{over}");
    agent.errand("backup", "backup.end");
}

#[test]
fn an_owner_that_is_asked_hears_what_is_open_and_may_give_it_up() {
    let agent = Agent::start(Mode::Auto);
    agent.back_up();
    let south = Session::open(&agent.socket(), "south", Some("theirs-first"));
    let migrate = agent.migrate("routine");
    let asked = south.asks.recv_timeout(SOON).unwrap();
    assert_eq!((&asked["hold"], &asked["mine"]["action"]), (&json!("backup"), &json!("backup.begin")));
    let view = agent.client("north").ended(&agent.vm, &migrate, SOON);
    assert_eq!((&view["state"], &view["rule"]), (&json!("done"), &json!("callback")), "{view}");
    agent.errand("backup", "backup.end");
}

#[test]
fn the_command_line_shows_what_is_open_and_prints_the_proof() {
    let agent = Agent::start(Mode::Auto);
    assert_eq!(text(&agent.covirt("south", &["holds"]).stdout), "nothing is open\n");
    agent.freeze(600);
    agent.back_up();
    let migrate = agent.migrate("routine");
    agent.told("the verdict", |event| event["kind"] == "settled");
    let shown = text(&agent.covirt("south", &["holds", "web01"]).stdout);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("VM     HOLD    OWNER  AGE"), "{shown}");
    assert!(lines[1].starts_with("web01  backup  south"), "{shown}");
    assert!(lines[2].starts_with("web01  freeze  south") && lines[2].contains(" left "), "{shown}");
    assert!(shown.contains(&format!("north's migrate.begin ({migrate})")), "{shown}");
    let json: Value = serde_json::from_slice(&agent.covirt("south", &["holds", "-o", "json"]).stdout).unwrap();
    assert_eq!(json["holds"].as_array().map(Vec::len), Some(2), "{json}");
    let refused = agent.covirt("north", &["holds", "release", "web01", "freeze", "--reason", "now"]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused.stderr));
    let done = agent.covirt("south", &["holds", "release", "web01", "freeze", "--reason", "the copy is made"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let said = text(&done.stdout);
    assert!(said.contains("freeze is over") && said.contains("ended it") && said.contains("record "), "{said}");
    println!("{shown}\n{said}");
}
