//! Taking connections in where the system may refuse one: it is said, and nobody's core is kept busy by it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Mostly the process is out of descriptors, and the kernel tells nobody when one is free; without a pause the
/// connection that waits would keep a core busy.
const PAUSE: Duration = Duration::from_millis(100);

/// The next connection at `what`. Whoever gives up waiting loses none.
pub(crate) async fn next<T, F>(what: &str, accept: impl Fn() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, what, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The same, once there is room for it, with its place.
pub(crate) async fn next_within<T, F>(
    room: &Arc<Semaphore>,
    what: &str,
    accept: impl Fn() -> F,
) -> (T, OwnedSemaphorePermit)
where
    F: Future<Output = io::Result<T>>,
{
    next(what, async || {
        let place = room.clone().acquire_owned().await.map_err(io::Error::other)?;
        Ok((accept().await?, place))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_cannot_be_accepted_is_tried_again_after_a_pause_and_keeps_no_place() {
        let room = Arc::new(Semaphore::new(1));
        let tried = Cell::new(0);
        let began = tokio::time::Instant::now();
        let (number, place) = next_within(&room, "a test", async || {
            tried.set(tried.get() + 1);
            if tried.get() < 4 { Err(io::Error::from_raw_os_error(24)) } else { Ok(tried.get()) }
        })
        .await;
        assert_eq!((number, began.elapsed()), (4, 3 * PAUSE));
        assert_eq!(room.available_permits(), 0);
        drop(place);
        assert_eq!(room.available_permits(), 1);
    }
}
