//! The command line. See `covirt --help` and `docs/cli.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    covirt::cli::main()
}
