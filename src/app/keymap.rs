//! One table drives keys, footer, help, palette and docs: a new action is one line here and one arm in `update`.

pub use super::bindings::{Binding, Keymap, KeymapError};
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
    /// A hint of the lab's coach.
    Hint,
    /// What can be done to the lab besides the dashboard's keys.
    Acts,
    /// Everything that the lab's coach says.
    Coach,
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
    /// Learning with a lab.
    Lab,
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
            Self::Lab => "Learning with a lab's scenario",
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
    action!(ActionId::Show(Screen::Fleet), "fleet", ["0"], Views, "every context, a row each, worst first"),
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
    action!(
        ActionId::Show(Screen::Internals),
        "internals",
        ["9"],
        Views,
        "what etcd does inside: revisions, pages, the log"
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
    action!(ActionId::Open, "open", ["enter"], Move, "open the selected member, snapshot or context", "open"),
    action!(ActionId::Back, "back", ["esc"], Move, "close, clear filter, overview, fleet"),
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
    action!(ActionId::Hint, "hint", ["i"], Lab, "a hint; it costs points"),
    action!(ActionId::Acts, "act", ["A"], Lab, "what can be done on a host or with etcdctl, from a list"),
    action!(ActionId::Coach, "coach", ["C"], Lab, "everything that the coach says"),
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
        if let Some(why) = super::fleet::unavailable(state, self.id) {
            return Some(why);
        }
        match self.id {
            ActionId::Open | ActionId::Copy if state.fleet.is_some() => None,
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
            _ if self.group == Group::Lab => super::coach::unavailable(self.id, state),
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
