//! Who lets providers in, gives them certificates and shows them out.
//!
//! Every change is in the book (on disk) before it counts, except that whoever is shown out is shut out at once, whatever
//! the disk says. What counts is told to whoever listens: who may speak with which keys, and which are revoked. Its calls
//! block on the disk: a handler makes them on a thread where that is no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::attempts::Attempts;
use super::authority::{Authority, Renewed, UseAuthorityError};
use super::book::{Admission, Book, Entry, Invitation, Waiting};
use super::csr;
use super::files::KeepFileError;
use super::kind::Kind;
use super::store::Store;
use super::token::{self, Token, TokenId};
use crate::doors::identity::Enrolling;
use crate::model::{Code, KeyId, Peer, ProviderId, Refusal, Secret, Wall};
use crate::sovereignty::{By, HostFact};

/// Who was let in, as it counts now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Joined {
    /// Each provider's good keys, and whether it may begin to co-manage VMs.
    pub providers: BTreeMap<ProviderId, (BTreeSet<KeyId>, Enrolling)>,
    /// Keys that let nobody in, whoever vouches for them.
    pub revoked: BTreeSet<KeyId>,
    /// Until when somebody may come to join.
    pub open_until: Option<Wall>,
    /// Rises when files that TLS reads have changed: the server's certificate, the list of what is revoked.
    pub files: u64,
}

/// Who comes to join.
#[derive(Debug)]
pub struct Joining<'a> {
    /// The token's public name.
    pub token: TokenId,
    /// Its secret.
    pub secret: &'a Secret,
    /// Who it says it is.
    pub provider: &'a ProviderId,
    /// Its request for a certificate, in PEM or DER.
    pub csr: &'a [u8],
    /// Where it comes from.
    pub address: SocketAddr,
}

/// A token that was made.
#[derive(Debug)]
pub struct Invited {
    /// The token; its text is to be shown once.
    pub token: Token,
    /// When it ends.
    pub expires_at: Wall,
}

/// A certificate for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// In PEM.
    pub certificate: String,
    /// The authority's, in PEM.
    pub authority: String,
}

/// Who is told what the registrar does, at once: when a call has returned, what it changed counts everywhere.
pub trait Audience: Send + Sync {
    /// Who was let in has changed.
    fn joined(&self, joined: &Joined);
    /// Something that the host's history keeps.
    fn noted(&self, fact: HostFact);
}

/// The registrar.
pub struct Registrar {
    store: Store,
    authority: Option<Authority>,
    attempts: Mutex<Attempts>,
    /// Shut out in memory: what the disk did not take counts until the next start all the same.
    shut: Mutex<BTreeSet<KeyId>>,
    joined: watch::Sender<Joined>,
    audience: Box<dyn Audience>,
}

#[expect(clippy::needless_pass_by_value, reason = "it is given as a function of an error")]
fn unwritable(error: KeepFileError) -> Refusal {
    tracing::error!(error = %Chain(&error), "what is known of providers cannot be written");
    Refusal::new(Code::StoreUnwritable, "what is known of providers cannot be written to the disk")
}

#[expect(clippy::needless_pass_by_value, reason = "it is given as a function of an error")]
fn internal(error: UseAuthorityError) -> Refusal {
    tracing::error!(error = %Chain(&error), "the authority failed");
    Refusal::new(Code::StoreUnwritable, "the host's authority cannot be used; its log says why")
}

/// An error with its causes.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Registrar {
    /// Serves this book; without an authority nobody joins, and who joined before is still known.
    ///
    /// *Errors*: the authority's files cannot be written.
    pub fn new(
        store: Store,
        authority: Option<Authority>,
        audience: impl Audience + 'static,
        now: Wall,
    ) -> Result<Self, UseAuthorityError> {
        let registrar = Self {
            store,
            authority,
            attempts: Mutex::default(),
            shut: Mutex::default(),
            joined: watch::Sender::new(Joined::default()),
            audience: Box::new(audience),
        };
        if let Some(authority) = &registrar.authority {
            authority.renew_server(now)?;
        }
        registrar.list_revoked(now)?;
        registrar.tell(now);
        Ok(registrar)
    }

    /// Tells who was let in, as it counts.
    #[must_use]
    pub fn joined(&self) -> watch::Receiver<Joined> {
        self.joined.subscribe()
    }

    /// The authority.
    ///
    /// *Errors*: `enrollment-off`.
    pub fn authority(&self) -> Result<&Authority, Refusal> {
        let message = "nobody can join this agent: its configuration has no enrollment.listen";
        self.authority.as_ref().ok_or_else(|| Refusal::new(Code::EnrollmentOff, message))
    }

    /// Invites a provider. For one of the configuration file, what the file says counts.
    ///
    /// *Errors*: those of the book; `enrollment-off`, `store-unwritable`.
    pub fn invite(
        &self,
        mut invitation: Invitation,
        of_file: Option<Enrolling>,
        by: By,
        now: Wall,
    ) -> Result<Invited, Refusal> {
        let authority = self.authority()?;
        if let Some(enrolling) = of_file {
            invitation.may_enroll = enrolling == Enrolling::Yes;
        }
        let token = Token::draw(invitation.provider.clone(), authority.fingerprint());
        let token = token.map_err(|error| internal(error.into()))?;
        let (id, sum) = (token.id, token.sum());
        let is_new = !self.store.book().providers.contains_key(&invitation.provider);
        let expires_at = self.store.change(|book| book.invite(&invitation, id, sum, now), unwritable)?;
        let Invitation { provider, kind, uses, .. } = invitation;
        tracing::info!(%provider, %kind, token = %id, uses, %expires_at, "a token was made");
        if is_new {
            self.audience.noted(HostFact::ProviderAdded { by: by.clone(), provider: provider.clone(), reason: None });
        }
        self.audience.noted(HostFact::TokenMade { by, provider, expires: expires_at, uses });
        self.tell(now);
        Ok(Invited { token, expires_at })
    }

    /// Lets a key in.
    ///
    /// *Errors*: `too-many-attempts`, those of tokens and requests, `store-unwritable`.
    pub fn join(&self, joining: &Joining<'_>, now: Wall) -> Result<Certified, Refusal> {
        let address = joining.address;
        if !self.attempts().allows(address.ip(), now) {
            let message = "too many tokens from this address were refused; try again in a minute";
            return Err(Refusal::new(Code::TooManyAttempts, message));
        }
        let done = self.admit(joining, now);
        if let Err(refusal) = &done {
            let (token, provider, code) = (joining.token, joining.provider, refusal.code);
            tracing::warn!(%address, %token, %provider, %code, "somebody was not let in");
            if code != Code::StoreUnwritable {
                self.attempts().failed(address.ip(), now);
            }
        }
        done
    }

    fn admit(&self, joining: &Joining<'_>, now: Wall) -> Result<Certified, Refusal> {
        let Joining { token: id, secret, provider, csr, address } = joining;
        let authority = self.authority()?;
        let sum = token::sum_of(secret);
        // Before any work is done for a stranger.
        self.store.book().recognises(*id, sum, provider, now)?;
        let proved = csr::check(csr, provider, &authority.uri_of(provider))?;
        let key = proved.key;
        let (certificate, is_new) = self.store.change(
            |book| match book.admits(*id, sum, provider, key, now)? {
                Admission::Again(certificate) => Ok((certificate, false)),
                Admission::New => {
                    let issued = authority.sign(provider, &proved, now).map_err(internal)?;
                    let certificate = issued.pem.clone();
                    book.joined(*id, provider, issued, now);
                    Ok((certificate, true))
                }
            },
            unwritable,
        )?;
        tracing::info!(%provider, %key, %address, token = %id, "a provider joined with a key");
        if is_new {
            let peer = Some(Peer::Key { key, address: address.to_string() });
            let by = By { provider: (*provider).clone(), peer };
            self.audience.noted(HostFact::KeyAdded { by, provider: (*provider).clone(), key: key.to_string() });
        }
        self.tell(now);
        Ok(Certified { certificate, authority: authority.pem().to_owned() })
    }

    /// Replaces a caller's key, which is good for `overlap` yet.
    ///
    /// *Errors*: those of the book and of requests; `enrollment-off`, `store-unwritable`.
    pub fn replace(&self, by: By, old: KeyId, csr: &[u8], overlap: Duration, now: Wall) -> Result<Certified, Refusal> {
        let provider = &by.provider.clone();
        let authority = self.authority()?;
        let proved = csr::check(csr, provider, &authority.uri_of(provider))?;
        let key = proved.key;
        let (certificate, is_new) = self.store.change(
            |book| match book.may_replace(provider, old, key, now)? {
                Admission::Again(certificate) => Ok((certificate, false)),
                Admission::New => {
                    let issued = authority.sign(provider, &proved, now).map_err(internal)?;
                    let certificate = issued.pem.clone();
                    book.replaced(provider, old, issued, overlap, now);
                    Ok((certificate, true))
                }
            },
            unwritable,
        )?;
        tracing::info!(%provider, %old, %key, overlap_s = overlap.as_secs(), "a provider replaced a key");
        if is_new {
            self.audience.noted(HostFact::KeyAdded { by, provider: provider.clone(), key: key.to_string() });
        }
        self.run_out(now);
        Ok(Certified { certificate, authority: authority.pem().to_owned() })
    }

    /// Ends one key of a provider.
    ///
    /// *Errors*: `unknown-key`; `store-unwritable`, and the key is shut out until the next start all the same.
    pub fn revoke(&self, provider: &ProviderId, key: KeyId, by: By, now: Wall) -> Result<(), Refusal> {
        // Looked at first, so that nobody's key is shut out by a name that is not its provider's.
        self.store.book().clone().revoke(provider, key, now)?;
        self.shut().insert(key);
        self.tell(now);
        let done = self.store.change(|book| book.revoke(provider, key, now), unwritable);
        tracing::info!(%provider, %key, "a key was revoked");
        self.audience.noted(key_revoked(by, provider, key, None));
        self.revocations_changed(now);
        done
    }

    /// Shows a provider out: its keys and tokens end. Says which keys those were.
    ///
    /// *Errors*: `unknown-provider`; `store-unwritable`, and its keys are shut out until the next start all the same.
    pub fn remove(&self, provider: &ProviderId, by: By, now: Wall) -> Result<Vec<KeyId>, Refusal> {
        let known = self.store.book().providers.get(provider).cloned();
        let entry = known.ok_or_else(|| {
            Refusal::new(Code::UnknownProvider, format!("no provider called {provider} was added at run time"))
        })?;
        self.shut().extend(entry.keys.keys());
        self.tell(now);
        let removed = self.store.change(|book| Ok(book.remove(provider, now)), unwritable);
        tracing::info!(%provider, "a provider was removed");
        for (key, _) in entry.keys.iter().filter(|(_, key)| key.is_good(now)) {
            self.audience.noted(key_revoked(by.clone(), provider, *key, None));
        }
        self.audience.noted(HostFact::ProviderRemoved { by, provider: provider.clone(), reason: None });
        self.revocations_changed(now);
        removed
    }

    /// Ends what has run out, and makes anew what is near its end. Says when to look again.
    pub fn run_out(&self, now: Wall) -> Option<Wall> {
        match self.store.change(|book| Ok(book.run_out(now)), unwritable) {
            // What cannot be written is tried again; until then the keys are judged by their times in any case.
            Err(Refusal { .. }) => {}
            Ok(ended) => {
                for (provider, key) in &ended {
                    tracing::info!(%provider, %key, "a key has run out");
                    self.audience.noted(key_revoked(By::agent(), provider, *key, Some("it has run out")));
                }
                if !ended.is_empty() {
                    self.revocations_changed(now);
                }
            }
        }
        if let Some(authority) = &self.authority {
            match authority.renew_server(now) {
                Ok(Renewed::Unchanged) => {}
                Ok(Renewed::Made) => self.joined.send_modify(|joined| joined.files += 1),
                Err(error) => tracing::error!(error = %Chain(&error), "the agent's certificate cannot be made anew"),
            }
        }
        self.tell(now);
        self.store.book().next_end()
    }

    /// Every provider that was let in at run time, with the tokens that wait for it.
    pub(crate) fn list(&self, now: Wall) -> Vec<(ProviderId, Entry, Vec<Waiting>)> {
        let book = self.store.book();
        let one = |(id, entry): (&ProviderId, &Entry)| (id.clone(), entry.clone(), book.waiting(id, now));
        book.providers.iter().map(one).collect()
    }

    /// What a provider is, if it was added at run time.
    pub(crate) fn kind_of(&self, provider: &ProviderId) -> Option<Kind> {
        self.store.book().providers.get(provider).map(|entry| entry.kind.clone())
    }

    fn revocations_changed(&self, now: Wall) {
        match self.list_revoked(now) {
            Ok(()) => self.joined.send_modify(|joined| joined.files += 1),
            // The keys are shut out by their digests; the list is for those who read it besides.
            Err(error) => tracing::error!(error = %Chain(&error), "the list of what is revoked cannot be written"),
        }
        self.tell(now);
    }

    fn list_revoked(&self, now: Wall) -> Result<(), UseAuthorityError> {
        let Some(authority) = &self.authority else { return Ok(()) };
        self.store.change(
            |book| {
                let (number, revoked) = book.next_list();
                authority.write_revoked(revoked, number, now)
            },
            UseAuthorityError::File,
        )
    }

    fn tell(&self, now: Wall) {
        let shut = self.shut().clone();
        let book = self.store.book();
        let (providers, mut revoked) = (speakers(&book, &shut, now), BTreeSet::from_iter(book.revoked_keys()));
        revoked.extend(shut);
        let open_until = book.open_until(now).filter(|_| self.authority.is_some());
        // Under the book's lock, so that a later change is never overtaken by an earlier one.
        self.joined.send_if_modified(|joined| {
            let next = Joined { providers, revoked, open_until, files: joined.files };
            let differs = *joined != next;
            *joined = next;
            if differs {
                self.audience.joined(joined);
            }
            differs
        });
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shut(&self) -> std::sync::MutexGuard<'_, BTreeSet<KeyId>> {
        self.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_revoked(by: By, provider: &ProviderId, key: KeyId, reason: Option<&str>) -> HostFact {
    let (provider, key) = (provider.clone(), key.to_string());
    HostFact::KeyRevoked { by, provider, key, reason: reason.map(str::to_owned) }
}

fn speakers(book: &Book, shut: &BTreeSet<KeyId>, now: Wall) -> BTreeMap<ProviderId, (BTreeSet<KeyId>, Enrolling)> {
    let of = |(id, entry): (&ProviderId, &Entry)| {
        let good = entry.keys.iter().filter(|(key, known)| known.is_good(now) && !shut.contains(*key));
        let enrolling = if entry.may_enroll { Enrolling::Yes } else { Enrolling::No };
        (id.clone(), (good.map(|(key, _)| *key).collect(), enrolling))
    };
    book.providers.iter().map(of).collect()
}

#[cfg(test)]
mod tests;
