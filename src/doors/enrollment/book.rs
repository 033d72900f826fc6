//! Who was let in at run time: providers, their keys, tokens that wait, certificates that are revoked.
//!
//! A value without I/O or clock: every change says the time. What it refuses, it leaves as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::authority::{Issued, Revoked, Serial, later};
use super::kind::Kind;
use super::token::{Sum, TokenId};
use crate::model::{Code, KeyId, ProviderId, Refusal, Wall};

/// How many keys of one provider may be good at once.
const KEYS_MAX: usize = 16;
/// How many tokens may wait at once.
const TOKENS_MAX: usize = 256;
/// How many providers may be let in at run time.
const PROVIDERS_MAX: usize = 1024;
/// How long a token that was used for the last time still answers the same key with the same certificate, because the
/// first answer may have been lost.
const ANSWERED_AGAIN: Duration = Duration::from_secs(60);

/// Everything that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Book {
    pub(crate) providers: BTreeMap<ProviderId, Entry>,
    tokens: BTreeMap<TokenId, Ticket>,
    revoked: Vec<Revoked>,
    /// Rises with every list of what is revoked.
    list_number: u64,
}

/// One provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) may_enroll: bool,
    pub(crate) added_at: Wall,
    pub(crate) keys: BTreeMap<KeyId, Key>,
}

/// One key of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) serial: Serial,
    pub(crate) added_at: Wall,
    pub(crate) not_after: Wall,
    pub(crate) state: KeyState,
    /// The certificate, to be given again when its first answer was lost.
    certificate: String,
}

/// Whether a key is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", deny_unknown_fields)]
pub(crate) enum KeyState {
    /// It is.
    Active,
    /// It was replaced, and is good until then.
    Retiring {
        /// Until when.
        until: Wall,
    },
    /// It is not.
    Revoked {
        /// Since when.
        at: Wall,
    },
}

/// A token that was given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ticket {
    provider: ProviderId,
    kind: Kind,
    sum: Sum,
    uses_left: u32,
    expires_at: Wall,
    /// With which keys it was used, and when last.
    used: BTreeSet<KeyId>,
    used_at: Option<Wall>,
}

/// Who is to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The provider.
    pub provider: ProviderId,
    /// Its kind.
    pub kind: Kind,
    /// Whether it may begin to co-manage VMs.
    pub may_enroll: bool,
    /// How often the token may be used.
    pub uses: u32,
    /// For how long.
    pub lasts: Duration,
}

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    /// A new key.
    New,
    /// It was used with this key a moment ago: the same certificate again.
    Again(String),
}

/// How many tokens wait for a provider, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) uses_left: u32,
    pub(crate) expires_at: Wall,
}

impl Key {
    fn end(&self) -> Option<Wall> {
        match self.state {
            KeyState::Active => Some(self.not_after),
            KeyState::Retiring { until } => Some(until.min(self.not_after)),
            KeyState::Revoked { .. } => None,
        }
    }

    /// Whether it lets anybody in.
    pub(crate) fn is_good(&self, now: Wall) -> bool {
        self.end().is_some_and(|end| now < end)
    }
}

impl Book {
    /// Invites a provider; one that is there gets another token.
    ///
    /// *Errors*: `provider-exists` when it is there as another, `forbidden` when there are too many.
    pub(crate) fn invite(
        &mut self,
        invitation: &Invitation,
        id: TokenId,
        sum: Sum,
        now: Wall,
    ) -> Result<Wall, Refusal> {
        let Invitation { provider, kind, may_enroll, uses, lasts } = invitation;
        match self.providers.get(provider) {
            Some(entry) if entry.kind != *kind || entry.may_enroll != *may_enroll => {
                let may = if entry.may_enroll { "may" } else { "may not" };
                let message = format!("{provider} is there already: it is of kind {} and {may} enroll VMs", entry.kind);
                return Err(Refusal::new(Code::ProviderExists, message));
            }
            None if self.providers.len() >= PROVIDERS_MAX => {
                return Err(Refusal::new(Code::Forbidden, format!("there are {PROVIDERS_MAX} providers already")));
            }
            Some(_) | None => {}
        }
        if self.tokens.len() >= TOKENS_MAX {
            return Err(Refusal::new(Code::Forbidden, format!("{TOKENS_MAX} tokens wait already")));
        }
        let keys = BTreeMap::new();
        let entry = || Entry { kind: kind.clone(), may_enroll: *may_enroll, added_at: now, keys };
        self.providers.entry(provider.clone()).or_insert_with(entry);
        let expires_at = later(now, *lasts);
        let ticket = Ticket {
            provider: provider.clone(),
            kind: kind.clone(),
            sum,
            uses_left: *uses,
            expires_at,
            used: BTreeSet::new(),
            used_at: None,
        };
        self.tokens.insert(id, ticket);
        Ok(expires_at)
    }

    /// What is known of a token by whoever knows its secret and for whom it is.
    ///
    /// *Errors*: `token-refused` alike for no such token, another secret and another provider; `token-expired` only for
    /// who knows the secret.
    fn ticket(&self, id: TokenId, sum: Sum, provider: &ProviderId, now: Wall) -> Result<(&Ticket, &Entry), Refusal> {
        let refused = || Refusal::new(Code::TokenRefused, "this agent gave out no such token for this provider");
        // Also of a token that is not there one digest is compared.
        let unknown = Sum::of(b"");
        let ticket = self.tokens.get(&id);
        let known = ticket.map_or(unknown, |ticket| ticket.sum) == sum;
        let ticket = ticket.filter(|ticket| known && ticket.provider == *provider).ok_or_else(refused)?;
        let entry = self.providers.get(provider).filter(|entry| entry.kind == ticket.kind).ok_or_else(refused)?;
        if now >= ticket.expires_at {
            return Err(Refusal::new(Code::TokenExpired, "the token's time is over; ask the operator for another"));
        }
        Ok((ticket, entry))
    }

    /// Whether somebody with this secret is worth listening to.
    ///
    /// *Errors*: `token-refused`, `token-expired`.
    pub(crate) fn recognises(&self, id: TokenId, sum: Sum, provider: &ProviderId, now: Wall) -> Result<(), Refusal> {
        self.ticket(id, sum, provider, now).map(drop)
    }

    /// Whether a token lets this key of this provider in.
    ///
    /// *Errors*: `token-refused`, `token-expired`, `token-spent`; `csr-refused` for a key that is known; `forbidden` when
    /// there are too many.
    pub(crate) fn admits(
        &self,
        id: TokenId,
        sum: Sum,
        provider: &ProviderId,
        key: KeyId,
        now: Wall,
    ) -> Result<Admission, Refusal> {
        let (ticket, entry) = self.ticket(id, sum, provider, now)?;
        if ticket.used.contains(&key)
            && ticket.is_answered_again(now)
            && let Some(known) = entry.keys.get(&key).filter(|key| key.is_good(now))
        {
            return Ok(Admission::Again(known.certificate.clone()));
        }
        if ticket.uses_left == 0 {
            return Err(Refusal::new(Code::TokenSpent, "the token was used already; ask the operator for another"));
        }
        self.has_room(provider, key, now)?;
        Ok(Admission::New)
    }

    /// Whether a provider may have this key besides those it has.
    fn has_room(&self, provider: &ProviderId, key: KeyId, now: Wall) -> Result<(), Refusal> {
        let known = self.providers.values().any(|entry| entry.keys.contains_key(&key));
        if known || self.revoked.iter().any(|revoked| revoked.key == key) {
            return Err(Refusal::new(Code::CsrRefused, "this agent knows the key already; a new one is expected"));
        }
        let good =
            self.providers.get(provider).map_or(0, |entry| entry.keys.values().filter(|key| key.is_good(now)).count());
        if good >= KEYS_MAX {
            return Err(Refusal::new(
                Code::Forbidden,
                format!("{provider} has {KEYS_MAX} keys already, as many as it may"),
            ));
        }
        Ok(())
    }

    /// Notes that a token was used for a certificate.
    pub(crate) fn joined(&mut self, id: TokenId, provider: &ProviderId, issued: Issued, now: Wall) {
        if let Some(ticket) = self.tokens.get_mut(&id) {
            ticket.uses_left = ticket.uses_left.saturating_sub(1);
            ticket.used.insert(issued.key);
            ticket.used_at = Some(now);
        }
        self.add_key(provider, issued, now);
    }

    fn add_key(&mut self, provider: &ProviderId, issued: Issued, now: Wall) {
        let Issued { pem, key, serial, not_after } = issued;
        if let Some(entry) = self.providers.get_mut(provider) {
            let state = KeyState::Active;
            entry.keys.insert(key, Key { serial, added_at: now, not_after, state, certificate: pem });
        }
    }

    /// Whether a provider may replace this key by another.
    ///
    /// *Errors*: `unknown-key` for a key that no token brought; `forbidden` for one that is replaced already, so that a
    /// copy of an old key makes no new ones.
    pub(crate) fn may_replace(
        &self,
        provider: &ProviderId,
        old: KeyId,
        new: KeyId,
        now: Wall,
    ) -> Result<Admission, Refusal> {
        let entry = self.providers.get(provider);
        let key = entry.and_then(|entry| entry.keys.get(&old)).filter(|key| key.is_good(now)).ok_or_else(|| {
            let message = "this key came with no token of this agent: who signed its certificate replaces it";
            Refusal::new(Code::UnknownKey, message)
        })?;
        if let Some(known) = entry.and_then(|entry| entry.keys.get(&new)).filter(|key| key.is_good(now))
            && matches!(key.state, KeyState::Retiring { .. })
        {
            return Ok(Admission::Again(known.certificate.clone()));
        }
        match key.state {
            KeyState::Active => self.has_room(provider, new, now).map(|()| Admission::New),
            KeyState::Retiring { .. } | KeyState::Revoked { .. } => {
                let message = "this key was replaced already; replace the newer one with itself";
                Err(Refusal::new(Code::Forbidden, message))
            }
        }
    }

    /// Notes that a key replaces another, which is good for a while yet.
    pub(crate) fn replaced(&mut self, provider: &ProviderId, old: KeyId, issued: Issued, overlap: Duration, now: Wall) {
        self.add_key(provider, issued, now);
        if let Some(key) = self.providers.get_mut(provider).and_then(|entry| entry.keys.get_mut(&old)) {
            key.state = KeyState::Retiring { until: later(now, overlap) };
        }
    }

    /// Ends one key.
    ///
    /// *Errors*: `unknown-key`.
    pub(crate) fn revoke(&mut self, provider: &ProviderId, key: KeyId, now: Wall) -> Result<(), Refusal> {
        let entry = self.providers.get_mut(provider);
        let found = entry.and_then(|entry| entry.keys.get_mut(&key)).filter(|key| key.end().is_some());
        let found = found.ok_or_else(|| {
            Refusal::new(Code::UnknownKey, format!("{provider} has no key {key} that came with a token"))
        })?;
        found.state = KeyState::Revoked { at: now };
        self.revoked.push(Revoked { serial: found.serial.clone(), key, at: now, not_after: found.not_after });
        Ok(())
    }

    /// Forgets a provider: its keys are revoked, its tokens are none any more. Says which keys those were.
    pub(crate) fn remove(&mut self, provider: &ProviderId, now: Wall) -> Vec<KeyId> {
        self.tokens.retain(|_, ticket| ticket.provider != *provider);
        let Some(entry) = self.providers.remove(provider) else { return Vec::new() };
        let ended = entry.keys.into_iter().filter(|(_, key)| key.end().is_some());
        let ended = ended.map(|(id, key)| {
            self.revoked.push(Revoked { serial: key.serial, key: id, at: now, not_after: key.not_after });
            id
        });
        ended.collect()
    }

    /// Ends what has run out: tokens, keys that were replaced, revocations of what is over anyway. Says which keys ended.
    pub(crate) fn run_out(&mut self, now: Wall) -> Vec<(ProviderId, KeyId)> {
        self.tokens.retain(|_, ticket| now < ticket.expires_at);
        self.revoked.retain(|revoked| now < revoked.not_after);
        let mut ended = Vec::new();
        for (provider, entry) in &mut self.providers {
            for (id, key) in &mut entry.keys {
                if key.end().is_some_and(|end| end <= now) {
                    key.state = KeyState::Revoked { at: now };
                    if now < key.not_after {
                        self.revoked.push(Revoked {
                            serial: key.serial.clone(),
                            key: *id,
                            at: now,
                            not_after: key.not_after,
                        });
                    }
                    ended.push((provider.clone(), *id));
                }
            }
            entry.keys.retain(|_, key| now < key.not_after);
        }
        ended
    }

    /// When something runs out next.
    pub(crate) fn next_end(&self) -> Option<Wall> {
        let tokens = self.tokens.values().map(|ticket| ticket.expires_at);
        let keys = self.providers.values().flat_map(|entry| entry.keys.values()).filter_map(Key::end);
        tokens.chain(keys).min()
    }

    /// Until when somebody may still come to join; none when nobody is waited for.
    pub(crate) fn open_until(&self, now: Wall) -> Option<Wall> {
        let until = |ticket: &Ticket| match ticket.uses_left {
            0 => ticket.used_at.map(|at| later(at, ANSWERED_AGAIN).min(ticket.expires_at)),
            _ => Some(ticket.expires_at),
        };
        self.tokens.values().filter_map(until).filter(|until| now < *until).max()
    }

    /// The tokens that wait for a provider.
    pub(crate) fn waiting(&self, provider: &ProviderId, now: Wall) -> Vec<Waiting> {
        let of = self.tokens.values().filter(|ticket| ticket.provider == *provider && ticket.uses_left > 0);
        let waiting = of.map(|ticket| Waiting { uses_left: ticket.uses_left, expires_at: ticket.expires_at });
        waiting.filter(|waiting| now < waiting.expires_at).collect()
    }

    /// The keys that let nobody in any more, though a certificate of them has not ended.
    pub(crate) fn revoked_keys(&self) -> impl Iterator<Item = KeyId> {
        self.revoked.iter().map(|revoked| revoked.key)
    }

    /// The next list of what is revoked: its number, and what is on it.
    pub(crate) fn next_list(&mut self) -> (u64, &[Revoked]) {
        self.list_number += 1;
        (self.list_number, &self.revoked)
    }
}

impl Ticket {
    fn is_answered_again(&self, now: Wall) -> bool {
        self.used_at.is_some_and(|at| now < later(at, ANSWERED_AGAIN))
    }
}

#[cfg(test)]
pub(super) mod samples;
#[cfg(test)]
mod tests;
