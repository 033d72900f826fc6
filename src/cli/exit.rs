//! How a command of `covirt` ends, as an exit code. The help text, `docs/cli.md` and the code say the same.

use crate::doors::wire::CommandState;

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went as asked.
    Done,
    /// Something given here cannot be used.
    Input,
    /// The words on the command line make no sense; clap's own code.
    Usage,
    /// The agent said no.
    Refused,
    /// No agent answers.
    Unreachable,
    /// The agent is at fault.
    AgentFault,
    /// The command, or what is to be released, is not over yet.
    StillRunning,
    /// The journal or a bundle does not verify.
    Damaged,
    /// The session is over.
    SessionEnded,
    /// The demonstration did not show what it should.
    DemoFailed,
    /// The command ended `failed`, or nothing proves that what was released is over.
    Failed,
    /// The command ended `superseded`.
    Superseded,
    /// The command ended `impossible`.
    Impossible,
    /// The command ended `expired`.
    Expired,
    /// The command ended `denied`.
    Denied,
    /// The command ended `cancelled`.
    Cancelled,
    /// What was compared is not the same.
    Differs,
}

impl Exit {
    /// Every exit code, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::Done,
        Self::Input,
        Self::Usage,
        Self::Refused,
        Self::Unreachable,
        Self::AgentFault,
        Self::StillRunning,
        Self::Damaged,
        Self::SessionEnded,
        Self::DemoFailed,
        Self::Failed,
        Self::Superseded,
        Self::Impossible,
        Self::Expired,
        Self::Denied,
        Self::Cancelled,
        Self::Differs,
    ];

    /// The number the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Input => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Unreachable => 4,
            Self::AgentFault => 5,
            Self::StillRunning => 6,
            Self::Damaged => 7,
            Self::SessionEnded => 8,
            Self::DemoFailed => 9,
            Self::Failed => 10,
            Self::Superseded => 11,
            Self::Impossible => 12,
            Self::Expired => 13,
            Self::Denied => 14,
            Self::Cancelled => 15,
            Self::Differs => 16,
        }
    }

    /// What the number says.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done; a command ended done or coalesced",
            Self::Input => "a file, folder or binding given here cannot be used",
            Self::Usage => "the command line cannot be read",
            Self::Refused => "the agent refused the request",
            Self::Unreachable => "no agent answers at the socket",
            Self::AgentFault => "the agent is at fault",
            Self::StillRunning => "the wait is over, the command or the hold is not",
            Self::Damaged => "damaged: the journal (audit), or a bundle (artifacts check)",
            Self::SessionEnded => "provider session, console, nbd: the agent ended it",
            Self::DemoFailed => "demo: something did not happen as it should",
            Self::Failed => "the command ended failed; holds release: nobody confirms the end",
            Self::Superseded => "the command ended superseded",
            Self::Impossible => "the command ended impossible",
            Self::Expired => "the command ended expired",
            Self::Denied => "the command ended denied",
            Self::Cancelled => "the command ended cancelled",
            Self::Differs => "artifacts check: stale; artifacts diff, vm diff: something changed",
        }
    }

    /// The exit code for where a command stands when nobody waits for it any longer.
    #[must_use]
    pub const fn of(state: CommandState) -> Self {
        match state {
            CommandState::Queued | CommandState::Running | CommandState::Unknown => Self::StillRunning,
            CommandState::Done | CommandState::Coalesced => Self::Done,
            CommandState::Failed => Self::Failed,
            CommandState::Superseded => Self::Superseded,
            CommandState::Impossible => Self::Impossible,
            CommandState::Expired => Self::Expired,
            CommandState::Denied => Self::Denied,
            CommandState::Cancelled => Self::Cancelled,
        }
    }

    /// All of them, for the end of the help text.
    #[must_use]
    pub fn help() -> String {
        let lines = Self::ALL.map(|exit| format!("  {:>2}  {}", exit.code(), exit.meaning()));
        format!("Exit codes:\n{}", lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_differ() {
        let codes: std::collections::BTreeSet<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes.len(), Exit::ALL.len());
    }
}
