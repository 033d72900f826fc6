//! What a client is told when its call is not made: libvirt's own error, with one whole sentence in it that says who
//! holds what was asked for, why, and what to do next.
//!
//! The codes are such as make no client try another way: never `NO_SUPPORT`, which has clients fall back to older
//! procedures. The one exception is a procedure that is newer than the table: it is answered as a libvirt answers that has
//! it not either, so that clients do without it as they do there. *Source*: `virterror.h`, `remote_error` of
//! `virnetprotocol.x`.

use super::xdr::Writer;
use crate::model::{Code, CommandId, Ending, Outcome, Refusal, VmId};

/// The libvirt codes that a door answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// `VIR_ERR_OPERATION_FAILED`
    Failed,
    /// `VIR_ERR_SYSTEM_ERROR`
    System,
    /// `VIR_ERR_RPC`
    Unreadable,
    /// `VIR_ERR_NO_DOMAIN`
    NoDomain,
    /// `VIR_ERR_OPERATION_INVALID`
    Invalid,
    /// `VIR_ERR_OPERATION_TIMEOUT`
    Timeout,
    /// `VIR_ERR_OPERATION_ABORTED`
    Aborted,
    /// `VIR_ERR_RESOURCE_BUSY`
    Busy,
    /// `VIR_ERR_ACCESS_DENIED`
    Denied,
}

impl ErrorCode {
    /// libvirt's number.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Failed => 9,
            Self::System => 38,
            Self::Unreadable => 39,
            Self::NoDomain => 42,
            Self::Invalid => 55,
            Self::Timeout => 68,
            Self::Aborted => 78,
            Self::Busy => 87,
            Self::Denied => 88,
        }
    }
}

/// What an error is about: libvirt names the part of itself that raised it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// `VIR_FROM_QEMU`
    Vm,
    /// `VIR_FROM_RPC`
    Other,
}

impl About {
    const fn number(self) -> i32 {
        match self {
            Self::Vm => 10,
            Self::Other => 7,
        }
    }
}

/// An error that a door answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub code: ErrorCode,
    pub about: About,
    /// One whole sentence; clients print it as it is.
    pub text: String,
}

/// `VIR_ERR_ERROR`
const LEVEL: i32 = 2;

impl Answer {
    /// About a VM.
    pub fn vm(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, about: About::Vm, text: text.into() }
    }

    /// About anything else.
    pub fn other(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, about: About::Other, text: text.into() }
    }

    /// A procedure is newer than the table. Clients know the text by its first words, which are libvirt's own.
    #[must_use]
    pub fn newer(procedure: u32, why: &str) -> Self {
        Self::other(ErrorCode::Unreadable, format!("unknown procedure: {procedure}. {why}"))
    }

    /// As the payload of a reply.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.i32(self.code.number()).i32(self.about.number()).optional_string(Some(&self.text)).i32(LEVEL);
        // Neither a domain, nor further texts and numbers, nor a network.
        writer.bool(false).optional_string(None).optional_string(None).optional_string(None).i32(0).i32(0).bool(false);
        writer.into_bytes()
    }

    /// Why the agent did not take a call in.
    #[must_use]
    pub fn refused(refusal: &Refusal) -> Self {
        let unsaid = refusal.holder.as_ref().filter(|holder| !refusal.message.contains(holder.as_str()));
        let who = unsaid.map(|holder| match refusal.until {
            Some(until) => format!("{holder} holds it until {until}"),
            None => format!("{holder} holds it"),
        });
        Self::vm(error_code(refusal.code), sentence(&refusal.message, who, refusal.code, refusal.command))
    }

    /// Why a call that was taken in was not made. `id` is its own command.
    #[must_use]
    pub fn ended(id: CommandId, outcome: &Outcome) -> Self {
        let who = outcome.cause.map(|cause| format!("because of command {cause}"));
        let code = match outcome.ending {
            Ending::Superseded | Ending::Impossible => ErrorCode::Invalid,
            Ending::Expired => ErrorCode::Timeout,
            Ending::Denied => ErrorCode::Denied,
            Ending::Cancelled => ErrorCode::Aborted,
            Ending::Done | Ending::Coalesced | Ending::Failed => error_code(outcome.code),
        };
        Self::vm(code, sentence(&outcome.reason, who, outcome.code, Some(id)))
    }

    /// What libvirt says of a VM that is not there; also said of one that the provider does not see.
    #[must_use]
    pub fn no_vm(vm: VmId) -> Self {
        Self::vm(ErrorCode::NoDomain, format!("Domain not found: no domain with matching uuid '{vm}'"))
    }

    /// The same for a name.
    #[must_use]
    pub fn no_name(name: &str) -> Self {
        Self::vm(ErrorCode::NoDomain, format!("Domain not found: no domain with matching name '{name}'"))
    }

    /// The same for the number of a VM that runs.
    #[must_use]
    pub fn no_number(number: i32) -> Self {
        Self::vm(ErrorCode::NoDomain, format!("Domain not found: no domain with matching id {number}"))
    }
}

fn sentence(why: &str, who: Option<String>, code: Code, explain: Option<CommandId>) -> String {
    let mut text = format!("covirt did not let this through: {}", why.trim().trim_end_matches('.'));
    if let Some(who) = who {
        text.push_str(&format!(" ({who})"));
    }
    if let Some(next) = next(code) {
        text.push_str("; ");
        text.push_str(next);
    }
    if let Some(id) = explain {
        text.push_str(&format!("; `covirt explain {id}` tells the whole story"));
    }
    text
}

/// libvirt's code for one of ours.
const fn error_code(code: Code) -> ErrorCode {
    match code {
        Code::UnknownVm | Code::VmGone => ErrorCode::NoDomain,
        Code::Unidentified
        | Code::Forbidden
        | Code::NotDelegated
        | Code::DelegationEnded
        | Code::StaleEpoch
        | Code::NameNotYours
        | Code::BeyondVm
        | Code::OpensChannel
        | Code::OnlyRelayed
        | Code::HeldByOther
        | Code::AboveCeiling
        | Code::Frozen
        | Code::GlassBroken
        | Code::BadDelegate => ErrorCode::Denied,
        Code::QueueFull
        | Code::TooManyChannels
        | Code::QuotaExceeded
        | Code::HoldOpen
        | Code::CommandsInFlight
        | Code::ActionInFlight
        | Code::Draining => ErrorCode::Busy,
        Code::DeadlinePassed | Code::GuestTimeout | Code::TooSlow => ErrorCode::Timeout,
        Code::Withdrawn | Code::CancelledByRequest | Code::ClientGone => ErrorCode::Aborted,
        Code::StateForbids
        | Code::GuardFailed
        | Code::Overwritten
        | Code::Released
        | Code::AfterCycle
        | Code::AfterUnknown
        | Code::SeqReplayed
        | Code::SeqTaken
        | Code::IdReused
        | Code::AlreadyEnrolled
        | Code::UnknownHold
        | Code::NotFrozen
        | Code::SetsEqual => ErrorCode::Invalid,
        Code::Malformed
        | Code::TooLarge
        | Code::NotFound
        | Code::MethodNotAllowed
        | Code::UnknownCommand
        | Code::UnknownConflict
        | Code::UnknownProvider
        | Code::UnknownChannel
        | Code::NoSuchDisk
        | Code::RangeUnsatisfiable
        | Code::FormatUnknown
        | Code::NotAcceptable
        | Code::BindingMalformed
        | Code::ArtifactRefused
        | Code::ArtifactIncomplete
        | Code::ArtifactSecret
        | Code::ArtifactTooLarge
        | Code::Executed
        | Code::ObservedDone
        | Code::SameWish
        | Code::HypervisorFailed
        | Code::OutcomeUnknowable
        | Code::AnswerLate
        | Code::ConflictSettled
        | Code::UnknownAsk
        | Code::BadClockSample
        | Code::SessionReplaced
        | Code::SessionMisused
        | Code::TooManySessions
        | Code::TooManyConnections
        | Code::TooManyRequests
        | Code::IdentityRevoked
        | Code::IdentityExpired
        | Code::JournalUnwritable
        | Code::HypervisorUnreachable
        | Code::BindingUnreadable
        | Code::TokenRefused
        | Code::TokenExpired
        | Code::TokenSpent
        | Code::TooManyAttempts
        | Code::CsrRefused
        | Code::UnknownKey
        | Code::ProviderExists
        | Code::ProviderOfFile
        | Code::EnrollmentOff
        | Code::StoreUnwritable
        | Code::Closing
        | Code::Internal => ErrorCode::Failed,
    }
}

/// What to do next, where that does not follow from why.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others speak for themselves")]
const fn next(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::NotDelegated | Code::HeldByOther => "ask the VM's primary or the host's operator to delegate it",
        Code::DelegationEnded | Code::StaleEpoch => "ask the VM's primary to delegate it again",
        Code::Frozen | Code::GlassBroken => "ask the host's operator, or try again when that is over",
        Code::QueueFull => "try again when some of your commands have ended",
        Code::HoldOpen | Code::CommandsInFlight | Code::ActionInFlight | Code::Draining => {
            "try again when that is over"
        }
        Code::DeadlinePassed => "try again",
        Code::StateForbids | Code::GuardFailed | Code::Overwritten => "look at the VM's state before you try again",
        Code::OutcomeUnknowable => "look at the VM's state, because it may have taken effect",
        Code::JournalUnwritable | Code::HypervisorUnreachable | Code::Closing => "try again later",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::xdr::Reader;
    use super::*;

    #[test]
    fn no_code_has_a_client_fall_back_to_older_procedures() {
        for code in Code::ALL {
            assert_ne!(error_code(*code).number(), 3, "{code}");
        }
    }

    #[test]
    fn a_refusal_says_who_holds_it_and_what_to_do_next_in_one_sentence() {
        let refusal = Refusal::new(Code::HeldByOther, "power.stop is delegated to another provider alone")
            .held_by("north".parse().unwrap(), None)
            .blocked_by(CommandId(uuid::Uuid::from_u128(7)));
        let answer = Answer::refused(&refusal);
        assert_eq!((answer.code, answer.about), (ErrorCode::Denied, About::Vm));
        assert_eq!(
            answer.text,
            "covirt did not let this through: power.stop is delegated to another provider alone (north holds it); ask \
             the VM's primary or the host's operator to delegate it; `covirt explain \
             00000000-0000-0000-0000-000000000007` tells the whole story"
        );
        let said = Refusal::new(Code::NotDelegated, "power.stop is north's").held_by("north".parse().unwrap(), None);
        assert!(!Answer::refused(&said).text.contains("holds it"), "it is said already");
    }

    #[test]
    fn each_ending_has_its_own_code() {
        let id = CommandId(uuid::Uuid::from_u128(7));
        let code = |ending, code| Answer::ended(id, &Outcome::new(ending, code, "so")).code.number();
        assert_eq!(code(Ending::Superseded, Code::Overwritten), 55);
        assert_eq!(code(Ending::Impossible, Code::StateForbids), 55);
        assert_eq!(code(Ending::Expired, Code::DeadlinePassed), 68);
        assert_eq!(code(Ending::Denied, Code::DelegationEnded), 88);
        assert_eq!(code(Ending::Cancelled, Code::Withdrawn), 78);
        assert_eq!(code(Ending::Failed, Code::OutcomeUnknowable), 9);
    }

    #[test]
    fn a_newer_procedure_is_unknown_in_the_words_that_clients_look_for() {
        let answer = Answer::newer(450, "It is newer.");
        assert_eq!((answer.code.number(), answer.about.number()), (39, 7));
        assert_eq!(answer.text, "unknown procedure: 450. It is newer.");
    }

    #[test]
    fn the_payload_is_libvirts_error() {
        let bytes = Answer::vm(ErrorCode::Busy, "wait").payload();
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.i32(), reader.i32()), (Ok(87), Ok(10)));
        assert_eq!((reader.optional_string(), reader.i32()), (Ok(Some("wait")), Ok(2)));
        assert_eq!(reader.rest(), [0; 28]);
    }
}
