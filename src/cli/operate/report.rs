//! What a run planned, did and came to, as JSON: one document at its end, or a line for each event.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{Bytes, ClusterId, MemberId};
use crate::ops::journal::StepEnd;
use crate::ops::plan::{Action, Check, Plan, PlanId, Step};
use crate::ops::standing::{Operation, Standing};
use crate::ops::{OpEvent, Progress};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum Result {
    /// Every step was done.
    Done,
    /// What was asked for was so already.
    NothingToDo,
    /// It was only planned.
    Planned,
    /// A check did not let it begin: nothing was done.
    Refused,
    /// A step failed, or what must hold did not: the steps say what was done.
    Failed,
    /// Somebody stopped it at a safe point.
    Stopped,
    /// What became of a step is not known.
    Unknown,
    /// No member could be reached.
    Unreachable,
}

/// A run. What is not known is null.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Report<'a> {
    pub(in crate::cli) command: &'a str,
    pub(in crate::cli) result: Result,
    /// Why it did not end otherwise.
    pub(in crate::cli) reason: Option<&'a str>,
    /// The exit code.
    pub(in crate::cli) exit: u8,
    pub(in crate::cli) cluster_id: Option<ClusterId>,
    pub(in crate::cli) cluster: &'a str,
    /// Under this name it is in the journal.
    pub(in crate::cli) plan: Option<&'a PlanId>,
    pub(in crate::cli) title: Option<&'a str>,
    pub(in crate::cli) began_at: Timestamp,
    pub(in crate::cli) ended_at: Timestamp,
    pub(in crate::cli) seconds: f64,
    /// Bytes that defragmentations gave back to the disks of all members together.
    pub(in crate::cli) reclaimed_bytes: u64,
    pub(in crate::cli) steps: Vec<StepJson<'a>>,
    /// Members that were left out, and why.
    pub(in crate::cli) skipped: &'a [String],
    pub(in crate::cli) checks: &'a [Check],
}

/// A step, and how it stands.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct StepJson<'a> {
    /// From 1, in the order in which they are done.
    pub(super) step: usize,
    #[serde(rename = "do")]
    what: &'static str,
    pub(super) title: &'a str,
    member_id: Option<MemberId>,
    pub(super) state: &'static str,
    /// Why it is not done.
    reason: Option<&'a str>,
    /// The file before, bytes; in a plan, as it is now.
    pub(super) before: Option<Bytes>,
    /// The file after, bytes; in a plan, about.
    pub(super) after: Option<Bytes>,
    /// How long the call took, or is to take, milliseconds.
    pub(super) took_ms: Option<u64>,
    note: Option<&'a str>,
    file: Option<&'a Path>,
    etcdctl: &'a str,
}

/// A defragmentation that was done.
pub(in crate::cli) struct Defragmented {
    pub(in crate::cli) member: MemberId,
    pub(in crate::cli) before: Option<Bytes>,
    pub(in crate::cli) after: Option<Bytes>,
    pub(in crate::cli) took_ms: Option<u64>,
}

impl StepJson<'_> {
    /// How it stands, in a word.
    pub(in crate::cli) const fn state(&self) -> &'static str {
        self.state
    }

    /// The file that it left.
    pub(in crate::cli) fn saved(&self) -> Option<&Path> {
        self.file.filter(|_| self.state == "done")
    }

    /// What it did to a member's file, if it was to and is done.
    pub(in crate::cli) fn defragmented(&self) -> Option<Defragmented> {
        let done = self.state == "done" && self.what == "defragment";
        let member = self.member_id.filter(|_| done)?;
        Some(Defragmented { member, before: self.before, after: self.after, took_ms: self.took_ms })
    }
}

/// An event of a run, as a line.
#[derive(Serialize)]
pub(super) struct EventJson<'a> {
    pub(super) at: Timestamp,
    #[serde(flatten)]
    pub(super) what: EventKind<'a>,
}

/// What happened.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum EventKind<'a> {
    /// What is going to be done.
    Planned {
        cluster_id: ClusterId,
        plan: &'a PlanId,
        title: &'a str,
        steps: Vec<StepJson<'a>>,
        skipped: &'a [String],
        checks: &'a [Check],
    },
    /// It waits, and why.
    Waiting { step: usize, why: &'a str },
    /// A step begins.
    StepBegins { step: usize, title: &'a str, member_id: Option<MemberId> },
    /// Its call is over; what must hold after it is waited for.
    StepAnswered { step: usize, took_ms: Option<u64> },
    /// How far it is.
    Progress { bytes: Bytes, of: Option<Bytes> },
    /// What is ahead is done in another order.
    Reordered { steps: Vec<&'a str> },
    /// A step ended.
    StepEnded(StepJson<'a>),
    /// It ended.
    Ended(&'a Report<'a>),
}

/// What a step does, in a word.
pub(in crate::cli) const fn word(action: &Action) -> &'static str {
    match action {
        Action::Compact { .. } => "compact",
        Action::Defragment { .. } => "defragment",
        Action::MoveLeader { .. } => "move_leader",
        Action::Disarm { .. } => "disarm",
        Action::Snapshot { .. } => "snapshot",
        Action::ProveWrite { .. } => "prove_write",
    }
}

/// The steps of a plan that nobody began.
pub(super) fn planned(plan: &Plan) -> Vec<StepJson<'_>> {
    plan.steps.iter().enumerate().map(|(i, step)| ahead(i, step)).collect()
}

fn ahead(i: usize, step: &Step) -> StepJson<'_> {
    StepJson {
        step: i + 1,
        what: word(&step.action),
        title: &step.title,
        member_id: step.action.member(),
        state: "planned",
        reason: None,
        before: step.before,
        after: step.after,
        took_ms: step.estimate.map(|e| u64::try_from(e.as_millis()).unwrap_or(u64::MAX)),
        note: None,
        file: file_of(&step.action),
        etcdctl: &step.etcdctl,
    }
}

fn file_of(action: &Action) -> Option<&Path> {
    match action {
        Action::Snapshot { file, .. } => Some(file),
        _ => None,
    }
}

/// The steps of an operation, as they stand.
pub(super) fn standing(operation: &Operation) -> Vec<StepJson<'_>> {
    operation.steps.iter().enumerate().map(|(i, (step, standing))| one(i, step, standing)).collect()
}

fn one<'a>(i: usize, step: &'a Step, standing: &'a Standing) -> StepJson<'a> {
    let mut json = StepJson {
        state: "not_begun",
        before: None,
        after: None,
        took_ms: None,
        file: None,
        ..ahead(i, step)
    };
    let end = match standing {
        Standing::Ahead => return json,
        Standing::Runs(_) => {
            json.state = "begun";
            return json;
        }
        Standing::Settles(end, took_ms) => {
            json.took_ms = *took_ms;
            end
        }
        Standing::Ended(end, figures) => {
            json.took_ms = figures.took_ms;
            // Of a member that another step is about they tell nothing.
            let of_its_file = matches!(step.action, Action::Defragment { .. })
                || (*end == StepEnd::Done && matches!(step.action, Action::Snapshot { .. }));
            if of_its_file {
                (json.before, json.after) = (figures.before, figures.after);
            }
            (json.note, json.file) = (figures.note.as_deref(), figures.file.as_deref());
            end
        }
    };
    (json.state, json.reason) = match end {
        StepEnd::Done => ("done", None),
        StepEnd::Failed(why) => ("failed", Some(why.as_str())),
        StepEnd::Unknown(why) => ("unknown", Some(why.as_str())),
        StepEnd::Skipped(why) => ("skipped", Some(why.as_str())),
        StepEnd::Needless(why) => ("needless", Some(why.as_str())),
    };
    json
}

/// Bytes that the defragmentations that were done gave back.
pub(in crate::cli) fn reclaimed(operation: &Operation) -> u64 {
    let gave = |(step, standing): &(Step, Standing)| match standing {
        Standing::Ended(StepEnd::Done, figures) if matches!(step.action, Action::Defragment { .. }) => {
            Some(figures.before?.minus(figures.after?).0)
        }
        _ => None,
    };
    operation.steps.iter().filter_map(gave).sum()
}

impl<'a> EventKind<'a> {
    /// An event of the engine, after `operation` took it; the end is told by the report.
    pub(super) fn of(event: &'a OpEvent, operation: &'a Operation) -> Option<Self> {
        Some(match event {
            OpEvent::Waiting { step, why } => Self::Waiting { step: step + 1, why },
            OpEvent::Began { step, .. } => {
                let (it, _) = operation.steps.get(*step)?;
                Self::StepBegins { step: step + 1, title: &it.title, member_id: it.action.member() }
            }
            OpEvent::Reordered(_) => {
                Self::Reordered { steps: operation.steps.iter().map(|(s, _)| s.title.as_str()).collect() }
            }
            OpEvent::Answered { step, took_ms, .. } => {
                Self::StepAnswered { step: step + 1, took_ms: *took_ms }
            }
            OpEvent::StepEnded { step, .. } => {
                let (it, standing) = operation.steps.get(*step)?;
                Self::StepEnded(one(*step, it, standing))
            }
            OpEvent::Ended(_) => return None,
        })
    }

    /// How far a snapshot is.
    pub(super) const fn far(progress: Progress) -> Option<Self> {
        match progress {
            Progress::Bytes { done, of, .. } => Some(Self::Progress { bytes: done, of }),
            _ => None,
        }
    }
}
