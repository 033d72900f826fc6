//! Network attachment definitions: how Multus plugs an interface into a bridge or a device of the nodes.
//!
//! Assumes that the plugin is on the nodes. Guarantees one definition for all interfaces that want the same, and
//! another name for one that wants something else.
//! *Source*: <https://github.com/k8snetworkplumbingwg/multus-cni/blob/master/docs/how-to-use.md>,
//! <https://www.cni.dev/plugins/current/main/bridge/>,
//! <https://github.com/k8snetworkplumbingwg/ovs-cni/blob/main/docs/cni-plugin.md>,
//! <https://github.com/k8snetworkplumbingwg/sriov-cni/blob/master/docs/configuration-reference.md>,
//! <https://github.com/kubevirt/macvtap-cni>.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::binding::Cni;
use super::name::{joined, label, object};
use crate::discovery::{Trunk, Vlan};

/// What one interface wants.
#[derive(Debug)]
pub(super) struct Attachment<'a> {
    pub(super) cni: Cni,
    /// The bridge or device on the nodes.
    pub(super) link: Option<&'a str>,
    /// The resource the nodes offer.
    pub(super) resource: Option<&'a str>,
    pub(super) vlan: &'a Vlan,
    pub(super) mtu: Option<u32>,
    /// The definition's name, when the operator gives one.
    pub(super) name: Option<&'a str>,
    /// Whether frames with a foreign MAC are dropped.
    pub(super) spoof_check: bool,
}

/// The definitions of a VM, by name.
#[derive(Debug)]
pub(super) struct Attachments<'a> {
    namespace: &'a str,
    manifests: BTreeMap<String, Value>,
}

impl<'a> Attachments<'a> {
    pub(super) fn new(namespace: &'a str) -> Self {
        Self { namespace, manifests: BTreeMap::new() }
    }

    /// The name of a definition that gives what is wanted.
    pub(super) fn add(&mut self, wanted: &Attachment<'_>) -> String {
        let first = wanted.name.map_or_else(|| wanted.usual_name(), str::to_owned);
        let others = (2_u32..).map(|number| joined(&first, &number.to_string()));
        for name in std::iter::once(first.clone()).chain(others) {
            let manifest = wanted.manifest(self.namespace, &name);
            match self.manifests.get(&name) {
                Some(there) if *there != manifest => {}
                Some(_) => return name,
                None => {
                    self.manifests.insert(name.clone(), manifest);
                    return name;
                }
            }
        }
        first
    }

    /// The definitions, by file name.
    pub(super) fn files(self) -> Vec<(String, Value)> {
        let file = |(name, manifest)| (format!("network-attachment-definition-{name}.yaml"), manifest);
        self.manifests.into_iter().map(file).collect()
    }
}

impl Attachment<'_> {
    /// `BRIDGE`, `BRIDGE-vlan42` or `BRIDGE-trunk`.
    fn usual_name(&self) -> String {
        let resource = || self.resource.and_then(|resource| resource.split_once('/')).map(|(_, name)| name);
        let link = label(self.link.or_else(resource).unwrap_or("net"));
        match (self.vlan.trunk, self.vlan.tags.first()) {
            (Trunk::No, Some(tag)) => joined(&link, &format!("vlan{tag}")),
            (Trunk::Yes, Some(_)) => joined(&link, "trunk"),
            (Trunk::No | Trunk::Yes, None) => link,
        }
    }

    fn manifest(&self, namespace: &str, name: &str) -> Value {
        let offered = match (self.resource, self.cni, self.link) {
            (Some(resource), _, _) => Some(resource.to_owned()),
            (None, Cni::Ovs, Some(bridge)) => Some(format!("ovs-cni.network.kubevirt.io/{bridge}")),
            (None, Cni::Macvtap, Some(device)) => Some(format!("macvtap.network.kubevirt.io/{device}")),
            (None, Cni::Bridge | Cni::Sriov, _) | (None, Cni::Ovs | Cni::Macvtap, None) => None,
        };
        let annotations = offered.map(|resource| json!({"k8s.v1.cni.cncf.io/resourceName": resource}));
        json!({
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": object([
                ("name", Some(json!(name))),
                ("namespace", Some(json!(namespace))),
                ("annotations", annotations),
            ]),
            "spec": {"config": self.config(name).to_string()},
        })
    }

    /// The plugin's own configuration.
    fn config(&self, name: &str) -> Value {
        let tags = |tags: &[u16]| json!(tags.iter().map(|tag| json!({"id": tag})).collect::<Vec<_>>());
        let Vlan { tags: ids, trunk, native } = self.vlan;
        let (access, carried) = match trunk {
            Trunk::No => (ids.first().copied(), None),
            // The native tag is that of frames without one.
            Trunk::Yes => (*native, Some(ids.iter().copied().filter(|id| Some(*id) != *native).collect::<Vec<_>>())),
        };
        let carried = carried.filter(|carried| !carried.is_empty());
        let carried = |wanted: bool| carried.as_ref().filter(|_| wanted).map(|carried| tags(carried));
        let tagged = matches!(self.cni, Cni::Bridge | Cni::Ovs) || (self.cni == Cni::Sriov && *trunk == Trunk::No);
        let (version, kind) = match self.cni {
            Cni::Bridge => ("0.3.1", "bridge"),
            Cni::Ovs => ("0.4.0", "ovs"),
            Cni::Sriov => ("0.3.1", "sriov"),
            Cni::Macvtap => ("0.3.1", "macvtap"),
        };
        let bridged = matches!(self.cni, Cni::Bridge | Cni::Ovs);
        object([
            ("cniVersion", Some(json!(version))),
            ("name", Some(json!(name))),
            ("type", Some(json!(kind))),
            ("bridge", self.link.filter(|_| bridged).map(|bridge| json!(bridge))),
            ("vlan", access.filter(|_| tagged).map(|tag| json!(tag))),
            ("vlanTrunk", carried(self.cni == Cni::Bridge)),
            ("trunk", carried(self.cni == Cni::Ovs)),
            ("mtu", self.mtu.filter(|_| self.cni != Cni::Sriov).map(|mtu| json!(mtu))),
            ("macspoofchk", (self.spoof_check && self.cni == Cni::Bridge).then(|| json!(true))),
            // Addresses are the guest's business.
            ("ipam", (!matches!(self.cni, Cni::Ovs | Cni::Macvtap)).then(|| json!({}))),
        ])
    }
}
