//! Everything that the dashboard knows. Changed by `update` alone, read by `ui`.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tui_input::Input;

use super::coach::Acts;
use super::dialog::Dialog;
use super::fleet::{Fleet, Way};
use super::keymap::Keymap;
use super::operation::Changes;
use super::prune::Prune;
use super::replay::Replay;
use super::shelf::Shelf;
use crate::config::ThemeName;
use crate::diagnose::Damper;
use crate::model::coach::CoachView;
use crate::model::finding::FindingKey;
use crate::model::hashes::Comparison;
use crate::model::revisions::RevisionLine;
use crate::model::{ClusterView, Endpoint, Event, Finding, MemberId, Revision, Severity, Verdict};
use crate::poll::history::History;

/// The views, in the order of their number keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Screen {
    /// 1: all members, findings, storage.
    Overview,
    /// 2: everything about the selected member.
    Member,
    /// 3: sizes, history, forecast.
    Storage,
    /// 4: index, applied, lag, term.
    Raft,
    /// 5: operations.
    Operations,
    /// 6: the folder of snapshots.
    Snapshots,
    /// 7: what happened.
    Timeline,
    /// 8: fsync, commit, round trips, requests.
    Latency,
    /// 9: what etcd does inside: revisions, pages, log.
    Internals,
    /// 0: every context of the config file.
    Fleet,
}

/// What lies over the view and takes the keys.
#[derive(Clone, Debug)]
pub enum Overlay {
    /// `?`: every key, made from the keymap.
    Help {
        /// First line shown.
        scroll: u16,
    },
    /// `:`: the command palette.
    Palette {
        /// What is typed.
        input: Input,
        /// Which of the matches is chosen.
        chosen: usize,
    },
    /// A plan that waits for its confirmation.
    Plan(Box<Dialog>),
    /// What may go from the folder of snapshots.
    Prune(Box<Prune>),
    /// Leaving while an operation runs.
    Leave,
    /// `A`: what can be done to the lab.
    Acts(Acts),
    /// `C`: everything that the coach says.
    Coach {
        /// First line shown.
        scroll: u16,
    },
    /// The time that a replay is to go to.
    Time {
        /// What is typed.
        input: Input,
    },
    /// `e`: what the view, or the plan under it, means.
    Explain {
        /// First line shown.
        scroll: u16,
        /// What comes back when it is closed.
        under: Option<Box<Overlay>>,
    },
}

/// Names a row across polls: by id once there is one, by endpoint before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowKey {
    /// A member with an id.
    Member(MemberId),
    /// An endpoint that no member answered at.
    Endpoint(Endpoint),
}

/// A short message at the bottom that goes away by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    /// The message, safe to print.
    pub text: String,
    /// Whether something was refused or failed.
    pub is_error: bool,
    /// When it goes away.
    pub until: Timestamp,
}

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Which theme.
    pub theme: ThemeName,
    /// No glyph beyond ASCII.
    pub ascii: bool,
}

/// What the header says besides figures; fixed for the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The context's name or the cluster's name for people; empty: the endpoints are shown.
    pub name: String,
    /// How the endpoints and certificates were chosen, such as `--endpoints` or `kubeadm, /etc/kubernetes/pki/etcd`.
    pub origin: String,
    /// No change is possible, and why, such as `--read-only`.
    pub read_only: Option<String>,
    /// The cluster is a lab of ours.
    pub lab: bool,
    /// What the coach says is of another etcdtop, or of a recording: nothing can be asked of it from here.
    pub follower: bool,
}

/// The rows of the view, filtered with `/`.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// What is typed.
    pub input: Input,
    /// Whether keys go to it.
    pub editing: bool,
}

/// How long a message at the bottom stays.
const TOAST: Duration = Duration::from_secs(4);

/// What polls change: everything on screen that must stand still while frozen.
#[derive(Clone, Debug)]
pub struct Live {
    view: Arc<ClusterView>,
    findings: Vec<Finding>,
    verdict: Verdict,
    history: History,
    pings: BTreeMap<MemberId, Duration>,
    full_in: Option<Duration>,
    now: Timestamp,
}

impl Live {
    pub(super) fn of(state: &State) -> Self {
        Self {
            view: Arc::clone(&state.view),
            findings: state.findings.clone(),
            verdict: state.verdict.clone(),
            history: state.history.clone(),
            pings: state.pings.clone(),
            full_in: state.full_in,
            now: state.now,
        }
    }

    /// Puts this picture on screen and keeps the one that was there.
    pub(super) fn swap(&mut self, state: &mut State) {
        std::mem::swap(&mut self.view, &mut state.view);
        std::mem::swap(&mut self.findings, &mut state.findings);
        std::mem::swap(&mut self.verdict, &mut state.verdict);
        std::mem::swap(&mut self.history, &mut state.history);
        std::mem::swap(&mut self.pings, &mut state.pings);
        std::mem::swap(&mut self.full_in, &mut state.full_in);
        std::mem::swap(&mut self.now, &mut state.now);
    }
}

/// Everything that the dashboard knows.
#[derive(Debug)]
pub struct State {
    /// What is on screen: the newest view, or the one at which it was frozen.
    pub view: Arc<ClusterView>,
    /// The findings of that view, worst first.
    pub findings: Vec<Finding>,
    /// What was noticed about the settings before the start: findings that no poll makes come or go.
    pub notices: Vec<Finding>,
    /// The key that is taken came with several others at once.
    pub burst: bool,
    /// The verdict of that view.
    pub verdict: Verdict,
    /// The newest picture while the one on screen is frozen.
    pub live: Option<Box<Live>>,
    /// What keeps findings from flapping.
    pub damper: Damper,
    /// When the first file reaches its quota, where that can be said with some confidence.
    pub full_in: Option<Duration>,
    /// The last comparison of the members' data.
    pub hashes: Option<Comparison>,
    /// One is being made.
    pub comparing: bool,
    /// Findings that were there within the last minute, and when: what comes and goes is told once.
    pub recent: BTreeMap<FindingKey, (Timestamp, Finding)>,
    /// What was seen over time.
    pub history: History,
    /// What happened, newest last.
    pub timeline: VecDeque<Event>,
    /// The view on screen.
    pub screen: Screen,
    /// The selected member row.
    pub selected: Option<RowKey>,
    /// The round trip that is on screen, by member: it moves only when the real one moves for good, so that
    /// noise does not repaint a cell every second.
    pub pings: BTreeMap<MemberId, Duration>,
    /// First line shown of a view that scrolls (Member, Timeline).
    pub scroll: u16,
    /// The filter of member rows and timeline.
    pub filter: Filter,
    /// The revision that is pointed at on the line of revisions; none: the current one, and it moves with it.
    pub mark: Option<Revision>,
    /// What the coach of a lab's scenario says.
    pub coach: Option<Box<CoachView>>,
    /// What lies over the view.
    pub overlay: Option<Overlay>,
    /// The message at the bottom.
    pub toast: Option<Toast>,
    /// The pause between two polls.
    pub interval: Duration,
    /// Mouse reports are on.
    pub mouse: bool,
    /// Changing the cluster.
    pub changes: Changes,
    /// The folder of snapshots.
    pub shelf: Shelf,
    /// The recording that is shown instead of a cluster.
    pub replay: Option<Box<Replay>>,
    /// The contexts that are shown instead of a cluster.
    pub fleet: Option<Box<Fleet>>,
    /// Whether they can be opened from here.
    pub way: Way,
    /// The file that everything is recorded into.
    pub recording: Option<PathBuf>,
    /// How to draw.
    pub look: Look,
    /// What the header says besides figures.
    pub access: Access,
    /// Keys and what they do.
    pub keymap: Arc<Keymap>,
    /// The moment that ages on screen count from; stands still while frozen.
    pub now: Timestamp,
    /// The moment that it really is; in a replay, that it was.
    pub clock: Timestamp,
    /// The moment that it really is, in a replay, too: messages at the bottom go by it.
    pub wall: Timestamp,
    /// The zone that times are shown in.
    pub zone: TimeZone,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
}

impl State {
    /// A dashboard that has seen nothing yet.
    #[must_use]
    pub fn new(
        view: Arc<ClusterView>,
        access: Access,
        look: Look,
        keymap: Keymap,
        interval: Duration,
    ) -> Self {
        let verdict = crate::model::verdict::judge(&view, &[]);
        Self {
            now: view.at,
            clock: view.at,
            wall: view.at,
            view,
            findings: Vec::new(),
            notices: Vec::new(),
            burst: false,
            verdict,
            live: None,
            damper: Damper::default(),
            full_in: None,
            hashes: None,
            comparing: false,
            recent: BTreeMap::new(),
            history: History::default(),
            timeline: VecDeque::new(),
            screen: Screen::Overview,
            selected: None,
            pings: BTreeMap::new(),
            scroll: 0,
            filter: Filter::default(),
            mark: None,
            coach: None,
            overlay: None,
            toast: None,
            interval,
            mouse: false,
            changes: Changes::default(),
            shelf: Shelf::default(),
            replay: None,
            fleet: None,
            way: Way::default(),
            recording: None,
            look,
            access,
            keymap: Arc::new(keymap),
            zone: TimeZone::system(),
            size: (80, 24),
        }
    }

    /// Shows a message at the bottom for a while.
    pub fn say(&mut self, text: impl Into<String>, is_error: bool) {
        let until = self.wall.checked_add(TOAST).unwrap_or(self.wall);
        self.toast = Some(Toast { text: text.into(), is_error, until });
    }

    /// It is so late; a message whose time is over goes.
    pub(super) fn at_wall(&mut self, now: Timestamp) {
        self.wall = now;
        if self.toast.as_ref().is_some_and(|t| t.until <= now) {
            self.toast = None;
        }
    }

    /// Takes something that was noticed about the settings before the start.
    pub fn notice(&mut self, line: &str) {
        let meaning = "A key or password that others can read is no secret; certificates that this user may not read do not help.";
        let next = "etcdtop config show";
        self.notices.push(Finding::new("settings", None, Severity::Note, line.to_owned(), next, meaning));
        self.findings.clone_from(&self.notices);
    }

    /// The round trip to show for a member.
    #[must_use]
    pub fn ping(&self, m: &crate::model::MemberView) -> Option<Duration> {
        let latency = m.latency?;
        Some(m.id.and_then(|id| self.pings.get(&id).copied()).unwrap_or(latency))
    }

    /// Whether the view stands still on purpose.
    #[must_use]
    pub const fn frozen(&self) -> bool {
        self.live.is_some()
    }

    /// The rows that the filter lets through, as indices into `view.members`.
    #[must_use]
    pub fn rows(&self) -> Vec<usize> {
        let needle = self.filter.input.value().to_lowercase();
        let matches = |i: &usize| {
            let m = &self.view.members[*i];
            let endpoint = m.endpoint.as_ref().map(ToString::to_string).unwrap_or_default();
            needle.is_empty()
                || [m.label().as_str(), endpoint.as_str(), m.role.word(), m.state.word()]
                    .iter()
                    .any(|text| text.to_lowercase().contains(&needle))
        };
        (0..self.view.members.len()).filter(matches).collect()
    }

    /// The newest view, whether or not it is on screen.
    #[must_use]
    pub fn newest(&self) -> Arc<ClusterView> {
        Arc::clone(self.live.as_ref().map_or(&self.view, |live| &live.view))
    }

    /// Entries that came since the picture was frozen.
    #[must_use]
    pub fn unseen(&self) -> usize {
        if self.frozen() { self.timeline.iter().rev().take_while(|e| e.at > self.now).count() } else { 0 }
    }

    /// The entries of the timeline that the filter lets through, newest first; those of the picture on screen.
    pub fn entries(&self) -> impl Iterator<Item = &Event> {
        let needle = self.filter.input.value().to_lowercase();
        self.timeline
            .iter()
            .rev()
            .skip(self.unseen())
            .filter(move |e| e.line.to_lowercase().contains(&needle))
    }

    /// The line of revisions, as far as members tell; none before one told its revision.
    #[must_use]
    pub fn revisions(&self) -> Option<RevisionLine> {
        // A floor of 0 is known as well: nothing was compacted.
        let told = || self.view.members.iter().filter_map(|m| m.metrics.as_ref()?.compact_revision).max();
        Some(RevisionLine { floor: self.view.compact_revision.or_else(told), head: self.view.revision? })
    }

    /// Keeps what is scrolled within `most` lines.
    pub const fn keep_scroll(&mut self, most: u16) {
        let scroll = match &mut self.overlay {
            Some(Overlay::Help { scroll } | Overlay::Explain { scroll, .. } | Overlay::Coach { scroll }) => {
                scroll
            }
            Some(Overlay::Plan(dialog)) => &mut dialog.scroll,
            Some(Overlay::Prune(prune)) => &mut prune.scroll,
            Some(Overlay::Palette { .. } | Overlay::Leave | Overlay::Acts(_) | Overlay::Time { .. }) => {
                return;
            }
            None => &mut self.scroll,
        };
        if *scroll > most {
            *scroll = most;
        }
    }

    /// The selected row as an index into `view.members`: the first row if none is selected or it is gone.
    #[must_use]
    pub fn selected_row(&self) -> Option<usize> {
        let rows = self.rows();
        let is_selected = |i: &&usize| {
            let m = &self.view.members[**i];
            match &self.selected {
                Some(RowKey::Member(id)) => m.id == Some(*id),
                Some(RowKey::Endpoint(endpoint)) => m.endpoint.as_ref() == Some(endpoint),
                None => false,
            }
        };
        rows.iter().find(is_selected).or(rows.first()).copied()
    }
}
