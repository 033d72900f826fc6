//! Carries out what the conversation decides: between one client's connection, the lanes and the hypervisor.
//!
//! Assumes a relay that hands it every message and performs its outputs in order. Guarantees that nothing here waits:
//! whatever takes time is a task of its own that sends its news to the connection; that a command whose call was released
//! is settled whatever becomes of the connection; and that no line in the log has anything of a call's arguments.
//!
//! | file | idea |
//! |---|---|
//! | `errands` | tasks: to the lane, to the hypervisor, back to the connection |
//! | `eyes` | what a provider sees, from the lanes' table and the census |
//! | `census` | what the VMs of the host are called and have |

mod census;
mod errands;
mod eyes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::conversation::{Conversation, Deed, Heard, Submit, Ticket};
use super::door::{Client, Policies};
use super::frame::Frame;
use super::relay::{Outputs, Policy, Side};
use crate::doors::identity::Role;
use crate::doors::reach::Reaches;
use crate::lanes::Lanes;
use crate::model::{Action, ClientCall, Code, CommandId, Ending, Outcome, ProviderId, VmId};
use crate::resolver::CallResult;

pub use self::census::Census;
use self::errands::{Errands, Fate, Sent};
use self::eyes::View;

/// How long what a client left under way is awaited.
const AFTER_THE_CLIENT: Duration = Duration::from_secs(30);

/// Makes a courier for each client.
#[derive(Clone)]
pub struct Couriers {
    lanes: Lanes,
    census: Census,
    reaches: Reaches,
    looks: Looks,
}

/// How many questions of one provider's are at the hypervisor at once: all of its connections together take few of the
/// agent's own from the lanes.
const LOOKS: usize = 2;

/// Each provider's places for questions.
type Looks = Arc<Mutex<BTreeMap<ProviderId, Arc<Semaphore>>>>;

impl Couriers {
    /// For clients whose calls go to these lanes, as far as their providers reach.
    #[must_use]
    pub fn new(lanes: Lanes, census: Census, reaches: Reaches) -> Self {
        Self { lanes, census, reaches, looks: Looks::default() }
    }
}

impl Policies for Couriers {
    type Policy = Courier;

    fn open(&self, client: Client, inbox: mpsc::Sender<News>) -> Courier {
        let looks = {
            let mut all = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(client.provider.clone()).or_insert_with(|| Arc::new(Semaphore::new(LOOKS))).clone()
        };
        let (lanes, reaches) = (self.lanes.clone(), self.reaches.clone());
        let errands = Errands { lanes, client: Arc::new(client), inbox, reaches, looks };
        Courier {
            talk: Conversation::new(),
            census: self.census.clone(),
            errands,
            calls: BTreeMap::new(),
            fates: BTreeMap::new(),
            settling: BTreeMap::new(),
            client_is_there: Presence::There,
        }
    }
}

/// What other tasks tell a connection.
#[derive(Debug)]
pub enum News {
    /// This.
    Heard(Box<Heard>),
    /// The lane lets a call go, and waits for what becomes of it.
    Released(Ticket, Release),
}

/// A lane that waits for what becomes of a call that it let go. Left alone, it is told that the call was not made.
#[derive(Debug)]
pub struct Release(Option<oneshot::Sender<CallResult>>);

impl Release {
    const fn new(answer: oneshot::Sender<CallResult>) -> Self {
        Self(Some(answer))
    }

    fn take(mut self) -> Option<oneshot::Sender<CallResult>> {
        self.0.take()
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            let _ = answer.send(unmade());
        }
    }
}

/// A call that its lane let go and whose client had gone by then.
fn unmade() -> CallResult {
    let reason = "the client's connection ended before its call was made";
    CallResult::Failed(Outcome::new(Ending::Cancelled, Code::ClientGone, reason))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    There,
    Gone,
}

/// What is known of a call that was handed to a lane.
struct Sending {
    id: CommandId,
    vm: VmId,
    action: Action,
    /// Watches whether what it does is under way.
    watch: Option<AbortHandle>,
}

/// One client's courier.
pub struct Courier {
    talk: Conversation,
    census: Census,
    errands: Errands,
    calls: BTreeMap<Ticket, Sending>,
    /// What became of handing calls over; kept while a later one may ask.
    fates: BTreeMap<Ticket, watch::Receiver<Fate>>,
    settling: BTreeMap<Ticket, oneshot::Sender<CallResult>>,
    client_is_there: Presence,
}

impl Policy for Courier {
    type News = News;

    fn client_says(&mut self, frame: Frame, out: &mut Outputs) {
        self.hear(Heard::FromClient(frame), out);
    }

    fn upstream_says(&mut self, frame: Frame, out: &mut Outputs) {
        self.hear(Heard::FromUpstream(frame), out);
    }

    fn told(&mut self, news: News, out: &mut Outputs) {
        match news {
            News::Heard(heard) => {
                let over = match &*heard {
                    Heard::Ended(ticket, ..) | Heard::Refused(ticket, _) | Heard::Waved(ticket) => Some(*ticket),
                    _ => None,
                };
                self.hear(*heard, out);
                over.inspect(|ticket| self.forget(*ticket));
            }
            News::Released(ticket, release) => {
                if let Some(answer) = release.take() {
                    self.settling.insert(ticket, answer);
                    self.watch_if_long(ticket);
                    self.hear(Heard::Released(ticket), out);
                }
            }
        }
    }

    fn gone(&mut self, side: Side, out: &mut Outputs) {
        match side {
            Side::Client => {
                self.hear(Heard::ClientGone, out);
                self.count_down();
            }
            Side::Upstream => self.hear(Heard::UpstreamGone, out),
        }
    }

    fn stopping(&mut self, out: &mut Outputs) {
        self.hear(Heard::Stopping, out);
    }
}

impl Courier {
    fn hear(&mut self, heard: Heard, out: &mut Outputs) {
        let host = self.census.now();
        let lanes = &self.errands.lanes;
        let client = &self.errands.client;
        let view = View { provider: &client.provider, roles: &client.roles, lanes, host: &host, peer: &client.peer };
        for deed in self.talk.hear(heard, &view) {
            self.perform(deed, out);
        }
    }

    fn perform(&mut self, deed: Deed, out: &mut Outputs) {
        match deed {
            Deed::ToClient(frame) => out.to_client(frame),
            Deed::ToUpstream(frame) => out.to_upstream(frame),
            Deed::Resolve(ticket, subject) => self.errands.resolve(ticket, subject),
            Deed::Submit(ticket, submit) => self.submit(ticket, *submit),
            Deed::Settle(ticket, result) => self.settle(ticket, result),
            Deed::Cancel(ticket) => self.cancel(ticket),
            Deed::Enroll(ticket, vm) => self.errands.enroll(ticket, vm),
            Deed::Told(procedure, answer) => {
                let (client, code) = (&self.errands.client, answer.code.number());
                let (provider, peer) = (&client.provider, &client.peer);
                tracing::info!(%provider, %peer, procedure, code, why = answer.text, "a client's call was refused");
            }
            Deed::DropClient(why) => {
                let (provider, peer) = (&self.errands.client.provider, &self.errands.client.peer);
                tracing::warn!(%provider, %peer, why, "a client broke the protocol and was sent away");
                out.drop_client();
                self.count_down();
            }
            Deed::Close(why) => out.close(why),
        }
    }

    fn submit(&mut self, ticket: Ticket, submit: Submit) {
        let id = CommandId(uuid::Uuid::now_v7());
        let action = submit.operation.action();
        self.calls.insert(ticket, Sending { id, vm: submit.vm, action, watch: None });
        let after = submit.after.and_then(|after| self.fates.get(&after).cloned());
        let (fate, told) = watch::channel(Fate::Open);
        self.fates.retain(|_, fate| fate.has_changed().is_ok());
        self.fates.insert(ticket, told);
        let peer = self.errands.client.peer.clone();
        let procedure = submit.procedure.to_owned();
        let call = ClientCall { procedure, peer };
        self.errands.submit(Sent { ticket, id, submit, call, after, fate });
    }

    /// What may take hours counts as done once it is seen under way.
    fn watch_if_long(&mut self, ticket: Ticket) {
        if let Some(sending) = self.calls.get_mut(&ticket)
            && sending.action == Action::MigrateBegin
        {
            sending.watch = Some(self.errands.watch_for_migration(ticket, sending.vm));
        }
    }

    fn forget(&mut self, ticket: Ticket) {
        self.calls.remove(&ticket).and_then(|sending| sending.watch).inspect(AbortHandle::abort);
    }

    fn settle(&mut self, ticket: Ticket, result: CallResult) {
        self.forget(ticket);
        if let Some(answer) = self.settling.remove(&ticket) {
            let _ = answer.send(result);
        }
    }

    fn cancel(&mut self, ticket: Ticket) {
        if let (Some(sending), Some(fate)) = (self.calls.remove(&ticket), self.fates.remove(&ticket)) {
            self.errands.cancel(sending.vm, sending.id, fate);
        }
    }

    /// What the client left under way has its time from now on.
    fn count_down(&mut self) {
        if std::mem::replace(&mut self.client_is_there, Presence::Gone) == Presence::There {
            self.errands.later(AFTER_THE_CLIENT, Heard::TimeUp);
        }
    }
}

impl Drop for Courier {
    /// However the connection ends, no lane waits for it in vain.
    fn drop(&mut self) {
        self.hear(Heard::UpstreamGone, &mut Outputs::default());
    }
}

/// Whether a client has this role.
fn has(roles: &BTreeSet<Role>, role: Role) -> bool {
    roles.contains(&role)
}
