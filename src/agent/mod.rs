//! Wiring: configuration in, a running agent out.
//!
//! | file | idea |
//! |---|---|
//! | `config` | the configuration file: its shape, and what is made of it |
//! | `run` | opens the journal, connects, starts lanes and doors; stops them in the reverse order |

mod config;
mod run;

pub use config::{Config, Doors, ReadConfigError};
pub use run::{RunAgentError, run};
