//! What a guest tells of itself: its addresses by who says so, and what its agent knows.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tokio::time::timeout;
use virt::sys;

use super::core::{Core, look_up};
use super::failure::Fault;
use super::gather::AGENT_LIMIT;
use super::{figures, surroundings};
use crate::discovery::AgentAddress;
use crate::hypervisor::{Figures, GuestFacts};
use crate::model::VmId;

impl Core {
    /// Asks libvirt, then the guest's agent, no longer than it is given.
    pub(super) async fn guest_facts(&self, vm: VmId) -> Result<GuestFacts, Fault> {
        let mut facts = GuestFacts::default();
        let sources = [
            ("lease", sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE),
            ("arp", sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP),
        ];
        let asked = self.ask(Some(vm), move |connect, _| {
            let domain = look_up(connect, vm)?;
            Ok(sources.map(|(source, flag)| (source, surroundings::addresses(&domain, flag))))
        });
        for (source, found) in asked.await? {
            match found {
                Ok(found) => drop(facts.addresses.insert(source.to_owned(), addresses(&found))),
                Err(error) => drop(facts.unknown.insert(format!("addresses.{source}"), error.message().to_owned())),
            }
        }
        match self.ask_all(vm).await {
            Ok((found, info)) => {
                facts.addresses.insert("agent".to_owned(), addresses(&found));
                facts.filesystems = listed(&info, "fs");
                facts.agent = info;
            }
            Err(Fault::NoSuchVm(reason)) => return Err(Fault::NoSuchVm(reason)),
            Err(fault) => drop(facts.unknown.insert("agent".to_owned(), fault.text().to_owned())),
        }
        Ok(facts)
    }

    async fn ask_all(&self, vm: VmId) -> Result<(Vec<AgentAddress>, Figures), Fault> {
        let busy = || Fault::Failed("the guest's agent has not answered an earlier question".to_owned());
        let asked = self.agents.begin(vm).ok_or_else(busy)?;
        let answer = self.ask(Some(vm), move |connect, _| {
            let _asked = asked;
            let domain = look_up(connect, vm)?;
            let found = surroundings::agent_addresses(&domain).map_err(Fault::harmless(connect))?;
            let info = figures::guest_info(&domain).map_err(Fault::harmless(connect))?;
            Ok((found, info))
        });
        let late = |_| Fault::GuestTimeout(format!("the guest's agent did not answer within {AGENT_LIMIT:?}"));
        timeout(AGENT_LIMIT, answer).await.map_err(late)?
    }
}

fn addresses(found: &[AgentAddress]) -> Value {
    let one = |address: &AgentAddress| json!({ "mac": address.mac.to_string(), "ip": address.ip.to_string(), "prefix": address.prefix });
    Value::Array(found.iter().map(one).collect())
}

/// What libvirt names `kind.N.field`, one object each, in the order of the numbers.
fn listed(info: &Figures, kind: &str) -> Vec<Value> {
    let mut items: BTreeMap<usize, Map<String, Value>> = BTreeMap::new();
    for (name, value) in info {
        let Some((number, field)) = name.strip_prefix(kind).and_then(|rest| rest.strip_prefix('.')).and_then(split)
        else {
            continue;
        };
        items.entry(number).or_default().insert(field.to_owned(), value.clone());
    }
    items.into_values().map(Value::Object).collect()
}

fn split(name: &str) -> Option<(usize, &str)> {
    let (number, field) = name.split_once('.')?;
    Some((number.parse().ok()?, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libvirt_numbers_becomes_a_list() {
        let info =
            [("fs.count", json!(2)), ("fs.1.name", json!("b")), ("fs.0.name", json!("a")), ("os.id", json!("x"))];
        let info = info.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        assert_eq!(listed(&info, "fs"), [json!({"name": "a"}), json!({"name": "b"})]);
    }
}
