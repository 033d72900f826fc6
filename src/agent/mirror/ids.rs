//! The stable ids of what is mirrored to the journal of systemd: one for every kind of fact. An id is never changed and never
//! used for something else. `systemd/covirt.catalog` and `docs/audit.md` list the same.

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageKind {
    /// The kind of fact; `host.KIND` for what happened to the host as a whole.
    pub kind: &'static str,
    /// `MESSAGE_ID`.
    pub id: &'static str,
    /// What it is, in the catalogue.
    pub subject: &'static str,
}

/// Every kind there is.
pub const MESSAGES: &[MessageKind] = &[
    MessageKind { kind: "enrolled", id: "6f10a7cddfe159e5857f0df1b8c63cdd", subject: "A VM is co-managed" },
    MessageKind {
        kind: "released",
        id: "ff42e1a18b3659db9a25ae2570a0fe8f",
        subject: "A VM is not co-managed any more",
    },
    MessageKind {
        kind: "delegation",
        id: "bf154b8c40da58c69cd7285c62f253e2",
        subject: "Who may do what to a VM has changed",
    },
    MessageKind { kind: "drain-began", id: "a653036c02e151429925b0a4742f2fdf", subject: "A hand-over has begun" },
    MessageKind { kind: "drain-ended", id: "dab6e8be180750099e215eda98fd64b7", subject: "A hand-over is over" },
    MessageKind { kind: "admitted", id: "b112c706b81a52c5b0ea79cc5ebd4595", subject: "A command was taken in" },
    MessageKind {
        kind: "gap-flagged",
        id: "ccd73910c2615ab3b0213b38745d8730",
        subject: "A command goes on without an earlier one",
    },
    MessageKind { kind: "conflict-opened", id: "d9bde57beaca586e8fa461783da4337e", subject: "Two commands conflict" },
    MessageKind {
        kind: "asked",
        id: "24128f82e86b5ec695c41af26a6ed2ce",
        subject: "Somebody is asked which goes first",
    },
    MessageKind {
        kind: "answered",
        id: "be535004014155b8979f429896e0f696",
        subject: "Somebody answered which goes first",
    },
    MessageKind {
        kind: "escalated",
        id: "81b260f53f9b59448dca7f58845b821b",
        subject: "The operator is to decide a conflict",
    },
    MessageKind {
        kind: "decided",
        id: "b477bc79b9065daca9aaa9fa265a9366",
        subject: "The operator has decided a conflict",
    },
    MessageKind {
        kind: "settled",
        id: "865296f1e8fc5ea894acd113cb0e654a",
        subject: "It is decided which command goes first",
    },
    MessageKind {
        kind: "started",
        id: "3a49148904ed550f8453b17cb7a5111f",
        subject: "A command was given to the hypervisor",
    },
    MessageKind {
        kind: "became-unknown",
        id: "aac9ba960dc253b0a066248888ed4757",
        subject: "The answer to a command was lost",
    },
    MessageKind {
        kind: "found-undone",
        id: "3a39583e72aa5e609f0126dd8cbde243",
        subject: "A command never took effect",
    },
    MessageKind { kind: "ended", id: "d01c9ef1185f56f7b7ca0ae3ebba6e26", subject: "A command has ended" },
    MessageKind {
        kind: "hold-opened",
        id: "ccb075cb2a1752659ef69d5c88eadc18",
        subject: "Something is left open on a VM",
    },
    MessageKind {
        kind: "hold-given-up",
        id: "572762cbabf351dbb33435d11560a4b8",
        subject: "Something left open is to be ended",
    },
    MessageKind { kind: "hold-closed", id: "3db16988cd345f58aab147dd06335cf1", subject: "Something left open is over" },
    MessageKind {
        kind: "observed",
        id: "be56bb6673ba5c03970dbedd2e87a657",
        subject: "A VM is not as it was believed to be",
    },
    MessageKind {
        kind: "happened",
        id: "8ba9432d81ca58b89abaabd8d09b1238",
        subject: "Something happened to a VM past covirt",
    },
    MessageKind { kind: "frozen", id: "5249b90f459a56e387e4ee472ce254a9", subject: "New work on a VM is stopped" },
    MessageKind { kind: "thawed", id: "b7d87c3abb705187b5b43bfadd0dcf09", subject: "New work on a VM may begin again" },
    MessageKind {
        kind: "glass-broken",
        id: "344b8c5042735a0e87e536da432d538c",
        subject: "The operator has taken every action of a VM",
    },
    MessageKind {
        kind: "glass-mended",
        id: "1811bda0fe03504a94413b5033db97ec",
        subject: "The operator has given the actions of a VM back",
    },
    MessageKind { kind: "vanished", id: "cb2e4aa3dd955e9e8166aceb0c307b7e", subject: "A VM does not exist any more" },
    MessageKind {
        kind: "host.frozen",
        id: "5a0cdfb645f55c7896b5dd0fb7a91b23",
        subject: "The operator has frozen a scope of the host",
    },
    MessageKind {
        kind: "host.thawed",
        id: "70ef00737c1c5fd9815755a0cfb089ec",
        subject: "The operator has thawed a scope of the host",
    },
    MessageKind {
        kind: "host.ceiling-changed",
        id: "55641eb210195cf2bde656de3b7a7ae2",
        subject: "The ceiling of the host has changed",
    },
    MessageKind {
        kind: "host.provider-added",
        id: "c761835a33445b06a03a9c0e03f95e9f",
        subject: "A provider was added",
    },
    MessageKind {
        kind: "host.provider-removed",
        id: "b4f61540ef5b5fd7898547076d714756",
        subject: "A provider was removed",
    },
    MessageKind { kind: "host.key-added", id: "532ff70bd7d1527192848ee7874eab60", subject: "A key was added" },
    MessageKind { kind: "host.key-revoked", id: "e72c8a4d3fbb5ba3a9cbb26d29e393c2", subject: "A key was revoked" },
    MessageKind {
        kind: "host.token-made",
        id: "59cbf0af3b50567e872346a5b52168e3",
        subject: "A token with which a provider may join was made",
    },
    MessageKind {
        kind: "host.glass-broken",
        id: "923fa740b27a504b95bf5e07bb28bfbf",
        subject: "The operator broke the glass over a VM",
    },
    MessageKind {
        kind: "host.glass-mended",
        id: "2c245cacd1d25085baa9b7c89d18a06e",
        subject: "The glass over a VM is whole again",
    },
    MessageKind {
        kind: "channel-opened",
        id: "c865390120955b69ad67de74d368d868",
        subject: "A provider opened a channel",
    },
    MessageKind { kind: "channel-closed", id: "5fd4c4f12a3257d5bf21f6be595aea8c", subject: "A channel is closed" },
];

/// The id of a kind.
#[must_use]
pub fn id_of(kind: &str) -> Option<&'static str> {
    MESSAGES.iter().find(|message| message.kind == kind).map(|message| message.id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::resolver::Fact;
    use crate::sovereignty::HostFact;

    #[test]
    fn every_kind_of_fact_has_an_id_of_its_own_that_the_catalogue_and_the_documentation_list() {
        let of_lanes = Fact::KINDS.iter().filter(|kind| **kind != "host").map(|kind| (*kind).to_owned());
        let of_host = HostFact::KINDS.iter().map(|kind| format!("host.{kind}"));
        let kinds: BTreeSet<String> = of_lanes.chain(of_host).collect();
        let known: BTreeSet<String> = MESSAGES.iter().map(|message| message.kind.to_owned()).collect();
        assert_eq!(kinds, known);
        let ids: BTreeSet<&str> = MESSAGES.iter().map(|message| message.id).collect();
        assert_eq!(ids.len(), MESSAGES.len());
        let catalogue = include_str!("../../../systemd/covirt.catalog");
        let document = include_str!("../../../docs/audit.md");
        for MessageKind { kind, id, subject } in MESSAGES {
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
            assert!(catalogue.contains(&format!("-- {id}\nSubject: {subject}\n")), "{kind} in the catalogue");
            assert!(document.contains(&format!("| `{kind}` | `{id}` |")), "{kind} in docs/audit.md");
        }
        assert_eq!(catalogue.matches("\n-- ").count(), MESSAGES.len(), "the catalogue has nothing else");
    }
}
