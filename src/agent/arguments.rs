//! What `covirtd` takes on its command line.

use std::path::PathBuf;

use clap::Parser;

use super::config::DEFAULT_PATH;

/// Lets two or more providers co-manage the same running virtual machine
///
/// The agent beside libvirt. It reads its configuration file and then the files of the folder conf.d beside it, runs in
/// the foreground and ends on SIGTERM; SIGHUP has it read its configuration again. Exit codes: 0 told to stop, or the
/// configuration is in order; 1 it could not start, or the configuration has a mistake; 2 the command line cannot be read.
#[derive(Debug, Parser)]
#[command(name = "covirtd", version, max_term_width = 110)]
pub struct Arguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
    /// Only check the configuration: list every mistake with its file, line and a hint
    #[arg(long)]
    pub check_config: bool,
}
