//! Providers and their keys: invited, listed, joined, replaced, removed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::doors::enrollment::{Kind, Serial, TokenId};
use crate::model::{KeyId, ProviderId, Secret, VmId, Wall};

/// `POST /v1/providers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddProviderRequest {
    /// The provider.
    #[schema(value_type = String)]
    pub id: ProviderId,
    /// What it is: `openstack`, another format of artifacts, `libvirt` or `other`.
    #[schema(value_type = String)]
    pub kind: Kind,
    /// Whether it may begin to co-manage VMs. Of a provider of the configuration file, the file says it.
    #[serde(default)]
    pub may_enroll: bool,
    /// How many keys the token lets in; 1 unless said, at most 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// For how long. *Units*: seconds; an hour unless said, at most 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u64>,
    /// Where the provider reaches this agent to join, `HOST:PORT`, when that is not what the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// A token. This is the only time that it is shown.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    /// The provider.
    #[schema(value_type = String)]
    pub provider: ProviderId,
    /// The token.
    pub token: String,
    /// How many keys it lets in.
    pub uses: u32,
    /// When it ends.
    #[schema(value_type = String)]
    pub expires_at: Wall,
    /// Where to join.
    pub endpoint: String,
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invitation").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// `GET /v1/providers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderList {
    /// By name.
    pub providers: Vec<ProviderView>,
}

/// One provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderView {
    /// Its name.
    #[schema(value_type = String)]
    pub id: ProviderId,
    /// What it is, when it was added at run time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub kind: Option<Kind>,
    /// Whether it may begin to co-manage VMs.
    pub may_enroll: bool,
    /// Where it is known from.
    pub origin: Origin,
    /// When it was added at run time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub added_at: Option<Wall>,
    /// The keys that came with tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyView>,
    /// The tokens that wait for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenView>,
}

/// Where a provider is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The configuration file.
    File,
    /// It was added at run time.
    Added,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// The SHA-256 of its SubjectPublicKeyInfo.
    #[schema(value_type = String)]
    pub key: KeyId,
    /// Its certificate's serial number, in hexadecimal.
    #[schema(value_type = String)]
    pub serial: Serial,
    /// Since when it is known.
    #[schema(value_type = String)]
    pub added_at: Wall,
    /// When its certificate ends.
    #[schema(value_type = String)]
    pub not_after: Wall,
    /// Whether it is good.
    pub state: KeyStanding,
    /// Until when, when it was replaced; since when not, when it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub at: Option<Wall>,
}

/// Whether a key is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyStanding {
    /// It is.
    Active,
    /// It was replaced, and is good for a while yet.
    Retiring,
    /// It is not.
    Revoked,
}

/// A token that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// How many keys it lets in yet.
    pub uses_left: u32,
    /// When it ends.
    #[schema(value_type = String)]
    pub expires_at: Wall,
}

/// `DELETE /v1/providers/{id}` and `DELETE /v1/providers/{id}/keys/{key}`: what ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderRemoved {
    /// Whose.
    #[schema(value_type = String)]
    pub provider: ProviderId,
    /// The keys that let nobody in any more.
    #[schema(value_type = Vec<String>)]
    pub keys: Vec<KeyId>,
    /// The VMs on which what was delegated to it was taken back.
    #[schema(value_type = Vec<String>)]
    pub taken_back_on: Vec<VmId>,
    /// How many commands of it were cancelled.
    pub cancelled: usize,
    /// The VMs that it is the primary of still: the operator releases them.
    #[schema(value_type = Vec<String>)]
    pub primary_of: Vec<VmId>,
}

/// `POST /v1/join`, at the address for joining alone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The token's public name.
    #[schema(value_type = String)]
    pub token: TokenId,
    /// Its secret.
    #[schema(value_type = String)]
    pub secret: Secret,
    /// Who comes.
    #[schema(value_type = String)]
    pub provider: ProviderId,
    /// A certificate request, PKCS #10 in PEM.
    pub csr: String,
}

/// `POST /v1/keys`: another key for the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceKeyRequest {
    /// A certificate request, PKCS #10 in PEM.
    pub csr: String,
    /// For how long the key of this connection stays good. *Units*: seconds; what the configuration says unless less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_s: Option<u64>,
}

/// A certificate, and where it is of use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Certificate {
    /// In PEM.
    pub certificate: String,
    /// The authority's certificate, and then others by which the agent is known, in PEM.
    pub authority: String,
    /// The port of the API on this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_port: Option<u16>,
    /// The port for libvirt's clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libvirt_port: Option<u16>,
    /// How long the replaced key stays good. *Units*: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_s: Option<u64>,
}
