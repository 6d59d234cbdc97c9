//! One table drives keys, footer, help, palette and docs: a new action is one line here and one arm in `update`.

use std::collections::BTreeMap;

use thiserror::Error;

use super::key::Key;
use super::state::{Screen, State};

/// What a key can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActionId {
    /// Open a view.
    Show(Screen),
    /// The next view.
    NextView,
    /// The view before.
    PreviousView,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// First row.
    First,
    /// Last row.
    Last,
    /// Select the next member, in every view.
    NextMember,
    /// Select the member before.
    PreviousMember,
    /// Open the selected member.
    Open,
    /// Close what is open; back to the overview.
    Back,
    /// Filter rows.
    Filter,
    /// The command palette.
    Palette,
    /// Every key.
    Help,
    /// What the selected thing means.
    Explain,
    /// Hold the picture still.
    Freeze,
    /// Poll at once.
    PollNow,
    /// Poll less often.
    Slower,
    /// Poll more often.
    Faster,
    /// Copy the selected row.
    Copy,
    /// Compare the members' data.
    Compare,
    /// Compact.
    Compact,
    /// Defragment the selected member.
    Defragment,
    /// Defragment all, one after the other.
    Roll,
    /// Save a snapshot.
    Snapshot,
    /// Verify the selected snapshot.
    Verify,
    /// Remove old snapshots.
    Prune,
    /// Take alarms back.
    Disarm,
    /// Move leadership.
    MoveLeader,
    /// Out of NOSPACE.
    Recover,
    /// Go on with what was interrupted.
    GoOn,
    /// Stop what runs at its next safe point.
    Stop,
    /// Record everything into a file, or end that.
    Record,
    /// Play or pause.
    PlayPause,
    /// Ten seconds back.
    Back10,
    /// Ten seconds on.
    On10,
    /// A minute back.
    Back60,
    /// A minute on.
    On60,
    /// To the event before.
    PreviousEvent,
    /// To the next event.
    NextEvent,
    /// To a time that is typed.
    GoToTime,
    /// Mouse reports on and off.
    Mouse,
    /// The next theme.
    Theme,
    /// Draw everything again.
    Redraw,
    /// Back to the shell, for a while.
    Suspend,
    /// The end.
    Quit,
}

/// One line of the table.
#[derive(Debug)]
pub struct Action {
    /// Which.
    pub id: ActionId,
    /// Its name in the config file and in the palette.
    pub name: &'static str,
    /// The keys it has unless they are bound anew.
    pub keys: &'static [&'static str],
    /// What it does, for help and palette.
    pub help: &'static str,
    /// The word in the footer; none: it is not there.
    pub footer: Option<&'static str>,
    /// The heading it stands under in help.
    pub group: Group,
}

/// Headings of the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Views.
    Views,
    /// Moving about.
    Move,
    /// Changing the cluster.
    Change,
    /// Finding out.
    Look,
    /// The program itself.
    Program,
    /// Moving about in a recording.
    Replay,
}

impl Group {
    /// The heading.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Views => "Views",
            Self::Move => "Moving about",
            Self::Change => "Changing the cluster (each opens a plan first)",
            Self::Look => "Looking closer",
            Self::Program => "The program",
            Self::Replay => "In a replay",
        }
    }
}

macro_rules! action {
    ($id:expr, $name:literal, $keys:expr, $group:ident, $help:literal) => {
        Action { id: $id, name: $name, keys: &$keys, help: $help, footer: None, group: Group::$group }
    };
    ($id:expr, $name:literal, $keys:expr, $group:ident, $help:literal, $footer:literal) => {
        Action {
            id: $id,
            name: $name,
            keys: &$keys,
            help: $help,
            footer: Some($footer),
            group: Group::$group,
        }
    };
}

/// Every action, in the order of help and footer.
pub static ACTIONS: &[Action] = &[
    action!(ActionId::Help, "help", ["?", "f1"], Look, "every key", "help"),
    action!(
        ActionId::Show(Screen::Overview),
        "overview",
        ["1"],
        Views,
        "all members, what is wrong, storage"
    ),
    action!(ActionId::Show(Screen::Member), "member", ["2"], Views, "everything about the selected member"),
    action!(
        ActionId::Show(Screen::Storage),
        "storage",
        ["3"],
        Views,
        "sizes, quota, history, revisions kept"
    ),
    action!(ActionId::Show(Screen::Raft), "raft", ["4"], Views, "term, index, lag, round trips"),
    action!(
        ActionId::Show(Screen::Operations),
        "operations",
        ["5"],
        Views,
        "what runs, its log, what ran before"
    ),
    action!(
        ActionId::Show(Screen::Snapshots),
        "snapshots",
        ["6"],
        Views,
        "the folder of snapshots, and what each holds"
    ),
    action!(ActionId::Show(Screen::Timeline), "timeline", ["7"], Views, "what happened since the start"),
    action!(
        ActionId::Show(Screen::Latency),
        "latency",
        ["8"],
        Views,
        "fsync, commit, round trips and requests over time"
    ),
    action!(ActionId::NextView, "next_view", ["tab", "right", "l"], Views, "the next view", "next view"),
    action!(ActionId::PreviousView, "previous_view", ["shift-tab", "left", "h"], Views, "the view before"),
    action!(ActionId::Up, "up", ["up", "k"], Move, "one row up"),
    action!(ActionId::Down, "down", ["down", "j"], Move, "one row down"),
    action!(ActionId::PageUp, "page_up", ["pgup", "ctrl-b"], Move, "a page up"),
    action!(ActionId::PageDown, "page_down", ["pgdn", "ctrl-f"], Move, "a page down"),
    action!(ActionId::First, "first", ["home", "g"], Move, "the first row"),
    action!(ActionId::Last, "last", ["end", "G"], Move, "the last row"),
    action!(ActionId::NextMember, "next_member", ["n"], Move, "the next member, in every view"),
    action!(ActionId::PreviousMember, "previous_member", ["N"], Move, "the member before"),
    action!(ActionId::Open, "open", ["enter"], Move, "open the selected member or snapshot", "open"),
    action!(ActionId::Back, "back", ["esc"], Move, "close, clear filter, overview"),
    action!(ActionId::Compact, "compact", ["c"], Change, "drop old revisions", "compact"),
    action!(ActionId::Defragment, "defrag", ["d"], Change, "defragment the selected member", "defrag"),
    action!(
        ActionId::Roll,
        "rolling_defrag",
        ["D"],
        Change,
        "defragment all, one after the other",
        "rolling"
    ),
    action!(ActionId::Snapshot, "snapshot", ["s"], Change, "save a snapshot", "snapshot"),
    action!(ActionId::Disarm, "alarms", ["a"], Change, "take alarms back", "alarms"),
    action!(
        ActionId::MoveLeader,
        "move_leader",
        ["L"],
        Change,
        "let the selected member lead",
        "move leader"
    ),
    action!(ActionId::Recover, "recover", ["R"], Change, "the way out of NOSPACE, as one plan", "recover"),
    action!(ActionId::GoOn, "go_on", ["o"], Change, "go on with what was interrupted"),
    action!(ActionId::Stop, "stop", ["x"], Change, "stop what runs at its next safe point", "stop"),
    action!(
        ActionId::Compare,
        "compare_data",
        ["H"],
        Look,
        "HashKV: compare the members' data (writes through each wait meanwhile)"
    ),
    action!(ActionId::Verify, "verify", ["v"], Look, "verify the selected snapshot: every byte"),
    action!(ActionId::Prune, "prune", ["P"], Program, "remove old snapshots, after a plan"),
    action!(ActionId::Filter, "filter", ["/"], Look, "show only rows with this text", "filter"),
    action!(ActionId::Explain, "explain", ["e"], Look, "what the figures here mean", "explain"),
    action!(ActionId::Freeze, "freeze", ["p"], Look, "hold the picture; polling goes on", "freeze"),
    action!(ActionId::PollNow, "poll_now", ["r"], Look, "poll now"),
    action!(ActionId::Faster, "faster", ["+", "="], Look, "poll more often; in a replay: faster"),
    action!(ActionId::Slower, "slower", ["-"], Look, "poll less often; in a replay: slower"),
    action!(ActionId::Copy, "copy", ["y"], Look, "copy the row (OSC 52: works over SSH)", "copy"),
    action!(ActionId::Record, "record", ["w"], Look, "record everything into a file, or end that"),
    action!(ActionId::Palette, "palette", [":"], Program, "find and run any command by its name", "command"),
    action!(ActionId::Theme, "theme", ["t"], Program, "the next theme"),
    action!(ActionId::Mouse, "mouse", ["m"], Program, "mouse on or off (off: select text)"),
    action!(ActionId::Redraw, "redraw", ["ctrl-l"], Program, "draw everything again"),
    action!(ActionId::Suspend, "suspend", ["ctrl-z"], Program, "back to the shell until fg"),
    action!(ActionId::Quit, "quit", ["q", "ctrl-c"], Program, "leave", "quit"),
    action!(ActionId::PlayPause, "play", ["space"], Replay, "play or pause", "play"),
    action!(ActionId::PreviousEvent, "previous_event", ["["], Replay, "the event before", "event before"),
    action!(
        ActionId::NextEvent,
        "next_event",
        ["]"],
        Replay,
        "the next event; behind the last, the end",
        "next"
    ),
    action!(ActionId::Back10, "back_10s", [","], Replay, "10 s back", "10 s back"),
    action!(ActionId::On10, "on_10s", ["."], Replay, "10 s on", "on"),
    action!(ActionId::Back60, "back_1min", ["<"], Replay, "1 min back"),
    action!(ActionId::On60, "on_1min", [">"], Replay, "1 min on"),
    action!(ActionId::GoToTime, "go_to_time", ["T"], Replay, "to a time: 14:02:30, +5m, -30s, 50%", "time"),
];

impl Action {
    /// Why the cluster cannot be changed so now.
    fn unchangeable(&self, state: &State) -> Option<&'static str> {
        let reads_only = self.id == ActionId::Snapshot;
        if state.access.read_only.is_some() && !reads_only {
            return Some("read-only: nothing may be changed (--read-only=false lifts it)");
        }
        if state.view.cluster_id.is_none() {
            return Some("no cluster is known yet");
        }
        if state.changes.running().is_some() {
            return Some("another operation runs: one at a time");
        }
        if self.id == ActionId::Recover && state.newest().raisers(crate::model::AlarmKind::NoSpace).is_empty()
        {
            return Some("no NOSPACE alarm is raised");
        }
        if self.id == ActionId::GoOn && state.changes.past.open().is_none() {
            return Some("no operation was interrupted");
        }
        (self.id == ActionId::Disarm && state.newest().alarms.is_empty()).then_some("no alarm is raised")
    }

    /// Why it cannot be done now; none: it can. An action never vanishes, it says why.
    #[must_use]
    pub fn unavailable(&self, state: &State) -> Option<&'static str> {
        if let Some(why) = super::replay::unavailable(state, self.id, self.group == Group::Change) {
            return Some(why);
        }
        match self.id {
            ActionId::Faster | ActionId::Slower if state.replay.is_some() => None,
            ActionId::Verify => super::shelf::unavailable(state),
            ActionId::Open | ActionId::Copy if state.screen == Screen::Snapshots => {
                super::shelf::unavailable(state)
            }
            ActionId::Prune => super::shelf::prune_unavailable(state),
            ActionId::Compare if state.comparing => Some("the members' data is being compared"),
            ActionId::Compare if state.changes.running().is_some() => {
                Some("an operation runs: each member would apply nothing while it reads its keys")
            }
            ActionId::Compare if state.view.cluster_id.is_none() => Some("no cluster is known yet"),
            ActionId::Open | ActionId::Show(Screen::Member) if state.view.members.is_empty() => {
                Some("no member is known yet")
            }
            ActionId::Stop if state.changes.running().is_none() => Some("no operation runs"),
            _ if self.group == Group::Change && self.id != ActionId::Stop => self.unchangeable(state),
            ActionId::Copy if state.selected_row().is_none() => Some("nothing is selected"),
            ActionId::Faster if state.interval <= super::INTERVALS[0] => Some("250 ms is the fastest"),
            ActionId::Slower if state.interval >= super::INTERVALS[super::INTERVALS.len() - 1] => {
                Some("1 min is the slowest")
            }
            _ => None,
        }
    }
}

/// The action with this id.
#[must_use]
pub fn action(id: ActionId) -> Option<&'static Action> {
    ACTIONS.iter().find(|a| a.id == id)
}

/// Why keys cannot be bound so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeymapError {
    /// No such action.
    #[error("[keys] line {line}: no action {name:?}; did you mean {nearest:?}?")]
    UnknownAction {
        /// As written.
        name: String,
        /// The file's line.
        line: usize,
        /// The most similar name.
        nearest: &'static str,
    },
    /// No such key.
    #[error("[keys] line {line}: {action}: {reason}")]
    BadKey {
        /// The action's name.
        action: String,
        /// The file's line.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Two actions want one key.
    #[error("[keys] {key} is bound to both {first} and {second}: bind one of them to another key")]
    Conflict {
        /// The key.
        key: String,
        /// An action.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Nothing would be left to leave with.
    #[error("[keys] {0} has no key left: give it one")]
    NoKey(&'static str),
}

/// A line of the config's `[keys]`: action, keys, line.
pub type Binding<'a> = (&'a str, &'a [String], usize);

/// Which key does what.
#[derive(Clone, Debug)]
pub struct Keymap {
    by_key: BTreeMap<Key, ActionId>,
    by_action: BTreeMap<ActionId, Vec<Key>>,
}

impl Default for Keymap {
    fn default() -> Self {
        // The table itself is checked by a test: it has no conflict.
        Self::build(BTreeMap::new()).unwrap_or(Self { by_key: BTreeMap::new(), by_action: BTreeMap::new() })
    }
}

impl Keymap {
    /// The table, with some actions bound anew. A rebound action loses the keys it had.
    ///
    /// # Errors
    /// An unknown action or key, or a key with two actions (named both).
    pub fn with<'a>(bindings: impl IntoIterator<Item = Binding<'a>>) -> Result<Self, KeymapError> {
        let mut rebound = BTreeMap::new();
        for (name, keys, line) in bindings {
            let Some(action) = ACTIONS.iter().find(|a| a.name == name) else {
                let nearest =
                    ACTIONS.iter().map(|a| a.name).min_by_key(|n| strsim::damerau_levenshtein(n, name));
                return Err(KeymapError::UnknownAction {
                    name: name.into(),
                    line,
                    nearest: nearest.unwrap_or_default(),
                });
            };
            let keys: Result<Vec<_>, _> = keys.iter().map(|k| Key::parse(k)).collect();
            let keys = keys.map_err(|reason| KeymapError::BadKey { action: name.into(), line, reason })?;
            rebound.insert(action.id, keys);
        }
        Self::build(rebound)
    }

    fn build(mut rebound: BTreeMap<ActionId, Vec<Key>>) -> Result<Self, KeymapError> {
        let (mut by_key, mut by_action) = (BTreeMap::<Key, &'static Action>::new(), BTreeMap::new());
        for action in ACTIONS {
            let keys = rebound
                .remove(&action.id)
                .unwrap_or_else(|| action.keys.iter().filter_map(|k| Key::parse(k).ok()).collect());
            if keys.is_empty() && matches!(action.id, ActionId::Quit | ActionId::Back) {
                return Err(KeymapError::NoKey(action.name));
            }
            for key in &keys {
                if let Some(other) = by_key.insert(*key, action).filter(|other| other.id != action.id) {
                    return Err(KeymapError::Conflict {
                        key: key.to_string(),
                        first: other.name,
                        second: action.name,
                    });
                }
            }
            by_action.insert(action.id, keys);
        }
        Ok(Self { by_key: by_key.into_iter().map(|(k, a)| (k, a.id)).collect(), by_action })
    }

    /// What a key does.
    #[must_use]
    pub fn action(&self, key: Key) -> Option<ActionId> {
        self.by_key.get(&key).copied()
    }

    /// The keys of an action.
    #[must_use]
    pub fn keys(&self, id: ActionId) -> &[Key] {
        self.by_action.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The shortest key of an action, for people; empty if it has none.
    #[must_use]
    pub fn first(&self, id: ActionId) -> String {
        self.keys(id).iter().map(ToString::to_string).min_by_key(String::len).unwrap_or_default()
    }

    /// The shortest key of the action with this name; none if there is no such action, or it has no key.
    #[must_use]
    pub fn of_name(&self, name: &str) -> Option<String> {
        let action = ACTIONS.iter().find(|a| a.name == name)?;
        Some(self.first(action.id)).filter(|key| !key.is_empty())
    }

    /// The keys of an action, for people: `up k`.
    #[must_use]
    pub fn shown(&self, id: ActionId) -> String {
        self.keys(id).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }
}

/// The table as Markdown, for the README.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from("| keys | action | what it does |\n|---|---|---|\n");
    for a in ACTIONS {
        let keys: Vec<_> = a.keys.iter().map(|k| format!("`{k}`")).collect();
        out.push_str(&format!("| {} | `{}` | {} |\n", keys.join(" "), a.name, a.help));
    }
    out
}

#[cfg(test)]
#[path = "keymap_tests.rs"]
mod tests;
