//! The libvirt adapter from outside, against libvirt's mock driver, by a lane's own calls. What every hypervisor has in
//! common is in `tests/parity/list/`.

mod libvirt_calls;

use serde_json::Value;
use uuid::Uuid;
use virt::connect::Connect;
use virt::sys;

use covirt::hypervisor::{Hypervisor, Libvirt, Options};
use covirt::model::{Action, Code, VmId};
use covirt::resolver::{CallResult, Evidence};
use libvirt_calls::call;

const URI: &str = "test:///default";

/// Defines a VM, on the driver state that all connections of this process share.
fn define(connect: &Connect, name: &str) -> VmId {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes());
    let xml = format!(
        "<domain type='test'><name>{name}</name><uuid>{id}</uuid><memory>65536</memory>\
         <vcpu current='1'>4</vcpu><os><type>hvm</type></os></domain>"
    );
    connect.define_domain_xml(&xml).expect("define");
    VmId(id)
}

fn undefine(connect: &Connect, vm: VmId) {
    let domain = connect.lookup_domain_by_uuid(vm.0).expect("the VM is there");
    let _ = domain.destroy();
    domain.undefine_flags(sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA).expect("undefine");
}

#[tokio::test]
async fn a_call_for_an_earlier_start_is_refused_and_its_probe_tells_nothing() {
    let libvirt = Libvirt::connect(URI, Options::default()).expect("connect");
    let connect = Connect::open(Some(URI)).expect("connect");
    let vm = define(&connect, "earlier-start");
    let domain = connect.lookup_domain_by_uuid(vm.0).expect("the VM is there");
    domain.create().expect("create");
    let suspend = call(vm, &libvirt.observe(vm).await.expect("observe"), Action::PowerSuspend, Value::Null);
    assert_eq!(libvirt.probe(suspend.clone()).await.expect("probe"), Evidence::Undone);
    domain.destroy().expect("destroy");
    domain.create().expect("create");
    let CallResult::Failed(outcome) = libvirt.execute(suspend.clone()).await else { panic!() };
    assert_eq!(outcome.code, Code::StateForbids);
    assert_eq!(libvirt.probe(suspend).await.expect("probe"), Evidence::None);
    undefine(&connect, vm);
}
