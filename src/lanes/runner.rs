//! One lane's task.
//!
//! It owns the [`Lane`], reads the clock, and moves messages: requests and timers in, facts to the journal, calls to
//! the hypervisor, questions to the [`Asker`], answers back to whoever waits. `looks` sees what happened past the
//! agent; `outage` gets through a journal that takes no facts.

mod answers;
mod calls;
mod looks;
mod news;
mod outage;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::asker::Asker;
use super::carrier::{Carrier, Carriers};
use super::clock::Clock;
use super::host::Host;
use super::load::Load;
use super::sight::Sight;
use super::witness::{Journalled, Witness};
use crate::hypervisor::{AskHypervisorError, Hypervisor};
use crate::journal::{AppendError, Entry, Journal};
use crate::model::{Cause, ChannelId, CommandId, Now, Outcome, ProviderId, Refusal, VmId, VmState};
use crate::resolver::{
    Accepted, Call, CallResult, ChannelEnd, Evidence, Fact, Input, Lane, Observation, Output, Phase, Policy, State,
    Token, Tracked,
};
use crate::sovereignty::Restraint;

use self::answers::{answer_of, tell_operator};
use self::news::{Damper, Explained};
pub(super) use self::news::{Ear, Piece};
pub(super) use self::outage::history;
use self::outage::{Outage, unwritable};

/// How often an unreachable hypervisor is asked again about one VM.
const RETRY: Duration = Duration::from_millis(500);

/// What everybody on the outside sends to a lane.
pub(super) enum Mail {
    /// A request that is answered.
    Request(Box<Request>),
    /// Something that is not answered.
    Tell(Box<Input>),
    /// A look at the lane; what it gives is sent once everything it saw is durable.
    Read(Read),
    /// What it decides from now on follows this.
    Policy(Arc<Policy>),
}

/// A request, and where its answers go.
pub(super) struct Request {
    pub(super) make: Box<dyn FnOnce(Token) -> Input + Send>,
    pub(super) reply: Reply,
    /// Where the command's outcome goes, if it is one.
    pub(super) ended: Option<oneshot::Sender<Outcome>>,
    /// What makes the command's call, if that is a client's own.
    pub(super) carrier: Option<(CommandId, Box<dyn Carrier>)>,
    /// Who is told when the channel that it opens is to be closed.
    pub(super) closing: Option<(ChannelId, oneshot::Sender<ChannelEnd>)>,
}

/// A request that waits for its answer.
struct Asked {
    reply: Reply,
    ended: Option<oneshot::Sender<Outcome>>,
    /// The command that it brought a carrier for.
    carried: Option<CommandId>,
    closing: Option<(ChannelId, oneshot::Sender<ChannelEnd>)>,
}

/// Something that is sent once what it is made from is durable.
pub(super) type Deferred = Box<dyn FnOnce() + Send>;

/// A look at a lane.
pub(super) type Read = Box<dyn FnOnce(&Lane, Now) -> Deferred + Send>;

/// Where a request's answer goes.
pub(super) type Reply = oneshot::Sender<Result<Accepted, Refusal>>;

/// What the lane's own errands send back.
enum Errand {
    /// Of the lane as it was built in this life.
    Durable {
        life: u64,
        step: u64,
        result: Result<u64, AppendError>,
    },
    Finished {
        command: CommandId,
        result: CallResult,
        seen: Option<VmState>,
    },
    Probed {
        command: CommandId,
        evidence: Evidence,
    },
    Told(Input),
    Looked {
        seen: Result<VmState, AskHypervisorError>,
        told: Option<Cause>,
        activity: u64,
    },
}

/// What a runner needs of the agent.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) hypervisor: Arc<dyn Hypervisor>,
    pub(super) journal: Journal,
    pub(super) asker: Arc<dyn Asker>,
    pub(super) clock: Clock,
    /// As it is now.
    pub(super) policy: Arc<watch::Sender<Arc<Policy>>>,
    pub(super) witness: Arc<dyn Witness>,
    pub(super) sight: Arc<Sight>,
    pub(super) host: Host,
    pub(super) load: Arc<Load>,
}

impl Surroundings {
    /// How lanes are configured now.
    fn policy(&self) -> Policy {
        Policy::clone(&self.policy.borrow())
    }
}

pub(super) struct Runner {
    vm: VmId,
    lane: Lane,
    around: Surroundings,
    mailbox: mpsc::Receiver<Mail>,
    ear: Arc<Ear>,
    /// What holds on the whole host.
    restraint: watch::Receiver<Arc<Restraint>>,
    // Boxed, as `Mail::Tell`: a channel keeps room for 32 messages, and an idle lane should cost little.
    errands: mpsc::UnboundedReceiver<Box<Errand>>,
    send: mpsc::UnboundedSender<Box<Errand>>,
    wake: Option<Instant>,
    next_token: Token,
    replies: BTreeMap<Token, Asked>,
    /// What makes calls that are clients' own.
    carriers: Carriers,
    waiters: BTreeMap<CommandId, Vec<oneshot::Sender<Outcome>>>,
    /// The doors of open channels.
    channels: BTreeMap<ChannelId, oneshot::Sender<ChannelEnd>>,
    /// Answers that leave once this step is durable.
    held: VecDeque<(u64, Deferred)>,
    in_flight: BTreeSet<CommandId>,
    /// How calls ended whose commands' ends are not durable yet: should the journal refuse those, they are told again.
    answered: BTreeMap<CommandId, (CallResult, Option<VmState>)>,
    /// Looks into lost calls that wait: the call's own answer may still come.
    unprobed: BTreeMap<CommandId, Call>,
    /// Rises with every call and its end: a look that spans one is stale.
    activity: u64,
    look_at: Option<Instant>,
    looking: bool,
    /// When the last look ended.
    looked_at: Instant,
    /// Something was heard or seen of the VM while calls were under way that they need not have left so.
    seen_midway: bool,
    /// What our own calls explain of events.
    explained: Explained,
    /// What events said happened since the last look began.
    told: Option<Cause>,
    /// Whether the next look is the second one for the same reason.
    patient: bool,
    damper: Damper,
    /// Rises when the lane is built anew: what an earlier one appended means nothing to this one.
    life: u64,
    /// Set while the journal is given time.
    outage: Option<Outage>,
    /// Whether the agent is about to stop; a lane that is built anew must be told again.
    closing: bool,
    /// Sessions that were lost before the lane had recovered.
    lost_early: Vec<ProviderId>,
}

/// What a lane begins with.
pub(super) enum Begin {
    /// A VM that nobody co-manages yet; its enrollment comes by mail.
    Fresh,
    /// A VM that was co-managed when the agent stopped; its state if it was listed already.
    Recovered(Option<VmState>),
}

impl Runner {
    pub(super) fn new(
        vm: VmId,
        state: State,
        around: Surroundings,
        mailbox: mpsc::Receiver<Mail>,
        ear: Arc<Ear>,
    ) -> Self {
        let (send, errands) = mpsc::unbounded_channel();
        let lane = Lane::new(state, around.policy());
        Self {
            vm,
            lane,
            restraint: around.host.restraint(),
            around,
            mailbox,
            ear,
            errands,
            send,
            wake: None,
            next_token: 0,
            replies: BTreeMap::new(),
            carriers: Carriers::default(),
            waiters: BTreeMap::new(),
            channels: BTreeMap::new(),
            held: VecDeque::new(),
            in_flight: BTreeSet::new(),
            answered: BTreeMap::new(),
            unprobed: BTreeMap::new(),
            activity: 0,
            look_at: None,
            looking: false,
            looked_at: Instant::now(),
            seen_midway: false,
            explained: Explained::default(),
            told: None,
            patient: false,
            damper: Damper::default(),
            life: 0,
            outage: None,
            closing: false,
            lost_early: Vec::new(),
        }
    }

    /// Runs until nobody can send mail any more.
    pub(super) async fn run(mut self, begin: Begin) {
        if let Begin::Recovered(listed) = begin {
            let seen = match listed {
                Some(state) => Some(Ok(state)),
                None => self.look_before_anything().await,
            };
            let Some(seen) = seen else { return };
            self.recovered(seen);
        }
        loop {
            let outage = self.outage.as_ref().map(Outage::until);
            let timer = [self.wake, self.look_at, self.look_again_at(), outage];
            let timer = timer.into_iter().flatten().min();
            let ear = self.ear.clone();
            tokio::select! {
                biased;
                Some(errand) = self.errands.recv() => self.errand(*errand),
                news = ear.news() => self.hear(news),
                Ok(()) = self.restraint.changed(), if self.outage.is_none() => self.restrained(),
                () = sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => self.timer().await,
                mail = self.mailbox.recv() => match mail {
                    Some(mail) => self.mail(mail),
                    None => return,
                },
            }
        }
    }

    fn recovered(&mut self, seen: Result<VmState, AskHypervisorError>) {
        if self.closing {
            self.step(Input::Closing);
        }
        self.step(match seen {
            Ok(state) => Input::Observed { state, why: Observation::Look },
            Err(_) => Input::Vanished { why: Observation::Look },
        });
        self.step(Input::Recovered);
        for provider in std::mem::take(&mut self.lost_early) {
            self.step(Input::SessionLost { provider });
        }
    }

    fn step(&mut self, input: Input) {
        self.heed();
        self.step_with(input);
    }

    /// Tells the lane what holds on the host, if that has changed; before anything else that it is told.
    fn heed(&mut self) {
        // An error means that nobody will change it any more.
        if self.outage.is_none() && self.restraint.has_changed().unwrap_or(false) {
            self.restrained();
        }
    }

    fn restrained(&mut self) {
        let restraint = self.restraint.borrow_and_update().clone();
        self.step_with(Input::Restrained(restraint));
    }

    fn step_with(&mut self, input: Input) {
        let now = self.around.clock.now();
        for output in self.lane.step(now, input) {
            self.perform(output);
        }
    }

    fn mail(&mut self, mail: Mail) {
        match mail {
            Mail::Read(read) => self.read(read),
            Mail::Policy(policy) => {
                self.lane.reconfigure(Policy::clone(&policy));
                // What waits for something may wait longer or shorter now.
                self.errand(Errand::Told(Input::Tick));
            }
            Mail::Tell(input) => {
                self.closing |= matches!(*input, Input::Closing);
                self.errand(Errand::Told(*input));
            }
            Mail::Request(request) if self.outage.is_some() => {
                let _ = request.reply.send(Err(unwritable()));
            }
            Mail::Request(request) => self.request(*request),
        }
    }

    fn request(&mut self, Request { make, reply, ended, carrier, closing }: Request) {
        self.next_token = self.next_token.wrapping_add(1);
        let token = self.next_token;
        // The same id again is the same command, whose call is made once.
        let new = carrier.filter(|(command, _)| self.lane.state().command(*command).is_none());
        let carried = new.and_then(|(command, carrier)| self.carriers.keep(command, carrier));
        self.replies.insert(token, Asked { reply, ended, carried, closing });
        self.step(make(token));
    }

    fn read(&mut self, read: Read) {
        if self.outage.as_ref().is_some_and(Outage::is_ahead) {
            return; // What the lane knows is not durable: whoever reads asks again.
        }
        self.heed();
        let send = read(&self.lane, self.around.clock.now());
        let (appended, persisted) = self.lane.durability();
        if appended == persisted { send() } else { self.held.push_back((appended, send)) }
    }

    fn errand(&mut self, errand: Errand) {
        if matches!(errand, Errand::Durable { life, .. } if life != self.life) {
            return;
        }
        // What would add facts waits while the journal is given time; nothing of it is lost.
        if let Some(outage) = &mut self.outage {
            outage.keep(errand);
            return;
        }
        match errand {
            Errand::Durable { step, result: Ok(_), .. } => {
                self.step(Input::Persisted { step });
                let (_, persisted) = self.lane.durability();
                while let Some((_, send)) = self.held.pop_front_if(|(step, _)| *step <= persisted) {
                    send();
                }
            }
            Errand::Durable { result: Err(error), .. } => self.pause(&error),
            Errand::Finished { command, result, seen } => self.finished(command, result, seen),
            Errand::Probed { command, evidence } => {
                self.step(Input::Probed { command, evidence });
                self.look_for_its_end(command);
            }
            Errand::Told(input) => self.step(input),
            Errand::Looked { seen, told, activity } => self.looked(seen, told, activity),
        }
    }

    fn finished(&mut self, command: CommandId, result: CallResult, seen: Option<VmState>) {
        self.activity += 1;
        self.in_flight.remove(&command);
        let active = self.lane.state().command(command).is_some_and(Tracked::is_active);
        if active && !matches!(result, CallResult::Lost(_)) {
            self.answered.insert(command, (result.clone(), seen.clone()));
        }
        let done = matches!(result, CallResult::Done(_));
        self.explained.done(command, self.deed(command).filter(|_| done), Instant::now());
        if !done || self.seen_midway {
            // What was seen meanwhile may be a step on the call's way (a snapshot halts the vCPUs), and nobody knows
            // what a call that failed has left.
            self.explained.forget_power();
            self.doubt();
        }
        if let Some(state) = seen {
            self.step(Input::Observed { state, why: Observation::Event });
        }
        self.step(Input::Finished { command, result });
        self.look_for_its_end(command);
        // The lane was built anew while the call ran, and now its own answer is lost as well.
        if let Some(call) = self.unprobed.remove(&command)
            && self.lane.state().command(command).is_some_and(|tracked| *tracked.phase() == Phase::Unknown)
        {
            self.probe(call);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Append { step, at, facts } => {
                tell_operator(&facts);
                tracing::trace!(vm = %self.vm, step, ?facts, "decided");
                self.tell_host(&facts);
                self.around.sight.follow(self.lane.state(), &facts);
                self.around.load.follow(self.lane.state());
                self.around.witness.saw(at, self.lane.state(), &facts);
                let (send, life) = (self.send.clone(), self.life);
                let (witness, handed) = (self.around.witness.clone(), Instant::now());
                self.around.journal.append(&Entry { vm: self.vm, at, facts }, move |result| {
                    let outcome = if result.is_ok() { Journalled::Durable } else { Journalled::Refused };
                    witness.journalled(handed.elapsed(), outcome);
                    let _ = send.send(Box::new(Errand::Durable { life, step, result }));
                });
            }
            Output::Execute(call) => self.execute(call),
            Output::Probe(call) => self.probe(call),
            Output::Ask(ask) => {
                let (conflict, epoch, who) = (ask.conflict, ask.epoch, ask.who.clone());
                let (asking, send) = (self.around.asker.ask(self.vm, *ask), self.send.clone());
                tokio::spawn(async move {
                    if let Some(answer) = answer_of(asking.await, conflict, epoch, who) {
                        let _ = send.send(Box::new(Errand::Told(answer)));
                    }
                });
            }
            Output::Accepted { token, what } => self.accepted(token, what),
            Output::Refused { token, refusal } => {
                if let Some(asked) = self.replies.remove(&token) {
                    self.refuse(asked, *refusal);
                }
            }
            Output::Ended { command, outcome } => {
                self.carriers.drop(command);
                self.answered.remove(&command);
                for waiter in self.waiters.remove(&command).into_iter().flatten() {
                    let _ = waiter.send(outcome.clone());
                }
            }
            Output::CloseChannel { channel, how } => {
                if let Some(tell) = self.channels.remove(&channel) {
                    let _ = tell.send(how);
                }
            }
            Output::WakeAt(moment) => self.wake = Some(self.around.clock.instant_of(moment)),
        }
    }

    /// What the host's own records are to say as well.
    fn tell_host(&self, facts: &[Fact]) {
        let broken = || self.around.host.current().glass().contains_key(&self.vm);
        for fact in facts {
            if let Fact::GlassMended { by } | Fact::Released { by } = fact
                && broken()
            {
                self.around.host.glass_mended(self.vm, by.clone());
            }
        }
    }

    /// Whoever is told that nothing was taken in makes no call for it.
    fn refuse(&mut self, asked: Asked, refusal: Refusal) {
        if let Some(command) = asked.carried {
            self.carriers.drop(command);
        }
        let _ = asked.reply.send(Err(refusal));
    }

    fn accepted(&mut self, token: Token, what: Accepted) {
        let Some(Asked { reply, ended, carried: _, closing }) = self.replies.remove(&token) else { return };
        if let (Accepted::Command(id), Some(ended)) = (&what, ended) {
            self.tell_when_ended(*id, ended);
        }
        if let Some((id, tell)) = closing {
            self.channels.insert(id, tell);
        }
        let _ = reply.send(Ok(what));
    }

    async fn timer(&mut self) {
        let now = Instant::now();
        if self.outage.as_ref().is_some_and(|outage| outage.until() <= now) {
            self.mend().await;
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_due();
        }
        if self.look_again_at().is_some_and(|at| at <= now) {
            self.look_now();
        }
        if self.wake.is_some_and(|at| at <= now) {
            self.wake = None;
            self.step(Input::Tick);
        }
    }
}
