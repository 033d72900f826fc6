//! Quotas: how much of the host one provider may use up, on all VMs together.

use std::time::Duration;

use crate::model::{Code, Command, Mono, Refusal};

/// What commands per minute are counted in.
pub const MINUTE: Duration = Duration::from_secs(60);

/// What one provider may have under way; what is none is not bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Commands that have not begun.
    pub queued: Option<u32>,
    /// Commands taken in within a minute.
    pub per_minute: Option<u32>,
    /// Jobs and other things that finished commands left open.
    pub open: Option<u32>,
}

/// What one provider has under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Commands that have not begun.
    pub queued: u32,
    /// Commands that came within the last minute, and when the oldest of them came.
    pub recent: u32,
    /// When the oldest of those came.
    pub oldest: Option<Mono>,
    /// What is open.
    pub open: u32,
}

/// Whether a command leaves something open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// It does.
    Open,
    /// It does not.
    Nothing,
}

impl Leaves {
    /// What a command does.
    #[must_use]
    pub fn of(command: &Command) -> Self {
        if command.operation.leaves_open().is_some() { Self::Open } else { Self::Nothing }
    }
}

impl Quota {
    /// The narrower of two, bound by bound.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let least = |one: Option<u32>, other: Option<u32>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self {
            queued: least(self.queued, other.queued),
            per_minute: least(self.per_minute, other.per_minute),
            open: least(self.open, other.open),
        }
    }

    /// Whether one command more is within the quota.
    ///
    /// *Errors*: [`Code::QuotaExceeded`]; for the rate, with when to try again.
    pub fn admits(&self, usage: &Usage, leaves: Leaves, now: Mono) -> Result<(), Refusal> {
        let refuse = |message: String| Err(Refusal::new(Code::QuotaExceeded, message));
        if let Some(most) = self.queued.filter(|most| usage.queued >= *most) {
            return refuse(format!(
                "{most} of your commands wait on this host, the most that may: try again when some have ended"
            ));
        }
        if let Some(most) = self.open.filter(|most| leaves == Leaves::Open && usage.open >= *most) {
            return refuse(format!(
                "you have {most} jobs and holds open on this host, the most you may: end one first"
            ));
        }
        if let Some(most) = self.per_minute.filter(|most| usage.recent >= *most) {
            let age = usage.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
            let wait = MINUTE.saturating_sub(age);
            let whole = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
            let message =
                format!("you have sent {most} commands within a minute, the most you may: try again in {whole} s");
            return Err(Refusal::new(Code::QuotaExceeded, message).retry_after(whole));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_refuses_at_its_own_number_and_the_rate_says_when() {
        let quota = Quota { queued: Some(2), per_minute: Some(3), open: Some(1) };
        let now = Mono(100_000_000);
        let admits = |usage, leaves| quota.admits(&usage, leaves, now);
        assert_eq!(admits(Usage { queued: 1, recent: 2, ..Usage::default() }, Leaves::Open), Ok(()));
        let code = |result: Result<(), Refusal>| result.unwrap_err().code;
        assert_eq!(code(admits(Usage { queued: 2, ..Usage::default() }, Leaves::Nothing)), Code::QuotaExceeded);
        assert_eq!(code(admits(Usage { open: 1, ..Usage::default() }, Leaves::Open)), Code::QuotaExceeded);
        assert_eq!(admits(Usage { open: 1, ..Usage::default() }, Leaves::Nothing), Ok(()));
        let usage = Usage { recent: 3, oldest: Some(Mono(59_500_000)), ..Usage::default() };
        assert_eq!(admits(usage, Leaves::Nothing).unwrap_err().retry_after_s, Some(20));
        assert_eq!(Quota::default().admits(&usage, Leaves::Open, now), Ok(()));
    }

    #[test]
    fn the_narrower_bound_counts() {
        let wide = Quota { queued: Some(9), per_minute: None, open: Some(1) };
        let narrow = Quota { queued: Some(2), per_minute: Some(5), open: None };
        assert_eq!(wide.and(narrow), Quota { queued: Some(2), per_minute: Some(5), open: Some(1) });
    }
}
