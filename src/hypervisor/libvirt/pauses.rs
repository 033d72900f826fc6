//! Pauses between questions that come again, for what no event tells.

use std::time::Duration;

/// Short at first, then longer: what is over at once is seen at once, and what takes long costs little.
pub(super) struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    pub(super) const fn from_to(shortest: Duration, longest: Duration) -> Self {
        Self { next: shortest, longest }
    }

    /// The next pause, twice as long as the one before.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_become_longer_up_to_the_longest() {
        let mut pauses = Pauses::from_to(Duration::from_millis(20), Duration::from_millis(50));
        let four: Vec<_> = (0..4).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(four, [20, 40, 50, 50]);
    }
}
