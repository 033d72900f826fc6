//! Puts one backend through the list, and says of every step what is not as the list has it.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::timeout;

use covirt::hypervisor::{AskHypervisorError, Event, Later, Whole};
use covirt::model::{Action, Cause, Code, Ending, Operation, PowerState, VmState};
use covirt::resolver::CallResult;

use super::behaviour::{Backend, Behaviour, Ends, MeantFor, Shows, Step, Tells, What};
use super::look;
use super::stage::Stage;
use crate::libvirt_calls;

/// How long a call may take.
const CALL_LIMIT: Duration = Duration::from_secs(90);
/// How long something open may take to end by itself.
const END_LIMIT: Duration = Duration::from_secs(30);

/// What became of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) ran: usize,
    pub(crate) steps: usize,
    /// Behaviours that this machine lacks something for, with what.
    pub(crate) skipped: Vec<(&'static str, String)>,
    /// What is not as the list has it.
    pub(crate) complaints: Vec<String>,
}

/// Goes through those of the list that are chosen. `COVIRT_PARITY` narrows it to names that contain its text.
pub(crate) async fn run(stage: &mut Stage, list: &[Behaviour], chosen: impl Fn(&Behaviour) -> bool) -> Report {
    let only = std::env::var("COVIRT_PARITY").unwrap_or_default();
    let mut report = Report::default();
    for behaviour in list.iter().filter(|behaviour| chosen(behaviour) && behaviour.name.contains(&only)) {
        let begun = Instant::now();
        if let Some(Err(reason)) = behaviour.need.map(|need| stage.has(need)) {
            report.skipped.push((behaviour.name, reason));
            continue;
        }
        stage.set(behaviour.ground).await;
        let first = stage.look().await.expect("the VM is there");
        let mut last = first.clone();
        for (number, step) in behaviour.steps_on(stage.backend).iter().enumerate() {
            let complaints = take(stage, &first, &mut last, step).await;
            let at = format!("{}: {}, step {} ({})", stage.backend.name(), behaviour.name, number + 1, step.what);
            report.complaints.extend(complaints.into_iter().map(|complaint| format!("{at}: {complaint}")));
            report.steps += 1;
        }
        report.ran += 1;
        eprintln!("{:>7.2} s  {}  {}", begun.elapsed().as_secs_f64(), stage.backend.name(), behaviour.name);
    }
    report
}

/// Takes one step and looks at everything.
async fn take(stage: &mut Stage, first: &VmState, last: &mut VmState, step: &Step) -> Vec<String> {
    stage.forget_events().await;
    let before = last.clone();
    let mut complaints = Vec::new();
    let mut probe = None;
    let mut gave = Value::Null;
    match &step.what {
        What::Call(action, args) => {
            let args = stage.fill(args);
            let operation = match Operation::parse(*action, args.clone()) {
                Ok(operation) => operation,
                Err(error) => return vec![error.to_string()],
            };
            let mut believed = look::belief(&before, &operation);
            if step.meant_for == MeantFor::First {
                believed.start = first.start;
            }
            let call = libvirt_calls::call(stage.vm, &believed, *action, args);
            let Ok(result) = timeout(CALL_LIMIT, stage.hypervisor.execute(call.clone())).await else {
                return vec![format!("no answer within {CALL_LIMIT:?}")];
            };
            if let CallResult::Done(value) = &result {
                gave.clone_from(value);
            }
            complaints.extend(ended(stage, &step.ends, &result));
            probe = matches!(step.ends, Ends::Done(_)).then_some((*action, call));
        }
        What::EndsByItself(key) => complaints.extend(stage.let_end(&look::hold(key), END_LIMIT).await.err()),
        What::IsReady(key) => complaints.extend(stage.until_ready(&look::hold(key), END_LIMIT).await.err()),
    }
    if !complaints.is_empty() {
        // What else is wrong follows from that.
        *last = stage.look().await.unwrap_or(before);
        return complaints;
    }
    if matches!(step.what, What::Call(..)) {
        complaints.extend(told(stage, step).await);
    }
    let after = match (stage.look().await, step.shows.contains(&Shows::Gone)) {
        (Ok(after), _) => after,
        (Err(AskHypervisorError::NoSuchVm(_)), true) => return complaints,
        (Err(AskHypervisorError::NoSuchVm(_)), false) if step.ends == Ends::Not(Code::VmGone) => return complaints,
        (Err(error), _) => return vec![error.to_string()],
    };
    match shown(step, &before, &after) {
        Ok(differences) => complaints.extend(differences),
        Err(complaint) => complaints.push(complaint),
    }
    if !step.shows.iter().any(|shows| matches!(shows, Shows::PerhapsOpen(_))) {
        complaints.extend(other_looks(stage, &after).await);
    }
    if let Some((action, call)) = probe {
        match once_idle(|| stage.hypervisor.probe(call.clone())).await {
            Ok(found) if found == step.trace => {}
            Ok(found) => complaints.push(format!("a probe finds {found:?}, not {:?}", step.trace)),
            Err(error) => complaints.push(format!("it cannot be probed: {error}")),
        }
        if action == Action::InspectRead {
            complaints.extend(read_is(&gave, &after));
        }
    }
    *last = after;
    complaints
}

fn ended(stage: &Stage, ends: &Ends, result: &CallResult) -> Option<String> {
    match (ends, result) {
        (Ends::Done(wanted), CallResult::Done(value)) if fits(&stage.fill(wanted), value) => None,
        (Ends::Done(wanted), CallResult::Done(value)) => Some(format!("it gives {value}, not {wanted}")),
        (Ends::Not(code), CallResult::Failed(outcome)) if outcome.code == *code && outcome.ending == ending(*code) => {
            None
        }
        (Ends::Not(code), CallResult::Done(_)) => Some(format!("it is done, not {code:?}")),
        (_, CallResult::Failed(outcome)) => {
            Some(format!("it ends {} {:?}: {}", outcome.ending, outcome.code, outcome.reason))
        }
        (_, CallResult::Lost(reason)) => Some(format!("its answer is lost: {reason}")),
    }
}

/// How a command ends that a hypervisor ends with this code.
fn ending(code: Code) -> Ending {
    match code {
        Code::StateForbids | Code::VmGone => Ending::Impossible,
        _ => Ending::Failed,
    }
}

/// Whether a value is as the list has it.
fn fits(wanted: &Value, value: &Value) -> bool {
    match (wanted, value) {
        (Value::String(any), _) if any == "*" => true,
        (Value::Object(wanted), Value::Object(value)) => {
            wanted.len() == value.len()
                && wanted.iter().all(|(name, wanted)| value.get(name).is_some_and(|value| fits(wanted, value)))
        }
        (wanted, value) => wanted == value,
    }
}

fn shown(step: &Step, before: &VmState, after: &VmState) -> Result<Vec<String>, String> {
    let (shows, mut before) = match &step.what {
        What::Call(..) => (&step.shows[..], before.clone()),
        What::EndsByItself(_) | What::IsReady(_) => (&[][..], before.clone()),
    };
    if let What::EndsByItself(key) = &step.what {
        before.jobs.remove(&look::hold(key));
    }
    look::expected(&before, shows, after).map(|expected| look::difference(&expected, after))
}

/// The other questions say the same.
async fn other_looks(stage: &Stage, state: &VmState) -> Vec<String> {
    let mut complaints = Vec::new();
    match stage.hypervisor.list().await {
        Ok(listed) => match listed.iter().find(|listing| listing.vm == stage.vm) {
            Some(listing) => {
                // Of one that is busy just now the list leaves out what is open.
                let jobs = match listing.whole {
                    Whole::Yes => listing.state.jobs.clone(),
                    Whole::WithoutJobs => state.jobs.clone(),
                };
                let listed = VmState { jobs, ..listing.state.clone() };
                complaints.extend(look::difference(state, &listed).iter().map(|it| format!("in the list {it}")));
            }
            None => complaints.push("the list lacks the VM".to_owned()),
        },
        Err(error) => complaints.push(format!("no list: {error}")),
    }
    match once_idle(|| stage.hypervisor.progress(stage.vm)).await {
        Ok(all) => {
            let open: std::collections::BTreeSet<_> = all.into_iter().map(|job| job.hold).collect();
            if open != state.jobs {
                complaints.push(format!("progress is told of {open:?}, and open are {:?}", state.jobs));
            }
        }
        Err(error) => complaints.push(format!("no progress: {error}")),
    }
    match stage.hypervisor.inventory(stage.vm).await {
        Ok(inventory) => {
            let domain = &inventory.domain;
            let disks = domain.disks.iter().map(|disk| format!("disk:{}", disk.target));
            let nics = domain.nics.iter().filter_map(|nic| nic.mac.map(|mac| format!("nic:{mac}")));
            let devices: std::collections::BTreeSet<String> = disks.chain(nics).collect();
            let looked: std::collections::BTreeSet<String> = state.devices.iter().map(ToString::to_string).collect();
            if devices != looked {
                complaints.push(format!("the inventory has {devices:?}, and a look shows {looked:?}"));
            }
            if domain.cpu.vcpus_max != state.vcpus_max {
                complaints.push(format!("the inventory has at most {} vCPUs", domain.cpu.vcpus_max));
            }
        }
        Err(error) => complaints.push(format!("no inventory: {error}")),
    }
    complaints
}

/// The answer to a question that a VM which is busy does not answer.
async fn once_idle<T>(ask: impl Fn() -> Later<Result<T, AskHypervisorError>>) -> Result<T, AskHypervisorError> {
    let end = Instant::now() + END_LIMIT;
    loop {
        match ask().await {
            Err(AskHypervisorError::Failed(_)) if Instant::now() < end => {}
            answer => return answer,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a read gives is what a look shows, with its generation.
fn read_is(gave: &Value, state: &VmState) -> Option<String> {
    let mut wanted = serde_json::to_value(state).expect("a state is JSON");
    wanted["generation"] = state.generation().into();
    (gave != &wanted).then(|| format!("it gives {gave}, and a look shows {wanted}"))
}

/// Compares the events of a step with what the list has.
async fn told(stage: &mut Stage, step: &Step) -> Vec<String> {
    let allowed: Vec<Event> = step.tells.iter().map(|tells| event(stage, tells)).collect();
    let sure = step.tells.iter().filter(|tells| !matches!(tells, Tells::PerhapsChanged(_)));
    let wanted: Vec<Event> = sure.map(|tells| event(stage, tells)).collect();
    let mut heard = stage.events_of_step(&wanted).await;
    if std::env::var_os("COVIRT_PARITY_EVENTS").is_some() {
        eprintln!("           {} {}: {heard:?}", stage.backend.name(), step.what);
    }
    heard.retain(means_something);
    if stage.backend == Backend::Fake {
        // It says what the list has and no more.
        return if heard == wanted { Vec::new() } else { vec![format!("it tells {heard:?}, not {wanted:?}")] };
    }
    // A guest that is reset while it boots may fall over and begin anew, more than once: its own doing, and later.
    heard.retain(|heard| wanted.contains(heard) || *heard != Event::Happened(stage.vm, Cause::Rebooted.into()));
    // That the VM ended is said when libvirt was asked whether it is gone, which may be a moment after what follows.
    let mut complaints: Vec<String> = wanted
        .iter()
        .filter(|wanted| !heard.contains(wanted))
        .map(|wanted| format!("nobody tells {wanted:?}, but {heard:?}"))
        .collect();
    complaints.extend(
        heard.iter().filter(|heard| !allowed.contains(heard)).map(|heard| format!("it tells {heard:?} as well")),
    );
    // What may be told decides nothing by itself, and must not change what follows from what is told for certain.
    let by_chance = wanted.is_empty() && heard.iter().all(|heard| allowed.contains(heard));
    if cause(&heard) != cause(&wanted) && !by_chance {
        complaints.push(format!("the cause is {:?}, not {:?}: {heard:?}", cause(&heard), cause(&wanted)));
    }
    complaints
}

fn event(stage: &Stage, tells: &Tells) -> Event {
    let vm = stage.vm;
    match tells {
        Tells::Power(power) => Event::Power(vm, *power),
        Tells::Changed(cause) | Tells::PerhapsChanged(cause) => Event::Changed(vm, Some(*cause)),
        Tells::Happened(cause) => Event::Happened(vm, (*cause).into()),
        Tells::About(cause, subject) => {
            let subject = Some(stage.fill_text(subject));
            Event::Happened(vm, covirt::model::Happening { cause: *cause, subject })
        }
        Tells::Gone(cause) => Event::Gone(vm, Some(*cause)),
    }
}

/// What a lane that has no call under way makes of events: why the VM is as it is.
fn cause(events: &[Event]) -> Option<Cause> {
    let causes = events.iter().filter_map(|event| match event {
        Event::Power(_, PowerState::Paused) => Some(Cause::Suspended),
        Event::Power(..) => Some(Cause::Resumed),
        Event::Changed(_, cause) | Event::Gone(_, cause) => *cause,
        Event::Happened(..) | Event::Disconnected | Event::Reconnected => None,
    });
    let happened = events.iter().find_map(|event| match event {
        Event::Happened(_, happening) if means_something(event) => Some(happening.cause),
        _ => None,
    });
    causes.reduce(Cause::followed_by).or(happened)
}

/// Whether a lane would conclude something from it that it does not conclude from the rest.
fn means_something(event: &Event) -> bool {
    match event {
        Event::Changed(_, None) => false,
        Event::Happened(_, happening) => !matches!(happening.cause, Cause::AgentReady | Cause::AgentGone),
        _ => true,
    }
}

/// Fails with every complaint at once.
#[track_caller]
pub(crate) fn must_be_clean(backend: Backend, report: &Report) {
    for (name, reason) in &report.skipped {
        crate::support::skip(&format!("parity on {}: {name}", backend.name()), reason);
    }
    eprintln!("{}: {} behaviours, {} steps", backend.name(), report.ran, report.steps);
    assert!(report.complaints.is_empty(), "\n{}\n", report.complaints.join("\n"));
    assert!(report.ran > 0 || std::env::var_os("COVIRT_PARITY").is_some(), "nothing was run");
}
