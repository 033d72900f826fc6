//! NoCloud: the seed that cloud-init reads from a folder or from a disc labelled `cidata`.
//!
//! Assumes an inventory with a UUID (it becomes the instance id) and a binding with what libvirt cannot know.
//! Guarantees five files (`meta-data`, `network-config`, `user-data`, `vendor-data` and `seed.iso` with those four),
//! in which interfaces are found by MAC and no key, password or private part of one appears.
//! *Source*: <https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html>.

use std::collections::BTreeMap;

use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Renderer;
use super::bundle::{Bundle, BundleFile, Source};
use super::error::RenderError;
use super::iso9660::{IsoFile, image};
use super::nocloud_mapping::map;
use super::nocloud_network::network_config;
use super::yaml;
use crate::discovery::Inventory;
use crate::model::units::Mac;

/// The label by which cloud-init finds the disc.
const LABEL: &str = "cidata";

/// The host name stays the guest's own: it runs already, and this provider is not its first.
const QUIET_USER_DATA: &str = "#cloud-config\npreserve_hostname: true\n";
const NAMED_USER_DATA: &str = "#cloud-config\npreserve_hostname: false\n";
const NO_VENDOR_DATA: &str = "#cloud-config\n{}\n";

/// What the operator adds for NoCloud.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoCloudBinding {
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
    pub nics: BTreeMap<Mac, NicBinding>,
}

/// What the operator knows of one interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NicBinding {
    /// Its name in the guest; the guest is told to use it.
    pub name: Option<String>,
    /// Fixed addresses as `ADDRESS/PREFIX`; without any the interface asks DHCP.
    pub addresses: Vec<String>,
    /// Its gateway.
    pub gateway: Option<IpAddr>,
    /// Its DNS servers.
    pub dns: Vec<IpAddr>,
}

/// The renderer.
#[derive(Debug, Clone, Copy)]
pub struct NoCloud;

impl Renderer for NoCloud {
    type Binding = NoCloudBinding;

    /// *Errors*: `binding-malformed`, `artifact-incomplete`, `artifact-secret`, `artifact-too-large`.
    fn render(inventory: &Inventory, source: &Source, binding: &Self::Binding) -> Result<Bundle, RenderError> {
        let identity = &inventory.domain.identity;
        let uuid = identity.uuid.ok_or(RenderError::Missing { field: "identity.uuid" })?;
        check_no_secret(binding)?;
        let mut meta_data = json!({
            "instance-id": uuid.to_string(),
            "local-hostname": hostname(inventory, binding)?,
            "dsmode": "net",
        });
        if let (false, Some(map)) = (binding.ssh_keys.is_empty(), meta_data.as_object_mut()) {
            map.insert("public-keys".to_owned(), json!(binding.ssh_keys));
        }
        let user_data = match (&binding.user_data, &binding.hostname) {
            (Some(text), _) => text.as_str(),
            (None, Some(_)) => NAMED_USER_DATA,
            (None, None) => QUIET_USER_DATA,
        };
        let network = network_config(inventory, binding)?;
        let mut files = vec![
            BundleFile::new("meta-data", yaml::document(&meta_data)),
            BundleFile::new("network-config", yaml::document(&network)),
            BundleFile::new("user-data", user_data),
            BundleFile::new("vendor-data", NO_VENDOR_DATA),
        ];
        let on_disc: Vec<IsoFile<'_>> =
            files.iter().map(|file| IsoFile { name: &file.path, bytes: &file.bytes }).collect();
        let seed = image(LABEL, &on_disc)?;
        files.push(BundleFile::new("seed.iso", seed));
        Bundle::seal("nocloud", inventory, source, files, map(inventory, binding))
    }
}

/// The binding's host name when it is one, else the domain's name made into one.
fn hostname(inventory: &Inventory, binding: &NoCloudBinding) -> Result<String, RenderError> {
    if let Some(name) = &binding.hostname {
        let valid = name.len() <= 253 && name.split('.').all(is_label);
        return if valid {
            Ok(name.clone())
        } else {
            Err(RenderError::Binding { reason: "hostname is not a host name of RFC 1123".to_owned() })
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
fn check_no_secret(binding: &NoCloudBinding) -> Result<(), RenderError> {
    let NoCloudBinding { hostname: _, ssh_keys, user_data, dns: _, search: _, nics: _ } = binding;
    for (nth, key) in ssh_keys.iter().enumerate() {
        if key.contains("PRIVATE KEY") {
            return Err(RenderError::Secret { field: format!("ssh_keys[{nth}]") });
        }
        if !is_public_key(key) {
            let reason = format!("ssh_keys[{nth}] is not a public key in OpenSSH's one-line form");
            return Err(RenderError::Binding { reason });
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
