//! `etcdtop` without a command: the dashboard on a cluster. What it is opened on, and what is told when it is left.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use color_eyre::Result;
use color_eyre::eyre::eyre;
use jiff::Timestamp;
use tokio::runtime::Runtime;

use super::args::Cli;
use super::connect::{access, patience, settings};
use super::display::Terminal;
use super::event_loop::Loop;
use super::exit::Exit;
use super::fleet;
use super::operate::snapshot_dir;
use super::operations::Runner;
use super::record::{self, Tee};
use crate::app::fleet::Way;
use crate::app::state::{Access, Look};
use crate::app::{Keymap, State};
use crate::config::{ColorChoice, Settings, ThemeName};
use crate::etcd::Dialer;
use crate::lab::session::{Session, snapshots as snapshots_of_a_lab};
use crate::poll;
use crate::term::{self, Depth, Guard};

/// What to open the dashboard on.
pub(super) enum Opening {
    /// Everything is known.
    Ready(poll::Options),
    /// The endpoints have to be looked up first: the future does that.
    Discover(Box<crate::etcd::Access>, Box<Settings>),
}

/// What there is besides a cluster.
pub(super) struct Aside<'a> {
    /// What writes a recording, when somebody wants one.
    pub(super) tee: Tee,
    /// The lab's scenario that runs.
    pub(super) session: Option<&'a Session>,
    /// A lab's own folder: its snapshots and its journal go with it.
    pub(super) folder: Option<&'a Path>,
    /// Whether the fleet can be opened from there.
    pub(super) way: Way,
}

impl Aside<'_> {
    /// Nothing but this.
    pub(super) fn with(tee: Tee) -> Self {
        Self { tee, session: None, folder: None, way: Way::default() }
    }
}

/// How the dashboard of a cluster was left.
pub(super) enum Left {
    /// For good.
    For(Exit),
    /// For the fleet.
    Fleet,
}

/// Refuses early, before anything is started, where no dashboard can be shown.
pub(super) fn need_terminal() -> Result<()> {
    Guard::possible().map_err(|reason| eyre!(reason))
}

/// The loop runs on the calling thread, everything else on one worker: drawing never waits for polling.
pub(super) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(32)
        .enable_all()
        .build()?)
}

pub(super) fn run(cli: &Cli) -> Result<Exit> {
    need_terminal()?;
    let settings = settings(cli)?;
    let (opening, access) = target(&settings, access(&settings)?)?;
    let looks = looks(&settings)?;
    let recorder = record::wanted(cli).map(|file| record::create(&file, None)).transpose()?;
    let runtime = runtime()?;
    let aside = Aside { way: fleet::way(cli, &settings), ..Aside::with(Tee::new(recorder)) };
    let exit = runtime.block_on(async {
        let mut terminal = Terminal::take()?;
        match Box::pin(show(&mut terminal, &settings, opening, access, looks, aside)).await? {
            Left::For(exit) => Ok(exit),
            Left::Fleet => Box::pin(fleet::screen::show(fleet::gather(cli)?, &mut terminal)).await,
        }
    });
    // A resolver that does not answer must not keep anybody from leaving.
    runtime.shutdown_background();
    exit
}

/// What the settings say to open, and what the header says of it.
pub(super) fn target(settings: &Settings, access: crate::etcd::Access) -> Result<(Opening, Access)> {
    let shown = Access {
        name: settings.cluster_name(),
        origin: settings.access_line(),
        read_only: settings.read_only.value.then(|| settings.read_only.origin.to_string()),
        lab: false,
        follower: false,
    };
    let opening = if settings.endpoints.value.is_empty() {
        Opening::Discover(Box::new(access), Box::new(settings.clone()))
    } else {
        let endpoints = settings.endpoints.value.clone();
        let dialer = Dialer::new(access, &endpoints)?;
        Opening::Ready(poll::Options {
            dialer,
            endpoints,
            interval: settings.interval.value,
            metrics_every: settings.metrics_interval.value,
            patience: patience(settings),
            known: Vec::new(),
        })
    };
    Ok((opening, shown))
}

/// Keys and colours.
pub(super) type Looks = (Keymap, Depth, Look);

/// Keys and colours, as set.
pub(super) fn looks(settings: &Settings) -> Result<Looks> {
    let bindings = settings.keys.iter().map(|k| (k.action.as_str(), k.keys.as_slice(), k.line));
    let keymap = Keymap::with(bindings)?;
    let color = match settings.color.value {
        ColorChoice::Auto => None,
        ColorChoice::Always => Some(true),
        ColorChoice::Never => Some(false),
    };
    let depth = term::color::depth(color, &|name| std::env::var(name).ok());
    let theme = if depth == Depth::Mono { ThemeName::Mono } else { settings.theme.value };
    Ok((keymap, depth, Look { theme, ascii: settings.ascii.value }))
}

/// Opens the dashboard of a lab and runs it until it is left.
pub(super) fn open(
    runtime: &Runtime,
    settings: &Settings,
    opening: Opening,
    access: Access,
    aside: Aside<'_>,
) -> Result<Exit> {
    let looks = looks(settings)?;
    runtime.block_on(async {
        let mut terminal = Terminal::take()?;
        match Box::pin(show(&mut terminal, settings, opening, access, looks, aside)).await? {
            Left::For(exit) => Ok(exit),
            // There is no way from a lab to the fleet.
            Left::Fleet => Ok(Exit::Done),
        }
    })
}

/// Shows the dashboard of one cluster until it is left.
pub(super) async fn show(
    terminal: &mut Terminal,
    settings: &Settings,
    opening: Opening,
    access: Access,
    looks: Looks,
    aside: Aside<'_>,
) -> Result<Left> {
    let (keymap, depth, look) = looks;
    let typed = match &opening {
        Opening::Ready(options) => options.endpoints.as_slice(),
        Opening::Discover(..) => &[],
    };
    let view = Arc::new(poll::merge::Merger::new(typed).view(Timestamp::now()));
    let mut state = State::new(view, access, look, keymap, settings.interval.value);
    for warning in &settings.warnings {
        state.notice(warning);
    }
    state.changes.snapshots = aside.folder.map_or_else(|| snapshot_dir(settings), snapshots_of_a_lab);
    state.changes.proof_key = format!("{}proof", settings.proof_prefix.value);
    state.recording = aside.tee.file();
    state.way = aside.way;
    let Terminal { guard, signals, input } = terminal;
    let runner = Runner::new(settings, aside.folder);
    let mut this = Loop::new(state, depth, guard, runner, aside.tee, aside.session);
    this.tee.begin(&this.state);
    let left = this.run(opening, signals, input).await;
    let changes = &this.state.changes;
    if let Some(operation) = changes.operation.as_ref().filter(|o| changes.leaving && !o.runs()) {
        guard.release();
        // Who left while it ran wants to know how it ended.
        let end = operation.end.as_ref().map_or_else(String::new, |(end, _)| end.to_string());
        let _ = writeln!(std::io::stdout(), "{}: {end}", operation.plan.title);
    }
    // Whatever ended the loop, a terminal that is gone among it: a step that has begun is brought to its end.
    if this.runner.runs() {
        guard.release();
        this.runner.finish(signals).await;
    }
    // Whoever draws next has a mind of its own about it.
    if this.state.mouse && matches!(left, Ok(Left::Fleet)) {
        guard.set_mouse(false)?;
    }
    if let Some(line) = this.tee.end(this.state.clock) {
        guard.release();
        // The terminal may be gone: then nobody reads it.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
    left
}
