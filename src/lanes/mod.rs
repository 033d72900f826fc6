//! Step 9, inner half: one runner per lane feeds it inputs and performs its outputs, without any policy of its own.
//!
//! | file | idea |
//! |---|---|
//! | `runner` | one lane's task: mailbox in, journal and hypervisor out; its looks at the VM; its outages |
//! | `registry` | [`Lanes`]: which VM has a lane; requests find their lane, events too |
//! | `host` | [`Host`]: what happened to the host as a whole, recorded and watched |
//! | `load` | how much each provider has under way |
//! | `clock` | the only `now()` |
//! | `history` | what the journal came to when it was opened |
//! | `asker` | how questions leave |
//! | `carrier` | how a client's own call leaves, through its door |
//! | `sight` | who has a part in which VM, without asking a lane |
//! | `witness` | who counts what lanes decide |
//!
//! Lanes share nothing but the journal's writer and the hypervisor's threads, so one VM never waits for another (I9).

mod asker;
mod carrier;
mod clock;
mod history;
mod host;
mod load;
mod registry;
mod runner;
mod sight;
mod witness;

pub use asker::{Asker, Delivery};
pub use carrier::Carrier;
pub use clock::Clock;
pub use history::History;
pub use host::Host;
pub use registry::{Carried, Lanes, Running, Submission};
pub use sight::{Part, Sight};
pub use witness::{Journalled, Nobody, Witness};

#[cfg(test)]
mod tests;
