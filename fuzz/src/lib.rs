//! Any bytes at a door: what may become of them, asked of covirt's public interface by a fuzzer, and by a test with the
//! seeds alone.
//!
//! | file | idea |
//! |---|---|
//! | `framing` | bytes, however they are cut: what comes out is what went in, and room is made only for what came |
//! | `calls` | any call: its treatment is of the kind that the table has, no larger than the call |
//! | `replies` | any reply, event, error: shown no larger than it came, without what is hidden |
//! | `conversation` | both sides and the lanes say anything: nothing twice, nothing unreleased, nothing kept for ever |
//! | `world` | a host with three VMs, and those who look at it |
//! | `input` | decisions from bytes |
//! | `memory` | an allocator that counts |
//! | `seeds` | where to begin |

pub mod calls;
pub mod conversation;
pub mod framing;
pub mod input;
pub mod memory;
pub mod replies;
pub mod seeds;
pub mod world;

#[global_allocator]
static COUNTING: memory::Counting = memory::Counting;
