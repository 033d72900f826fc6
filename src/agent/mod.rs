//! Wiring: configuration in, a running agent out.
//!
//! | file | idea |
//! |---|---|
//! | `arguments` | what `covirtd` takes on its command line |
//! | `ceiling` | what no provider may exceed: its file, read again when told |
//! | `config` | the configuration's files, and what is made of them |
//! | `mirror` | the journal's facts in the journal of systemd |
//! | `enrolling` | who joined, told to the roster |
//! | `reload` | what SIGHUP asks for |
//! | `run` | opens the journal, connects, starts lanes and doors; stops them in the reverse order |

pub mod arguments;
pub mod ceiling;
pub mod config;
pub mod mirror;
mod enrolling;
mod reload;
mod run;

pub use arguments::Arguments;
pub use config::{Config, Doors, Mistakes, TlsConfig};
pub use reload::Reload;
pub use run::{RunAgentError, run};
