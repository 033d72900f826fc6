//! How long it is borne that somebody takes nothing of what waits for it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// A client that has not taken one byte for so long reads no more; one that only waits for a slow disk or terminal does.
pub(super) const LIMIT: Duration = Duration::from_secs(600);

/// Looks from time to time whether something was taken.
#[derive(Debug)]
pub(super) struct Patience {
    /// Until when, and how much had been taken when that began.
    watch: Option<(Pin<Box<Sleep>>, u64)>,
}

impl Patience {
    pub(super) const fn new() -> Self {
        Self { watch: None }
    }

    /// Ready when nothing was taken for [`LIMIT`] at least, and for twice that at most. `waiting` is how much was taken in all,
    /// where something waits.
    pub(super) fn poll_lost(&mut self, waiting: Option<u64>, cx: &mut Context<'_>) -> Poll<()> {
        // A watch that is on is left to run out where nothing waits: this is asked at every turn.
        let Some(taken) = waiting else { return Poll::Pending };
        loop {
            let (until, began) = self.watch.get_or_insert_with(|| (Box::pin(sleep(LIMIT)), taken));
            ready!(until.as_mut().poll(cx));
            if *began == taken {
                return Poll::Ready(());
            }
            *began = taken;
            until.as_mut().reset(Instant::now() + LIMIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_something_now_and_then_is_borne() {
        let mut patience = Patience::new();
        let mut is_lost = async |waiting| poll_fn(|cx| Poll::Ready(patience.poll_lost(waiting, cx).is_ready())).await;
        assert!(!is_lost(Some(5)).await);
        advance(LIMIT).await;
        assert!(!is_lost(Some(6)).await, "it has taken a byte");
        advance(LIMIT / 2).await;
        assert!(!is_lost(Some(6)).await);
        // Nothing waits for it for long, and then something does.
        advance(LIMIT * 9).await;
        assert!(!is_lost(None).await);
        assert!(!is_lost(Some(7)).await);
        advance(LIMIT).await;
        assert!(is_lost(Some(7)).await);
    }
}
