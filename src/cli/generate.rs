//! `covirt generate`: manual pages and completions, made from the command lines themselves. For whoever packages covirt.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use super::Arguments;
use super::exit::Exit;
use super::fault::CarryOutError;

/// `generate`.
#[derive(Debug, clap::Args)]
pub struct GenerateArgs {
    /// Gets the folders man1, man8, bash, zsh and fish
    #[arg(value_name = "DIR")]
    into: PathBuf,
}

/// Writes all of them.
///
/// *Errors*: [`CarryOutError::Write`].
pub fn generate(args: &GenerateArgs) -> Result<Exit, CarryOutError> {
    let into = &args.into;
    write(into).map_err(|source| CarryOutError::Write { path: into.clone(), source })?;
    Ok(Exit::Done)
}

fn write(into: &Path) -> io::Result<()> {
    let folder = |name: &str| {
        let folder = into.join(name);
        fs::create_dir_all(&folder).map(|()| folder)
    };
    clap_mangen::generate_to(Arguments::command(), folder("man1")?)?;
    let agent = crate::agent::arguments::Arguments::command();
    let mut page = Vec::new();
    clap_mangen::Man::new(agent.clone()).section("8").render(&mut page)?;
    fs::write(folder("man8")?.join("covirtd.8"), page)?;
    for (shell, name) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
        let folder = folder(name)?;
        for (mut command, program) in [(Arguments::command(), "covirt"), (agent.clone(), "covirtd")] {
            clap_complete::generate_to(shell, &mut command, program, &folder)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_is_shown_has_its_page_and_every_shell_its_completions() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        for command in Arguments::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let page = read(&format!("man1/covirt-{}.1", command.get_name()));
            assert!(page.contains(".TH") && page.contains("SYNOPSIS"), "{page}");
            for completions in ["bash/covirt.bash", "zsh/_covirt", "fish/covirt.fish"] {
                assert!(read(completions).contains(command.get_name()), "{completions}: {}", command.get_name());
            }
        }
        assert!(read("man1/covirt-config-show.1").contains("effective"));
        assert!(read("man8/covirtd.8").contains("check\\-config"));
        assert!(!folder.path().join("man1/covirt-generate.1").exists());
    }
}
