//! What came of a question that left, as the lane is told.

use crate::lanes::asker::Delivery;
use crate::model::ConflictId;
use crate::resolver::{Heard, Input, Party};

pub(super) fn answer_of(delivery: Delivery, conflict: ConflictId, epoch: u64, who: Party) -> Option<Input> {
    match (delivery, who) {
        (Delivery::Sent, _) => None,
        (Delivery::Standing(said), Party::Provider(by)) => {
            Some(Input::Answered { token: None, conflict, epoch, by, said, how: Heard::Standing })
        }
        (Delivery::Hook(first), Party::Hook) => Some(Input::HookAnswered { conflict, epoch, first }),
        (Delivery::Lost | Delivery::Standing(_) | Delivery::Hook(_), by) => {
            Some(Input::AnswerLost { conflict, epoch, by })
        }
    }
}
