//! What the coach of a lab says at one moment. Plain data: the dashboard shows it, a recording keeps it, a second terminal
//! that follows the lab reads it from there.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a scenario stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// The symptom is being brought about: what is being done.
    Prepares(String),
    /// It is the learner's turn.
    #[default]
    Runs,
    /// Every goal was reached.
    Solved,
    /// It cannot be reached any more, and why.
    Lost(String),
}

/// Something that can be done to the lab besides the dashboard's own keys: what one would do on a host or with etcdctl.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What it does: `start m2 again`.
    pub title: String,
    /// What it stands for: `systemctl start etcd   (on m2)`.
    pub command: String,
}

/// A line of what happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When it was seen.
    pub at: Timestamp,
    /// What: `m2 leads, term 3 (was m1)`.
    pub line: String,
}

/// What the coach says at one moment. Every text is safe to print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoachView {
    /// The scenario's name on the command line; `mystery` while it must not be told.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// What somebody reports, as a pager or a colleague would put it.
    pub symptom: String,
    /// The step, from 1.
    pub step: usize,
    /// How many there are.
    pub of: usize,
    /// What is to be reached in this step.
    pub task: String,
    /// Where to look: `4 Raft: who leads, in which term`.
    pub look: String,
    /// What its goal still lacks, by what is observed; none once reached.
    pub missing: Option<String>,
    /// The hints that were asked for in this step.
    pub hints: Vec<String>,
    /// How many more there are.
    pub hints_left: usize,
    /// What changed since the scenario began, oldest first.
    pub changed: Vec<Change>,
    /// What can be done besides the dashboard's keys.
    pub choices: Vec<Choice>,
    /// What of that is being done now.
    pub doing: Option<String>,
    /// What went wrong by what was done, a line each.
    pub mistakes: Vec<String>,
    /// How it stands.
    pub stand: Stand,
    /// Points of 100: hints, mistakes and time over par cost some.
    pub score: u32,
    /// When it became the learner's turn.
    pub began: Option<Timestamp>,
    /// When it was solved or lost.
    pub ended: Option<Timestamp>,
    /// After the end: what etcd did inside, a paragraph each.
    pub debrief: Vec<String>,
    /// What the lab's own clients see, for the internals view: the revision that a watcher has read up to, if there is one.
    pub watcher: Option<WatcherView>,
}

/// A watcher of the lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatcherView {
    /// It has every event below this revision; the next it asks for.
    pub next_revision: i64,
    /// It is asleep and will ask from there when it wakes.
    pub paused: bool,
    /// Cancelled, because the compact revision had passed it: that revision.
    pub cancelled_at: Option<i64>,
}
