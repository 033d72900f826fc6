//! The list of behaviours against the fake and libvirt's mock driver, and what of it stands in the documents.
//! [`qemu_parity`](../qemu_parity.rs) is the same on real guests.

mod libvirt_calls;
mod parity;
mod support;

use std::collections::BTreeSet;

use covirt::model::Action;
use covirt::model::action::Way;
use parity::behaviour::{Backend, What};
use parity::run::{must_be_clean, run};
use parity::stage::Stage;
use parity::{list, table};

#[tokio::test]
async fn the_fake_behaves_as_the_list_has_it() {
    let report = run(&mut Stage::fake(), &list::all(), |_| true).await;
    must_be_clean(Backend::Fake, &report);
}

#[tokio::test]
async fn the_mock_driver_behaves_as_the_list_has_it() {
    let report = run(&mut Stage::mock(), &list::all(), |_| true).await;
    must_be_clean(Backend::Mock, &report);
}

#[test]
fn every_action_that_is_a_call_is_in_the_list() {
    let calls = list::all().into_iter().flat_map(|behaviour| behaviour.steps).filter_map(|step| match step.what {
        What::Call(action, _) => Some(action),
        What::EndsByItself(_) | What::IsReady(_) => None,
    });
    let wanted: BTreeSet<Action> = Action::ALL.into_iter().filter(|action| action.spec().way == Way::Command).collect();
    assert_eq!(calls.collect::<BTreeSet<_>>(), wanted);
}

#[test]
fn no_two_behaviours_have_one_name() {
    let mut seen = BTreeSet::new();
    for behaviour in list::all() {
        assert!(seen.insert(behaviour.name), "{}", behaviour.name);
    }
}

#[test]
fn the_table_is_that_of_the_list() {
    table::must_be_printed(&list::all());
}
