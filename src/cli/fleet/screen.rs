//! The fleet on the dashboard: a loop of its own, and between its turns the dashboard of a context that was opened.

use std::sync::Arc;
use std::time::Duration;

use color_eyre::Result;
use jiff::Timestamp;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::time::{Instant, sleep_until};

use super::watch::Watched;
use super::{Context, Contexts};
use crate::app::fleet::{Fleet, Way};
use crate::app::state::{Access, Screen};
use crate::app::update::next_deadline;
use crate::app::{Effect, Keymap, Msg, State, update};
use crate::cli::connect::access_unasked;
use crate::cli::dashboard::{Aside, Left, Opening, looks, show as show_cluster, target};
use crate::cli::display::{Display, Terminal, drain};
use crate::cli::exit::Exit;
use crate::cli::record::Tee;
use crate::config::Settings;
use crate::etcd::ListedMember;
use crate::model::fleet::{Row, Told};
use crate::model::text::printable;
use crate::model::{ClusterView, verdict};
use crate::term::{self, Depth, Signal};

/// News of a hundred clusters come a hundred times a second: they are drawn together, so often.
const FRAME: Duration = Duration::from_millis(250);
/// While a cluster's own dashboard is open the others are polled no more often than this.
const ASIDE: Duration = Duration::from_secs(5);

/// How a turn of the fleet ended.
enum Turn {
    /// The program ends.
    Leave(Exit),
    /// The dashboard of this context is wanted.
    Open(String),
}

/// Shows the fleet, and each context that is opened from it, until somebody leaves.
pub(in crate::cli) async fn show(contexts: Contexts, terminal: &mut Terminal) -> Result<Exit> {
    let (keymap, depth, look) = looks(&contexts.common)?;
    more_files();
    let now = Timestamp::now();
    let access = Access { name: "fleet".into(), ..Access::default() };
    let interval = contexts.common.interval.value;
    let mut state = State::new(Arc::new(ClusterView::empty(now)), access, look, keymap.clone(), interval);
    let file = printable(&contexts.file.display().to_string()).into_owned();
    let rows = contexts.each.iter().map(|c| before(c, now)).collect();
    state.fleet = Some(Box::new(Fleet::new(file, rows)));
    state.screen = Screen::Fleet;
    let watched = Watched::start(&contexts.each);
    loop {
        let name = match turn(&mut state, terminal, depth, &watched).await? {
            Turn::Leave(exit) => return Ok(exit),
            Turn::Open(name) => name,
        };
        let found = contexts.each.iter().find(|c| printable(&c.name) == name);
        let Some(settings) = found.and_then(|c| c.settings.as_ref().ok()) else { continue };
        watched.rest(ASIDE);
        let known = watched.members(&name);
        let left = Box::pin(cluster(settings, known, terminal, &state, &keymap, depth)).await;
        watched.rest(Duration::ZERO);
        watched.poll_now();
        match left {
            Ok(Left::For(exit)) => return Ok(exit),
            Ok(Left::Fleet) => {}
            // A certificate that cannot be read any more, a domain that names no endpoint: the others are still there.
            Err(why) => {
                state.wall = Timestamp::now();
                state.say(printable(&format!("{name}: {why:#}")), true);
            }
        }
    }
}

/// What is known of a context before it was asked.
fn before(context: &Context, now: Timestamp) -> Row {
    let told = match &context.settings {
        Ok(_) => {
            let view = ClusterView::empty(now);
            Ok(Told::of(&view, verdict::judge(&view, &[])))
        }
        Err(why) => Err(printable(why).into_owned()),
    };
    Row { context: printable(&context.name).into_owned(), told }
}

/// The dashboard of one context, with the looks of the fleet and the members that it knows: the endpoint that was typed may
/// be that of the one that hangs.
async fn cluster(
    settings: &Settings,
    known: Vec<ListedMember>,
    terminal: &mut Terminal,
    fleet: &State,
    keymap: &Keymap,
    depth: Depth,
) -> Result<Left> {
    if fleet.mouse {
        terminal.guard.set_mouse(false)?;
    }
    let (mut opening, access) = target(settings, access_unasked(settings)?)?;
    if let Opening::Ready(options) = &mut opening {
        options.known = known;
    }
    let aside = Aside { way: Way::Back, ..Aside::with(Tee::new(None)) };
    let left =
        show_cluster(terminal, settings, opening, access, (keymap.clone(), depth, fleet.look), aside).await;
    if fleet.mouse && matches!(left, Ok(Left::Fleet) | Err(_)) {
        terminal.guard.set_mouse(true)?;
    }
    left
}

/// Shows the fleet until a context is opened or somebody leaves.
async fn turn(state: &mut State, terminal: &mut Terminal, depth: Depth, watched: &Watched) -> Result<Turn> {
    let Terminal { guard, signals, input } = terminal;
    let mut display = Display::new(guard, depth, state);
    update(state, Msg::Tick(Timestamp::now()));
    display.draw(state)?;
    loop {
        let deadline = display.due().or_else(|| {
            let at = next_deadline(state)?;
            let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
            Some(Instant::now() + wait)
        });
        tokio::select! {
            biased;
            signal = signals.next() => match signal {
                Signal::End(number) => return Ok(Turn::Leave(Exit::Signal(number))),
                Signal::Suspend => display.suspend(state)?,
                Signal::Continue => display.retake(state)?,
            },
            msg = input.next() => {
                // The terminal is gone, as with SIGHUP.
                let Some(first) = msg else { return Ok(Turn::Leave(Exit::Signal(1))) };
                let (ready, burst) = drain(first, input).await;
                update(state, Msg::Tick(Timestamp::now()));
                state.burst = burst;
                for msg in ready {
                    if let Some(turn) = take(state, &mut display, watched, msg)? {
                        return Ok(turn);
                    }
                }
                display.draw(state)?;
            }
            rows = watched.next() => {
                update(state, Msg::Fleet(rows));
                display.changed_at_leisure(FRAME);
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                update(state, Msg::Tick(Timestamp::now()));
                display.draw(state)?;
            }
        }
    }
}

/// Changes the state and does what follows from it. Some: the turn ends.
fn take(state: &mut State, display: &mut Display<'_>, watched: &Watched, msg: Msg) -> Result<Option<Turn>> {
    for effect in update(state, msg) {
        match effect {
            Effect::PollNow => watched.poll_now(),
            Effect::SetInterval(pause) => watched.set_interval(pause),
            Effect::Copy(text) => term::clipboard::copy(&text)?,
            Effect::SetMouse(on) => display.set_mouse(on)?,
            Effect::Redraw => display.redraw_all(state),
            Effect::Suspend => display.suspend(state)?,
            Effect::OpenContext(name) => return Ok(Some(Turn::Open(name))),
            Effect::Quit => return Ok(Some(Turn::Leave(Exit::Done))),
            // Of one cluster.
            Effect::Start(..)
            | Effect::StopOperation
            | Effect::ReadJournal
            | Effect::Shelf(_)
            | Effect::Compare
            | Effect::Lab(_)
            | Effect::Record
            | Effect::Seek(_)
            | Effect::Fleet => {}
        }
    }
    Ok(None)
}

/// A connection is an open file, and many systems allow 1,024 unless one asks for more.
fn more_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Who is refused has what there is.
    let _ = setrlimit(Resource::Nofile, limit);
}
