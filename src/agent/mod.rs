//! Wiring: configuration in, a running agent out.
//!
//! | file | idea |
//! |---|---|
//! | `arguments` | what `covirtd` takes on its command line |
//! | `ceiling` | what no provider may exceed: its file, read again when told |
//! | `config` | the configuration's files, and what is made of them |
//! | `run` | opens the journal, connects, starts lanes and doors; stops them in the reverse order |

pub mod arguments;
pub mod ceiling;
pub mod config;
mod run;

pub use arguments::Arguments;
pub use config::{Config, Doors, Mistakes};
pub use run::{RunAgentError, run};
