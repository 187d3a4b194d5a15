//! Entry point: parse the command line, run the command, turn its end into an exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = nasd::cli::Arguments::parse();
    nasd::cli::set_up_logging(&arguments);
    match nasd::cli::run(arguments) {
        Ok(code) => code,
        Err(failed) => {
            eprintln!("nasd: error: {failed}");
            ExitCode::from(failed.exit_code())
        }
    }
}
