use super::*;
use crate::journal::samples::every_fact;
use crate::model::Mono;

fn provider(name: &str) -> ProviderId {
    name.parse().unwrap()
}

/// What a reader is told of these facts, as one text.
fn told(facts: Vec<Fact>, reader: &str) -> String {
    let at = Now { mono: Mono(1), wall: Wall::from_micros(0) };
    let entry = Entry { vm: crate::model::VmId(uuid::Uuid::from_u128(7)), at, facts };
    serde_json::to_string(&events(1, &entry, &provider(reader))).unwrap()
}

/// What in a text says who was at the other end.
fn ends_in(text: &str) -> Vec<&'static str> {
    let marks = ["\"uid\"", "\"gid\"", "\"pid\"", "\"address\"", "\"peer\"", "(user ", "of user ", "process "];
    marks.into_iter().filter(|mark| text.contains(mark)).collect()
}

#[test]
fn who_was_at_the_other_end_is_told_to_the_operator_and_to_whoever_it_was_alone() {
    let is_of_one = |fact: &Fact| matches!(fact, Fact::Admitted(_) | Fact::ChannelOpened { .. });
    let facts: Vec<Fact> = every_fact().into_iter().filter(is_of_one).collect();
    assert!(facts.iter().any(|fact| matches!(fact, Fact::ChannelOpened { .. })));
    for fact in facts {
        let owner = match &fact {
            Fact::Admitted(admission) => admission.command.provider.to_string(),
            Fact::ChannelOpened { owner, .. } => owner.to_string(),
            _ => unreachable!("it was filtered"),
        };
        for reader in ["operator", &owner] {
            let text = told(vec![fact.clone()], reader);
            assert!(!ends_in(&text).is_empty(), "{reader}: {text}");
        }
        let text = told(vec![fact], "west");
        assert_eq!(ends_in(&text), [""; 0], "{text}");
        assert!(text.contains(&owner), "who it was is told: {text}");
    }
}
