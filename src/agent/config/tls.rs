//! `[tls]`: the ports, this agent's certificate, and whose certificates are believed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::mistake::Mistakes;
use super::section::{Read, Table};
use super::{absolute, millis, of_millis};
use crate::doors::enrollment::authority::{server_files, trust_files};
use crate::doors::identity::TrustDomain;
use crate::doors::tls::{TlsFiles, TlsLimits};
use crate::model::KeyId;

/// TLS in front of the doors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// Where the API is served.
    pub listen: Option<SocketAddr>,
    /// Where libvirt's clients come in.
    pub libvirt_listen: Option<SocketAddr>,
    /// Certificates, keys and revocation lists.
    pub files: TlsFiles,
    /// Bounds of each port.
    pub limits: TlsLimits,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct TlsTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    libvirt_listen: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crl: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trust_domain: Option<TrustDomain>,
    pub(super) revoked_keys: BTreeSet<KeyId>,
    handshake_timeout_ms: u64,
    connections_max: u32,
    connections_per_address: u32,
    connections_per_provider: u32,
    requests_per_second: u32,
}

impl Default for TlsTable {
    fn default() -> Self {
        let TlsLimits {
            handshake,
            connections,
            connections_per_address,
            connections_per_provider,
            requests_per_second,
        } = TlsLimits::default();
        Self {
            listen: None,
            libvirt_listen: None,
            certificate: None,
            key: None,
            client_ca: None,
            crl: None,
            trust_domain: None,
            revoked_keys: BTreeSet::new(),
            handshake_timeout_ms: millis(handshake),
            connections_max: connections,
            connections_per_address,
            connections_per_provider,
            requests_per_second,
        }
    }
}

impl Table for TlsTable {
    const NAME: &'static str = "tls";
}

impl Read<TlsTable> {
    /// What is served over TLS, if anything; `doors` says whether anybody has a door there. What is not named here is of
    /// the host's own authority, if there is one in the folder `own`.
    pub(super) fn checked(
        &self,
        doors: Option<&super::Doors>,
        own: Option<&Path>,
        mistakes: &mut Mistakes,
    ) -> Option<TlsConfig> {
        let table = &self.value;
        let limits = self.limits(mistakes);
        for (key, path) in [
            ("certificate", &table.certificate),
            ("key", &table.key),
            ("client_ca", &table.client_ca),
            ("crl", &table.crl),
        ] {
            if let Some(path) = path {
                absolute(self, key, path, mistakes);
            }
        }
        if table.client_ca.is_none() && own.is_none() {
            let hint = Some("tls.client_ca names the authorities whose certificates are believed");
            if table.crl.is_some() {
                self.wrong("crl", "it says what authorities have revoked, and there are none", hint, mistakes);
            }
            if table.trust_domain.is_some() {
                self.wrong("trust_domain", "names count in certificates of an authority", hint, mistakes);
            }
        }
        if table.listen.is_none() && table.libvirt_listen.is_none() {
            return None;
        }
        if table.libvirt_listen.is_some() && doors.is_none() {
            let hint = Some("door = true gives a provider one, enrollment.door = true those who join");
            self.wrong("libvirt_listen", "it is for providers with a door, and there is none", hint, mistakes);
        }
        let (own_pair, own_trust) = (own.map(server_files).unzip(), own.map(trust_files).unzip());
        let needed = |key: &str, path: &Option<PathBuf>, own: Option<PathBuf>, mistakes: &mut Mistakes| {
            path.clone().or(own).unwrap_or_else(|| {
                let hint = Some("a file in PEM, as docs/tls.md has it made; [enrollment] listen makes one");
                self.wrong(key, "TLS needs it, and it is not set", hint, mistakes);
                PathBuf::new()
            })
        };
        // A certificate and its key are of one origin.
        let own_pair = if table.certificate.is_none() && table.key.is_none() { own_pair } else { (None, None) };
        let certificate = needed("certificate", &table.certificate, own_pair.0, mistakes);
        let key = needed("key", &table.key, own_pair.1, mistakes);
        let (client_ca, crl) = match &table.client_ca {
            Some(_) => (table.client_ca.clone(), table.crl.clone()),
            None => (own_trust.0, table.crl.clone().or(own_trust.1)),
        };
        let files = TlsFiles { certificate, key, client_ca, crl };
        Some(TlsConfig { listen: table.listen, libvirt_listen: table.libvirt_listen, files, limits })
    }

    fn limits(&self, mistakes: &mut Mistakes) -> TlsLimits {
        let table = &self.value;
        for (key, value) in [
            ("handshake_timeout_ms", table.handshake_timeout_ms),
            ("connections_max", u64::from(table.connections_max)),
            ("connections_per_address", u64::from(table.connections_per_address)),
            ("connections_per_provider", u64::from(table.connections_per_provider)),
            ("requests_per_second", u64::from(table.requests_per_second)),
        ] {
            if value == 0 {
                self.wrong(key, "with 0 nobody could come in", Some("it is at least 1"), mistakes);
            }
        }
        TlsLimits {
            handshake: of_millis(table.handshake_timeout_ms),
            connections: table.connections_max,
            connections_per_address: table.connections_per_address,
            connections_per_provider: table.connections_per_provider,
            requests_per_second: table.requests_per_second,
        }
    }
}
