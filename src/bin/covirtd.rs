//! The agent: `covirtd --config FILE`.

use std::process::ExitCode;

use clap::Parser;
use covirt::agent::{self, Arguments, Config, Log};

fn main() -> ExitCode {
    let args = Arguments::parse();
    match start(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut chain = error.to_string();
            let mut cause = error.source();
            while let Some(next) = cause {
                chain = format!("{chain}: {next}");
                cause = next.source();
            }
            eprintln!("covirtd: {chain}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    if args.check_config {
        let found = Config::inspect(&args.config);
        found.outcome?;
        let files: Vec<String> = found.files.iter().map(|file| file.display().to_string()).collect();
        println!("in order: {}", files.join(", "));
        return Ok(());
    }
    let config = Config::read(&args.config)?;
    let log = Log::begin(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(agent::run(config, log))?;
    // What is still at libvirt is observed at the next start; nothing here waits for it.
    runtime.shutdown_background();
    Ok(())
}
