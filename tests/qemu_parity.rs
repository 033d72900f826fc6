//! The list of behaviours that the fake is held to, on real guests. Skipped, with the reason, where there are none.

mod libvirt_calls;
mod parity;
mod support;

use parity::behaviour::{Backend, Behaviour, Ground};
use parity::list;
use parity::run::{must_be_clean, run};
use parity::stage::Stage;
use support::qemu::{PrivateLibvirt, Skip};
use support::skip;

fn on_a_guest(test: &str, label: &str, chosen: impl Fn(&Behaviour) -> bool) {
    let libvirtd = match PrivateLibvirt::get() {
        Ok(libvirtd) => libvirtd,
        Err(Skip(reason)) => return skip(test, &reason),
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
    let mut stage = Stage::qemu(libvirtd, label);
    let report = runtime.block_on(run(&mut stage, &list::all(), chosen));
    must_be_clean(Backend::Qemu, &report);
}

#[test]
fn qemu_behaves_as_the_list_has_it() {
    on_a_guest("qemu_behaves_as_the_list_has_it", "parity", |behaviour| behaviour.ground != Ground::Booted);
}

#[test]
fn guests_on_qemu_behave_as_the_list_has_it() {
    on_a_guest("guests_on_qemu_behave_as_the_list_has_it", "booted", |behaviour| behaviour.ground == Ground::Booted);
}
