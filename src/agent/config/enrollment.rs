//! `[enrollment]`: how providers on other hosts come to their keys.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::mistake::Mistakes;
use super::section::{Read, Table};
use super::{TlsConfig, absolute};
use crate::doors::enrollment::AuthoritySettings;
use crate::doors::enrollment::authority::san_of;
use crate::doors::identity::TrustDomain;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A certificate's year has four digits.
const DAYS_MAX: u32 = 36_500;

/// How providers join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollmentConfig {
    /// Where they come to join.
    pub listen: SocketAddr,
    /// Where they reach that, `HOST:PORT`.
    pub endpoint: String,
    /// The authority that signs their certificates.
    pub authority: AuthoritySettings,
    /// Who signed the certificates that `[tls]` names, if that is somebody else than the authority here.
    pub server_ca: Option<PathBuf>,
    /// How long a key that was replaced is good yet, at most.
    pub overlap: Duration,
    /// Whether the libvirt clients of those who joined come in at `tls.libvirt_listen`.
    pub door: bool,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct EnrollmentTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    names: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_ca: Option<PathBuf>,
    trust_domain: TrustDomain,
    authority_days: u32,
    certificate_days: u32,
    overlap_s: u64,
    door: bool,
}

impl Default for EnrollmentTable {
    fn default() -> Self {
        Self {
            listen: None,
            names: BTreeSet::new(),
            endpoint: None,
            server_ca: None,
            trust_domain: TrustDomain::default(),
            authority_days: 3650,
            certificate_days: 90,
            overlap_s: 24 * 3600,
            door: false,
        }
    }
}

impl Table for EnrollmentTable {
    const NAME: &'static str = "enrollment";
}

impl Read<EnrollmentTable> {
    /// The door of those who join is the port for libvirt's clients.
    pub(super) fn reaches_a_port(&self, tls: Option<&TlsConfig>, mistakes: &mut Mistakes) {
        let port = tls.and_then(|tls| tls.libvirt_listen);
        if self.value.door && (port.is_none() || self.value.listen.is_none()) {
            let hint = Some("tls.libvirt_listen is where they come in, enrollment.listen where they join");
            self.wrong("door", "nobody can come in by it", hint, mistakes);
        }
    }

    /// None when nobody is to join.
    pub(super) fn checked(&self, mistakes: &mut Mistakes) -> Option<EnrollmentConfig> {
        let EnrollmentTable {
            listen,
            names,
            endpoint,
            server_ca,
            trust_domain,
            authority_days,
            certificate_days,
            overlap_s,
            door,
        } = &self.value;
        if let Some(path) = server_ca {
            absolute(self, "server_ca", path, mistakes);
        }
        for (key, days) in [("authority_days", authority_days), ("certificate_days", certificate_days)] {
            if !(1..=DAYS_MAX).contains(days) {
                self.wrong(key, format!("{days} days are none"), Some("1 to 36500 days are expected"), mistakes);
            }
        }
        if certificate_days > authority_days {
            let what = "a certificate would outlive the authority that signs it";
            self.wrong("certificate_days", what, Some("at most enrollment.authority_days"), mistakes);
        }
        for name in names {
            if san_of(name).is_err() {
                let what = format!("{name:?} is neither a host's name nor an address");
                self.wrong(
                    "names",
                    what,
                    Some("names such as \"agent.example\" or \"192.0.2.1\", without a port"),
                    mistakes,
                );
            }
        }
        let listen = (*listen)?;
        let Some(first) = names.first() else {
            let hint = "the names and addresses by which providers reach this agent, such as [\"agent.example\"]";
            self.wrong("names", "who joins must know by which name", Some(hint), mistakes);
            return None;
        };
        if listen.port() == 0 {
            self.wrong("listen", "port 0 is none", Some("ADDRESS:PORT, such as \"0.0.0.0:16516\""), mistakes);
        }
        let host = if first.contains(':') { format!("[{first}]") } else { first.clone() };
        let endpoint = endpoint.clone().unwrap_or_else(|| format!("{host}:{}", listen.port()));
        let authority = AuthoritySettings {
            trust_domain: trust_domain.clone(),
            names: names.clone(),
            authority_life: DAY * *authority_days,
            leaf_life: DAY * *certificate_days,
        };
        let (server_ca, overlap) = (server_ca.clone(), Duration::from_secs(*overlap_s));
        Some(EnrollmentConfig { listen, endpoint, authority, server_ca, overlap, door: *door })
    }
}
