//! Calls for the adapter's tests. Only a lane makes calls, so each comes from a lane of its own.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use covirt::hypervisor::{Event, Hypervisor, Libvirt};
use covirt::model::{
    Action, Class, Command, CommandId, Guard, Mono, Now, Operation, Order, ProviderId, VmId, VmState, Wall,
};
use covirt::resolver::{Call, CallResult, Input, Lane, Output, Policy, Sender, State};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// The call a lane makes when the operator wants this of a VM in this state.
#[track_caller]
pub(crate) fn call(vm: VmId, state: &VmState, action: Action, args: Value) -> Call {
    let number = u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
    let command = Command {
        id: CommandId(Uuid::from_u128(number)),
        vm,
        provider: ProviderId::operator(),
        operation: Operation::parse(action, args).expect("the arguments fit"),
        order: Order::default(),
        issued_at: None,
        not_after: None,
        must_start_by: None,
        break_glass: None,
        guard: Guard::default(),
        class: Class::Emergency,
        epoch: None,
        call: None,
    };
    let primary = "north".parse().expect("a provider's name");
    let enroll = Input::Enroll { token: 1, name: "vm".to_owned(), primary, state: state.clone() };
    let submit = Input::Submitted { token: 2, command: Box::new(command), sender: Sender::default() };
    let mut inputs = VecDeque::from([enroll, submit]);
    let mut lane = Lane::new(State::new(vm), Policy::default());
    for second in 1..100 {
        let input = inputs.pop_front().unwrap_or(Input::Tick);
        let now = Now { mono: Mono(second * 1_000_000), wall: Wall::from_micros(1_000_000) };
        for output in lane.step(now, input) {
            match output {
                Output::Append { step, .. } => inputs.push_front(Input::Persisted { step }),
                Output::Execute(call) => return call,
                Output::Refused { refusal, .. } => panic!("{action}: {refusal}"),
                Output::Ended { outcome, .. } => panic!("{action}: {outcome:?}"),
                _ => {}
            }
        }
    }
    panic!("{action}: the lane made no call");
}

/// Executes an action on the VM as it is now.
pub(crate) async fn act(libvirt: &Libvirt, vm: VmId, action: Action, args: Value) -> CallResult {
    let state = libvirt.observe(vm).await.expect("observe");
    libvirt.execute(call(vm, &state, action, args)).await
}

/// The same for an action that must succeed.
pub(crate) async fn done(libvirt: &Libvirt, vm: VmId, action: Action, args: Value) -> Value {
    match act(libvirt, vm, action, args).await {
        CallResult::Done(value) => value,
        other => panic!("{action}: {other:?}"),
    }
}

/// Reads events until this one comes.
pub(crate) async fn until_event(events: &mut tokio::sync::mpsc::Receiver<Event>, wanted: &Event, within: Duration) {
    let seen = async { while events.recv().await.expect("the adapter is there") != *wanted {} };
    tokio::time::timeout(within, seen).await.unwrap_or_else(|_| panic!("{wanted:?}: not within {within:?}"));
}
