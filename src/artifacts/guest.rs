//! What a guest is to be told, whatever the format: its name, keys, and how each interface gets its addresses.
//!
//! Assumes an inventory and what the operator adds. Guarantees that an interface gets fixed addresses only when the
//! operator or a DHCP host entry of its libvirt network says them for its MAC, and that no password and no private key
//! passes.

use std::collections::BTreeMap;

use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use super::binding::{BindingFault, DraftField};
use super::error::RenderError;
use crate::discovery::{AddressOrigin, DnsService, Inventory, Network, Nic};
use crate::model::units::Mac;

/// What the operator knows of the guest's own configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guest {
    /// The guest's host name; without one it is made from the domain's name.
    pub hostname: Option<String>,
    /// Public keys in OpenSSH's one-line form.
    pub ssh_keys: Vec<String>,
    /// The whole `user-data`, in any of cloud-init's forms.
    pub user_data: Option<String>,
    /// DNS servers for every interface with fixed addresses.
    pub dns: Vec<IpAddr>,
    /// DNS search domains for the same.
    pub search: Vec<String>,
    /// Settings of single interfaces.
    pub nics: BTreeMap<Mac, GuestNic>,
}

/// What the operator knows of one interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuestNic {
    /// Its name in the guest; the guest is told to use it.
    pub name: Option<String>,
    /// Fixed addresses as `ADDRESS/PREFIX`; without any the interface asks DHCP.
    pub addresses: Vec<String>,
    /// Its gateway.
    pub gateway: Option<IpAddr>,
    /// Its DNS servers.
    pub dns: Vec<IpAddr>,
}

/// How an interface gets its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// It cannot be told apart from the others.
    Unmatched,
    /// The operator's addresses.
    Bound(Fixed),
    /// The addresses its network reserves for it.
    Reserved(Fixed),
    /// Nobody knows for sure: ask.
    Dhcp,
}

/// Fixed addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fixed {
    /// As `ADDRESS/PREFIX`.
    pub(super) addresses: Vec<String>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) dns: Vec<IpAddr>,
    pub(super) search: Vec<String>,
}

/// The binding's host name when it is one, else the domain's name made into one.
pub(super) fn hostname(inventory: &Inventory, guest: &Guest) -> Result<String, RenderError> {
    if let Some(name) = &guest.hostname {
        let valid = name.len() <= 253 && name.split('.').all(is_label);
        return if valid {
            Ok(name.clone())
        } else {
            Err(BindingFault::new("hostname", "this is not a host name of RFC 1123").into())
        };
    }
    let spelled: String = inventory
        .domain
        .identity
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let label: String = spelled.trim_matches('-').chars().take(63).collect();
    let label = label.trim_end_matches('-');
    Ok(if label.is_empty() { "vm".to_owned() } else { label.to_owned() })
}

/// Whether `text` is one label of a host name.
fn is_label(text: &str) -> bool {
    let inside = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    !text.is_empty() && text.len() <= 63 && inside && !text.starts_with('-') && !text.ends_with('-')
}

/// Refuses what must not travel: private keys anywhere, passwords in `user-data`, and keys that are no public keys.
pub(super) fn check_no_secret(guest: &Guest) -> Result<(), RenderError> {
    let Guest { hostname: _, ssh_keys, user_data, dns: _, search: _, nics: _ } = guest;
    for (nth, key) in ssh_keys.iter().enumerate() {
        if key.contains("PRIVATE KEY") {
            return Err(RenderError::Secret { field: format!("ssh_keys[{nth}]") });
        }
        if !is_public_key(key) {
            let field = format!("ssh_keys[{nth}]");
            return Err(BindingFault::new(field, "this is not a public key in OpenSSH's one-line form").into());
        }
    }
    if user_data.as_deref().is_some_and(tells_a_secret) {
        return Err(RenderError::Secret { field: "user_data".to_owned() });
    }
    Ok(())
}

/// `TYPE BASE64 [COMMENT]` on one line; options before the type are refused, for they may run commands.
fn is_public_key(key: &str) -> bool {
    let mut words = key.split(' ');
    let (Some(kind), Some(body)) = (words.next(), words.next()) else {
        return false;
    };
    let known = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| kind.starts_with(start));
    let base64 = body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
    known && base64 && body.len() >= 32 && !key.chars().any(char::is_control)
}

/// Whether a line sets one of cloud-init's passwords, or a private key is in the text.
fn tells_a_secret(text: &str) -> bool {
    const KEYS: [&str; 6] = ["password", "passwd", "hashed_passwd", "plain_text_passwd", "chpasswd", "hashed-password"];
    text.contains("PRIVATE KEY")
        || text.lines().any(|line| {
            let (key, rest) = line.split_once(':').unwrap_or(("", line));
            let key = key.trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '"' | '\'' | '{'));
            // `chpasswd: {expire: false}` alone tells nothing, but its list may follow: refused as a whole.
            KEYS.contains(&key) || KEYS.iter().any(|key| rest.contains(&format!("{key}:")))
        })
}

/// Decides how one interface gets its addresses.
pub(super) fn plan(nic: &Nic, inventory: &Inventory, guest: &Guest) -> Plan {
    let Some(mac) = nic.mac else {
        return Plan::Unmatched;
    };
    let bound = guest.nics.get(&mac).cloned().unwrap_or_default();
    if !bound.addresses.is_empty() {
        let GuestNic { name: _, addresses, gateway, dns } = bound;
        let dns = if dns.is_empty() { guest.dns.clone() } else { dns };
        return Plan::Bound(Fixed { addresses, gateway, dns, search: guest.search.clone() });
    }
    let Some(network) = network_of(nic, inventory) else {
        return Plan::Dhcp;
    };
    match reserved(nic, network, guest) {
        Some(fixed) => Plan::Reserved(Fixed { gateway: bound.gateway.or(fixed.gateway), ..fixed }),
        None => Plan::Dhcp,
    }
}

/// What the network's own DHCP would hand to this MAC, always.
fn reserved(nic: &Nic, network: &Network, guest: &Guest) -> Option<Fixed> {
    let ours: Vec<_> = nic.addresses.iter().filter(|address| address.origin == AddressOrigin::StaticHost).collect();
    let first = ours.first()?;
    let subnet = network
        .subnets
        .iter()
        .find(|subnet| subnet.hosts.iter().any(|host| host.mac == nic.mac && host.ip == Some(first.ip)))?;
    let dns = match (guest.dns.is_empty(), network.dns) {
        (false, _) => guest.dns.clone(),
        (true, DnsService::On) => vec![subnet.host],
        (true, DnsService::Off) => Vec::new(),
    };
    let search = if guest.search.is_empty() { network.domain.iter().cloned().collect() } else { guest.search.clone() };
    Some(Fixed {
        addresses: ours.iter().map(|a| format!("{}/{}", a.ip, a.prefix.unwrap_or(subnet.prefix))).collect(),
        gateway: network.routes_guests().then_some(subnet.host),
        dns,
        search,
    })
}

/// The libvirt network an interface is on, when the inventory has it.
pub(super) fn network_of<'a>(nic: &Nic, inventory: &'a Inventory) -> Option<&'a Network> {
    nic.source.network().and_then(|name| inventory.networks.get(name))
}

/// The interface's MTU, or its network's.
pub(super) fn mtu(nic: &Nic, inventory: &Inventory) -> Option<u32> {
    nic.mtu.or_else(|| network_of(nic, inventory).and_then(|network| network.mtu))
}

/// Refuses a binding for interfaces that are not there, or with values that are none.
pub(super) fn check_nics(inventory: &Inventory, guest: &Guest) -> Result<(), RenderError> {
    let refuse = |mac: Mac, reason: &str| Err(BindingFault::new(format!("nics.\"{mac}\""), reason).into());
    let mut names = std::collections::BTreeSet::new();
    for (mac, GuestNic { name, addresses, gateway: _, dns: _ }) in &guest.nics {
        if !inventory.domain.nics.iter().any(|nic| nic.mac == Some(*mac)) {
            return refuse(*mac, "the domain has no such interface");
        }
        if !addresses.iter().all(|address| is_address(address)) {
            return refuse(*mac, "an address is not of the form ADDRESS/PREFIX");
        }
        if let Some(name) = name {
            let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
            // The kernel's limit is 15 bytes.
            if name.is_empty() || name.len() > 15 || !letters || name.starts_with('.') {
                return refuse(*mac, "the name is not one an interface can have");
            }
            if !names.insert(name) || is_default_id(name) {
                return refuse(*mac, "the name is taken");
            }
        }
    }
    Ok(())
}

/// Names that the interfaces without a name of their own are given.
fn is_default_id(name: &str) -> bool {
    name.strip_prefix("net").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

fn is_address(text: &str) -> bool {
    let Some((ip, prefix)) = text.split_once('/') else {
        return false;
    };
    let Ok(ip) = ip.parse::<IpAddr>() else {
        return false;
    };
    let widest = if ip.is_ipv4() { 32 } else { 128 };
    prefix.bytes().all(|b| b.is_ascii_digit()) && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= widest)
}

/// The draft of this part of a binding, under `prefix`.
pub(super) fn draft(prefix: &[&str], inventory: &Inventory) -> Vec<DraftField> {
    fn join<'a>(prefix: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
        [prefix, rest].concat()
    }
    let at = |rest| join(prefix, rest);
    let mut fields = vec![
        DraftField::optional(&at(&["hostname"]), "the guest's host name; made from the domain's name when left out"),
        DraftField::optional(&at(&["ssh_keys"]), "public keys in OpenSSH's one-line form"),
        DraftField::optional(&at(&["user_data"]), "the whole user-data, in any of cloud-init's forms; no passwords"),
        DraftField::optional(&at(&["dns"]), "DNS servers for interfaces with fixed addresses"),
        DraftField::optional(&at(&["search"]), "DNS search domains for the same"),
    ];
    for nic in &inventory.domain.nics {
        let Some(mac) = nic.mac.map(|mac| mac.to_string()) else { continue };
        let known: Vec<String> = nic.addresses.iter().filter_map(|a| Some(format!("{}/{}", a.ip, a.prefix?))).collect();
        let field = DraftField::optional(
            &join(prefix, &["nics", &mac, "addresses"]),
            "fixed addresses as ADDRESS/PREFIX; without any the interface asks DHCP, or has what its network reserves",
        );
        fields.push(if known.is_empty() { field } else { field.guess(known) });
        fields.push(DraftField::optional(&join(prefix, &["nics", &mac, "gateway"]), "its gateway"));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_user_data_is_found_wherever_it_stands() {
        for text in [
            "#cloud-config\npassword: x\n",
            "#cloud-config\nusers:\n  - name: a\n    passwd: \"$6$x\"\n",
            "#cloud-config\nusers: [{name: a, plain_text_passwd: x}]\n",
            "-----BEGIN OPENSSH PRIVATE KEY-----\n",
        ] {
            assert!(tells_a_secret(text), "{text}");
        }
        assert!(!tells_a_secret("#cloud-config\nssh_pwauth: false\nruncmd: [date]\n"));
    }

    #[test]
    fn a_key_with_options_or_of_two_lines_is_no_public_key() {
        let body = "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(is_public_key(&format!("ssh-ed25519 {body} ops@lab.example")));
        assert!(!is_public_key(&format!("command=\"x\" ssh-ed25519 {body}")));
        assert!(!is_public_key(&format!("ssh-ed25519 {body}\nssh-rsa {body}")));
    }
}
