//! The agent: `covirtd --config FILE`.

use std::process::ExitCode;

use clap::Parser;
use covirt::agent::{self, Arguments, Config};

fn main() -> ExitCode {
    let args = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("COVIRT_LOG").unwrap_or_else(|_| "info".into());
    // A log that cannot be written, on a disk that is full, must not end the thread that wrote to it.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .log_internal_errors(false)
        .init();
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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(agent::run(config))?;
    // What is still at libvirt is observed at the next start; nothing here waits for it.
    runtime.shutdown_background();
    Ok(())
}
