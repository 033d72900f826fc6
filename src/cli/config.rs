//! `covirt config`: the agent's configuration files, read without an agent.

use std::path::PathBuf;

use super::exit::Exit;
use super::fault::CarryOutError;
use super::output::{Output, Shown};
use crate::agent::config::{Config, DEFAULT_PATH, Inspection, Shown as Key};

/// The agent's configuration files; needs no agent
#[derive(Debug, clap::Subcommand)]
pub enum ConfigCommand {
    /// Show each key that is set, and in which file and line
    Show(ShowArgs),
    /// List every mistake with its file, line and a hint
    Check(ConfigArgs),
}

/// Which files.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// The configuration file; those of the folder conf.d beside it go over it
    #[arg(long = "config", value_name = "FILE", default_value = DEFAULT_PATH)]
    file: PathBuf,
    #[command(flatten)]
    shown: Shown,
}

/// `config show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Also the keys that are not set, with their defaults
    #[arg(long)]
    effective: bool,
    #[command(flatten)]
    files: ConfigArgs,
}

impl ConfigCommand {
    pub(super) const fn shown(&self) -> &Shown {
        match self {
            Self::Show(args) => &args.files.shown,
            Self::Check(args) => &args.shown,
        }
    }
}

/// Shows or checks the configuration.
///
/// *Errors*: those of writing; mistakes in the configuration are no error but the exit code.
pub fn config(command: &ConfigCommand, output: &mut Output) -> Result<Exit, CarryOutError> {
    match command {
        ConfigCommand::Show(args) => {
            let mut found = Config::inspect(&args.files.file);
            if !args.effective {
                found.shown.retain(|key| key.from.is_some());
            }
            output.show(&found.shown, |output, keys| output.verbatim(&document(keys)))?;
            Ok(told(&found))
        }
        ConfigCommand::Check(args) => {
            let found = Config::inspect(&args.file);
            let mistakes = found.outcome.as_ref().err().map(|mistakes| mistakes.all().to_vec()).unwrap_or_default();
            output.show(
                &mistakes,
                |output, mistakes| {
                    if mistakes.is_empty() { output.line(&in_order(&found)) } else { Ok(()) }
                },
            )?;
            Ok(told(&found))
        }
    }
}

fn told(found: &Inspection) -> Exit {
    match &found.outcome {
        Ok(_) => Exit::Done,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            Exit::Input
        }
    }
}

/// Which files are in order.
fn in_order(found: &Inspection) -> String {
    let files: Vec<String> = found.files.iter().map(|file| file.display().to_string()).collect();
    format!("in order: {}", files.join(", "))
}

/// The keys as a file of the same form, with where each comes from as a comment.
fn document(keys: &[Key]) -> String {
    let (mut text, mut table) = (String::new(), "");
    for Key { key, value, from } in keys {
        let Some((name, key)) = key.rsplit_once('.') else { continue };
        if name != table {
            let gap = if table.is_empty() { "" } else { "\n" };
            let header = if name.starts_with("provider") { "[[provider]]".to_owned() } else { format!("[{name}]") };
            text.push_str(&format!("{gap}{header}\n"));
            table = name;
        }
        let from = from.as_deref().unwrap_or("default");
        text.push_str(&match value {
            Some(value) => format!("{key} = {value}  # {from}\n"),
            None => format!("# {key} is not set\n"),
        });
    }
    text
}
