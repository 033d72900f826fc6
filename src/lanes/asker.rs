//! How a lane's questions reach providers and the operator's hook; the doors implement it.

use crate::hypervisor::Later;
use crate::model::CommandId;
use crate::resolver::{Ask, Said};

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It was sent over a session; the answer comes through [`Lanes::answer`](super::Lanes::answer).
    Sent,
    /// There is no session; the configuration answers.
    Standing(Said),
    /// The operator's hook answered.
    Hook(Option<CommandId>),
    /// Nobody will answer.
    Lost,
}

/// Whoever carries questions to providers and to the hook. One call per question, never awaited by a lane.
pub trait Asker: Send + Sync + 'static {
    /// Carries a question about this VM.
    fn ask(&self, vm: crate::model::VmId, ask: Ask) -> Later<Delivery>;
}
