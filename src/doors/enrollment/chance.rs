//! Random bytes for serial numbers and secrets: from the same source as TLS itself.

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct DrawChanceError;

/// `N` random bytes.
///
/// *Errors*: [`DrawChanceError`].
pub(super) fn bytes<const N: usize>() -> Result<[u8; N], DrawChanceError> {
    let mut bytes = [0; N];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| DrawChanceError)?;
    Ok(bytes)
}
