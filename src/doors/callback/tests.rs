use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::{Callbacks, Hook};
use crate::doors::session::Sessions;
use crate::lanes::{Asker, Delivery};
use crate::model::{Class, Command, CommandId, ConflictId, Guard, HoldKey, Operation, Order, ProviderId, VmId};
use crate::resolver::{Ask, Party, Said};

fn command(id: u128, provider: &str) -> Command {
    Command {
        id: CommandId(uuid::Uuid::from_u128(id)),
        vm: VmId(uuid::Uuid::from_u128(9)),
        provider: provider.parse().unwrap(),
        operation: Operation::PowerReset(crate::model::operation::NoArgs {}),
        order: Order::default(),
        issued_at: None,
        not_after: None,
        must_start_by: None,
        break_glass: None,
        guard: Guard::default(),
        class: Class::Routine,
        epoch: None,
        call: None,
    }
}

fn ask(who: Party, within: Duration) -> Ask {
    Ask {
        conflict: ConflictId(uuid::Uuid::from_u128(5)),
        epoch: 1,
        who,
        mine: command(1, "north"),
        theirs: command(2, "south"),
        hold: None,
        opener: None,
        contested: vec![],
        mine_first_fails: None,
        theirs_first_fails: None,
        within,
    }
}

async fn hook_says(script: &str, within: Duration) -> Delivery {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("hook");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let hook = Hook { program, args: vec![] };
    let callbacks = Callbacks::new(Sessions::default(), BTreeMap::new(), Some(hook));
    callbacks.ask(VmId(uuid::Uuid::from_u128(9)), ask(Party::Hook, within)).await
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_hook_names_the_first_command() {
    let first = CommandId(uuid::Uuid::from_u128(2));
    let said = hook_says(&format!("cat >/dev/null; echo '{{\"first\":\"{first}\"}}'"), LONG).await;
    assert_eq!(said, Delivery::Hook(Some(first)));
}

#[tokio::test]
async fn a_hook_reads_both_commands() {
    let script = "grep -q power.reset && echo '{\"no_opinion\":true}' || echo nonsense";
    assert_eq!(hook_says(script, LONG).await, Delivery::Hook(None));
}

#[tokio::test]
async fn a_question_about_what_is_open_says_what_and_whose() {
    let asked = Ask {
        hold: Some(HoldKey::Block("vda".to_owned())),
        opener: Some(CommandId(uuid::Uuid::from_u128(1))),
        ..ask(Party::Hook, LONG)
    };
    let vm = VmId(uuid::Uuid::from_u128(9));
    let question = serde_json::to_value(super::hook_ask(vm, &asked)).unwrap();
    assert_eq!((&question["hold"], &question["opener"]), (&"block:vda".into(), &question["commands"][0]["id"]));
    let question = serde_json::to_value(super::ask_message(vm, &asked)).unwrap();
    assert_eq!(question["hold"], "block:vda");
    let plain = serde_json::to_value(super::ask_message(vm, &ask(Party::Hook, LONG))).unwrap();
    assert_eq!(plain.get("hold"), None);
}

#[tokio::test]
async fn a_hook_that_fails_or_babbles_is_silent() {
    for script in ["exit 3", "echo nonsense", "echo '{\"first\":7}'", "yes | head -c 1000000"] {
        assert_eq!(hook_says(script, LONG).await, Delivery::Lost, "{script}");
    }
}

#[tokio::test]
async fn a_late_hook_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let started = Instant::now();
    let script = format!("sleep 600 & echo $! > {}.new; mv {0}.new {0}; wait", pid_file.display());
    assert_eq!(hook_says(&script, Duration::from_secs(3)).await, Delivery::Lost);
    assert!(started.elapsed() < Duration::from_secs(60));
    let child: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    // Dead, or a zombie that nobody has reaped yet.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") || !stat.contains("(sleep)") {
            break;
        }
        assert!(Instant::now() < deadline, "the hook's child still runs: {stat}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_a_session_the_standing_answer_stands() {
    let north: ProviderId = "north".parse().unwrap();
    let standing = BTreeMap::from([(north.clone(), Said::TheirsFirst)]);
    let callbacks = Callbacks::new(Sessions::default(), standing, None);
    let vm = VmId(uuid::Uuid::from_u128(9));
    let asked = |who: &str| callbacks.ask(vm, ask(Party::Provider(who.parse().unwrap()), LONG));
    assert_eq!(asked("north").await, Delivery::Standing(Said::TheirsFirst));
    assert_eq!(asked("south").await, Delivery::Lost);
}
