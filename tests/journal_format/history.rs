//! A history with every kind of fact, as lanes bring it about; and what its states come to, as text.

use std::fmt::Write as _;

use covirt::delegation::{ChangeRequest, Mode};
use covirt::journal::Entry;
use covirt::model::{Action, PowerState, StartId, VmState};
use covirt::resolver::{
    CallResult, Consent, Evidence, HookUse, Input, Observation, Output, Phase, Policy, Said, State, deciding_rule,
};
use serde_json::{Value, json};

use crate::traffic::{Traffic, provider, running};

/// Three VMs: one at work, one whose calls are lost, one that is handed over, released and enrolled anew.
pub(crate) fn history() -> Vec<Entry> {
    let mut traffic = Traffic::new(3, 20);
    for _ in 0..12 {
        traffic.round(0);
    }
    lost_calls(&mut traffic, 1);
    handed_over(&mut traffic, 2);
    traffic.entries
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
