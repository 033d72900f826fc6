//! Who did what, told from a fact and from what became of it.

use super::{Peers, sentence};
use crate::doors::wire::Deed;
use crate::journal::Position;
use crate::model::{Now, Peer, ProviderId};
use crate::resolver::{Admission, ChannelEnd, Fact, GivenUp, Phase, State, deciding_rule};

/// The deed that a fact is; none when nobody did it, or when it is a part of another one.
pub(crate) fn deed(state: &State, position: Position, at: Now, fact: &Fact) -> Option<Deed> {
    let plain = |by: &ProviderId| Deed {
        position,
        received_at: at.wall,
        issued_at: None,
        provider: by.clone(),
        peer: None,
        what: sentence(fact, Peers::Told),
        command: None,
        seq: None,
        verdict: None,
        rule: None,
        outcome: None,
        reason: None,
    };
    match fact {
        Fact::Admitted(admission) => Some(command(state, plain(&admission.command.provider), admission)),
        Fact::Enrolled { primary: by, .. }
        | Fact::Released { by }
        | Fact::Delegation { by, .. }
        | Fact::DrainBegan { by, .. }
        | Fact::Decided { by, .. }
        | Fact::GlassBroken { by, .. }
        | Fact::GlassMended { by }
        | Fact::HoldGivenUp { why: GivenUp::Requested { by, .. }, .. } => Some(plain(by)),
        Fact::ChannelOpened { owner, from, .. } => Some(Deed { peer: Some(from.clone()), ..plain(owner) }),
        Fact::ChannelClosed { how: ChannelEnd::Requested { by, .. }, .. } => Some(plain(by)),
        Fact::Frozen { .. } | Fact::Thawed { .. } => Some(plain(&ProviderId::operator())),
        Fact::Host(fact) => Some(Deed { peer: fact.by().peer.clone(), ..plain(&fact.by().provider) }),
        Fact::DrainEnded { .. }
        | Fact::GapFlagged { .. }
        | Fact::ConflictOpened { .. }
        | Fact::Asked { .. }
        | Fact::Answered { .. }
        | Fact::Escalated { .. }
        | Fact::Settled { .. }
        | Fact::Started { .. }
        | Fact::BecameUnknown { .. }
        | Fact::FoundUndone { .. }
        | Fact::Ended { .. }
        | Fact::HoldOpened { .. }
        | Fact::HoldGivenUp { .. }
        | Fact::HoldClosed { .. }
        | Fact::ChannelClosed { .. }
        | Fact::Observed { .. }
        | Fact::Happened { .. }
        | Fact::Vanished { .. } => None,
    }
}

fn command(state: &State, deed: Deed, admission: &Admission) -> Deed {
    let command = &admission.command;
    let called: Option<Peer> = command.call.as_ref().map(|call| call.peer.clone());
    let tracked = state.command(command.id);
    let verdicts: Vec<String> = (tracked.into_iter().flat_map(|tracked| tracked.conflicts()))
        .filter_map(|id| state.conflict(*id)?.verdict())
        .map(|verdict| format!("{} before {}", verdict.first, verdict.second))
        .collect();
    let (outcome, reason) = match tracked.map(|tracked| tracked.phase()) {
        Some(Phase::Ended(outcome)) => {
            (Some(format!("{} {}", outcome.ending, outcome.code)), Some(outcome.reason.clone()))
        }
        Some(Phase::Queued) => (Some("queued".to_owned()), None),
        Some(Phase::Running) => (Some("running".to_owned()), None),
        Some(Phase::Unknown) => (Some("unknown".to_owned()), None),
        None => (None, None),
    };
    Deed {
        issued_at: command.issued_at,
        peer: admission.peer.clone().or(called),
        what: command.operation.action().to_string(),
        command: Some(command.id),
        seq: command.order.seq,
        verdict: (!verdicts.is_empty()).then(|| verdicts.join(", ")),
        rule: tracked.and_then(|tracked| deciding_rule(state, tracked)),
        outcome,
        reason,
        ..deed
    }
}
