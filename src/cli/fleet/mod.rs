//! `--all-contexts`: every context of the config file at once, each with the settings that it would have alone.

mod ask;
mod looks;
mod save;
pub(super) mod screen;
mod watch;

use std::collections::BTreeSet;
use std::path::PathBuf;

use color_eyre::Result;
use color_eyre::eyre::{Report, eyre};

use super::args::{Cli, Command};
use super::connect::inputs;
use super::exit::Exit;
use super::snapshot::SnapshotCommand;
use super::{as_a_plugin, dashboard, logging, record};
use crate::app::fleet::Way;
use crate::config::{Settings, load_contexts, names_none};
use crate::etcd::access::MIN_KEEPALIVE;
use crate::model::text::printable;

/// A context and its settings, or why they cannot be used.
pub(super) struct Context {
    name: String,
    settings: Result<Settings, String>,
}

/// The contexts of the config file.
pub(super) struct Contexts {
    file: PathBuf,
    /// What holds for all of them.
    common: Settings,
    each: Vec<Context>,
}

/// Everybody's settings.
pub(super) fn gather(cli: &Cli) -> Result<Contexts> {
    let found = load_contexts(&inputs(cli))?;
    logging::start(&found.common)?;
    let each = found.each.into_iter().map(|(name, settings)| {
        let settings = settings.map_err(|e| e.to_string()).map(|mut settings| {
            settings.raise_keepalive(MIN_KEEPALIVE);
            settings
        });
        Context { name, settings }
    });
    Ok(Contexts { each: each.collect(), common: found.common, file: found.file })
}

/// Whether the fleet can be opened from the dashboard of a cluster with these settings.
pub(super) fn way(cli: &Cli, settings: &Settings) -> Way {
    if !settings.has_contexts {
        return Way::NoContexts;
    }
    if names_none(&inputs(cli)).is_ok() { Way::There } else { Way::OneCluster }
}

/// What should be known about the settings, on standard error; what several contexts share, once.
fn warn(contexts: &[Context]) {
    let mut said = BTreeSet::new();
    for (context, settings) in contexts.iter().filter_map(|c| Some((c, c.settings.as_ref().ok()?))) {
        for warning in settings.warnings.iter().filter(|w| said.insert((*w).clone())) {
            tell!("etcdtop: warning: {}: {warning}", printable(&context.name));
        }
    }
}

pub(super) fn run(cli: &Cli) -> Result<Exit> {
    let alone = |what: &str, why: &str| -> Report { eyre!("--all-contexts and {what}: {why}") };
    let usage = match (&cli.global.context, &cli.command) {
        (Some(_), _) => {
            Some(alone("--context", "either every context or one of them; leave one of them out"))
        }
        (None, None) if record::wanted(cli).is_some() => {
            Some(alone("--record", "a recording is of one cluster: name it with --context"))
        }
        (None, Some(Command::Diagnose(args))) if args.watch => {
            Some(alone("--watch", "etcdtop --all-contexts shows them all as they change"))
        }
        (None, Some(Command::Diagnose(args))) if args.bundle.is_some() => {
            Some(alone("--bundle", "a bundle is of one cluster: name it with --context"))
        }
        _ => None,
    };
    let plugin = matches!(cli.command, Some(Command::Health | Command::Diagnose(_)));
    let ended = match (usage, &cli.command) {
        (Some(wrong), _) => Err(wrong),
        (None, None) => screen(cli),
        (None, Some(Command::Status)) => looks::status(gather(cli)?),
        (None, Some(Command::Health)) => gather(cli).and_then(looks::health),
        (None, Some(Command::Diagnose(args))) => gather(cli).and_then(|all| looks::diagnose(all, args)),
        (
            None,
            Some(Command::Snapshot { command: SnapshotCommand::Save { path, member, verify, bounds } }),
        ) => save::run(cli, path.as_deref(), member.as_deref(), verify, bounds),
        (None, Some(_)) => Err(eyre!(
            "--all-contexts is for the dashboard, status, health, diagnose and snapshot save; anything else is done to one cluster: name it with --context"
        )),
    };
    if plugin { as_a_plugin(ended) } else { ended }
}

/// The fleet on the dashboard.
fn screen(cli: &Cli) -> Result<Exit> {
    dashboard::need_terminal()?;
    let contexts = gather(cli)?;
    // Keys and colours that cannot be used are said before the terminal is taken.
    dashboard::looks(&contexts.common)?;
    let runtime = dashboard::runtime()?;
    let exit = runtime.block_on(async {
        let mut terminal = super::display::Terminal::take()?;
        Box::pin(screen::show(contexts, &mut terminal)).await
    });
    runtime.shutdown_background();
    exit
}
