//! Command line types and one file per command. Knows every other room.

/// A line on standard error, as `eprintln!` writes it, but that a reader who went away or a full disk is no panic: it would end
/// an operation half-way.
macro_rules! tell {
    ($($words:tt)*) => { $crate::cli::connect::tell(format_args!($($words)*)) };
}

mod args;
mod bundle;
mod change;
mod config_cmd;
mod connect;
mod dashboard;
mod deck;
mod defrag;
mod diagnose;
mod display;
mod event_loop;
mod exit;
mod fleet;
mod folder;
mod follow;
mod health;
mod inspect;
mod lab;
mod lab_check;
mod launch;
mod logging;
mod members;
mod operate;
mod operations;
mod record;
mod replay;
mod scenario;
mod shelf;
mod shell;
mod snapshot;
mod status;
mod summary;
mod table;
mod voice;

pub use args::{Cli, Command};
pub use exit::Exit;

use color_eyre::Result;

/// Runs what was asked for. What kept it from running is told on standard error.
#[must_use]
pub fn run(cli: &Cli) -> Exit {
    let ended = record::only_with_a_screen(cli).and_then(|()| {
        if cli.global.all_contexts {
            return fleet::run(cli);
        }
        let ended = of_one_cluster(cli);
        if let (Err(_), Some(file)) = (&ended, cli.command.as_ref().and_then(Command::metrics_file)) {
            operate::metrics::could_not_begin(file);
        }
        ended
    });
    let exit = ended.unwrap_or_else(|report| {
        tell!("etcdtop: {report:#}");
        Exit::Usage
    });
    voice::end();
    exit
}

fn of_one_cluster(cli: &Cli) -> Result<Exit> {
    match &cli.command {
        None => dashboard::run(cli),
        Some(Command::Status) => status::run(cli),
        Some(Command::Health) => as_a_plugin(health::run(cli)),
        Some(Command::Diagnose(args)) => as_a_plugin(diagnose::run(cli, args)),
        Some(Command::Alarms { command }) => change::alarms(cli, command.as_ref()),
        Some(Command::Compact(args)) => change::compact(cli, args),
        Some(Command::Defrag(args)) => defrag::run_defrag(cli, args),
        Some(Command::Recover { command }) => change::recover(cli, command),
        Some(Command::MoveLeader(args)) => change::move_leader(cli, args),
        Some(Command::Snapshot { command }) => snapshot::run(cli, command),
        Some(Command::Record(args)) => record::run(cli, args),
        Some(Command::Replay(args)) => replay::run(cli, args),
        Some(Command::Lab(args)) => lab::run(cli, args),
        Some(Command::Config { command }) => config_cmd::run(cli, command),
        Some(Command::Completions { shell }) => shell::completions(*shell),
        Some(Command::Man { dir }) => shell::man(dir.as_deref()),
    }
}

/// To a monitoring system wrong settings are no sign of a broken cluster.
fn as_a_plugin(ended: Result<Exit>) -> Result<Exit> {
    ended.or_else(|report| {
        tell!("etcdtop: {report:#}");
        Ok(Exit::Plugin(exit::Plugin::Unknown))
    })
}
