//! Wiring: configuration in, a running agent out.
//!
//! | file | idea |
//! |---|---|
//! | `arguments` | what `covirtd` takes on its command line |
//! | `ceiling` | what no provider may exceed: its file, read again when told |
//! | `config` | the configuration's files, and what is made of them |
//! | `activation` | sockets that the service manager passed on |
//! | `log` | where log lines go |
//! | `metrics` | what `/metrics` says |
//! | `notify` | what the service manager is told |
//! | `live` | what of a configuration takes effect while the agent runs |
//! | `mirror` | the journal's facts in the journal of systemd |
//! | `enrolling` | who joined, told to the roster |
//! | `reload` | what SIGHUP asks for |
//! | `run` | opens the journal, connects, starts lanes and doors; stops them in the reverse order |

mod activation;
pub mod arguments;
pub mod ceiling;
pub mod config;
mod live;
mod log;
mod metrics;
pub mod mirror;
mod enrolling;
mod notify;
mod reload;
mod run;

pub use activation::TakeSocketError;
pub use arguments::Arguments;
pub use config::{Config, Doors, Mistakes, TlsConfig};
pub use log::{BeginLogError, Log};
pub use reload::Reload;
pub use run::{RunAgentError, run};
