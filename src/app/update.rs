//! How the state changes: `update(&mut State, Msg) -> Vec<Effect>`, and nothing else changes it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tui_input::InputRequest;

use super::INTERVALS;
use super::key::{Key, KeyCode};
use super::keymap::{ActionId, action};
use super::palette;
use super::state::{Live, Overlay, RowKey, Screen, State};
use crate::config::ThemeName;
use crate::diagnose;
use crate::model::event::EventKind;
use crate::model::event::between;
use crate::model::verdict::judge;
use crate::model::{ClusterView, Event, Finding, Severity};

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
}

/// What the loop must do.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Back to the shell until SIGCONT.
    Suspend,
    /// The end.
    Quit,
}

/// Entries kept in the timeline.
const TIMELINE: usize = 1_000;
/// The views in the order of Tab.
pub const SCREENS: [Screen; 5] =
    [Screen::Overview, Screen::Member, Screen::Storage, Screen::Raft, Screen::Timeline];

/// Changes the state; what the loop must do.
pub fn update(state: &mut State, msg: Msg) -> Vec<Effect> {
    match msg {
        Msg::Key(key) => return on_key(state, key),
        Msg::Paste(text) => on_paste(state, &text),
        Msg::Wheel(rows) => move_by(state, rows),
        Msg::Resize(width, height) => state.size = (width, height),
        Msg::View(view) => on_view(state, view),
        Msg::Tick(now) => {
            state.clock = now;
            if !state.frozen() {
                state.now = now;
            }
            if state.toast.as_ref().is_some_and(|t| t.until <= now) {
                state.toast = None;
            }
        }
    }
    Vec::new()
}

/// The next moment at which something on screen changes by itself; none if nothing does.
#[must_use]
pub fn next_deadline(state: &State) -> Option<Timestamp> {
    let toast = state.toast.as_ref().map(|t| t.until);
    // With a long pause between polls ages go on counting, in steps.
    let ages = (state.interval > AGE_STEP && !state.frozen())
        .then(|| state.now.checked_add(AGE_STEP).ok())
        .flatten();
    [toast, ages].into_iter().flatten().min()
}

/// Between two polls that are further apart than this, ages count on in such steps.
pub const AGE_STEP: Duration = Duration::from_secs(5);

fn on_view(state: &mut State, view: Arc<ClusterView>) {
    state.clock = view.at;
    if state.toast.as_ref().is_some_and(|t| t.until <= state.clock) {
        state.toast = None;
    }
    // While frozen the newest picture goes on unseen.
    let mut live = state.live.take();
    if let Some(live) = &mut live {
        live.swap(state);
    }
    take_view(state, view);
    if let Some(live) = &mut live {
        live.swap(state);
    }
    state.live = live;
}

fn take_view(state: &mut State, view: Arc<ClusterView>) {
    state.now = view.at;
    state.history.push(&view);
    let findings = diagnose::findings(&view, &state.history);
    let verdict = judge(&view, &findings);
    for event in between(&state.view, &view, (&state.verdict, &verdict)) {
        remember(state, event);
    }
    findings_came_and_went(state, &view, &findings);
    for m in &view.members {
        let Some((id, ping)) = m.id.and_then(|id| Some((id, state.history.ring(id)?.ping()?))) else {
            continue;
        };
        let shown = state.pings.entry(id).or_insert(ping);
        if moved(*shown, ping) {
            *shown = ping;
        }
    }
    state.view = view;
    state.findings = with_notices(state, findings);
    state.verdict = verdict;
}

/// How long a finding must be away before it is over: figures at a threshold come and go.
const AWAY: Duration = Duration::from_secs(60);
/// Rules whose findings are in the timeline already, as changes of members, verdict and alarms.
const TOLD_ELSEWHERE: [&str; 6] =
    ["member_not_serving", "unreachable", "quorum_lost", "no_leader", "alarm", "conflict"];

fn findings_came_and_went(state: &mut State, view: &ClusterView, findings: &[Finding]) {
    // What is there from the start did not come.
    let known = state.view.listed() > 0;
    let told = |f: &&Finding| !TOLD_ELSEWHERE.contains(&f.key.rule) && f.severity > Severity::Note;
    let entry =
        |severity, member, line| Event { at: view.at, severity, kind: EventKind::Finding, member, line };
    let mut events = Vec::new();
    for f in findings.iter().filter(told) {
        if state.recent.insert(f.key.clone(), (view.at, f.clone())).is_none() && known {
            events.push(entry(f.severity, f.key.member, f.line.clone()));
        }
    }
    state.recent.retain(|key, (seen, finding)| {
        let away = view.at.duration_since(*seen).unsigned_abs() > AWAY;
        if away {
            events.push(entry(Severity::Note, key.member, format!("over: {}", finding.line)));
        }
        !away
    });
    for event in events {
        remember(state, event);
    }
}

/// Notices are notes: they come after everything else.
fn with_notices(state: &State, mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.extend(state.notices.iter().cloned());
    findings
}

/// Whether a round trip differs enough to be shown anew: by 5 ms, or by half and 0.3 ms.
fn moved(shown: Duration, now: Duration) -> bool {
    let apart = shown.abs_diff(now);
    apart > Duration::from_millis(5) || apart > shown.min(now) / 2 && apart > Duration::from_micros(300)
}

/// Adds to the timeline; a member that flaps between the same two states does not drown the rest.
fn remember(state: &mut State, event: Event) {
    let again = state.timeline.iter().rev().take(8).any(|old| {
        old.line == event.line && event.at.duration_since(old.at).unsigned_abs() < Duration::from_secs(5)
    });
    if again {
        return;
    }
    state.timeline.push_back(event);
    while state.timeline.len() > TIMELINE {
        state.timeline.pop_front();
    }
}

fn on_key(state: &mut State, key: Key) -> Vec<Effect> {
    // Leaving and suspending work everywhere, even inside an input line.
    if key.ctrl {
        match state.keymap.action(key) {
            Some(ActionId::Quit) => return vec![Effect::Quit],
            Some(ActionId::Suspend) => return vec![Effect::Suspend],
            Some(ActionId::Redraw) => return vec![Effect::Redraw],
            _ => {}
        }
    }
    if too_small(state) {
        return if state.keymap.action(key) == Some(ActionId::Quit) {
            vec![Effect::Quit]
        } else {
            Vec::new()
        };
    }
    if state.overlay.is_some() {
        return in_overlay(state, key);
    }
    if state.filter.editing {
        match key.code {
            KeyCode::Esc => {
                state.filter = super::state::Filter::default();
            }
            KeyCode::Enter => state.filter.editing = false,
            _ => {
                if let Some(request) = edit(key) {
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

/// The least that anything can be shown in.
pub const LEAST: (u16, u16) = (40, 12);

fn too_small(state: &State) -> bool {
    state.size.0 < LEAST.0 || state.size.1 < LEAST.1
}

fn in_overlay(state: &mut State, key: Key) -> Vec<Effect> {
    let closes = matches!(
        state.keymap.action(key),
        Some(ActionId::Back | ActionId::Quit | ActionId::Help | ActionId::Explain)
    );
    let act = state.keymap.action(key);
    match &mut state.overlay {
        Some(Overlay::Help { scroll } | Overlay::Explain { scroll }) => {
            if closes {
                state.overlay = None;
            } else {
                *scroll = match act {
                    Some(ActionId::Down) => scroll.saturating_add(1),
                    Some(ActionId::Up) => scroll.saturating_sub(1),
                    Some(ActionId::PageDown) => scroll.saturating_add(10),
                    Some(ActionId::PageUp) => scroll.saturating_sub(10),
                    Some(ActionId::First) => 0,
                    Some(ActionId::Last) => u16::MAX,
                    _ => *scroll,
                };
            }
            Vec::new()
        }
        Some(Overlay::Palette { input, chosen }) => {
            let found = palette::matches(input.value());
            match key.code {
                KeyCode::Esc => state.overlay = None,
                KeyCode::Enter => {
                    let picked = found.get(*chosen).map(|a| a.id);
                    state.overlay = None;
                    if let Some(id) = picked {
                        return perform(state, id);
                    }
                }
                KeyCode::Tab => {
                    if let Some(action) = found.get(*chosen) {
                        *input = tui_input::Input::new(action.name.to_owned());
                        *chosen = 0;
                    }
                }
                KeyCode::Down => *chosen = (*chosen + 1).min(found.len().saturating_sub(1)),
                KeyCode::Up => *chosen = chosen.saturating_sub(1),
                _ => {
                    if let Some(request) = edit(key) {
                        input.handle(request);
                        *chosen = 0;
                    }
                }
            }
            Vec::new()
        }
        None => Vec::new(),
    }
}

/// What a key does in an input line.
const fn edit(key: Key) -> Option<InputRequest> {
    Some(match (key.code, key.ctrl) {
        (KeyCode::Char('u'), true) => InputRequest::DeleteLine,
        (KeyCode::Char('w'), true) => InputRequest::DeletePrevWord,
        (KeyCode::Char('a'), true) | (KeyCode::Home, _) => InputRequest::GoToStart,
        (KeyCode::Char('e'), true) | (KeyCode::End, _) => InputRequest::GoToEnd,
        (KeyCode::Char(c), false) => InputRequest::InsertChar(c),
        (KeyCode::Backspace, _) => InputRequest::DeletePrevChar,
        (KeyCode::Delete, _) => InputRequest::DeleteNextChar,
        (KeyCode::Left, _) => InputRequest::GoToPrevChar,
        (KeyCode::Right, _) => InputRequest::GoToNextChar,
        _ => return None,
    })
}

/// Pasted text goes into an open input line and nowhere else: it never is a command.
fn on_paste(state: &mut State, text: &str) {
    let input = match &mut state.overlay {
        Some(Overlay::Palette { input, .. }) => input,
        None if state.filter.editing => &mut state.filter.input,
        _ => return,
    };
    for c in text.chars().filter(|c| !c.is_control()).take(200) {
        input.handle(InputRequest::InsertChar(c));
    }
}

fn perform(state: &mut State, id: ActionId) -> Vec<Effect> {
    if let Some(reason) = action(id).and_then(|a| a.unavailable(state)) {
        state.say(reason.to_owned(), true);
        return Vec::new();
    }
    match id {
        ActionId::Show(screen) => show(state, screen),
        ActionId::NextView => show(state, step_view(state.screen, 1)),
        ActionId::PreviousView => show(state, step_view(state.screen, SCREENS.len() - 1)),
        ActionId::Up => move_by(state, -1),
        ActionId::Down => move_by(state, 1),
        ActionId::PageUp => move_by(state, -10),
        ActionId::PageDown => move_by(state, 10),
        ActionId::First => move_by(state, i16::MIN),
        ActionId::Last => move_by(state, i16::MAX),
        ActionId::NextMember => select_by(state, 1),
        ActionId::PreviousMember => select_by(state, -1),
        ActionId::Open => show(state, Screen::Member),
        ActionId::Back => {
            if state.filter.input.value().is_empty() {
                show(state, Screen::Overview);
            } else {
                state.filter = super::state::Filter::default();
            }
        }
        ActionId::Filter => state.filter.editing = true,
        ActionId::Palette => {
            state.overlay = Some(Overlay::Palette { input: tui_input::Input::default(), chosen: 0 });
        }
        ActionId::Help => state.overlay = Some(Overlay::Help { scroll: 0 }),
        ActionId::Explain => state.overlay = Some(Overlay::Explain { scroll: 0 }),
        ActionId::Freeze => freeze(state),
        ActionId::PollNow => return vec![Effect::PollNow],
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
        ActionId::Suspend => return vec![Effect::Suspend],
        ActionId::Quit => return vec![Effect::Quit],
    }
    Vec::new()
}

fn show(state: &mut State, screen: Screen) {
    if state.screen != screen {
        state.scroll = 0;
        // Text that was looked for in the timeline names no member, and the other way round.
        if (state.screen == Screen::Timeline) != (screen == Screen::Timeline) {
            state.filter = super::state::Filter::default();
        }
    }
    state.screen = screen;
}

fn step_view(from: Screen, by: usize) -> Screen {
    let at = SCREENS.iter().position(|s| *s == from).unwrap_or_default();
    SCREENS[(at + by) % SCREENS.len()]
}

/// Moves the selection, or scrolls the views that have no rows of members.
fn move_by(state: &mut State, rows: i16) {
    match &mut state.overlay {
        Some(Overlay::Help { scroll } | Overlay::Explain { scroll }) => {
            *scroll = scroll.saturating_add_signed(rows);
            return;
        }
        Some(Overlay::Palette { .. }) => return,
        None => {}
    }
    if matches!(state.screen, Screen::Timeline | Screen::Member) {
        // The loop keeps it within what there is to see.
        state.scroll = state.scroll.saturating_add_signed(rows);
        return;
    }
    select_by(state, rows);
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
    let text = if state.screen == Screen::Timeline {
        state
            .entries()
            .nth(state.scroll.into())
            .map(|e| format!("{} {}", e.at.strftime("%Y-%m-%dT%H:%M:%SZ"), e.line))
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
