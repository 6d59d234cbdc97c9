//! The operation that runs, or ran last: how each of its steps stands, as its events tell.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{OpEvent, Progress};
use super::journal::{End, Figures, StepEnd, step_line};
use super::plan::{Plan, Step};
use crate::model::MemberId;

/// How a step stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Its turn has not come.
    Ahead,
    /// It runs, since then.
    Runs(Timestamp),
    /// Its call is over, after so many milliseconds; what must hold after it is waited for.
    Settles(StepEnd, Option<u64>),
    /// It ended.
    Ended(StepEnd, Figures),
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its plan.
    pub plan: Plan,
    /// The steps in the order in which they are done, and how each stands.
    pub steps: Vec<(Step, Standing)>,
    /// What it waits for.
    pub waiting: Option<String>,
    /// How far the running step is.
    pub progress: Progress,
    /// What happened, a line each.
    pub log: Vec<(Timestamp, String)>,
    /// Somebody asked it to stop at the next safe point.
    pub stopping: bool,
    /// How it ended, and when.
    pub end: Option<(End, Timestamp)>,
}

impl Operation {
    /// One that begins now.
    #[must_use]
    pub fn new(plan: Plan, at: Timestamp) -> Self {
        let steps = plan.steps.iter().cloned().map(|s| (s, Standing::Ahead)).collect();
        let log = vec![(at, plan.title.clone())];
        Self { plan, steps, waiting: None, progress: Progress::default(), log, stopping: false, end: None }
    }

    /// Whether it still runs.
    #[must_use]
    pub const fn runs(&self) -> bool {
        self.end.is_none()
    }

    /// The step that runs: its number from 0, and since when.
    #[must_use]
    pub fn current(&self) -> Option<(usize, &Step, Timestamp)> {
        self.steps.iter().enumerate().find_map(|(i, (step, standing))| match standing {
            Standing::Runs(since) => Some((i, step, *since)),
            _ => None,
        })
    }

    /// The step that is done to this member now.
    #[must_use]
    pub fn on(&self, member: MemberId) -> Option<(&Step, Timestamp)> {
        let (_, step, since) = self.current()?;
        (step.action.member() == Some(member)).then_some((step, since))
    }

    /// The safe point at which it stops if it is told to: `after defragment m2`.
    #[must_use]
    pub fn safe_point(&self) -> String {
        match self.current() {
            Some((_, step, _)) if step.action.changes() => format!("after {}", step.title),
            Some(_) => "now; what came so far is removed".into(),
            None => match self.steps.iter().find(|(_, s)| matches!(s, Standing::Settles(..))) {
                Some((step, _)) => format!("after {}", step.title),
                None => "now".into(),
            },
        }
    }

    /// Takes an event that came at this moment.
    pub fn take(&mut self, event: OpEvent, at: Timestamp) {
        match event {
            OpEvent::Waiting { why, .. } => {
                self.log.push((at, format!("waits: {why}")));
                self.waiting = Some(why);
            }
            OpEvent::Began { step, at } => {
                self.waiting = None;
                self.progress = Progress::default();
                if let Some((s, standing)) = self.steps.get_mut(step) {
                    self.log.push((at, s.title.clone()));
                    *standing = Standing::Runs(at);
                }
            }
            OpEvent::Answered { step, end, took_ms } => {
                self.waiting = None;
                if let Some((_, standing)) = self.steps.get_mut(step) {
                    *standing = Standing::Settles(end, took_ms);
                }
            }
            OpEvent::Reordered(steps) => {
                // What ended keeps its place: only steps ahead move.
                for ((slot, standing), step) in self.steps.iter_mut().zip(steps) {
                    if *standing == Standing::Ahead {
                        *slot = step;
                    }
                }
                self.log.push((at, "another member leads: it goes to the end".into()));
            }
            OpEvent::StepEnded { step, end, figures } => {
                self.waiting = None;
                if let Some((s, standing)) = self.steps.get_mut(step) {
                    self.log.push((at, step_line(s, &end, &figures)));
                    *standing = Standing::Ended(end, figures);
                }
            }
            OpEvent::Ended(end) => {
                self.log.push((at, end.to_string()));
                self.end = Some((end, at));
            }
        }
    }
}
