//! Steps 7 and 8: detect a conflict and resolve it.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod call;
mod fact;

pub use call::Call;
pub use fact::{
    Admission, Answer, CallResult, Evidence, Fact, Feasible, Finding, Heard, Origin, Party, Rule, StampNote, Verdict,
};
