//! Who may see and change what.

use super::desk::*;
use super::super::*;

#[test]
fn a_vm_that_a_provider_does_not_see_is_not_there() {
    for number in [OTHERS, FREE] {
        let mut desk = Desk::new();
        assert_eq!(desk.call(GET_INFO, 1, number), ["client 16#1 error 42"]);
        assert_eq!(desk.call(SUSPEND, 2, number), ["client 34#2 error 42"]);
    }
}

#[test]
fn on_a_vm_that_nobody_co_manages_the_host_role_has_plain_libvirt() {
    let mut desk = Desk::of_the_host();
    assert_eq!(desk.call(SUSPEND, 1, FREE), ["libvirtd call 34#1"]);
    assert_eq!(desk.libvirtd(SUSPEND, 1, &[]), ["client 34#1 ok"]);
    assert_eq!(desk.call(SUSPEND, 2, OTHERS), ["client 34#2 error 42"]);
    assert_eq!(desk.call(SUSPEND, 3, OWN), ["submit 2 power.suspend"]);
}
