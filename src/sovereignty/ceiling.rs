//! The ceiling: what no provider may exceed on this host, whoever delegates it.
//!
//! A table for the whole host, one for each provider, one for each VM (by UUID, or by a name with `*` and `?`). Every table
//! that applies must allow; what a table does not mention it does not bound. The operator and the agent are not under it:
//! it is the operator's own word about the others.

use std::collections::BTreeSet;

use crate::model::{Action, Class, Code, ProviderId, Refusal, VmId};

use super::quota::Quota;

/// Whom a table is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Everybody, everywhere.
    Host,
    /// One provider, everywhere.
    Provider(ProviderId),
    /// One VM, for everybody.
    Vm(VmId),
    /// The VMs whose name fits, for everybody.
    Named(String),
}

/// One table of the ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Whom it is about.
    pub subject: Subject,
    /// Where it stands, for people: `FILE, line 3, [provider.south]`.
    pub place: String,
    /// The actions that may be done, if that is bounded.
    pub actions: Option<BTreeSet<Action>>,
    /// The highest class a command may have.
    pub class: Option<Class>,
    /// Whether it may be the primary of what is enrolled.
    pub primary: Option<bool>,
    /// Whether it may begin to co-manage VMs.
    pub enroll: Option<bool>,
    /// The roles that it may have at its libvirt-compatible door.
    pub roles: Option<BTreeSet<String>>,
    /// How much it may have under way at once, on all VMs together.
    pub quota: Quota,
}

/// Everything that bounds providers on this host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ceiling {
    /// The tables, in the order of the file.
    pub tables: Vec<Table>,
}

impl Ceiling {
    /// The tables that bear on a provider on a VM; on no VM in particular without one.
    fn over<'a>(&'a self, provider: &'a ProviderId, vm: Option<(VmId, &'a str)>) -> impl Iterator<Item = &'a Table> {
        let exempt = provider.is_operator() || provider.is_agent();
        self.tables.iter().filter(move |table| {
            !exempt
                && match &table.subject {
                    Subject::Host => true,
                    Subject::Provider(bounded) => bounded == provider,
                    Subject::Vm(bounded) => vm.is_some_and(|(vm, _)| vm == *bounded),
                    Subject::Named(pattern) => vm.is_some_and(|(_, name)| fits(pattern, name)),
                }
        })
    }

    /// Whether a provider may do this to a VM.
    ///
    /// *Errors*: [`Code::AboveCeiling`], naming the table that does not allow it.
    pub fn allows(
        &self,
        provider: &ProviderId,
        vm: VmId,
        name: &str,
        action: Action,
        class: Class,
    ) -> Result<(), Refusal> {
        for table in self.over(provider, Some((vm, name))) {
            if table.actions.as_ref().is_some_and(|actions| !actions.contains(&action)) {
                return Err(table.refuses(&format!("{action} by {provider}")));
            }
            if let Some(most) = table.class.filter(|most| class > *most) {
                return Err(table.refuses(&format!("class {class} by {provider}, but {most} at most")));
            }
        }
        Ok(())
    }

    /// Whether a provider may be the primary of a VM that is enrolled; `own` when it is by its own wish.
    ///
    /// *Errors*: [`Code::AboveCeiling`].
    pub fn allows_primary(&self, provider: &ProviderId, vm: VmId, name: &str) -> Result<(), Refusal> {
        let forbids = |table: &&Table| table.primary == Some(false);
        match self.over(provider, Some((vm, name))).find(forbids) {
            Some(table) => Err(table.refuses(&format!("{provider} as a primary"))),
            None => Ok(()),
        }
    }

    /// Whether a provider may begin to co-manage VMs by itself.
    ///
    /// *Errors*: [`Code::AboveCeiling`].
    pub fn allows_enrolling(&self, provider: &ProviderId) -> Result<(), Refusal> {
        let forbids = |table: &&Table| table.enroll == Some(false) || table.primary == Some(false);
        match self.over(provider, None).find(forbids) {
            Some(table) => Err(table.refuses(&format!("enrolling by {provider}"))),
            None => Ok(()),
        }
    }

    /// Whether a provider may have a role at its door.
    #[must_use]
    pub fn allows_role(&self, provider: &ProviderId, role: &str) -> bool {
        self.over(provider, None).all(|table| table.roles.as_ref().is_none_or(|roles| roles.contains(role)))
    }

    /// What bounds how much a provider may have under way: the least of every bound.
    #[must_use]
    pub fn quota(&self, provider: &ProviderId) -> Quota {
        self.over(provider, None).fold(Quota::default(), |quota, table| quota.and(table.quota))
    }
}

impl Table {
    fn refuses(&self, what: &str) -> Refusal {
        Refusal::new(Code::AboveCeiling, format!("the host's ceiling does not allow {what} ({})", self.place))
            .held_by(ProviderId::operator(), None)
    }
}

/// Whether a name fits a pattern: `*` is any text, `?` any one character. Linear in both: no pattern makes it slow.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0_usize, 0_usize, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p = p.saturating_add(1);
            }
            Some(one) if *one == '?' || Some(one) == name.get(n) => {
                p = p.saturating_add(1);
                n = n.saturating_add(1);
            }
            Some(_) | None => {
                let Some((at, from)) = star else { return false };
                let from = from.saturating_add(1);
                star = Some((at, from));
                p = at.saturating_add(1);
                n = from;
            }
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(subject: Subject) -> Table {
        Table {
            subject,
            place: "ceiling.toml, line 1, [host]".to_owned(),
            actions: None,
            class: None,
            primary: None,
            enroll: None,
            roles: None,
            quota: Quota::default(),
        }
    }

    fn vm() -> VmId {
        VmId(uuid::Uuid::from_u128(7))
    }

    #[test]
    fn every_table_that_applies_must_allow_and_the_one_that_does_not_is_named() {
        let south: ProviderId = "south".parse().unwrap();
        let some = |actions: &[Action]| Some(actions.iter().copied().collect());
        let ceiling = Ceiling {
            tables: vec![
                Table { actions: some(&[Action::PowerStart, Action::CpuSet]), ..table(Subject::Host) },
                Table {
                    actions: some(&[Action::CpuSet]),
                    class: Some(Class::Routine),
                    place: "ceiling.toml, line 9, [provider.south]".to_owned(),
                    ..table(Subject::Provider(south.clone()))
                },
            ],
        };
        let ask = |who: &ProviderId, action, class| ceiling.allows(who, vm(), "web-1", action, class);
        assert_eq!(ask(&south, Action::CpuSet, Class::Routine), Ok(()));
        let refusal = ask(&south, Action::PowerStart, Class::Routine).unwrap_err();
        assert_eq!(refusal.code, Code::AboveCeiling);
        assert!(refusal.message.contains("line 9, [provider.south]"), "{refusal}");
        ask(&south, Action::CpuSet, Class::Critical).unwrap_err();
        let north: ProviderId = "north".parse().unwrap();
        assert_eq!(ask(&north, Action::PowerStart, Class::Emergency), Ok(()));
        ask(&north, Action::PowerStop, Class::Routine).unwrap_err();
        assert_eq!(ask(&ProviderId::operator(), Action::PowerStop, Class::Emergency), Ok(()));
    }

    #[test]
    fn a_vm_is_meant_by_its_uuid_or_by_its_name() {
        let north: ProviderId = "north".parse().unwrap();
        for subject in [Subject::Vm(vm()), Subject::Named("web-*".to_owned())] {
            let ceiling = Ceiling { tables: vec![Table { primary: Some(false), ..table(subject) }] };
            ceiling.allows_primary(&north, vm(), "web-1").unwrap_err();
            assert_eq!(ceiling.allows_primary(&north, VmId::HOST, "db-1"), Ok(()));
        }
    }

    #[test]
    fn a_pattern_is_any_text_at_a_star_and_one_character_at_a_question_mark() {
        for (pattern, name, is) in [
            ("web-*", "web-", true),
            ("web-*", "web-12", true),
            ("*-1", "web-1", true),
            ("w?b", "web", true),
            ("w?b", "wb", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbY", false),
            ("", "", true),
            ("*", "", true),
            ("web", "web-1", false),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
        assert!(!fits(&"*a".repeat(200), &"a".repeat(150)));
    }
}
