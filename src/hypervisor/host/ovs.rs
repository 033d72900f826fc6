//! The ports of Open vSwitch, by one question to its database.
//!
//! ```text
//! us     {"method":"transact","params":["Open_vSwitch",{"op":"select","table":"Bridge",…},…],"id":0}
//! server {"id":0,"result":[{"rows":[…]},{"rows":[…]},{"rows":[…]}],"error":null}
//! ```
//!
//! *Source*: RFC 7047, and `ovs-vswitchd.conf.db(5)` for the tables.

#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use self::wire::{ask, map_of, row_id, set_of, text_of};
use crate::discovery::OvsPort;

/// Where the database listens: upstream's folder, and the one that distributions link to it.
pub const OVS_SOCKETS: [&str; 2] = ["/run/openvswitch/db.sock", "/var/run/openvswitch/db.sock"];

/// Why the switch's database gives no ports.
#[derive(Debug, thiserror::Error)]
pub enum ReadOvsError {
    /// It cannot be reached, or not in time.
    #[error("the database of Open vSwitch cannot be asked: {0}")]
    Io(#[from] io::Error),
    /// It answered with something else.
    #[error("the database of Open vSwitch answered with something else: {0}")]
    Answer(String),
}

/// Reads the switch ports by the name of the host's device. It blocks, for two seconds at most.
pub fn read_ovs_ports(socket: &Path) -> Result<BTreeMap<String, OvsPort>, ReadOvsError> {
    let select =
        |table: &str, columns: &[&str]| json!({ "op": "select", "table": table, "where": [], "columns": columns });
    let question = json!([
        "Open_vSwitch",
        select("Bridge", &["name", "ports"]),
        select("Port", &["_uuid", "interfaces", "tag", "trunks", "vlan_mode"]),
        select("Interface", &["_uuid", "name", "external_ids"]),
    ]);
    understood(&ask(socket, &question)?)
}

fn understood(answer: &Value) -> Result<BTreeMap<String, OvsPort>, ReadOvsError> {
    let [bridges, ports, interfaces] = [0, 1, 2].map(|nth| rows(answer, nth));
    let mut bridge_of: BTreeMap<&str, &str> = BTreeMap::new();
    for bridge in bridges? {
        let Some(name) = text_of(&bridge["name"]) else { continue };
        bridge_of.extend(set_of(&bridge["ports"]).into_iter().filter_map(row_id).map(|port| (port, name)));
    }
    let mut port_of: BTreeMap<&str, &Value> = BTreeMap::new();
    for port in ports? {
        port_of.extend(set_of(&port["interfaces"]).into_iter().filter_map(row_id).map(|id| (id, port)));
    }
    let mut found = BTreeMap::new();
    for interface in interfaces? {
        let (Some(name), Some(id)) = (text_of(&interface["name"]), row_id(&interface["_uuid"])) else { continue };
        // A row that no port holds is about to be removed.
        let Some(port) = port_of.get(id) else { continue };
        let tag = |value: &Value| value.as_u64().and_then(|tag| u16::try_from(tag).ok());
        let ids = map_of(&interface["external_ids"]);
        found.insert(
            name.to_owned(),
            OvsPort {
                bridge: row_id(&port["_uuid"]).and_then(|port| bridge_of.get(port)).map(|name| (*name).to_owned()),
                tag: set_of(&port["tag"]).into_iter().find_map(tag),
                trunks: set_of(&port["trunks"]).into_iter().filter_map(tag).collect(),
                vlan_mode: set_of(&port["vlan_mode"]).into_iter().find_map(text_of).map(str::to_owned),
                interface_id: ids.get("iface-id").map(|id| (*id).to_owned()),
                attached_mac: ids.get("attached-mac").and_then(|mac| mac.parse().ok()),
            },
        );
    }
    Ok(found)
}

/// The rows of the nth select.
fn rows(answer: &Value, nth: usize) -> Result<&Vec<Value>, ReadOvsError> {
    let of_select = answer.get(nth).ok_or_else(|| ReadOvsError::Answer(format!("{nth} results")))?;
    of_select["rows"].as_array().ok_or_else(|| ReadOvsError::Answer(of_select["error"].to_string()))
}
