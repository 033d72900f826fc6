//! One client's connection, the lanes and a hypervisor in memory: what the courier does between them. libvirtd is played by
//! the test.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use covirt::delegation::{ChangeRequest, Mode as Hold};
use covirt::doors::identity::{Peer, Role};
use covirt::doors::rpc::frame::{Frame, HEAD, Header, Kind, REMOTE, Status, length_of};
use covirt::doors::rpc::xdr::{Reader, Writer};
use covirt::doors::rpc::{Census, Client, Couriers, Ending, Policies, Relay, RelayError};
use covirt::hypervisor::{Fake, Fate, JobProgress, Later, Mode};
use covirt::journal::{Disk, Journal, Restored};
use covirt::lanes::{Asker, Delivery, History, Lanes};
use covirt::model::operation::{LockAcquireArgs, NoArgs};
use covirt::model::{
    Action, Code, Command, CommandId, Ending as End, HoldKey, Kib, Operation, Outcome, PowerState, ProviderId, StartId,
    VmId, VmState,
};
use covirt::resolver::{Ask, Lane, Phase, Policy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(60);

const GET_INFO: u32 = 16;
const DEFINE: u32 = 11;
const SUSPEND: u32 = 34;
const RESUME: u32 = 28;
const ABORT_JOB: u32 = 164;
const PERFORM3: u32 = 216;

fn vm(number: u128) -> VmId {
    VmId(uuid::Uuid::from_u128(number))
}

fn provider(name: &str) -> ProviderId {
    name.parse().unwrap()
}

struct Nobody;

impl Asker for Nobody {
    fn ask(&self, _: VmId, _: Ask) -> Later<Delivery> {
        Box::pin(std::future::ready(Delivery::Lost))
    }
}

struct World {
    fake: Fake,
    lanes: Lanes,
    couriers: Couriers,
}

/// A client at a door, and the libvirtd behind it.
struct Connection {
    client: UnixStream,
    libvirtd: UnixStream,
    relay: JoinHandle<Result<Ending, RelayError>>,
}

impl World {
    /// North is the primary of VM 1, which runs; power is south's, too.
    async fn new() -> Self {
        let fake = Fake::new(Mode::Auto);
        let (store, Restored { states, last, coverage, .. }) = Disk::new().restore().unwrap();
        let journal = Journal::start_keeping(Box::new(store), coverage, 0).unwrap();
        let lanes = Lanes::start(
            Arc::new(fake.clone()),
            journal,
            Arc::new(Nobody),
            Policy::default(),
            History::new(states, last),
        )
        .await;
        let census = Census::begin(&lanes).await;
        let couriers = Couriers::new(lanes.clone(), census);
        let world = Self { fake, lanes, couriers };
        world.define(1);
        world.lanes.enroll(vm(1), provider("north")).await.unwrap();
        let actions = ["power.suspend", "power.resume", "power.stop", "migrate.begin", "migrate.abort"];
        let request = ChangeRequest::Delegate {
            by: provider("north"),
            to: provider("south"),
            actions: actions.into_iter().map(|name| name.parse::<Action>().unwrap()).collect(),
            mode: Hold::Shared,
            lease: None,
        };
        world.lanes.change(vm(1), request).await.unwrap();
        world
    }

    fn define(&self, number: u128) {
        let state = VmState {
            power: PowerState::Running,
            start: StartId(Some(1)),
            vcpus: 1,
            vcpus_max: 4,
            memory_kib: Kib(65536),
            memory_max_kib: Kib(65536),
            snapshots: BTreeSet::new(),
            checkpoints: BTreeSet::new(),
            devices: BTreeSet::new(),
            jobs: BTreeSet::new(),
            saved: false,
            definition: Some("d1".to_owned()),
        };
        self.fake.define(vm(number), &format!("vm{number}"), state);
    }

    fn connect(&self, name: &str, roles: &[Role]) -> Connection {
        let client = Client {
            provider: provider(name),
            roles: roles.iter().copied().collect::<BTreeSet<_>>(),
            peer: Peer { uid: 1000, gid: 1000, pid: Some(77) },
        };
        let pair = || std::os::unix::net::UnixStream::pair().unwrap();
        let ((client_end, near), (upstream_end, far)) = (pair(), pair());
        let (sender, inbox) = mpsc::channel(64);
        let policy = self.couriers.open(client, sender);
        let relay = tokio::spawn(Relay::new(near, far, policy, inbox).unwrap().run());
        let tokio_end = |end: std::os::unix::net::UnixStream| {
            end.set_nonblocking(true).unwrap();
            UnixStream::from_std(end).unwrap()
        };
        Connection { client: tokio_end(client_end), libvirtd: tokio_end(upstream_end), relay }
    }

    /// North keeps everybody else out.
    async fn lock(&self) {
        let args = LockAcquireArgs { reason: "a test".to_owned(), lease_s: 3600 };
        let outcome = self.run(Operation::LockAcquire(args)).await;
        assert_eq!(outcome.ending, End::Done);
    }

    async fn unlock(&self) {
        assert_eq!(self.run(Operation::LockRelease(NoArgs {})).await.ending, End::Done);
    }

    async fn run(&self, operation: Operation) -> Outcome {
        let id = serde_json::json!(uuid::Uuid::now_v7());
        let mut command = serde_json::json!({
            "id": id, "vm": vm(1), "provider": "north", "issued_at": null, "not_after": null, "epoch": null,
        });
        let said = serde_json::to_value(operation).unwrap();
        command.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        let command: Command = serde_json::from_value(command).unwrap();
        let submission = self.lanes.submit(command, None).await.unwrap();
        tokio::time::timeout(SOON, submission.ended).await.unwrap().unwrap()
    }

    /// Waits until the lane sees this.
    async fn sees(&self, is: impl Fn(&Lane) -> bool + Clone + Send + 'static) {
        let awaited = async {
            // Nobody tells when it has looked.
            while !self
                .lanes
                .read(vm(1), {
                    let is = is.clone();
                    move |lane: &Lane, _| is(lane)
                })
                .await
                .unwrap()
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, awaited).await.expect("it sees it");
    }

    /// Waits until south has a command of this procedure in such a phase.
    async fn until(&self, procedure: &'static str, is: impl Fn(&Phase) -> bool + Clone + Send + 'static) -> CommandId {
        let look = move |lane: &Lane, _| {
            let commands = lane.state().commands();
            let mut found = commands.filter(|tracked| {
                tracked.command().call.as_ref().is_some_and(|call| call.procedure == procedure) && is(tracked.phase())
            });
            found.next_back_or_last()
        };
        let awaited = async {
            loop {
                // Nobody but the lane knows, and it tells only ends.
                if let Some(id) = self.lanes.read(vm(1), look.clone()).await.unwrap() {
                    return id;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, awaited).await.unwrap_or_else(|_| panic!("{procedure} is not so"))
    }

    async fn outcome(&self, id: CommandId) -> Outcome {
        let look = move |lane: &Lane, _| match lane.state().command(id).map(|tracked| tracked.phase().clone()) {
            Some(Phase::Ended(outcome)) => Some(outcome),
            _ => None,
        };
        let awaited = async {
            loop {
                if let Some(outcome) = self.lanes.read(vm(1), look).await.unwrap() {
                    return outcome;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, awaited).await.expect("it ends")
    }
}

trait LastOf {
    fn next_back_or_last(&mut self) -> Option<CommandId>;
}

impl<'a, I: Iterator<Item = &'a covirt::resolver::Tracked>> LastOf for I {
    fn next_back_or_last(&mut self) -> Option<CommandId> {
        self.map(|tracked| tracked.command().id).max()
    }
}

fn domain(number: u128) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.string(&format!("vm{number}")).raw(vm(number).0.as_bytes()).i32(5);
    writer.into_bytes()
}

fn head(procedure: u32, kind: Kind, serial: u32) -> Header {
    Header { program: REMOTE, version: 1, procedure, kind, serial, status: Status::Ok }
}

async fn receive(end: &mut UnixStream) -> Frame {
    let reading = async {
        let mut bytes = vec![0; 4];
        end.read_exact(&mut bytes).await.unwrap();
        let length = length_of(bytes.clone().try_into().unwrap()).unwrap();
        bytes.resize(length, 0);
        end.read_exact(&mut bytes[4..]).await.unwrap();
        assert!(length >= HEAD);
        Frame::parse(bytes).unwrap()
    };
    tokio::time::timeout(SOON, reading).await.expect("a message")
}

impl Connection {
    async fn call(&mut self, procedure: u32, serial: u32, payload: &[u8]) {
        let frame = Frame::new(head(procedure, Kind::Call, serial), payload);
        self.client.write_all(frame.bytes()).await.unwrap();
    }

    /// libvirtd gets this call next.
    async fn arrives(&mut self, procedure: u32, serial: u32) {
        let frame = receive(&mut self.libvirtd).await;
        assert_eq!((frame.header().procedure, frame.header().serial), (procedure, serial));
    }

    async fn reply(&mut self, procedure: u32, serial: u32, payload: &[u8]) {
        let frame = Frame::new(head(procedure, Kind::Reply, serial), payload);
        self.libvirtd.write_all(frame.bytes()).await.unwrap();
    }

    /// The client gets the answer to this call next; libvirt's code of an error.
    async fn answered(&mut self, procedure: u32, serial: u32) -> Option<i32> {
        let frame = receive(&mut self.client).await;
        assert_eq!((frame.header().procedure, frame.header().serial), (procedure, serial));
        (frame.header().status == Status::Error).then(|| Reader::new(frame.payload()).i32().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_held_released_and_answered_by_libvirtd_itself() {
    let world = World::new().await;
    let mut south = world.connect("south", &[]);
    world.lock().await;
    let before = world.lanes.now().wall;
    south.call(SUSPEND, 1, &domain(1)).await;
    south.call(RESUME, 2, &domain(1)).await;
    let first = world.until("domain_suspend", |phase| *phase == Phase::Queued).await;
    let second = world.until("domain_resume", |phase| *phase == Phase::Queued).await;
    let issued = move |lane: &Lane, _| [first, second].map(|id| lane.state().command(id).unwrap().command().issued_at);
    let [one, two] = world.lanes.read(vm(1), issued).await.unwrap().map(|at| at.expect("when it came"));
    assert!(before <= one && one <= two && two <= world.lanes.now().wall, "{before:?} {one:?} {two:?}");
    south.call(GET_INFO, 3, &domain(1)).await;
    south.arrives(GET_INFO, 3).await;
    south.reply(GET_INFO, 3, &[0; 20]).await;
    assert_eq!(south.answered(GET_INFO, 3).await, None);
    world.unlock().await;
    south.arrives(SUSPEND, 1).await;
    let after =
        world.lanes.read(vm(1), move |lane, _| lane.state().command(second).unwrap().command().order.after.clone());
    assert_eq!(after.await.unwrap(), [first].into());
    world.fake.change(vm(1), |state| state.power = PowerState::Paused);
    south.reply(SUSPEND, 1, &[]).await;
    assert_eq!(south.answered(SUSPEND, 1).await, None);
    south.arrives(RESUME, 2).await;
    south.reply(RESUME, 2, &[]).await;
    assert_eq!(south.answered(RESUME, 2).await, None);
    assert_eq!(world.outcome(first).await.ending, End::Done);
    assert_eq!(world.outcome(second).await.ending, End::Done);
    let made = world.fake.executed().into_iter().filter(|(id, _)| [first, second].contains(id));
    assert_eq!(made.count(), 0, "the agent makes no call of its own");
    let call = world.lanes.read(vm(1), move |lane, _| lane.state().command(first).unwrap().command().call.clone());
    let call = call.await.unwrap().unwrap();
    assert_eq!((call.uid, call.gid, call.pid), (1000, Some(1000), Some(77)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_is_answered_and_the_next_one_is_not_kept_waiting_for_it() {
    let world = World::new().await;
    let mut south = world.connect("south", &[]);
    const RESET: u32 = 245;
    let mut reset = domain(1);
    reset.extend([0; 4]);
    // Both at once, so that the second is sent before the first is refused.
    let mut both = Frame::new(head(RESET, Kind::Call, 1), &reset).bytes().to_vec();
    both.extend(Frame::new(head(SUSPEND, Kind::Call, 2), &domain(1)).bytes());
    south.client.write_all(&both).await.unwrap();
    assert_eq!(south.answered(RESET, 1).await, Some(88));
    south.arrives(SUSPEND, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_takes_its_held_call_with_it() {
    let world = World::new().await;
    let mut south = world.connect("south", &[]);
    world.lock().await;
    south.call(SUSPEND, 1, &domain(1)).await;
    let id = world.until("domain_suspend", |phase| *phase == Phase::Queued).await;
    drop(south.client);
    let outcome = world.outcome(id).await;
    assert_eq!((outcome.ending, outcome.code), (End::Cancelled, Code::ClientGone));
    assert_eq!(south.relay.await.unwrap().unwrap(), Ending::ClientLeft);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_forwarded_is_awaited_when_the_client_has_gone() {
    let world = World::new().await;
    let mut south = world.connect("south", &[]);
    south.call(SUSPEND, 1, &domain(1)).await;
    south.arrives(SUSPEND, 1).await;
    let id = world.until("domain_suspend", |phase| *phase == Phase::Running).await;
    drop(south.client);
    world.fake.change(vm(1), |state| state.power = PowerState::Paused);
    let reply = Frame::new(head(SUSPEND, Kind::Reply, 1), &[]);
    south.libvirtd.write_all(reply.bytes()).await.unwrap();
    assert_eq!(world.outcome(id).await.code, Code::Executed);
    assert_eq!(south.relay.await.unwrap().unwrap(), Ending::ClientLeft);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_observed() {
    let world = World::new().await;
    for (number, done) in [(Fate::TookEffect, End::Done), (Fate::NoEffect, End::Cancelled)] {
        let mut south = world.connect("south", &[]);
        let (procedure, name) = (SUSPEND, "domain_suspend");
        south.call(procedure, 1, &domain(1)).await;
        south.arrives(procedure, 1).await;
        let id = world.until(name, |phase| *phase == Phase::Running).await;
        if number == Fate::TookEffect {
            world.fake.change(vm(1), |state| state.power = PowerState::Paused);
        }
        drop(south.libvirtd);
        assert_eq!(world.outcome(id).await.ending, done);
        assert_eq!(south.relay.await.unwrap().unwrap(), Ending::UpstreamLeft);
        world.fake.change(vm(1), |state| state.power = PowerState::Running);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_nobody_asked_for_ends_that_connection_alone() {
    let world = World::new().await;
    let (mut south, mut other) = (world.connect("south", &[]), world.connect("south", &[]));
    south.reply(SUSPEND, 1, &[]).await;
    assert_eq!(tokio::time::timeout(SOON, south.client.read(&mut [0; 64])).await.unwrap().unwrap(), 0);
    assert!(matches!(south.relay.await.unwrap().unwrap(), Ending::Decided(why) if why.contains("nobody asked for")));
    other.call(GET_INFO, 1, &domain(1)).await;
    other.arrives(GET_INFO, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_the_protocol_is_sent_away_and_what_it_left_is_awaited() {
    let world = World::new().await;
    let mut south = world.connect("south", &[]);
    south.call(SUSPEND, 1, &domain(1)).await;
    south.arrives(SUSPEND, 1).await;
    let id = world.until("domain_suspend", |phase| *phase == Phase::Running).await;
    south.call(GET_INFO, 1, &domain(1)).await;
    assert_eq!(tokio::time::timeout(SOON, south.client.read(&mut [0; 64])).await.unwrap().unwrap(), 0);
    world.fake.change(vm(1), |state| state.power = PowerState::Paused);
    south.reply(SUSPEND, 1, &[]).await;
    assert_eq!(world.outcome(id).await.code, Code::Executed);
    south.relay.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_seen_under_way_counts_as_begun_and_its_own_provider_ends_it_at_once() {
    let world = World::new().await;
    let mut south = world.connect("south", &[]);
    let mut payload = domain(1);
    let mut writer = Writer::new();
    // No XML, no cookie, where to, no URI, peer to peer and live, no name, no limit.
    writer.bool(false).opaque(&[]).optional_string(Some("qemu+unix:///system?socket=/x")).bool(false);
    writer.u64(3).bool(false).u64(0);
    payload.extend(writer.into_bytes());
    south.call(PERFORM3, 1, &payload).await;
    south.arrives(PERFORM3, 1).await;
    let id = world.until("domain_migrate_perform3", |phase| *phase == Phase::Running).await;
    // Before it is seen under way, it is the provider's own call that runs.
    south.call(ABORT_JOB, 2, &domain(1)).await;
    south.arrives(ABORT_JOB, 2).await;
    south.reply(ABORT_JOB, 2, &[]).await;
    assert_eq!(south.answered(ABORT_JOB, 2).await, None);
    let progress = JobProgress { hold: HoldKey::Migration, done: 1, total: 2, seconds_left: None, elapsed_s: None };
    world.fake.change(vm(1), |state| state.jobs = [HoldKey::Migration].into());
    world.fake.set_progress(vm(1), vec![progress]);
    assert_eq!(world.outcome(id).await.ending, End::Done);
    let holds =
        world.lanes.read(vm(1), |lane, _| lane.state().holds().map(|hold| hold.key().clone()).collect::<Vec<_>>());
    assert_eq!(holds.await.unwrap(), [HoldKey::Migration]);
    // How it goes is its own provider's to say, at once, and nobody else's while it is open.
    const SET_MAX_DOWNTIME: u32 = 166;
    let downtime = [domain(1), vec![0; 12]].concat();
    let mut north = world.connect("north", &[]);
    north.call(SET_MAX_DOWNTIME, 9, &downtime).await;
    world.until("domain_migrate_set_max_downtime", |phase| *phase == Phase::Queued).await;
    south.call(SET_MAX_DOWNTIME, 9, &downtime).await;
    south.arrives(SET_MAX_DOWNTIME, 9).await;
    south.reply(SET_MAX_DOWNTIME, 9, &[]).await;
    assert_eq!(south.answered(SET_MAX_DOWNTIME, 9).await, None);
    drop(north);
    // From then on its end is a command of its own.
    south.call(ABORT_JOB, 3, &domain(1)).await;
    south.arrives(ABORT_JOB, 3).await;
    let abort = world.until("domain_abort_job", |phase| *phase == Phase::Running).await;
    world.fake.change(vm(1), |state| state.jobs.clear());
    world.fake.set_progress(vm(1), Vec::new());
    south.reply(ABORT_JOB, 3, &[]).await;
    assert_eq!(south.answered(ABORT_JOB, 3).await, None);
    assert_eq!(world.outcome(abort).await.ending, End::Done);
    south.reply(PERFORM3, 1, &[]).await;
    assert_eq!(south.answered(PERFORM3, 1).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_block_job_is_steered_and_ended_by_its_provider_however_it_names_the_disk() {
    const BLOCK_PULL: u32 = 240;
    const BLOCK_JOB_ABORT: u32 = 237;
    const SET_SPEED: u32 = 239;
    const PIVOT: u32 = 2;
    let about = |disk: &str, numbers: &[u8]| {
        let mut writer = Writer::new();
        writer.string(disk).raw(numbers);
        [domain(1), writer.into_bytes()].concat()
    };
    let world = World::new().await;
    let mut north = world.connect("north", &[]);
    world.fake.change(vm(1), |state| {
        state.devices = ["disk:vda", "disk:vdb"].map(|name| name.parse().unwrap()).into();
    });
    world.sees(|lane| lane.state().believed().is_some_and(|seen| seen.devices.len() == 2)).await;
    let block = |disk: &str| HoldKey::Block(disk.to_owned());
    let holds = || async {
        let held = |lane: &Lane, _| lane.state().holds().map(|hold| hold.key().clone()).collect::<BTreeSet<_>>();
        world.lanes.read(vm(1), held).await.unwrap()
    };
    let mut serial = 0;
    for named in ["vda", "/images/a.qcow2"] {
        serial += 1;
        north.call(BLOCK_PULL, serial, &about("vda", &[0; 12])).await;
        north.arrives(BLOCK_PULL, serial).await;
        world.fake.change(vm(1), |state| _ = state.jobs.insert(HoldKey::Block("vda".to_owned())));
        north.reply(BLOCK_PULL, serial, &[]).await;
        assert_eq!(north.answered(BLOCK_PULL, serial).await, None);
        let pull = world.until("domain_block_pull", |phase| matches!(phase, Phase::Ended(_))).await;
        assert_eq!(world.outcome(pull).await.ending, End::Done);
        // In the second round the command that ended may be the first round's.
        world.sees(|lane| lane.state().holds().any(|hold| *hold.key() == HoldKey::Block("vda".to_owned()))).await;
        assert_eq!(holds().await, [block("vda")].into());
        // How fast it is is part of it, whoever may tune.
        serial += 1;
        north.call(SET_SPEED, serial, &about(named, &[0; 12])).await;
        north.arrives(SET_SPEED, serial).await;
        north.reply(SET_SPEED, serial, &[]).await;
        assert_eq!(north.answered(SET_SPEED, serial).await, None);
        serial += 1;
        north.call(BLOCK_JOB_ABORT, serial, &about(named, &PIVOT.to_be_bytes())).await;
        north.arrives(BLOCK_JOB_ABORT, serial).await;
        let abort = world.until("domain_block_job_abort", |phase| *phase == Phase::Running).await;
        world.fake.change(vm(1), |state| state.jobs.clear());
        north.reply(BLOCK_JOB_ABORT, serial, &[]).await;
        assert_eq!(north.answered(BLOCK_JOB_ABORT, serial).await, None);
        assert_eq!(world.outcome(abort).await.ending, End::Done);
        assert_eq!(holds().await, [].into(), "closed by the command, {named}");
    }
    let steered = world.lanes.read(vm(1), |lane, _| {
        let tunes = |tracked: &&covirt::resolver::Tracked| tracked.command().operation.action() == Action::TuningSet;
        lane.state().commands().filter(tunes).count()
    });
    assert_eq!(steered.await.unwrap(), 0, "it is no command of its own");
    // A job that others have begun is not ended by a name that may be its.
    world.fake.change(vm(1), |state| _ = state.jobs.insert(HoldKey::Block("vdb".to_owned())));
    world.sees(|lane| lane.state().holds().count() == 1).await;
    serial += 1;
    north.call(BLOCK_JOB_ABORT, serial, &about("/images/b.qcow2", &[0; 4])).await;
    world.until("domain_block_job_abort", |phase| *phase == Phase::Queued).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_makes_a_vm_is_its_primary_when_the_answer_comes() {
    let world = World::new().await;
    let mut north = world.connect("north", &[Role::Host]);
    let mut writer = Writer::new();
    writer.string(&format!("<domain><name>vm5</name><uuid>{}</uuid></domain>", vm(5)));
    north.call(DEFINE, 1, &writer.into_bytes()).await;
    north.arrives(DEFINE, 1).await;
    world.define(5);
    north.reply(DEFINE, 1, &domain(5)).await;
    assert_eq!(north.answered(DEFINE, 1).await, None);
    let primary = world.lanes.read(vm(5), |lane, _| lane.state().authority().map(|known| known.primary.clone()));
    assert_eq!(primary.await.unwrap(), Some(provider("north")));
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_connections_a_provider_has_it_asks_the_hypervisor_two_things_at_once() {
    let world = World::new().await;
    world.fake.hold_questions();
    let mut connections: Vec<Connection> = (0..6).map(|_| world.connect("north", &[Role::Host])).collect();
    for (connection, number) in connections.iter_mut().zip(10..) {
        let mut writer = Writer::new();
        writer.string(&format!("<domain><name>vm{number}</name><uuid>{}</uuid></domain>", vm(number)));
        // Whether there is such a VM has to be asked; what comes behind it does not wait for that.
        connection.call(DEFINE, 1, &writer.into_bytes()).await;
        connection.call(GET_INFO, 2, &domain(1)).await;
        connection.arrives(GET_INFO, 2).await;
    }
    let most = world.fake.answer_questions();
    for connection in &mut connections {
        connection.arrives(DEFINE, 1).await;
    }
    assert!(most <= 2, "{most} questions at once");
}
