//! What a guest's part of a binding may not say.
//!
//! Assumes a binding of the right shape. Guarantees that it names interfaces the VM has, with values that are
//! addresses and names, and that no secret gets further.

use std::collections::BTreeSet;

use core::net::IpAddr;

use super::plan::{Plan, plan};
use super::{Guest, GuestNic, GuestVlan};
use crate::artifacts::binding::BindingFault;
use crate::artifacts::error::RenderError;
use crate::artifacts::named::nic_named;
use crate::discovery::{Inventory, Nic, Trunk};
use crate::model::units::Mac;

/// The longest name of an interface. *Units*: bytes.
const LONGEST_NAME: usize = 15;

/// Refuses what must not travel: private keys anywhere, passwords in `user-data`, and keys that are no public keys.
pub(in crate::artifacts) fn check_no_secret(guest: &Guest) -> Result<(), RenderError> {
    let Guest { hostname: _, ssh_keys, user_data, dns: _, search: _, nics: _ } = guest;
    for (nth, key) in ssh_keys.iter().enumerate() {
        if key.contains("PRIVATE KEY") {
            return Err(RenderError::Secret { field: format!("ssh_keys[{nth}]") });
        }
        if !is_public_key(key) {
            let field = format!("ssh_keys[{nth}]");
            let fault = BindingFault::new(field, "this is not a public key in OpenSSH's one-line form");
            return Err(fault.hint("the line of a .pub file: TYPE BASE64 COMMENT, without options").into());
        }
    }
    if user_data.as_deref().is_some_and(tells_a_secret) {
        return Err(RenderError::Secret { field: "user_data".to_owned() });
    }
    Ok(())
}

/// `TYPE BASE64 [COMMENT]` on one line; options before the type are refused, for they may run commands.
pub(super) fn is_public_key(key: &str) -> bool {
    let mut words = key.split(' ');
    let (Some(kind), Some(body)) = (words.next(), words.next()) else {
        return false;
    };
    let known = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| kind.starts_with(start));
    let base64 = body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
    known && base64 && body.len() >= 32 && !key.chars().any(char::is_control)
}

/// Whether a line sets one of cloud-init's passwords, or a private key is in the text.
pub(super) fn tells_a_secret(text: &str) -> bool {
    const KEYS: [&str; 6] = ["password", "passwd", "hashed_passwd", "plain_text_passwd", "chpasswd", "hashed-password"];
    text.contains("PRIVATE KEY")
        || text.lines().any(|line| {
            let (key, rest) = line.split_once(':').unwrap_or(("", line));
            let key = key.trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '"' | '\'' | '{'));
            // `chpasswd: {expire: false}` alone tells nothing, but its list may follow: refused as a whole.
            KEYS.contains(&key) || KEYS.iter().any(|key| rest.contains(&format!("{key}:")))
        })
}

/// Refuses a binding for interfaces that are not there, or with values that are none.
pub(in crate::artifacts) fn check_nics(inventory: &Inventory, guest: &Guest) -> Result<(), RenderError> {
    let mut names = BTreeSet::new();
    for (mac, bound) in &guest.nics {
        let nic = nic_named(inventory, "nics", *mac)?;
        check_addresses(*mac, "addresses", &bound.addresses)?;
        let targets: Vec<String> = bound.routes.iter().map(|route| route.to.clone()).collect();
        check_addresses(*mac, "routes", &targets)?;
        check_gateways(nic, *mac, bound, inventory, guest)?;
        if let Some(name) = &bound.name {
            check_name(*mac, name)?;
            if !names.insert(name.clone()) || is_default_id(name) {
                return Err(BindingFault::new(field(*mac, ".name"), "the name is taken").into());
            }
        }
        for vlan in &bound.vlans {
            check_vlan(nic, *mac, bound, vlan)?;
        }
    }
    Ok(())
}

fn field(mac: Mac, part: &str) -> String {
    format!("nics.\"{mac}\"{part}")
}

fn check_addresses(mac: Mac, part: &str, addresses: &[String]) -> Result<(), BindingFault> {
    if addresses.iter().all(|address| read_address(address).is_some()) {
        return Ok(());
    }
    let fault = BindingFault::new(field(mac, &format!(".{part}")), "an address is not of the form ADDRESS/PREFIX");
    Err(fault.hint("192.0.2.21/24, or 2001:db8::21/64"))
}

/// One gateway of a family at most, and none where DHCP tells it.
fn check_gateways(
    nic: &Nic,
    mac: Mac,
    bound: &GuestNic,
    inventory: &Inventory,
    guest: &Guest,
) -> Result<(), BindingFault> {
    if bound.gateway6.is_some() && bound.gateway.is_some_and(|gateway| gateway.is_ipv6()) {
        let fault = BindingFault::new(field(mac, ".gateway6"), "the IPv6 gateway is given twice");
        return Err(fault.hint("leave one of gateway and gateway6 out"));
    }
    let told = bound.gateway.is_some() || bound.gateway6.is_some() || !bound.dns.is_empty();
    match plan(nic, inventory, guest) {
        Plan::Dhcp if told => {
            let fault = BindingFault::new(field(mac, ""), "it asks DHCP, which tells its gateway and DNS servers");
            Err(fault.hint("give its addresses too, or leave these out"))
        }
        Plan::Dhcp | Plan::Unmatched | Plan::Bound(_) | Plan::Reserved(_) => Ok(()),
    }
}

fn check_name(mac: Mac, name: &str) -> Result<(), BindingFault> {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if name.is_empty() || name.len() > LONGEST_NAME || !letters || name.starts_with('.') {
        let fault = BindingFault::new(field(mac, ".name"), "the name is not one an interface can have");
        return Err(fault.hint("at most 15 letters, digits, dashes, dots and underscores"));
    }
    Ok(())
}

/// A VLAN needs a port that lets it through, and a name to hang on: of cloud-init's renderers some take the name that
/// the guest's kernel gave, others the one in the file.
fn check_vlan(nic: &Nic, mac: Mac, bound: &GuestNic, vlan: &GuestVlan) -> Result<(), BindingFault> {
    let at = field(mac, &format!(".vlans[{}]", vlan.id));
    if vlan.id == 0 || vlan.id > 4094 {
        return Err(BindingFault::new(at, "the tag is not one of 1 to 4094"));
    }
    if bound.vlans.iter().filter(|other| other.id == vlan.id).count() > 1 {
        return Err(BindingFault::new(at, "the tag is given twice"));
    }
    let passes = nic.vlan.trunk == Trunk::Yes && nic.vlan.tags.contains(&vlan.id);
    if !nic.vlan.tags.is_empty() && !passes {
        return Err(BindingFault::new(at, "the host's port does not let this tag through"));
    }
    let Some(name) = &bound.name else {
        let fault = BindingFault::new(at, "a VLAN needs an interface with a name");
        return Err(fault.hint("give the interface's name too"));
    };
    if vlan_name(name, vlan.id).len() > LONGEST_NAME {
        let fault = BindingFault::new(at, "the VLAN's name would be longer than 15 bytes");
        return Err(fault.hint("give the interface a shorter name"));
    }
    if vlan.addresses.is_empty() && (vlan.gateway.is_some() || !vlan.dns.is_empty()) {
        let fault = BindingFault::new(at, "it asks DHCP, which tells its gateway and DNS servers");
        return Err(fault.hint("give its addresses too, or leave these out"));
    }
    check_addresses(mac, &format!("vlans[{}].addresses", vlan.id), &vlan.addresses)
}

/// The name of a VLAN on an interface, as Linux and its tools spell it.
pub(in crate::artifacts) fn vlan_name(link: &str, id: u16) -> String {
    format!("{link}.{id}")
}

/// Names that the interfaces without a name of their own are given.
fn is_default_id(name: &str) -> bool {
    name.strip_prefix("net").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// Reads `ADDRESS/PREFIX`.
pub(in crate::artifacts) fn read_address(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, prefix) = text.split_once('/')?;
    let ip: IpAddr = ip.parse().ok()?;
    let widest = if ip.is_ipv4() { 32 } else { 128 };
    let digits = prefix.bytes().all(|b| b.is_ascii_digit());
    let prefix = prefix.parse().ok().filter(|prefix: &u8| digits && *prefix <= widest)?;
    Some((ip, prefix))
}
