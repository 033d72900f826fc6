//! What is walked through: each scene has two providers, three commands that truly clash, and what may go wrong.

use covirt::model::{Code, Command, CommandId, Ending, HoldKey, Outcome};
use covirt::resolver::{Phase, Policy, Rule, Said, waiting};

use super::bound::Bound;
use super::node::Node;
use super::script;
use super::world::{World, numbered, vm};

/// How many faults it takes, a name, and what makes a state a witness of it.
type Witness = (usize, &'static str, fn(&Scene, &Node) -> bool);

/// Two providers, what they send, and what may happen to it.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// As in a scenario file.
    pub(crate) settings: &'static str,
    /// What south shares with north.
    pub(crate) delegated: &'static str,
    /// Whose, its name, and the rest of its line.
    pub(crate) commands: &'static [(&'static str, &'static str, &'static str)],
    templates: Vec<Command>,
    /// What a provider that is asked may say; it may always say nothing.
    pub(crate) answers: &'static [Said],
    /// What may go wrong besides calls that fail, lost answers and crashes.
    pub(crate) faults: &'static [&'static str],
    /// What must be reachable.
    pub(crate) witnesses: &'static [Witness],
}

impl Scene {
    pub(crate) fn policy(&self) -> Policy {
        script::policy(self.settings)
    }

    /// One of the commands, as its provider sends it then.
    pub(crate) fn command(&self, which: usize, at: u64) -> Command {
        let mut command = self.templates[which].clone();
        let at = i64::try_from(at).unwrap();
        command.issued_at = command.issued_at.map(|wall| wall.shifted(at));
        command.not_after = command.not_after.map(|wall| wall.shifted(at));
        command.must_start_by = command.must_start_by.map(|wall| wall.shifted(at));
        command
    }

    #[expect(clippy::unused_self, reason = "ids are a scene's own, as its names are")]
    pub(crate) fn id(&self, which: usize) -> CommandId {
        numbered(which)
    }

    fn of(&self, name: &str) -> CommandId {
        self.id(self.commands.iter().position(|(_, known, _)| *known == name).unwrap())
    }

    pub(crate) fn name_of(&self, id: CommandId) -> String {
        let named = self.commands.iter().enumerate().find(|(which, _)| self.id(*which) == id);
        let errand = || (0..64).find(|number| CommandId::errand(vm(), *number) == id).unwrap();
        named.map_or_else(|| format!("errand-{}", errand()), |(_, (_, name, _))| (*name).to_owned())
    }

    /// How a state of rest is told from others: by how each command ended.
    pub(crate) fn end(&self, node: &Node) -> String {
        let one = |(which, (_, name, _)): (usize, &(&str, &str, &str))| match self.outcome(node, name) {
            Some(outcome) => format!("{name} {} {}", outcome.ending, outcome.code),
            None => format!("{name} refused {}", node.refused[&which]),
        };
        let commands: Vec<String> = self.commands.iter().enumerate().map(one).collect();
        format!("{}; the VM is {}", commands.join(", "), node.machine.power)
    }

    fn outcome<'a>(&self, node: &'a Node, name: &str) -> Option<&'a Outcome> {
        match node.phase(self.of(name))? {
            Phase::Ended(outcome) => Some(outcome),
            Phase::Queued | Phase::Running | Phase::Unknown => None,
        }
    }

    fn ended(&self, node: &Node, name: &str, ending: Ending, code: Code) -> bool {
        self.outcome(node, name).is_some_and(|outcome| (outcome.ending, outcome.code) == (ending, code))
    }

    fn done(&self, node: &Node, name: &str) -> bool {
        self.outcome(node, name).is_some_and(|outcome| outcome.ending == Ending::Done)
    }

    /// Both done, the first before the second.
    fn in_order(&self, node: &Node, first: &str, second: &str) -> bool {
        let place = |name| node.executed.iter().rposition(|id| *id == self.of(name));
        self.done(node, first) && self.done(node, second) && place(first) < place(second)
    }

    fn because_of(&self, node: &Node, name: &str, cause: &str) -> bool {
        self.outcome(node, name).is_some_and(|outcome| outcome.cause == Some(self.of(cause)))
    }

    fn decided(&self, node: &Node, rule: Rule, first: &str, second: &str) -> bool {
        let (first, second) = (self.of(first), self.of(second));
        let mut verdicts = node.lane.state().conflicts().filter_map(covirt::resolver::Conflict::verdict);
        verdicts.any(|verdict| (verdict.rule, verdict.first, verdict.second) == (rule, first, second))
    }

    fn waits_for_what_is_open(&self, node: &Node, name: &str) -> bool {
        let state = node.lane.state();
        let waits = state.command(self.of(name)).and_then(|tracked| waiting(&node.lane, tracked, node.now()));
        waits.is_some_and(|waits| waits.reason.contains(" is open for "))
    }

    fn times(&self, node: &Node, name: &str) -> usize {
        node.executed.iter().filter(|id| **id == self.of(name)).count()
    }

    /// An errand of the agent's own ended what was open.
    #[expect(clippy::unused_self, reason = "reads as the others do")]
    fn errand_done(&self, node: &Node) -> bool {
        matches!(node.phase(CommandId::errand(vm(), 0)), Some(Phase::Ended(outcome)) if outcome.ending == Ending::Done)
    }

    /// The names of what must be reachable that far.
    pub(crate) fn expected(&self, bound: Bound) -> impl Iterator<Item = &'static str> {
        self.witnesses.iter().filter(move |(takes, ..)| *takes <= bound.faults).map(|(_, name, _)| *name)
    }

    fn new(
        name: &'static str,
        settings: &'static str,
        delegated: &'static str,
        commands: &'static [(&'static str, &'static str, &'static str)],
        (answers, faults, witnesses): (&'static [Said], &'static [&'static str], &'static [Witness]),
    ) -> Self {
        let mut world = World::alone(script::policy(settings));
        let templates = commands.iter().map(|(who, name, line)| world.command(who, &format!("{name}: {line}")));
        let templates = templates.collect();
        Self { name, settings, delegated, commands, templates, answers, faults, witnesses }
    }

    /// Feasibility, a lease, a deadline, and somebody who keeps or gives up what is open.
    pub(crate) fn stop_and_freeze() -> Self {
        let witnesses: &[Witness] = &[
            (0, "the snapshot, then the stop", |s, n| s.in_order(n, "snap", "down")),
            (0, "the stop, then the snapshot of a VM that is off", |s, n| s.in_order(n, "down", "snap")),
            (0, "decided by feasibility", |s, n| s.decided(n, Rule::Feasibility, "snap", "down")),
            (0, "the freeze keeps the stop waiting", |s, n| s.waits_for_what_is_open(n, "down")),
            (0, "its owner gives the freeze up when asked", |s, n| s.decided(n, Rule::Callback, "down", "still")),
            (0, "who is at the hypervisor already goes first", |s, n| {
                s.decided(n, Rule::AlreadyRunning, "still", "down")
            }),
            (0, "the agent lets a frozen guest go", Self::errand_done),
            (0, "what waits for the freeze expires", |s, n| {
                s.ended(n, "down", Ending::Expired, Code::DeadlinePassed) && s.because_of(n, "down", "still")
                    || s.ended(n, "down", Ending::Expired, Code::DeadlinePassed) && n.holds(&HoldKey::Freeze)
            }),
            (0, "the winner makes the loser impossible, which names it", |s, n| {
                s.ended(n, "still", Ending::Impossible, Code::StateForbids) && s.because_of(n, "still", "down")
            }),
            (1, "somebody past the agent makes it impossible", |s, n| {
                n.faults == ["destroy"] && s.ended(n, "down", Ending::Impossible, Code::StateForbids)
            }),
            (1, "found done after a crash, and not executed again", |s, n| {
                n.faults == ["crash"] && s.ended(n, "down", Ending::Done, Code::ObservedDone) && s.times(n, "down") == 1
            }),
            (1, "found undone after a crash, and executed again", |s, n| {
                n.faults == ["crash"] && s.done(n, "down") && s.times(n, "down") == 2
            }),
            (1, "nothing tells whether it took effect", |s, n| {
                s.ended(n, "still", Ending::Failed, Code::OutcomeUnknowable)
            }),
            (1, "a call fails", |s, n| s.ended(n, "down", Ending::Failed, Code::HypervisorFailed)),
            (1, "whoever froze the guest is cut off, and it is let go", |s, n| {
                n.faults == ["cut-off"] && s.errand_done(n)
            }),
        ];
        Self::new(
            "a stop, a snapshot and a frozen guest",
            "ask-timeout=2s",
            "power.shutdown,snapshot.create,guest.freeze",
            &[
                ("north", "down", "power.shutdown not-after=10s"),
                ("south", "snap", "snapshot.create name=s1"),
                ("south", "still", "guest.freeze lease_s=20"),
            ],
            (&[Said::MineFirst, Said::TheirsFirst], &["destroy", "cut-off"], witnesses),
        )
    }

    /// Callbacks between equals, an expectation that a winner breaks, and a delegation that ends.
    pub(crate) fn two_resizes() -> Self {
        let witnesses: &[Witness] = &[
            (0, "both resizes, the guarded one first", |s, n| s.in_order(n, "more", "grow")),
            (0, "the snapshot, then the resize", |s, n| s.in_order(n, "snap", "more")),
            (0, "the resize, then the snapshot", |s, n| s.in_order(n, "more", "snap")),
            (0, "north's first by callback", |s, n| s.decided(n, Rule::Callback, "snap", "more")),
            (0, "south's first by callback", |s, n| s.decided(n, Rule::Callback, "more", "snap")),
            (0, "both want to be first, and another rule decides", |s, n| {
                let ours = s.decided(n, Rule::StableHash, "snap", "more");
                ours || s.decided(n, Rule::StableHash, "more", "snap") || s.decided(n, Rule::IssueTime, "snap", "more")
            }),
            (0, "taken back when asked", |s, n| s.ended(n, "more", Ending::Cancelled, Code::Withdrawn)),
            (0, "never applied over what was expected otherwise", |s, n| {
                s.ended(n, "more", Ending::Superseded, Code::GuardFailed) && s.because_of(n, "more", "grow")
            }),
            (1, "its delegation ends while it waits", |s, n| s.ended(n, "more", Ending::Denied, Code::DelegationEnded)),
            (1, "refused after its delegation ended", |_, n| n.refused.values().any(|code| *code == Code::UnknownVm)),
            (1, "found done after a crash, and not executed again", |s, n| {
                n.faults == ["crash"] && s.ended(n, "more", Ending::Done, Code::ObservedDone) && s.times(n, "more") == 1
            }),
            (1, "the call of the winner fails, and the loser runs", |s, n| {
                s.ended(n, "more", Ending::Failed, Code::HypervisorFailed) && s.done(n, "snap")
            }),
        ];
        Self::new(
            "two resizes and a snapshot",
            "gather-for=writes",
            "cpu.set",
            &[
                ("north", "grow", "cpu.set vcpus=4"),
                ("north", "snap", "snapshot.create name=s1"),
                ("south", "more", "cpu.set vcpus=6 expects-vcpus=2"),
            ],
            (&[Said::MineFirst, Said::TheirsFirst, Said::WithdrawMine], &["revoke"], witnesses),
        )
    }

    /// One execution for two, and a job that is ended, or ends, for what waits.
    pub(crate) fn two_stops() -> Self {
        let witnesses: &[Witness] = &[
            (0, "one execution serves both", |s, n| {
                let coalesced = s.ended(n, "stop", Ending::Coalesced, Code::SameWish);
                coalesced || s.ended(n, "off", Ending::Coalesced, Code::SameWish)
            }),
            (0, "the more urgent stop ends the backup", |s, n| s.decided(n, Rule::Class, "off", "save")),
            (0, "an errand ends the backup, then the VM stops", |s, n| s.errand_done(n) && s.done(n, "off")),
            (0, "the backup keeps a stop waiting", |s, n| s.waits_for_what_is_open(n, "off")),
            (0, "the backup is over by itself", |s, n| {
                s.done(n, "save") && s.done(n, "off") && !n.executed.contains(&CommandId::errand(vm(), 0))
            }),
            (0, "too late for a backup", |s, n| {
                s.ended(n, "save", Ending::Impossible, Code::StateForbids) && s.because_of(n, "save", "off")
            }),
            (1, "stopped past the agent", |s, n| {
                n.faults == ["destroy"] && s.ended(n, "off", Ending::Impossible, Code::StateForbids)
            }),
            (1, "found done after a crash, and not executed again", |s, n| {
                n.faults == ["crash"] && s.ended(n, "off", Ending::Done, Code::ObservedDone) && s.times(n, "off") == 1
            }),
        ];
        Self::new(
            "two stops and a backup",
            "ask-timeout=2s",
            "power.stop,backup.begin",
            &[
                ("north", "off", "power.stop class=critical"),
                ("south", "stop", "power.stop"),
                ("south", "save", "backup.begin mode=push files=vda"),
            ],
            (&[Said::MineFirst, Said::TheirsFirst], &["destroy"], witnesses),
        )
    }
}
