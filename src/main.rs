//! The thin program around the library: parse, start logging, dispatch, exit code.

use std::process::ExitCode;

use etcdtop::cli::{self, Cli};
use etcdtop::lab;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(first) if first == lab::MEMBER_ARGUMENT => {
            let error = lab::member_main(args);
            eprintln!("etcdtop: cannot become a lab member: {error}");
            return ExitCode::FAILURE;
        }
        Some(first) if first == lab::JANITOR_ARGUMENT => {
            return lab::janitor_main(args).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
        }
        _ => {}
    }
    cli::run(&Cli::read()).into()
}
