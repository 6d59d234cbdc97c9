//! How the state changes: `update(&mut State, Msg) -> Vec<Effect>`, and nothing else changes it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::INTERVALS;
use super::coach::{self, LabWish};
use super::fleet;
use super::key::{Key, KeyCode};
use super::keymap::{ActionId, action};
use super::news;
use super::operation::{self, Operation};
use super::overlay;
use super::recording;
use super::replay;
use super::shelf::{self, News, Work};
use super::state::{Live, Overlay, RowKey, Screen, State};
use crate::config::ThemeName;
use crate::model::ClusterView;
use crate::model::Revision;
use crate::model::coach::CoachView;
use crate::model::fleet::Row;
use crate::model::hashes::Comparison;
use crate::ops::past::History as Past;
use crate::ops::{OpEvent, Plan, Progress};

/// What happened.
#[derive(Clone, Debug)]
pub enum Msg {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted: text, never keys.
    Paste(String),
    /// The wheel was turned: rows down (negative: up).
    Wheel(i16),
    /// The terminal has another size.
    Resize(u16, u16),
    /// The cluster was polled.
    View(Arc<ClusterView>),
    /// Time went by.
    Tick(Timestamp),
    /// News of the operation.
    Operation(OpEvent),
    /// How far its step is.
    Progress(Progress),
    /// What the journal of the cluster tells.
    Journal(Box<Past>),
    /// An operation was started.
    Started(Box<Operation>),
    /// An operation could not be started.
    Refused(String),
    /// News of the folder of snapshots.
    Shelf(News),
    /// The members' data beside each other, or why it could not be compared.
    Compared(Result<Comparison, String>),
    /// What the coach of a lab says now; none: no scenario runs any more.
    Coach(Option<Box<CoachView>>),
    /// News of the recording that is written.
    Recording(recording::News),
    /// News of the recording that is shown.
    Replay(replay::News),
    /// What is known of some contexts now.
    Fleet(Vec<Row>),
}

/// What the loop must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Poll now.
    PollNow,
    /// Poll with this pause.
    SetInterval(Duration),
    /// Put text on the clipboard.
    Copy(String),
    /// Mouse reports on or off.
    SetMouse(bool),
    /// Forget what is on screen and draw everything.
    Redraw,
    /// Carry this plan out; the text that was typed to confirm it.
    Start(Box<Plan>, String),
    /// Stop what runs at its next safe point.
    StopOperation,
    /// Read the journal again.
    ReadJournal,
    /// Do something in the folder of snapshots.
    Shelf(Work),
    /// Ask every member for the hash of its data.
    Compare,
    /// Ask something of the lab.
    Lab(LabWish),
    /// Record everything into a new file, or end that.
    Record,
    /// Go to another moment of the replay: so far from its beginning.
    Seek(Duration),
    /// Leave this cluster for the fleet.
    Fleet,
    /// Open the dashboard of this context.
    OpenContext(String),
    /// Back to the shell until SIGCONT.
    Suspend,
    /// The end.
    Quit,
}

/// The views in the order of Tab.
pub const SCREENS: [Screen; 9] = [
    Screen::Overview,
    Screen::Member,
    Screen::Storage,
    Screen::Raft,
    Screen::Operations,
    Screen::Snapshots,
    Screen::Timeline,
    Screen::Latency,
    Screen::Internals,
];

/// Changes the state; what the loop must do.
pub fn update(state: &mut State, msg: Msg) -> Vec<Effect> {
    match msg {
        Msg::Key(key) => return on_key(state, key),
        Msg::Paste(text) => overlay::on_paste(state, &text),
        Msg::Wheel(rows) => move_by(state, rows),
        Msg::Resize(width, height) => state.size = (width, height),
        Msg::Operation(event) => return operation::on_event(state, event),
        Msg::Progress(progress) => {
            if let Some(o) = &mut state.changes.operation {
                o.progress = progress;
            }
        }
        Msg::Journal(past) => super::interrupted::on_history(state, *past),
        Msg::Started(operation) => {
            state.changes.leaving = false;
            state.changes.operation = Some(*operation);
        }
        Msg::Refused(why) => {
            let (severity, kind) =
                (crate::model::Severity::Warning, crate::model::event::EventKind::Operation);
            let line = format!("refused: {why}");
            state.timeline.push_back(crate::model::Event {
                at: state.clock,
                severity,
                kind,
                member: None,
                line,
            });
            state.say(why, true);
        }
        Msg::Shelf(news) => return shelf::on_news(state, news),
        Msg::Compared(outcome) => news::on_comparison(state, outcome),
        Msg::Coach(says) => coach::on_news(state, says),
        Msg::View(view) => news::on_view(state, view),
        Msg::Recording(news) => recording::on_news(state, news),
        Msg::Replay(news) => replay::on_news(state, news),
        Msg::Fleet(rows) => fleet::on_rows(state, rows),
        Msg::Tick(now) => {
            // The clock of a replay is the recording's.
            if state.replay.is_none() {
                state.clock = now;
                if !state.frozen() {
                    state.now = now;
                }
            }
            state.at_wall(now);
        }
    }
    Vec::new()
}

/// The next moment at which something on screen changes by itself; none if nothing does.
#[must_use]
pub fn next_deadline(state: &State) -> Option<Timestamp> {
    let toast = state.toast.as_ref().map(|t| t.until);
    if state.replay.is_some() {
        return toast;
    }
    if state.fleet.is_some() {
        return [toast, fleet::next_age(state)].into_iter().flatten().min();
    }
    // With a long pause between polls ages go on counting, in steps.
    let ages = (state.interval > AGE_STEP && !state.frozen())
        .then(|| state.now.checked_add(AGE_STEP).ok())
        .flatten();
    // What runs counts seconds.
    let operation =
        state.changes.running().and_then(|_| state.clock.checked_add(Duration::from_secs(1)).ok());
    [toast, ages, operation, coach::next_second(state)].into_iter().flatten().min()
}

/// Between two polls that are further apart than this, ages count on in such steps.
pub const AGE_STEP: Duration = Duration::from_secs(5);

fn on_key(state: &mut State, key: Key) -> Vec<Effect> {
    // Leaving and suspending work everywhere, even inside an input line.
    if key.ctrl {
        match state.keymap.action(key) {
            Some(ActionId::Quit) => return operation::quit(state),
            Some(ActionId::Suspend) => return suspend(state),
            Some(ActionId::Redraw) => return vec![Effect::Redraw],
            _ => {}
        }
    }
    if too_small(state) {
        return if state.keymap.action(key) == Some(ActionId::Quit) {
            operation::quit(state)
        } else {
            Vec::new()
        };
    }
    if state.overlay.is_some() {
        return overlay::in_overlay(state, key);
    }
    if state.filter.editing {
        match key.code {
            KeyCode::Esc => {
                state.filter = super::state::Filter::default();
            }
            KeyCode::Enter => state.filter.editing = false,
            _ => {
                if let Some(request) = overlay::edit(key) {
                    state.filter.input.handle(request);
                }
            }
        }
        return Vec::new();
    }
    match state.keymap.action(key) {
        Some(id) => perform(state, id),
        None => Vec::new(),
    }
}

/// Back to the shell, but not with an operation that would stand still with us.
fn suspend(state: &mut State) -> Vec<Effect> {
    if state.changes.running().is_some() && state.replay.is_none() {
        state.say("an operation runs: it would stop in the middle", true);
        return Vec::new();
    }
    vec![Effect::Suspend]
}

/// The least that anything can be shown in.
pub const LEAST: (u16, u16) = (40, 12);

fn too_small(state: &State) -> bool {
    state.size.0 < LEAST.0 || state.size.1 < LEAST.1
}

pub(super) fn perform(state: &mut State, id: ActionId) -> Vec<Effect> {
    if let Some(reason) = action(id).and_then(|a| a.unavailable(state)) {
        state.say(reason.to_owned(), true);
        return Vec::new();
    }
    match id {
        ActionId::Show(Screen::Fleet) => return vec![Effect::Fleet],
        ActionId::Show(screen) => return show(state, screen),
        ActionId::NextView => return show(state, step_view(state.screen, 1)),
        ActionId::PreviousView => return show(state, step_view(state.screen, SCREENS.len() - 1)),
        ActionId::Up => move_by(state, -1),
        ActionId::Down => move_by(state, 1),
        ActionId::PageUp => move_by(state, -10),
        ActionId::PageDown => move_by(state, 10),
        ActionId::First => move_by(state, i16::MIN),
        ActionId::Last => move_by(state, i16::MAX),
        ActionId::NextMember => select_by(state, 1),
        ActionId::PreviousMember => select_by(state, -1),
        ActionId::Open if state.fleet.is_some() => return fleet::open(state),
        ActionId::Open if state.screen == Screen::Snapshots => return shelf::open(state),
        ActionId::Open => return show(state, Screen::Member),
        ActionId::Compare => {
            state.comparing = true;
            state.say("comparing the members' data, one after the other", false);
            return vec![Effect::Compare];
        }
        ActionId::Verify => return shelf::verify(state),
        ActionId::Prune => shelf::prune(state),
        ActionId::Back if shelf::close(state) => state.scroll = 0,
        ActionId::Back => {
            let over = state.changes.operation.as_ref().is_some_and(|o| !o.runs());
            if state.screen == Screen::Overview && over {
                // What ended is read; view 5 goes on telling it.
                state.changes.operation = None;
            } else if !state.filter.input.value().is_empty() {
                state.filter = super::state::Filter::default();
            } else if state.screen == Screen::Overview && state.way == fleet::Way::Back {
                return perform(state, ActionId::Show(Screen::Fleet));
            } else if state.fleet.is_none() {
                return show(state, Screen::Overview);
            }
        }
        ActionId::Filter => state.filter.editing = true,
        ActionId::Palette => {
            state.overlay = Some(Overlay::Palette { input: tui_input::Input::default(), chosen: 0 });
        }
        ActionId::Help => state.overlay = Some(Overlay::Help { scroll: 0 }),
        ActionId::Explain => overlay::explain(state),
        ActionId::Freeze => freeze(state),
        ActionId::PollNow => {
            return vec![Effect::PollNow, Effect::ReadJournal, Effect::Shelf(Work::List)];
        }
        ActionId::PlayPause
        | ActionId::Back10
        | ActionId::On10
        | ActionId::Back60
        | ActionId::On60
        | ActionId::PreviousEvent
        | ActionId::NextEvent
        | ActionId::GoToTime => return replay::perform(state, id),
        ActionId::Faster | ActionId::Slower if state.replay.is_some() => return replay::perform(state, id),
        ActionId::Record => return vec![Effect::Record],
        ActionId::Faster | ActionId::Slower => return set_interval(state, id == ActionId::Faster),
        ActionId::Copy => return copy(state),
        ActionId::Mouse => {
            state.mouse = !state.mouse;
            let text = if state.mouse {
                "mouse on: the wheel moves; hold shift to select text"
            } else {
                "mouse off: text can be selected"
            };
            state.say(text, false);
            return vec![Effect::SetMouse(state.mouse)];
        }
        ActionId::Theme => next_theme(state),
        ActionId::Redraw => return vec![Effect::Redraw],
        ActionId::Suspend => return suspend(state),
        ActionId::Compact
        | ActionId::Defragment
        | ActionId::Roll
        | ActionId::Snapshot
        | ActionId::Disarm
        | ActionId::MoveLeader
        | ActionId::Recover
        | ActionId::GoOn => operation::open(state, id),
        ActionId::Stop => return operation::stop(state),
        ActionId::Hint => return vec![Effect::Lab(LabWish::Hint)],
        ActionId::Acts => coach::open_acts(state),
        ActionId::Coach => state.overlay = Some(Overlay::Coach { scroll: 0 }),
        ActionId::Quit => return operation::quit(state),
    }
    Vec::new()
}

fn show(state: &mut State, screen: Screen) -> Vec<Effect> {
    if state.screen != screen {
        state.scroll = 0;
        // Text that was looked for in the timeline names no member, nor a file, and the other way round.
        let about = |s: Screen| match s {
            Screen::Timeline => 1,
            Screen::Snapshots => 2,
            _ => 0,
        };
        if about(state.screen) != about(screen) {
            state.filter = super::state::Filter::default();
        }
    }
    state.screen = screen;
    // Somebody else may have saved or removed one.
    if screen == Screen::Snapshots { vec![Effect::Shelf(Work::List)] } else { Vec::new() }
}

fn step_view(from: Screen, by: usize) -> Screen {
    let at = SCREENS.iter().position(|s| *s == from).unwrap_or_default();
    SCREENS[(at + by) % SCREENS.len()]
}

/// Moves the selection, or scrolls the views that have no rows of members.
fn move_by(state: &mut State, rows: i16) {
    if let Some(overlay) = &mut state.overlay {
        overlay::scroll_by(overlay, rows);
        return;
    }
    if state.fleet.is_some() {
        return fleet::move_by(state, rows);
    }
    if state.screen == Screen::Snapshots {
        return shelf::move_by(state, rows);
    }
    if state.screen == Screen::Internals {
        return move_mark(state, rows);
    }
    if matches!(state.screen, Screen::Timeline | Screen::Member | Screen::Operations | Screen::Latency) {
        // The loop keeps it within what there is to see.
        state.scroll = state.scroll.saturating_add_signed(rows);
        return;
    }
    select_by(state, rows);
}

/// Points at another revision: a row is a hundredth of the line, and down is later.
fn move_mark(state: &mut State, rows: i16) {
    let Some(line) = state.revisions() else { return };
    let from = state.mark.unwrap_or(line.head);
    let to = match rows {
        i16::MIN => Revision(1),
        i16::MAX => line.last(),
        _ => line.step(from, rows),
    };
    // At the head it moves with it.
    state.mark = (to != line.head).then_some(to);
}

/// Selects the member so many rows further down.
fn select_by(state: &mut State, rows: i16) {
    let visible = state.rows();
    let Some(current) = state.selected_row() else { return };
    let at = visible.iter().position(|i| *i == current).unwrap_or_default();
    let to = at.saturating_add_signed(rows.into()).min(visible.len().saturating_sub(1));
    let m = &state.view.members[visible[to]];
    state.selected = match (m.id, &m.endpoint) {
        (Some(id), _) => Some(RowKey::Member(id)),
        (None, Some(endpoint)) => Some(RowKey::Endpoint(endpoint.clone())),
        (None, None) => None,
    };
}

fn freeze(state: &mut State) {
    match state.live.take() {
        None => state.live = Some(Box::new(Live::of(state))),
        Some(mut live) => live.swap(state),
    }
}

fn set_interval(state: &mut State, faster: bool) -> Vec<Effect> {
    let next = if faster {
        INTERVALS.iter().rev().find(|i| **i < state.interval)
    } else {
        INTERVALS.iter().find(|i| **i > state.interval)
    };
    let Some(next) = next else { return Vec::new() };
    state.interval = *next;
    let shown = if next.as_millis() < 1_000 {
        format!("{} ms", next.as_millis())
    } else {
        crate::model::units::age(*next)
    };
    state.say(format!("polling every {shown}"), false);
    vec![Effect::SetInterval(*next)]
}

fn copy(state: &mut State) -> Vec<Effect> {
    let text = if state.fleet.is_some() {
        fleet::copied(state)
    } else if state.screen == Screen::Timeline {
        state
            .entries()
            .nth(state.scroll.into())
            .map(|e| format!("{} {}", e.at.strftime("%Y-%m-%dT%H:%M:%SZ"), e.line))
    } else if state.screen == Screen::Snapshots {
        state.selected_snapshot().map(|i| state.shelf.saved()[i].path.display().to_string())
    } else {
        state.selected_row().and_then(|row| state.view.members.get(row)).map(|m| {
            let id = m.id.map(|id| id.to_string()).unwrap_or_default();
            let endpoint = m.endpoint.as_ref().map(ToString::to_string).unwrap_or_default();
            [m.name.to_string(), id, endpoint]
                .into_iter()
                .filter(|t| !t.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        })
    };
    let Some(text) = text else { return Vec::new() };
    state.say(format!("copied if the terminal allows it: {text}"), false);
    vec![Effect::Copy(text)]
}

fn next_theme(state: &mut State) {
    let (theme, name) = match state.look.theme {
        ThemeName::Dark => (ThemeName::Light, "light"),
        ThemeName::Light => (ThemeName::Colorblind, "colorblind"),
        ThemeName::Colorblind => (ThemeName::Mono, "mono"),
        ThemeName::Mono => (ThemeName::Dark, "dark"),
    };
    state.look.theme = theme;
    state.say(format!("theme {name}"), false);
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
