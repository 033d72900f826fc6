//! A world driven by sentences, and its outputs as sentences: what `fixtures/scenario/*.txt` is written in.
#![allow(dead_code, reason = "each of its users needs another part")]

use std::sync::Arc;
use std::time::Duration;

use covirt::model::{
    Cause, ClockEstimate, Code, CommandId, ConflictId, HoldKey, PowerState, ProviderId, StartId, Wall,
};
use covirt::resolver::{
    Accepted, Answer, Evidence, Fact, GatherFor, Heard, HookUse, Input, Observation, Origin, Output, Party, Policy,
    Said, Verdict, Waiting, pair,
};
use covirt::sovereignty::{Freeze, Reach, Restraint, Scope};

use super::world::{World, micros, provider, vm};

/// Runs one line of a scenario; gives what came of it, a sentence a line.
pub(crate) fn run(world: &mut World, line: &str) -> Vec<String> {
    let from = world.seen.len();
    let mut explained = Vec::new();
    let words: Vec<&str> = line.split_whitespace().collect();
    let rest = |n: usize| words[n..].join(" ");
    match words.as_slice() {
        ["after", span] => world.pass(Duration::from_micros(micros(span).unsigned_abs())),
        ["at", span] => {
            let to = micros(span).unsigned_abs();
            assert!(to >= world.at, "{line:?} lies in the past");
            world.pass(Duration::from_micros(to - world.at));
        }
        ["the", "clock", "of", who, "is", offset, "off,", "known", "to", within] => {
            let clock = ClockEstimate { offset_us: micros(offset), uncertainty_us: micros(within).unsigned_abs() };
            world.clocks.insert(provider(who), clock);
        }
        [who, "delegates", actions, "to", whom, mode, lease @ ..] => {
            assert_eq!(*who, "north", "the primary delegates");
            let lease = lease.last().map(|span| Duration::from_micros(micros(span).unsigned_abs()));
            world.delegate(whom, actions, mode, lease);
        }
        [who, "revokes", "from", whom, "once", "nothing", "is", "in", "flight"] => {
            world.drain(who, whom);
        }
        ["north", "hands", action, "over", "to", whom, "once", "nothing", "is", "in", "flight"] => {
            world.hand_over(whom, &[action.parse().unwrap()]);
        }
        [who, "decides:", name, "first"] => {
            world.decide(who, name);
        }
        ["our", "wall", "clock", "steps", "by", span] => world.stepped += micros(span),
        [who, "revokes", "from", whom] => {
            world.revoke(who, whom);
        }
        [who, "submits", _, ..] => {
            world.submit(who, &rest(2));
        }
        [_, "repeats", name] => {
            world.again(name);
        }
        [who, "cancels", name] => {
            world.cancel(who, name);
        }
        ["the", "client", "of", name, "goes", "away"] => {
            let command = world.id(name);
            world.feed(Input::ClientGone { command });
        }
        [who, "is", "cut", "off"] => {
            world.feed(Input::SessionLost { provider: provider(who) });
        }
        [who, "ends", "the", hold, "because", ..] => {
            let (token, hold) = (world.token(), hold.parse().unwrap());
            world.feed(Input::ReleaseHold { token, by: provider(who), hold, reason: rest(5) });
        }
        ["the", "operator", "freezes", who, "because", ..] => {
            let scope = match *who {
                "the-host" => Scope::Host {},
                who => Scope::Provider { provider: provider(who) },
            };
            let freeze = Freeze { scope, reach: Reach::Providers, reason: Some(rest(5)), since: Wall::from_micros(0) };
            world.feed(Input::Restrained(Arc::new(Restraint { freezes: vec![freeze], ..Restraint::default() })));
        }
        ["the", "operator", "thaws", "everything"] => {
            world.feed(Input::Restrained(Arc::default()));
        }
        ["the", "operator", "breaks", "the", "glass", "because", ..] => {
            let (token, span) = (world.token(), Duration::from_secs(60));
            let reason = rest(6);
            world.feed(Input::BreakGlass { token, by: ProviderId::operator(), reason, span });
        }
        ["libvirt", "shows", "the", hold, state] => {
            let hold: HoldKey = hold.parse().unwrap();
            world.out_of_band(|vm| {
                if *state == "open" {
                    vm.jobs.insert(hold)
                } else {
                    vm.jobs.remove(&hold)
                };
            });
        }
        [who, "releases", "the", "VM"] => {
            let token = world.token();
            world.feed(Input::Release { token, by: provider(who) });
        }
        ["hook", "answers", answer] => {
            world.hook_answers(Some(*answer).filter(|answer| *answer != "no-opinion"));
        }
        [who, "answers", answer] => {
            world.answer(who, said(answer));
        }
        [who, "answers", answer, "about", theirs] => {
            world.answer_about(who, said(answer), theirs);
        }
        [who, "loses", "its", "session"] => {
            world.lose_answer(who);
        }
        ["hypervisor", "finishes", name] => world.finish(name),
        ["hypervisor", "fails", name] => world.fail(name, Code::HypervisorFailed),
        ["hypervisor", "times", "out", name] => world.fail(name, Code::GuestTimeout),
        ["hypervisor", "loses", name] => world.lose_call(name),
        ["hypervisor", "shows", name, evidence] => world.probe(
            name,
            match *evidence {
                "done" => Evidence::Done,
                "undone" => Evidence::Undone,
                _ => Evidence::None,
            },
        ),
        ["somebody", "runs", "virsh", verb] => {
            let verb = (*verb).to_owned();
            world.out_of_band(|vm| match verb.as_str() {
                "destroy" => {
                    (vm.power, vm.start) = (PowerState::ShutOff, StartId(None));
                    vm.jobs.clear();
                }
                "suspend" => vm.power = PowerState::Paused,
                "resume" => vm.power = PowerState::Running,
                _ => panic!("{verb:?} is not a verb that scenarios know"),
            });
        }
        ["somebody", "starts", "the", "VM", "anew", "without", device] => {
            let device = device.parse().unwrap();
            let start = StartId(Some(world.next_start));
            world.next_start += 1;
            world.feed(Input::Happened(Cause::Redefined.into()));
            world.told(Cause::Started, |vm| {
                (vm.power, vm.start, vm.definition) = (PowerState::Running, start, Some("d2".to_owned()));
                assert!(vm.devices.remove(&device), "it has none");
            });
        }
        ["the", "guest", "shuts", "down"] => {
            world.told(Cause::GuestShutdown, |vm| (vm.power, vm.start) = (PowerState::ShutOff, StartId(None)));
        }
        ["the", "guest", "reboots"] => {
            world.feed(Input::Happened(Cause::Rebooted.into()));
        }
        ["the", "guest", "lets", "go", "of", device] => {
            let device = device.parse().unwrap();
            world.feed(Input::Happened(Cause::DeviceRemoved.into()));
            world.told(Cause::DeviceRemoved, |vm| assert!(vm.devices.remove(&device), "it has none"));
        }
        ["QEMU", "crashes"] => {
            world.told(Cause::Crashed, |vm| (vm.power, vm.start) = (PowerState::ShutOff, StartId(None)));
        }
        ["the", "storage", "is", "full"] => world.told(Cause::NoSpace, |vm| vm.power = PowerState::Paused),
        ["the", "operator", "delegates", action, "to", whom] => {
            world.operator_delegates(whom, action.parse().unwrap());
        }
        ["somebody", "undefines", "the", "VM"] => {
            world.feed(Input::Vanished { why: Observation::Event });
        }
        ["the", "journal", "stalls"] => world.auto_persist = false,
        ["the", "journal", "catches", "up"] => {
            world.auto_persist = true;
            world.persist();
        }
        ["the", "journal", "confirms", "one", "append"] => {
            world.confirm_one();
        }
        ["the", "journal", "writes", count, "appends,", "of", "which", "nobody", "hears"] => {
            world.writes_unheard(count.parse().unwrap());
        }
        ["the", "host", "reboots,", "which", "takes", span] => {
            // Nobody ticks meanwhile; the agent's own time goes on.
            world.auto_persist = true;
            world.at += micros(span).unsigned_abs();
            world.crash();
        }
        ["the", "agent", "dies", "and", "starts", "again"] => {
            world.auto_persist = true;
            world.crash();
        }
        ["the", "agent", "dies", "and", "starts", "again,", "and", "the", "journal", "stalls"] => {
            world.auto_persist = false;
            world.crash();
        }
        ["the", "agent", "looks", "at", "the", "VM"] => {
            let state = world.machine.clone();
            world.feed(Input::Observed { state, why: Observation::Look });
        }
        ["the", "lane", "is", "built", "anew", "while", "the", "clients", "of", names @ ..] => {
            let names = names.iter().take_while(|name| **name != "wait");
            let carried: Vec<CommandId> = names.map(|name| world.id(name)).collect();
            world.rebuild(carried);
        }
        ["explain", name] => explained = explain(world, name),
        _ => panic!("{line:?} is not a line that scenarios know"),
    }
    let seen: Vec<(u64, Output)> = world.seen[from..].to_vec();
    let mut lines: Vec<String> = seen
        .iter()
        .flat_map(|(at, output)| {
            let stamp = format!("{:>8} ", format!("{}ms", at / 1000));
            told(world, output).into_iter().map(move |told| format!("{stamp} {told}"))
        })
        .collect();
    lines.extend(explained);
    lines.into_iter().map(|line| named(world, line)).collect()
}

/// The policy from words such as `gather-for=writes gather=0ms hook=ask south-on-silence=theirs-first`.
pub(crate) fn policy(words: &str) -> Policy {
    let mut policy = Policy::default();
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap();
        let span = || Duration::from_micros(micros(value).unsigned_abs());
        match key {
            "gather-for" => policy.gather_for = GatherFor::Writes,
            "gather" => policy.gather = span(),
            "hook" => policy.hook = HookUse::Ask,
            "queue-limit" => policy.queue_limit = value.parse().unwrap(),
            "ask-timeout" => policy.ask_timeout = span(),
            "escalate" => {
                let (one, other) = value.split_once('+').unwrap();
                policy.escalate.insert(pair(provider(one), provider(other)));
            }
            "escalate-wait" => policy.escalate_wait = span(),
            "max-deferrals" => policy.max_deferrals = value.parse().unwrap(),
            "drain-wait" => policy.drain_wait = span(),
            "budget" => policy.callback_budget = span(),
            _ => {
                let who = key.strip_suffix("-on-silence").unwrap_or_else(|| panic!("{word:?} is not a setting"));
                policy.consent.entry(provider(who)).or_default().on_silence = said(value);
            }
        }
    }
    policy
}

fn said(word: &str) -> Said {
    serde_json::from_value(serde_json::Value::from(word)).unwrap_or_else(|_| panic!("{word:?} is not an answer"))
}

fn told(world: &World, output: &Output) -> Vec<String> {
    let name = |id: &CommandId| world.name(*id);
    match output {
        Output::Append { facts, .. } => facts.iter().flat_map(|fact| fact_told(world, fact)).collect(),
        Output::Execute(call) => vec![format!("EXECUTE {} ({})", name(&call.command()), call.operation().action())],
        Output::Probe(call) => vec![format!("LOOK whether {} took effect", name(&call.command()))],
        Output::Ask(ask) => {
            let within = ask.within.as_millis();
            let mut told = format!(
                "ASK {} (within {within} ms): {} or {}?",
                who(&ask.who),
                name(&ask.mine.id),
                name(&ask.theirs.id)
            );
            if let Some(reason) = ask.mine_first_fails.as_ref().or(ask.theirs_first_fails.as_ref()) {
                told.push_str(&format!(" (not both: {reason})"));
            }
            vec![told]
        }
        Output::Accepted { what: Accepted::Command(id), .. } => vec![format!("accepted {}", name(id))],
        Output::Accepted { .. } => vec!["accepted".to_owned()],
        Output::Refused { refusal, .. } => {
            let holder = refusal.holder.as_ref().map(|holder| format!(" (held by {holder})")).unwrap_or_default();
            vec![format!("REFUSED {}: {}{holder}", refusal.code, refusal.message)]
        }
        Output::Ended { command, outcome } => {
            let cause = outcome.cause.map(|cause| format!(" (because of {})", world.name(cause))).unwrap_or_default();
            vec![format!("{} ENDED {} {}: {}{cause}", name(command), outcome.ending, outcome.code, outcome.reason)]
        }
        Output::WakeAt(_) | Output::CloseChannel { .. } => Vec::new(),
    }
}

fn fact_told(world: &World, fact: &Fact) -> Vec<String> {
    let name = |id: &CommandId| world.name(*id);
    match fact {
        Fact::HoldOpened { hold, owner, .. } => {
            let whose = owner.as_ref().map_or_else(|| "begun past covirt".to_owned(), |owner| format!("of {owner}"));
            vec![format!("open: {hold} {whose}")]
        }
        Fact::HoldGivenUp { hold, why } => vec![format!("given up: {hold}, because {why}")],
        Fact::HoldClosed { hold, how } => vec![format!("over: {hold}, {how}")],
        Fact::ConflictOpened { between: [a, b], contested, .. } => {
            let over = contested.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            vec![format!("conflict: {} and {} over {over}", name(a), name(b))]
        }
        Fact::Settled { verdict, .. } => settled(world, verdict),
        Fact::Answered { by, answer, how: Heard::Silence, .. } => {
            let means = match answer {
                Answer::First(id) => format!("{} first", name(id)),
                Answer::Withdraw(id) => format!("{} is taken back", name(id)),
                Answer::NoOpinion => "no opinion".to_owned(),
            };
            vec![format!("{} is silent, which means: {means}", who(by))]
        }
        Fact::DrainBegan { by, drain } => {
            let closing = drain.closing.iter().map(|(who, actions)| {
                let actions: Vec<&str> = actions.iter().map(|action| action.name()).collect();
                let actions = if actions.len() > 4 { format!("{} actions", actions.len()) } else { actions.join(", ") };
                format!("{who} begins no more of {actions}")
            });
            vec![format!("{by} is handing over: {}", closing.collect::<Vec<_>>().join("; "))]
        }
        Fact::DrainEnded { failed: None } => vec!["nothing is in flight: the hand-over takes effect".to_owned()],
        Fact::DrainEnded { failed: Some(reason) } => vec![format!("the hand-over did not come about: {reason}")],
        Fact::Escalated { deadline, .. } => vec![format!("the operator is to decide, until {}ms", deadline.0 / 1000)],
        Fact::Decided { by, first, .. } => vec![format!("{by} says: {} first", name(first))],
        Fact::GapFlagged { command, expected } => vec![format!("{} goes on without number {expected}", name(command))],
        Fact::BecameUnknown { command } => vec![format!("{} is unknown", name(command))],
        Fact::FoundUndone { command } => vec![format!("{} never took effect", name(command))],
        Fact::Observed { state, origin } => {
            let by = by_whom(world, origin);
            vec![format!("the VM is {} with {} vCPUs and {} ({by})", state.power, state.vcpus, state.memory_kib)]
        }
        Fact::Happened { origin, .. } => vec![format!("something happened ({})", by_whom(world, origin))],
        Fact::Vanished { .. } => vec!["the VM is gone".to_owned()],
        Fact::ChannelOpened { owner, kind, .. } => vec![format!("{owner} opens a channel: {kind}")],
        Fact::ChannelClosed { how, .. } => vec![format!("a channel is closed: {how}")],
        Fact::Frozen { freeze } => vec![format!("{freeze}")],
        Fact::Thawed { scope } => vec![format!("{scope} is thawed")],
        Fact::GlassBroken { by, glass } => vec![format!("{by} breaks the glass: {}", glass.reason)],
        Fact::GlassMended { by } => vec![format!("the glass is whole again ({by})")],
        Fact::Host(fact) => vec![fact.to_string()],
        Fact::Enrolled { .. }
        | Fact::Released { .. }
        | Fact::Delegation { .. }
        | Fact::Admitted(_)
        | Fact::Asked { .. }
        | Fact::Answered { .. }
        | Fact::Started { .. }
        | Fact::Ended { .. } => Vec::new(),
    }
}

fn by_whom(world: &World, origin: &Origin) -> String {
    match (origin, origin.actor(), origin.cause()) {
        (Origin::Command { command }, ..) => world.name(*command),
        (_, Some(actor), Some(cause)) => format!("{actor}: {cause}"),
        (_, Some(actor), None) => actor.to_string(),
        (_, None, _) => "look".to_owned(),
    }
}

fn settled(world: &World, verdict: &Verdict) -> Vec<String> {
    let (first, second) = (world.name(verdict.first), world.name(verdict.second));
    let mut lines = vec![format!("decided by {}: {first}, then {second}", verdict.rule.as_str())];
    lines.extend(verdict.trail.iter().map(|finding| format!("  {}: {}", finding.rule.as_str(), finding.found)));
    lines
}

fn explain(world: &mut World, name: &str) -> Vec<String> {
    let id = world.id(name);
    let state = world.lane.state();
    let Some(tracked) = state.command(id) else { return vec!["unknown".to_owned()] };
    let mut lines: Vec<String> =
        covirt::resolver::story(state, tracked).into_iter().map(|m| format!("         {}", m.what)).collect();
    if let Some(Waiting { reason, .. }) = covirt::resolver::waiting(&world.lane, tracked, world.now()) {
        lines.push(format!("         it waits: {reason}"));
    }
    lines
}

fn who(party: &Party) -> String {
    match party {
        Party::Hook => "the hook".to_owned(),
        Party::Provider(provider) => provider.to_string(),
    }
}

/// Names instead of ids, wherever a sentence holds one.
fn named(world: &World, line: String) -> String {
    let line = world.names.iter().fold(line, |line, (name, id)| line.replace(&id.to_string(), name));
    let line =
        (0..8).fold(line, |line, n| line.replace(&CommandId::errand(vm(), n).to_string(), &format!("errand-{n}")));
    (0..32).fold(line, |line, n| line.replace(&ConflictId::nth(vm(), n).to_string(), &format!("#{n}")))
}
