//! Stable codes: what a program may match on. Texts may change, codes never do.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why something was refused, or how a command ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    // What is wrong with a request.
    /// Not JSON, an unknown field, a wrong type or a value out of range.
    Malformed = "malformed",
    /// The body or header is larger than the agent reads.
    TooLarge = "too-large",
    /// The request did not arrive whole in time.
    TooSlow = "too-slow",
    /// No such path.
    NotFound = "not-found",
    /// The path exists, the method does not.
    MethodNotAllowed = "method-not-allowed",
    /// The peer is no provider and not the operator.
    Unidentified = "unidentified",
    /// The peer may not do this.
    Forbidden = "forbidden",
    /// No VM of this id, or none that the caller co-manages.
    UnknownVm = "unknown-vm",
    /// No command of this id.
    UnknownCommand = "unknown-command",
    /// No conflict of this id.
    UnknownConflict = "unknown-conflict",
    /// No provider of this name.
    UnknownProvider = "unknown-provider",
    /// The VM is co-managed already.
    AlreadyEnrolled = "already-enrolled",
    /// Something that a provider left open has not ended yet.
    HoldOpen = "hold-open",
    /// Nothing of this kind is open on the VM.
    UnknownHold = "unknown-hold",
    /// No channel of this id, or none that the caller may close.
    UnknownChannel = "unknown-channel",
    /// As many channels are open as may be.
    TooManyChannels = "too-many-channels",
    /// A disk that libvirt cannot stream, or none of this name.
    NoSuchDisk = "no-such-disk",
    /// The range lies outside of what there is.
    RangeUnsatisfiable = "range-unsatisfiable",
    /// Commands have not ended yet.
    CommandsInFlight = "commands-in-flight",

    // What is wrong with artifacts.
    /// No such format of artifacts.
    FormatUnknown = "format-unknown",
    /// None of the media types that the caller takes is one the agent gives.
    NotAcceptable = "not-acceptable",
    /// The VM's binding for the format is not of its shape, or a needed field is missing.
    BindingMalformed = "binding-malformed",
    /// The VM has something that the format cannot express.
    ArtifactRefused = "artifact-refused",
    /// The format needs something that nobody knows of the VM.
    ArtifactIncomplete = "artifact-incomplete",
    /// A secret would get into the artifacts.
    ArtifactSecret = "artifact-secret",
    /// The artifacts are more than the format holds.
    ArtifactTooLarge = "artifact-too-large",

    // What is wrong with a command.
    /// The id was used with other content.
    IdReused = "id-reused",
    /// The sequence number is not above the last one that ended.
    SeqReplayed = "seq-replayed",
    /// Another command has this sequence number.
    SeqTaken = "seq-taken",
    /// `after` closes a cycle.
    AfterCycle = "after-cycle",
    /// A command named in `after` never came.
    AfterUnknown = "after-unknown",
    /// The provider has as many commands waiting as it may.
    QueueFull = "queue-full",
    /// The action is not delegated to this provider.
    NotDelegated = "not-delegated",
    /// The delegation was revoked or ran out before the command could run.
    DelegationEnded = "delegation-ended",
    /// The command names an epoch that is past.
    StaleEpoch = "stale-epoch",
    /// What is named in the arguments belongs to another VM or another provider.
    NameNotYours = "name-not-yours",
    /// What is named in the arguments is the host's: not the VM's own, and not allowed to this provider.
    BeyondVm = "beyond-vm",
    /// The action opens a channel at a door; it is no command.
    OpensChannel = "opens-channel",
    /// Only a libvirt client's own call, through its provider's door, can ask for this.
    OnlyRelayed = "only-relayed",
    /// The deadline passed.
    DeadlinePassed = "deadline-passed",

    // How a command ended.
    /// It was executed.
    Executed = "executed",
    /// Observation shows that it took effect before its answer was lost.
    ObservedDone = "observed-done",
    /// Another command with the same wish was executed for both.
    SameWish = "same-wish",
    /// The VM's state does not allow it.
    StateForbids = "state-forbids",
    /// The guard's expectation was false.
    GuardFailed = "guard-failed",
    /// A later-issued command has already written what this one would overwrite.
    Overwritten = "overwritten",
    /// Its provider withdrew it when asked.
    Withdrawn = "withdrawn",
    /// Its provider or the operator cancelled it.
    CancelledByRequest = "cancelled-by-request",
    /// The connection of the client whose call it is ended before it was released.
    ClientGone = "client-gone",
    /// The VM is not co-managed any more.
    Released = "released",
    /// libvirt or QEMU refused or failed.
    HypervisorFailed = "hypervisor-failed",
    /// The guest did not do its part in time.
    GuestTimeout = "guest-timeout",
    /// The answer was lost and no observation can tell; it was not repeated.
    OutcomeUnknowable = "outcome-unknowable",
    /// The VM does not exist any more.
    VmGone = "vm-gone",

    // Delegation.
    /// An action in the set has commands that have not ended.
    ActionInFlight = "action-in-flight",
    /// Two providers would hold the same set.
    SetsEqual = "sets-equal",
    /// Somebody else holds the action.
    HeldByOther = "held-by-other",
    /// A hand-over is under way: nothing new is taken in under what is being handed over.
    Draining = "draining",
    /// A provider cannot delegate to itself, or the operator be delegated to.
    BadDelegate = "bad-delegate",

    // The host's owner.
    /// The operator has frozen this: no new work until it is thawed.
    Frozen = "frozen",
    /// It is not frozen.
    NotFrozen = "not-frozen",
    /// The host's ceiling does not allow it, whoever delegates it.
    AboveCeiling = "above-ceiling",
    /// The provider has used up what the host gives it; `retry_after_s` says when it may try again.
    QuotaExceeded = "quota-exceeded",
    /// The operator has taken every action of the VM for a while.
    GlassBroken = "glass-broken",

    // Providers that join.
    /// The token is none of this agent's, or not for this provider.
    TokenRefused = "token-refused",
    /// The token's time is over.
    TokenExpired = "token-expired",
    /// The token was used as often as it may be.
    TokenSpent = "token-spent",
    /// Too many attempts with tokens that were refused came from this address.
    TooManyAttempts = "too-many-attempts",
    /// The request for a certificate asks for what no provider gets, or proves nothing.
    CsrRefused = "csr-refused",
    /// No key of this digest is the provider's.
    UnknownKey = "unknown-key",
    /// There is a provider of this name, and it is another.
    ProviderExists = "provider-exists",
    /// The provider is one of the configuration file; only who edits that removes it.
    ProviderOfFile = "provider-of-file",
    /// This agent lets nobody join: its configuration says of no address for it.
    EnrollmentOff = "enrollment-off",
    /// What is known of providers cannot be written; nothing of it changes.
    StoreUnwritable = "store-unwritable",

    // Callbacks and sessions.
    /// The ask was settled before the answer came.
    AnswerLate = "answer-late",
    /// The conflict was settled before the operator's decision came.
    ConflictSettled = "conflict-settled",
    /// The answer is not to an ask of this session.
    UnknownAsk = "unknown-ask",
    /// The four times are not those of an exchange with this session, or cannot be.
    BadClockSample = "bad-clock-sample",
    /// A newer session of the same provider took over.
    SessionReplaced = "session-replaced",
    /// The session sends what it may not, or too much of it.
    SessionMisused = "session-misused",
    /// As many sessions are open as may be.
    TooManySessions = "too-many-sessions",
    /// The provider has as many connections open as it may.
    TooManyConnections = "too-many-connections",
    /// The provider sends more requests in a second than it may.
    TooManyRequests = "too-many-requests",
    /// The peer may not speak for its provider any more, or its certificate or key is not believed any more.
    IdentityRevoked = "identity-revoked",
    /// The peer's certificate has expired.
    IdentityExpired = "identity-expired",

    // The agent's own troubles.
    /// The journal cannot be written; nothing new is accepted, reads go on.
    JournalUnwritable = "journal-unwritable",
    /// libvirt cannot be reached now.
    HypervisorUnreachable = "hypervisor-unreachable",
    /// A binding is there and cannot be read.
    BindingUnreadable = "binding-unreadable",
    /// The agent is shutting down.
    Closing = "closing",
    /// A defect of the agent.
    Internal = "internal",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_plain() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code}");
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
        }
    }
}
