//! What a hypervisor does when it is called, as data: where it begins, each call, how it ends, what a look then shows,
//! and which events tell of it. Nothing here knows which hypervisor it is.
//!
//! A behaviour is expected of every backend. Where one differs, the entry says how and why, and is checked there too.

use std::fmt;

use serde_json::Value;

use covirt::model::{Action, Cause, Code, PowerState};
use covirt::resolver::Evidence;

/// Who is asked to behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Backend {
    /// The fake that lanes are tested with.
    Fake,
    /// libvirt's mock driver.
    Mock,
    /// QEMU through a libvirtd.
    Qemu,
}

impl Backend {
    pub(crate) const ALL: [Self; 3] = [Self::Fake, Self::Mock, Self::Qemu];

    /// Its column.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fake => "fake",
            Self::Mock => "test driver",
            Self::Qemu => "QEMU",
        }
    }
}

/// What the VM is at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ground {
    /// Defined and shut off.
    Off,
    /// Its process runs; its guest may not be up yet.
    Running,
    /// Its guest is up, with an agent.
    Booted,
}

impl Ground {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Running => "running",
            Self::Booted => "booted",
        }
    }
}

/// Something that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A kernel that limits an interface's traffic.
    TrafficControl,
}

/// One behaviour: calls one after another, on one VM.
pub(crate) struct Behaviour {
    pub(crate) name: &'static str,
    pub(crate) ground: Ground,
    pub(crate) need: Option<Need>,
    pub(crate) steps: Vec<Step>,
}

/// One call, or something that comes about by itself.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) what: What,
    pub(crate) ends: Ends,
    /// All that differs afterwards from before.
    pub(crate) shows: Vec<Shows>,
    /// The events that come, in order; the real hypervisors say more that means nothing to a lane.
    pub(crate) tells: Vec<Tells>,
    /// What a look for a lost answer would find right after.
    pub(crate) trace: Evidence,
    /// Which start of the VM it was decided for.
    pub(crate) meant_for: MeantFor,
    /// Where it is otherwise, why, and how.
    pub(crate) otherwise: Vec<Otherwise>,
}

/// Which start of the VM a call was decided for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MeantFor {
    /// The one that there is.
    Present,
    /// The one that there was at the beginning.
    First,
}

/// What happens.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// An action with its arguments; words in braces are the stage's.
    Call(Action, Value),
    /// What is open comes to its end by itself.
    EndsByItself(&'static str),
    /// What is open can be gone over to now.
    IsReady(&'static str),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(action, _) => write!(f, "{action}"),
            Self::EndsByItself(hold) => write!(f, "{hold} ends by itself"),
            Self::IsReady(hold) => write!(f, "{hold} is ready"),
        }
    }
}

/// How a call ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ends {
    /// It is done and gives this; `"*"` is anything.
    Done(Value),
    /// It is refused or fails with this code; nothing changes and nothing is told.
    Not(Code),
}

/// One thing that a look shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shows {
    Power(PowerState),
    /// Another process than before.
    NewStart,
    Vcpus(u32),
    /// The most vCPUs.
    MostVcpus(u32),
    Memory(u64),
    Snapshot(&'static str),
    NoSnapshot(&'static str),
    Checkpoint(&'static str),
    NoCheckpoint(&'static str),
    Device(&'static str),
    NoDevice(&'static str),
    Open(&'static str),
    /// It is open, or over already.
    PerhapsOpen(&'static str),
    NotOpen(&'static str),
    Saved,
    NotSaved,
    /// Another definition than before.
    Redefined,
    /// No definition.
    Transient,
    /// The VM is not there any more.
    Gone,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tells {
    Power(PowerState),
    Changed(Cause),
    /// It may be told, and is not by the fake.
    PerhapsChanged(Cause),
    Happened(Cause),
    /// The same, and about what; words in braces are the stage's.
    About(Cause, &'static str),
    Gone(Cause),
}

/// Where a step is otherwise.
#[derive(Clone)]
pub(crate) struct Otherwise {
    pub(crate) backend: Backend,
    pub(crate) why: &'static str,
    pub(crate) how: fn(Step) -> Step,
    /// Whether what follows cannot be done there either.
    pub(crate) is_last: bool,
}

impl Behaviour {
    const fn new(ground: Ground, name: &'static str, steps: Vec<Step>) -> Self {
        Self { name, ground, need: None, steps }
    }

    pub(crate) fn needs(mut self, need: Need) -> Self {
        self.need = Some(need);
        self
    }

    /// The steps that this backend is put through, as it does them.
    pub(crate) fn steps_on(&self, backend: Backend) -> Vec<Step> {
        let mut steps = Vec::new();
        for step in &self.steps {
            let other = step.otherwise.iter().find(|other| other.backend == backend);
            steps.push(other.map_or_else(|| step.clone(), |other| (other.how)(step.clone())));
            if other.is_some_and(|other| other.is_last) {
                break;
            }
        }
        steps
    }
}

/// Of a VM that is off.
pub(crate) fn off(name: &'static str, steps: Vec<Step>) -> Behaviour {
    Behaviour::new(Ground::Off, name, steps)
}

/// Of a VM that runs.
pub(crate) fn running(name: &'static str, steps: Vec<Step>) -> Behaviour {
    Behaviour::new(Ground::Running, name, steps)
}

/// Of a guest that is up.
pub(crate) fn booted(name: &'static str, steps: Vec<Step>) -> Behaviour {
    Behaviour::new(Ground::Booted, name, steps)
}

/// A call that is done, gives nothing, changes nothing and is not told of, until the step says more.
pub(crate) fn done(action: Action, args: Value) -> Step {
    Step::new(What::Call(action, args), Ends::Done(Value::Null))
}

/// A call that is not done.
pub(crate) fn not(action: Action, args: Value, code: Code) -> Step {
    Step::new(What::Call(action, args), Ends::Not(code))
}

/// Something open ends by itself.
pub(crate) fn ends_by_itself(hold: &'static str) -> Step {
    Step::new(What::EndsByItself(hold), Ends::Done(Value::Null))
}

/// A mirror has everything.
pub(crate) fn is_ready(hold: &'static str) -> Step {
    Step::new(What::IsReady(hold), Ends::Done(Value::Null))
}

impl Step {
    const fn new(what: What, ends: Ends) -> Self {
        Self {
            what,
            ends,
            shows: Vec::new(),
            tells: Vec::new(),
            trace: Evidence::Done,
            meant_for: MeantFor::Present,
            otherwise: Vec::new(),
        }
    }

    pub(crate) fn gives(mut self, value: Value) -> Self {
        self.ends = Ends::Done(value);
        self
    }

    pub(crate) fn shows(mut self, shows: &[Shows]) -> Self {
        self.shows = shows.to_vec();
        self
    }

    pub(crate) fn tells(mut self, tells: &[Tells]) -> Self {
        self.tells = tells.to_vec();
        self
    }

    /// Afterwards nothing tells whether it was done.
    pub(crate) fn leaves_no_trace(mut self) -> Self {
        self.trace = Evidence::None;
        self
    }

    /// It is taken for not done, so that it would be done again, which does no harm.
    pub(crate) fn looks_undone(mut self) -> Self {
        self.trace = Evidence::Undone;
        self
    }

    /// It is not done after all.
    pub(crate) fn not_done(mut self, code: Code) -> Self {
        self.ends = Ends::Not(code);
        self.shows.clear();
        self.tells.clear();
        self
    }

    /// It was decided when the VM had the start that it had at the beginning.
    pub(crate) fn meant_for_the_first_start(mut self) -> Self {
        self.meant_for = MeantFor::First;
        self
    }

    /// On this backend it is otherwise, and goes on.
    pub(crate) fn on(mut self, backend: Backend, why: &'static str, how: fn(Self) -> Self) -> Self {
        self.otherwise.push(Otherwise { backend, why, how, is_last: false });
        self
    }

    /// On this backend it is otherwise, and what follows cannot be.
    pub(crate) fn ends_on(mut self, backend: Backend, why: &'static str, how: fn(Self) -> Self) -> Self {
        self.otherwise.push(Otherwise { backend, why, how, is_last: true });
        self
    }

    /// The mock driver has another error for it.
    pub(crate) fn mock_fails(self, why: &'static str) -> Self {
        self.on(Backend::Mock, why, |step| step.not_done(Code::HypervisorFailed))
    }

    /// The mock driver does not have it.
    pub(crate) fn not_in_mock(self, why: &'static str) -> Self {
        self.ends_on(Backend::Mock, why, |step| step.not_done(Code::HypervisorFailed))
    }
}
