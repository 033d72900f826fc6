//! A history with every kind of fact, as lanes bring it about; and what its states come to, as text.

use std::collections::VecDeque;
use std::fmt::Write as _;

use covirt::delegation::{ChangeRequest, Mode};
use covirt::journal::Entry;
use covirt::model::operation::RelayedArgs;
use covirt::model::{
    Action, Cause, ChannelId, ClientCall, Happening, HoldKey, Operation, Peer, PowerState, ProviderId, Resource,
    StartId, VmState, Wall,
};
use covirt::resolver::{
    CallResult, ChannelRequest, Consent, Evidence, Force, GatherFor, Heard, HookUse, Input, Observation, Output, Party,
    Phase, Policy, Said, State, deciding_rule, pair,
};
use covirt::sovereignty::{By, Freeze, HostFact, Reach, Restraint, Scope};
use serde_json::{Value, json};

use crate::traffic::{Traffic, provider, running};

/// Seven VMs: one at work, one whose calls are lost, one that is handed over, released and enrolled anew, one on which
/// things are left open, one about which its providers do not agree, one whose providers are libvirt clients, and one
/// over which the host's owner has its word.
pub(crate) fn history() -> Vec<Entry> {
    let mut traffic = Traffic::new(7, 20);
    for _ in 0..12 {
        traffic.round(0);
    }
    lost_calls(&mut traffic, 1);
    handed_over(&mut traffic, 2);
    left_open(&mut traffic, 3);
    not_agreed(&mut traffic, 4);
    clients_calls(&mut traffic, 5);
    owners_word(&mut traffic, 6);
    traffic.entries
}

/// Freezes, the broken glass, and channels: what ended, and what is in force and open at the end.
fn owners_word(traffic: &mut Traffic, at: usize) {
    let by = || By::of(ProviderId::operator());
    let since = Wall::from_micros(1_770_000_000_000_000);
    let freeze = |scope| Freeze { scope, reach: Reach::Providers, reason: Some("it loops".to_owned()), since };
    let channel = |traffic: &mut Traffic, number, who: &str, kind: &str| {
        let from = Peer::Local { uid: 1001, gid: None, pid: Some(4712) };
        let (id, by, kind) = (ChannelId(uuid::Uuid::from_u128(number)), provider(who), kind.parse().unwrap());
        let request = ChannelRequest { id, by, kind, from, force: Force::No };
        traffic.tell(at, Input::OpenChannel { token: 0, request });
    };
    channel(traffic, 1, "south", "console");
    channel(traffic, 2, "north", "screen");
    channel(traffic, 3, "south", "screen");
    // What south had open ends with its delegation.
    let actions = [Action::ScreenOpen].into();
    let revoke = ChangeRequest::Revoke { by: provider("north"), from: provider("south"), actions };
    traffic.tell(at, Input::Change { token: 0, request: revoke });

    let frozen = freeze(Scope::Provider { provider: provider("south") });
    traffic.host(HostFact::Frozen { by: by(), freeze: frozen.clone() });
    let told = |freezes| Input::Restrained(Restraint { freezes, ..Restraint::default() }.into());
    traffic.tell(at, told(vec![frozen]));
    traffic.host(HostFact::Thawed { by: by(), scope: Scope::Provider { provider: provider("south") }, reason: None });
    traffic.tell(at, told(Vec::new()));

    let (vm, reason, span) = (crate::traffic::vm(at), "a disk burns", std::time::Duration::from_secs(600));
    traffic.host(HostFact::GlassBroken { by: by(), vm, reason: reason.to_owned(), until: since });
    let broken = Input::BreakGlass { token: 0, by: ProviderId::operator(), reason: reason.to_owned(), span };
    traffic.tell(at, broken);
    traffic.tell(at, Input::MendGlass { token: 0, by: ProviderId::operator() });
    traffic.host(HostFact::GlassMended { by: by(), vm });

    channel(traffic, 4, "north", "console");
    let frozen = freeze(Scope::Vm { vm });
    traffic.host(HostFact::Frozen { by: by(), freeze: frozen.clone() });
    traffic.tell(at, told(vec![frozen]));
    traffic.now_us += 1_000_000;
    channel(traffic, 5, "operator", "screen");
}

/// Holds of every kind, each ended in another way; the last is open still.
fn left_open(traffic: &mut Traffic, at: usize) {
    let disks = || VmState { devices: ["disk:vda".parse().unwrap()].into(), ..running() };
    let open = |jobs: &[&str]| VmState { jobs: jobs.iter().map(|key| key.parse().unwrap()).collect(), ..disks() };
    let see = |traffic: &mut Traffic, state| traffic.tell(at, Input::Observed { state, why: Observation::Event });
    see(traffic, disks());
    // Let go when its lease is over, by the agent's own errand.
    run(traffic, at, "guest.freeze", &json!({ "lease_s": 5 }));
    traffic.now_us += 6_000_000;
    let wanted = traffic.tell(at, Input::Tick);
    traffic.settle(at, wanted);
    // Given up because its owner's session ended.
    run(traffic, at, "guest.freeze", &json!({ "lease_s": 600 }));
    let wanted = traffic.tell(at, Input::SessionLost { provider: provider("north") });
    traffic.settle(at, wanted);
    // Given back when its owner asks.
    run(traffic, at, "lock.acquire", &json!({ "reason": "maintenance", "lease_s": 600 }));
    let reason = "done sooner".to_owned();
    let asked = Input::ReleaseHold { token: 0, by: provider("north"), hold: HoldKey::Lock, reason };
    traffic.tell(at, asked);
    // Over by itself, as libvirt says.
    run(traffic, at, "backup.begin", &json!({ "mode": "push", "files": { "vda": "/backup/vda.qcow2" } }));
    see(traffic, open(&["backup"]));
    see(traffic, disks());
    // Somebody else's, which ends with the process that it lived in.
    see(traffic, open(&["block:vda"]));
    let stopped = VmState { power: PowerState::ShutOff, start: StartId(None), ..disks() };
    let why = Observation::Told(Cause::GuestShutdown);
    traffic.tell(at, Input::Observed { state: stopped, why });
    traffic.tell(at, Input::Observed { state: disks(), why: Observation::Told(Cause::Started) });
    // So late that no command of ours can have done it.
    traffic.now_us += 60_000_000;
    traffic.tell(at, Input::Happened(Cause::Rebooted.into()));
    let removed = Happening { cause: Cause::DeviceRemoved, subject: Some("net0".to_owned()) };
    traffic.tell(at, Input::Happened(removed));
    run(traffic, at, "block.copy", &json!({ "disk": "vda", "to": "/copy/vda.qcow2" }));
    see(traffic, open(&["block:vda"]));
}

/// Two who both want to be first; the operator's word; hand-overs that come about, fail, and are under way at the end.
fn not_agreed(traffic: &mut Traffic, at: usize) {
    let escalate = [pair(provider("north"), provider("south"))].into();
    traffic.policy(at, Policy { gather_for: GatherFor::Writes, escalate, ..Policy::default() });
    traffic.now_us += 1_000_000;
    let [mine, theirs] = [(0, 4), (1, 6)].map(|(who, vcpus)| {
        traffic.now_us += 500;
        traffic.command(at, who, "cpu.set", &json!({ "vcpus": vcpus }))
    });
    let first = theirs.id;
    let mut wanted = traffic.submit(at, mine);
    wanted.extend(traffic.submit(at, theirs));
    let mut conflict = None;
    while let Some(output) = wanted.pop_front() {
        if let Output::Ask(ask) = output
            && let Party::Provider(by) = ask.who
        {
            conflict = Some(ask.conflict);
            let (conflict, epoch, said, how) = (ask.conflict, ask.epoch, Said::MineFirst, Heard::Said);
            wanted.extend(traffic.tell(at, Input::Answered { token: None, conflict, epoch, by, said, how }));
        }
        if wanted.is_empty() && conflict.is_none() {
            traffic.now_us += 30_000;
            wanted.extend(traffic.tell(at, Input::Tick));
        }
    }
    let conflict = conflict.expect("both are asked");
    let wanted = traffic.tell(at, Input::Decide { token: 0, by: ProviderId::operator(), conflict, first });
    traffic.settle(at, wanted);

    let hand_over = |action: Action| {
        let (by, to) = (provider("north"), provider("west"));
        let request = ChangeRequest::Delegate { by, to, actions: [action].into(), mode: Mode::Exclusive, lease: None };
        Input::Drain { token: 0, request }
    };
    let begin = |traffic: &mut Traffic, name: &str| {
        let create = traffic.command(at, 0, "snapshot.create", &json!({ "name": name }));
        let mut wanted = traffic.submit(at, create);
        while !matches!(wanted.front(), Some(Output::Execute(_))) {
            if wanted.pop_front().is_none() {
                traffic.now_us += 30_000;
                wanted.extend(traffic.tell(at, Input::Tick));
            }
        }
        wanted
    };
    // What is in flight does not end in time.
    let wanted = begin(traffic, "slow");
    traffic.tell(at, hand_over(Action::SnapshotCreate));
    traffic.now_us += 601_000_000;
    traffic.tell(at, Input::Tick);
    traffic.settle(at, wanted);
    // It does.
    let wanted = begin(traffic, "quick");
    traffic.tell(at, hand_over(Action::SnapshotCreate));
    traffic.settle(at, wanted);
}

/// One command of north's, until it has ended.
fn run(traffic: &mut Traffic, at: usize, action: &str, args: &Value) {
    traffic.now_us += 1_000_000;
    let command = traffic.command(at, 0, action, args);
    let id = command.id;
    let mut wanted: VecDeque<Output> = traffic.submit(at, command);
    while !matches!(wanted.pop_front(), Some(Output::Execute(_))) {
        if wanted.is_empty() {
            traffic.now_us += 30_000;
            wanted.extend(traffic.tell(at, Input::Tick));
        }
    }
    traffic.now_us += 40_000;
    traffic.tell(at, Input::Finished { command: id, result: CallResult::Done(Value::Null) });
}

/// Calls of clients: forwarded, lost, given up with their client; what was removed is defined again. At the end one is
/// under way and one waits.
fn clients_calls(traffic: &mut Traffic, at: usize) {
    let client = |procedure: &str| ClientCall {
        procedure: procedure.to_owned(),
        peer: Peer::Local { uid: 107, gid: None, pid: Some(4711) },
    };
    let calls = |traffic: &mut Traffic, who: usize, action: Action, procedure: &str| {
        let mut command = traffic.command(at, who, "inspect.read", &json!({}));
        let touches = [Resource::Disk("vda".to_owned())].into();
        command.operation = Operation::Relayed(RelayedArgs { action, procedure: procedure.to_owned(), touches });
        command.call = Some(client(procedure));
        command
    };
    let mut suspend = traffic.command(at, 1, "power.suspend", &json!({}));
    suspend.call = Some(client("domain_suspend"));
    let mut wanted = traffic.submit(at, suspend);
    let pin = calls(traffic, 0, Action::TuningSet, "domain_pin_vcpu");
    wanted.extend(traffic.submit(at, pin));
    traffic.settle(at, wanted);
    // Nobody makes it again.
    let dump = calls(traffic, 1, Action::MemoryDump, "domain_core_dump");
    let id = dump.id;
    traffic.submit(at, dump);
    traffic.now_us += 30_000;
    traffic.tell(at, Input::Tick);
    traffic.tell(at, Input::Finished { command: id, result: CallResult::Lost("libvirtd went away".to_owned()) });
    traffic.tell(at, Input::Probed { command: id, evidence: Evidence::Undone });
    // Its client went away first.
    let write = calls(traffic, 1, Action::DiskWrite, "storage_vol_upload");
    let id = write.id;
    traffic.submit(at, write);
    traffic.tell(at, Input::ClientGone { command: id });
    traffic.tell(at, Input::Vanished { why: Observation::Event });
    let define = calls(traffic, 0, Action::DefinitionDefine, "domain_define_xml_flags");
    let id = define.id;
    traffic.submit(at, define);
    traffic.now_us += 30_000;
    traffic.tell(at, Input::Tick);
    traffic.tell(at, Input::Observed { state: running(), why: Observation::Event });
    traffic.tell(at, Input::Finished { command: id, result: CallResult::Done(Value::Null) });
    let mut create = traffic.command(at, 0, "snapshot.create", &json!({"name": "before-update"}));
    create.call = Some(client("domain_snapshot_create_xml"));
    traffic.submit(at, create);
    traffic.now_us += 30_000;
    traffic.tell(at, Input::Tick);
    let delete = calls(traffic, 1, Action::SnapshotDelete, "domain_snapshot_delete");
    traffic.submit(at, delete);
}

fn lost_calls(traffic: &mut Traffic, at: usize) {
    traffic.round(at);
    // A number is missing, the window for it passes, the command goes on.
    let mut late = traffic.command(at, 0, "cpu.set", &json!({"vcpus": 7}));
    late.order.seq = Some(9);
    let wanted = traffic.submit(at, late);
    traffic.settle(at, wanted);
    for evidence in [Evidence::Undone, Evidence::Done, Evidence::None] {
        let command = traffic.command(
            at,
            0,
            "metadata.set",
            &json!({"uri": "urn:example:lost", "key": "lost", "xml": "<lost/>"}),
        );
        let id = command.id;
        let mut wanted = traffic.submit(at, command);
        while !matches!(wanted.pop_front(), Some(Output::Execute(_))) {
            traffic.now_us += 30_000;
            wanted.extend(traffic.tell(at, Input::Tick));
        }
        let lost = CallResult::Lost("the connection to libvirtd was closed".to_owned());
        traffic.tell(at, Input::Finished { command: id, result: lost });
        let wanted = traffic.tell(at, Input::Probed { command: id, evidence });
        traffic.settle(at, wanted);
    }
    let stopped = VmState { power: PowerState::ShutOff, start: StartId(None), ..running() };
    traffic.tell(at, Input::Observed { state: stopped, why: Observation::Event });
    traffic.tell(at, Input::Observed { state: running(), why: Observation::Look });
    // At the end one command is at the hypervisor, and one waits for it.
    let create = traffic.command(at, 0, "snapshot.create", &json!({"name": "before-update"}));
    traffic.submit(at, create);
    traffic.now_us += 30_000;
    traffic.tell(at, Input::Tick);
    let delete = traffic.command(at, 0, "snapshot.create", &json!({"name": "after-update"}));
    traffic.submit(at, delete);
}

fn handed_over(traffic: &mut Traffic, at: usize) {
    let policy = Policy {
        hook: HookUse::Ask,
        consent: [(provider("south"), Consent { standing: Some(Said::TheirsFirst), on_silence: Said::MineFirst })]
            .into(),
        ..Policy::default()
    };
    traffic.policy(at, policy);
    for _ in 0..3 {
        traffic.round(at);
    }
    let by = provider("north");
    let revoke = ChangeRequest::Revoke { by: by.clone(), from: provider("south"), actions: [Action::CpuSet].into() };
    traffic.tell(at, Input::Change { token: 0, request: revoke });
    let actions = [Action::SnapshotCreate, Action::SnapshotDelete].into();
    let lease = Some(std::time::Duration::from_secs(3600));
    let grant = ChangeRequest::Delegate { by: by.clone(), to: provider("west"), actions, mode: Mode::Exclusive, lease };
    traffic.tell(at, Input::Change { token: 0, request: grant });
    traffic.tell(at, Input::Release { token: 0, by: by.clone() });
    traffic.now_us += 60_000_000;
    traffic.tell(at, Input::Enroll { token: 0, name: "vm-2-again".to_owned(), primary: by, state: running() });
    traffic.tell(at, Input::Change { token: 0, request: Traffic::sharing() });
    traffic.round(at);
    traffic.tell(at, Input::Vanished { why: Observation::Event });
}

/// What states come to, in words that no later field or sentence changes.
pub(crate) fn describe<'a>(states: impl IntoIterator<Item = &'a State>) -> String {
    let mut text = String::new();
    for state in states {
        let believed = state.believed().map(|vm| {
            json!([vm.power, vm.start, vm.vcpus, vm.vcpus_max, vm.memory_kib, vm.memory_max_kib, vm.snapshots])
        });
        let seqs = crate::traffic::PROVIDERS.map(|name| state.highest_seq(&provider(name)));
        let authority = serde_json::to_value(state.authority()).unwrap();
        writeln!(text, "vm {} {:?} {:?} sequences {seqs:?}", state.vm(), state.name(), state.standing()).unwrap();
        writeln!(text, "  believed {}", believed.unwrap_or_default()).unwrap();
        writeln!(text, "  authority {authority}").unwrap();
        for freeze in state.freezes().iter().chain(state.host().into_iter().flat_map(|host| host.freezes())) {
            writeln!(text, "  frozen {:?} for {:?}", freeze.scope, freeze.reach).unwrap();
        }
        for channel in state.channels() {
            writeln!(text, "  channel {} of {}", channel.id(), channel.owner()).unwrap();
        }
        for hold in state.holds() {
            let owner = hold.owner().map_or("nobody here", ProviderId::as_str);
            writeln!(text, "  open {} of {owner}", hold.key()).unwrap();
        }
        for tracked in state.commands() {
            let command = tracked.command();
            let phase = match tracked.phase() {
                Phase::Queued => "queued".to_owned(),
                Phase::Running => "running".to_owned(),
                Phase::Unknown => "unknown".to_owned(),
                Phase::Ended(outcome) => {
                    let result = if outcome.result == Value::Null { String::new() } else { outcome.result.to_string() };
                    format!("{} {:?} {} {result}", outcome.ending, outcome.code, outcome.reason)
                }
            };
            let (action, rule) = (command.operation.action(), deciding_rule(state, tracked));
            let conflicts = tracked.conflicts().len();
            writeln!(
                text,
                "  {} {} {action} {} {conflicts} {rule:?}: {phase}",
                command.id,
                command.provider,
                tracked.seq()
            )
            .unwrap();
        }
    }
    text
}
