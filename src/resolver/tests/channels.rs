//! Channels: who opens one, what it keeps back, and what closes it.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::sovereignty::{Ceiling, Freeze, Quota, Reach, Restraint, Scope, Subject, Table};

const LEASE: Option<Duration> = Some(Duration::from_secs(60));

fn id(number: u128) -> ChannelId {
    ChannelId(uuid::Uuid::from_u128(number))
}

fn request(by: &str, number: u128, kind: &str, force: Force) -> ChannelRequest {
    let (by, kind) = (provider(by), kind.parse().unwrap());
    ChannelRequest { id: id(number), by, kind, from: Peer::Local { uid: 7, gid: None, pid: None }, force }
}

fn ask(world: &mut World, by: &str, number: u128, kind: &str, force: Force) -> Vec<Output> {
    let token = world.token();
    let request = request(by, number, kind, force);
    let mut outputs = world.feed(Input::OpenChannel { token, request });
    outputs.extend(world.persist());
    outputs
}

fn open(world: &mut World, by: &str, number: u128, kind: &str) -> Result<(), Code> {
    refused(&ask(world, by, number, kind, Force::No)).map_or(Ok(()), Err)
}

/// The ends of channels so far.
fn ends(world: &World) -> Vec<(u128, String)> {
    let ends = world.facts().filter_map(|fact| match fact {
        Fact::ChannelClosed { channel, how, .. } => Some((channel.0.as_u128(), how.as_str().to_owned())),
        _ => None,
    });
    ends.collect()
}

fn alone() -> World {
    World::alone(Policy { gather: Duration::ZERO, ..Policy::default() })
}

fn off(vm: &mut VmState) {
    vm.power = PowerState::ShutOff;
    vm.start = StartId(None);
}

#[test]
fn a_channel_is_opened_by_whoever_holds_its_action_and_by_nobody_else() {
    let mut world = alone();
    world.delegate("south", "screen.open", "shared", None);
    assert_eq!(open(&mut world, "south", 1, "screen"), Ok(()));
    assert_eq!(open(&mut world, "south", 2, "console"), Err(Code::NotDelegated));
    assert_eq!(open(&mut world, "west", 3, "screen"), Err(Code::UnknownVm), "it does not learn that the VM exists");
    assert_eq!(open(&mut world, "north", 4, "console"), Ok(()));
    assert_eq!(open(&mut world, "operator", 5, "screen"), Ok(()));
}

#[test]
fn a_revoke_closes_what_was_open_under_it_and_nothing_else() {
    let mut world = alone();
    world.delegate("south", "screen.open", "shared", None);
    open(&mut world, "south", 1, "screen").unwrap();
    open(&mut world, "north", 2, "screen").unwrap();
    let mut outputs = world.revoke("operator", "south");
    outputs.extend(world.persist());
    assert_eq!(ends(&world), [(1, "delegation-ended".to_owned())]);
    let told = outputs.iter().any(|output| matches!(output, Output::CloseChannel { channel, .. } if *channel == id(1)));
    assert!(told || world.facts().count() > 0, "{outputs:?}");
}

#[test]
fn an_action_given_to_another_alone_closes_the_primarys_own() {
    let mut world = alone();
    open(&mut world, "north", 1, "console").unwrap();
    world.delegate("south", "console.open", "exclusive", None);
    assert_eq!(ends(&world), [(1, "delegation-ended".to_owned())]);
}

#[test]
fn an_expiry_closes_without_anybody_saying_so() {
    let mut world = alone();
    world.delegate("south", "screen.open", "shared", LEASE);
    open(&mut world, "south", 1, "screen").unwrap();
    world.pass(Duration::from_secs(59));
    assert_eq!(ends(&world), []);
    world.pass(Duration::from_secs(2));
    assert_eq!(ends(&world), [(1, "delegation-ended".to_owned())]);
}

#[test]
fn release_and_restart_close_everything() {
    let mut world = alone();
    open(&mut world, "north", 1, "console").unwrap();
    let token = world.token();
    world.feed(Input::Release { token, by: provider("north") });
    assert_eq!(ends(&world), [(1, "released".to_owned())]);
    let mut world = alone();
    open(&mut world, "north", 1, "console").unwrap();
    world.feed(Input::Recovered);
    assert_eq!(ends(&world), [(1, "agent-stopped".to_owned())]);
}

#[test]
fn one_console_at_a_time_and_the_refusal_names_who_has_it() {
    let mut world = alone();
    world.delegate("south", "console.open", "shared", None);
    open(&mut world, "south", 1, "console").unwrap();
    let said = refusal(&ask(&mut world, "north", 2, "console", Force::Yes)).unwrap();
    assert_eq!((said.code, said.holder), (Code::HeldByOther, Some(provider("south"))));
    assert!(said.message.contains("south") && !said.message.contains("user 7"), "{}", said.message);
    // From where it is open, only its owner and the operator are told.
    for by in ["south", "operator"] {
        let said = refusal(&ask(&mut world, by, 2, "console", Force::No)).unwrap();
        assert!(said.message.contains("user 7"), "{}", said.message);
    }
    // Its own gives way, and everybody's to the operator; only when that is asked for.
    assert_eq!(open(&mut world, "south", 3, "console"), Err(Code::HeldByOther));
    assert_eq!(refused(&ask(&mut world, "south", 4, "console", Force::Yes)), None);
    assert_eq!(refused(&ask(&mut world, "operator", 5, "console", Force::Yes)), None);
    assert_eq!(ends(&world), [(1, "replaced".to_owned()), (4, "replaced".to_owned())]);
}

#[test]
fn a_provider_has_so_many_channels_and_no_more() {
    let mut world = alone();
    for number in 0..8 {
        open(&mut world, "north", number, "screen").unwrap();
    }
    assert_eq!(open(&mut world, "north", 9, "screen"), Err(Code::TooManyChannels));
    assert_eq!(open(&mut world, "operator", 10, "screen"), Ok(()), "others have their own");
}

#[test]
fn only_its_owner_and_the_operator_close_a_channel() {
    let mut world = alone();
    world.delegate("south", "screen.open", "shared", None);
    open(&mut world, "south", 1, "screen").unwrap();
    let close = |world: &mut World, by: &str| {
        let (token, by, reason) = (world.token(), provider(by), "enough".to_owned());
        refused(&world.feed(Input::CloseChannel { token, by, channel: id(1), reason }))
    };
    assert_eq!(close(&mut world, "north"), Some(Code::UnknownChannel));
    assert_eq!(close(&mut world, "operator"), None);
    assert_eq!(close(&mut world, "operator"), Some(Code::UnknownChannel), "it is closed");
}

#[test]
fn a_disk_is_read_while_the_vm_is_off_and_keeps_it_so() {
    let mut world = alone();
    assert_eq!(open(&mut world, "north", 1, "disk:vda"), Err(Code::StateForbids));
    world.out_of_band(off);
    assert_eq!(open(&mut world, "north", 2, "disk:vda"), Ok(()));
    world.submit("north", "s: power.start");
    assert_eq!(executed(&world), Vec::<String>::new(), "the disk is being read");
    let (how, received, sent) = (ChannelEnd::PeerLeft {}, 1, 2);
    world.feed(Input::ChannelOver { channel: id(2), how, received, sent });
    assert_eq!(executed(&world), ["s"]);
    assert_eq!(open(&mut world, "north", 3, "disk:vda"), Err(Code::ActionInFlight));
}

#[test]
fn a_disk_is_not_read_for_ever_and_not_once_the_vm_was_started_past_covirt() {
    let mut world = alone();
    world.out_of_band(off);
    open(&mut world, "north", 1, "disk:vda").unwrap();
    world.submit("north", "s: power.start");
    world.pass(Duration::from_secs(6 * 3600 + 1));
    assert_eq!(ends(&world), [(1, "lease-expired".to_owned())]);
    assert_eq!(executed(&world), ["s"]);
    let mut world = alone();
    world.out_of_band(off);
    open(&mut world, "north", 1, "disk:vda").unwrap();
    world.out_of_band(|vm| {
        vm.power = PowerState::Running;
        vm.start = StartId(Some(9));
    });
    assert_eq!(ends(&world), [(1, "vm-started".to_owned())]);
}

#[test]
fn a_backup_is_read_by_its_owner_until_it_is_over() {
    let mut world = alone();
    world.delegate("south", "backup.begin,backup.end", "shared", None);
    assert_eq!(open(&mut world, "south", 1, "nbd"), Err(Code::UnknownHold));
    world.submit("south", "b: backup.begin mode=pull socket=/s");
    world.finish("b");
    assert_eq!(open(&mut world, "north", 2, "nbd"), Err(Code::HeldByOther));
    assert_eq!(open(&mut world, "south", 3, "nbd"), Ok(()));
    world.submit("south", "e: backup.end");
    // QEMU waits for whoever reads it while it ends, so nobody does.
    assert_eq!(ends(&world), [(3, "backup-over".to_owned())]);
    assert_eq!(open(&mut world, "south", 4, "nbd"), Err(Code::ActionInFlight));
    world.finish("e");
    world.out_of_band(|vm| vm.jobs.clear());
    assert_eq!(ends(&world), [(3, "backup-over".to_owned())]);
}

/// What holds on the host from now on; the channels that the lane has closed by it.
fn restrained(world: &mut World, restraint: Restraint) -> Vec<ChannelId> {
    let mut outputs = world.feed(Input::Restrained(Arc::new(restraint)));
    outputs.extend(world.persist());
    cut(&outputs)
}

/// The channels that a door is told to close, in order.
fn cut(outputs: &[Output]) -> Vec<ChannelId> {
    let cut = outputs.iter().filter_map(|output| match output {
        Output::CloseChannel { channel, .. } => Some(*channel),
        _ => None,
    });
    cut.collect()
}

fn frozen(scope: Scope, reach: Reach) -> Restraint {
    let freeze = Freeze { scope, reach, reason: None, since: Wall::from_micros(0) };
    Restraint { freezes: vec![freeze], ..Restraint::default() }
}

/// South's and north's screens and the operator's, as channels 1 to 3.
fn watched() -> World {
    let mut world = alone();
    world.delegate("south", "screen.open,power.stop", "shared", None);
    for (number, by) in [(1, "south"), (2, "north"), (3, "operator")] {
        open(&mut world, by, number, "screen").unwrap();
    }
    world
}

#[test]
fn a_freeze_closes_its_providers_channels_at_once_and_those_of_nobody_else() {
    let mut world = watched();
    let south = Scope::Provider { provider: provider("south") };
    assert_eq!(restrained(&mut world, frozen(south, Reach::Providers)), [id(1)]);
    assert_eq!(ends(&world), [(1, "stopped-by-owner".to_owned())]);
    assert_eq!(open(&mut world, "south", 4, "screen"), Err(Code::Frozen));
    assert_eq!(restrained(&mut world, Restraint::default()), []);
    assert_eq!(open(&mut world, "south", 5, "screen"), Ok(()), "it was thawed");
}

#[test]
fn a_freeze_of_the_vm_closes_everybodys_channels_and_the_operators_if_it_says_so() {
    let mut world = watched();
    let here = Scope::Vm { vm: world::vm() };
    assert_eq!(restrained(&mut world, frozen(here.clone(), Reach::Providers)), [id(1), id(2)]);
    assert_eq!(restrained(&mut world, frozen(here, Reach::Everyone)), [id(3)]);
    let stopped = |number| (number, "stopped-by-owner".to_owned());
    assert_eq!(ends(&world), [stopped(1), stopped(2), stopped(3)]);
    // What is frozen elsewhere is nothing to this VM.
    let mut world = watched();
    let elsewhere = Scope::Vm { vm: VmId(uuid::Uuid::from_u128(99)) };
    assert_eq!(restrained(&mut world, frozen(elsewhere, Reach::Everyone)), []);
    assert_eq!(restrained(&mut world, frozen(Scope::Host {}, Reach::Providers)), [id(1), id(2)]);
}

#[test]
fn the_broken_glass_closes_the_channels_of_everybody_but_the_operator() {
    let mut world = watched();
    let (by, reason, span) = (ProviderId::operator(), "a disk burns".to_owned(), Duration::from_secs(60));
    let mut outputs = world.feed(Input::BreakGlass { token: 1, by, reason, span });
    outputs.extend(world.persist());
    assert_eq!(cut(&outputs), [id(1), id(2)]);
    assert_eq!(ends(&world), [(1, "stopped-by-owner".to_owned()), (2, "stopped-by-owner".to_owned())]);
    assert_eq!(open(&mut world, "north", 4, "screen"), Err(Code::GlassBroken));
    assert_eq!(open(&mut world, "operator", 5, "screen"), Ok(()));
}

#[test]
fn a_ceiling_that_is_lowered_below_a_channel_closes_it_whoever_holds_the_action() {
    let table = |subject: Subject, actions: &str| Table {
        subject,
        place: "ceiling.toml, line 1".to_owned(),
        actions: Some(actions.split(',').map(|name| name.parse().unwrap()).collect()),
        class: None,
        primary: None,
        enroll: None,
        roles: None,
        quota: Quota::default(),
    };
    let under = |table: Table| Restraint { ceiling: Arc::new(Ceiling { tables: vec![table] }), ..Restraint::default() };
    let south = || Subject::Provider(provider("south"));
    let mut world = watched();
    assert_eq!(restrained(&mut world, under(table(south(), "power.stop,screen.open"))), [], "it is high enough");
    assert_eq!(restrained(&mut world, under(table(south(), "power.stop"))), [id(1)]);
    // The primary's own as well, which nobody delegated.
    assert_eq!(restrained(&mut world, under(table(Subject::Host, "power.stop"))), [id(2)]);
    assert_eq!(ends(&world), [(1, "stopped-by-owner".to_owned()), (2, "stopped-by-owner".to_owned())]);
    assert_eq!(open(&mut world, "north", 4, "screen"), Err(Code::AboveCeiling));
}
