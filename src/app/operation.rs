//! The operation that runs, or ran last, as it is shown; and what to open, start and stop.

use std::path::PathBuf;

use jiff::Timestamp;

use super::dialog::{Answer, Dialog, Frozen};
use super::key::Key;
use super::keymap::ActionId;
use super::state::{Overlay, State};
use super::update::Effect;
use crate::model::{MemberId, Role, Severity};
use crate::ops::journal::{End, Figures, StepEnd, step_line};
use crate::ops::past::History;
use crate::ops::plan::{Keep, Plan, Request, Step, Verify};
use crate::ops::{OpEvent, Progress};

/// How a step stands.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug)]
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

    fn take(&mut self, event: OpEvent, at: Timestamp) {
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

/// What the dashboard knows about changing the cluster.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The operation that runs, or ran last since the start.
    pub operation: Option<Operation>,
    /// What the journal tells.
    pub past: History,
    /// Where snapshots go.
    pub snapshots: PathBuf,
    /// The key that proves a write.
    pub proof_key: String,
    /// Leave as soon as the operation has ended.
    pub leaving: bool,
}

impl Changes {
    /// What runs now.
    #[must_use]
    pub fn running(&self) -> Option<&Operation> {
        self.operation.as_ref().filter(|o| o.runs())
    }
}

/// Revisions that a compaction keeps unless somebody says otherwise.
const KEEP: u64 = 1_000;

/// Opens the dialog of an action.
pub(super) fn open(state: &mut State, id: ActionId) {
    // Planned from what is, not from a picture that is held still.
    let view = state.newest();
    let selected = state.selected_row().and_then(|i| state.view.members.get(i)).and_then(|m| m.id);
    let selected = selected.and_then(|id| view.member(id));
    let folder = state.changes.snapshots.clone();
    let request = match id {
        ActionId::Compact => Ok(Request::Compact(Keep::Last(KEEP))),
        ActionId::Defragment if selected.is_some_and(|m| m.role == Role::Learner) => {
            Err("a learner takes no defragmentation")
        }
        ActionId::Defragment => selected.and_then(|m| m.id).map_or(Err("no member is selected"), |member| {
            Ok(Request::Defragment { members: vec![member], move_leader: false, rule: None })
        }),
        ActionId::Roll => Ok(Request::Defragment { members: Vec::new(), move_leader: false, rule: None }),
        ActionId::Snapshot => {
            Ok(Request::Snapshot { member: None, folder, name: None, verify: Verify::Full })
        }
        ActionId::Disarm => Ok(Request::Disarm),
        ActionId::MoveLeader => {
            // Nobody but the member that was picked.
            match selected.and_then(|m| Some((m.role, m.id?))) {
                Some((Role::Leader, _)) => Err("it leads already: select the member that is to lead"),
                Some((Role::Learner, _)) => Err("a learner does not vote, and cannot lead"),
                Some((_, to)) => Ok(Request::MoveLeader { to }),
                None => Err("no member is selected"),
            }
        }
        ActionId::GoOn => match super::interrupted::rest(state, &view) {
            Some(Ok(rest)) => Ok(rest),
            Some(Err(why)) => return state.say(format!("nothing of it is left to do: {why}"), false),
            None => Err("no operation was interrupted"),
        },
        ActionId::Recover => Ok(Request::RecoverNoSpace { folder: Some(folder), keep: KEEP }),
        _ => return,
    };
    let frozen = Frozen {
        view,
        cluster_name: state.access.name.clone(),
        rates: state.changes.past.rates.clone(),
        last_snapshot: state.changes.past.last_snapshot,
        busy: state.changes.running().map(|o| o.plan.title.clone()).or_else(|| {
            let (past, holder) = state.changes.past.running_elsewhere()?;
            Some(format!("{}, in another etcdtop ({holder})", past.title))
        }),
        snapshots: state.changes.snapshots.clone(),
        place: state.shelf.place.clone(),
        proof_key: state.changes.proof_key.clone(),
        continues: (id == ActionId::GoOn)
            .then(|| state.changes.past.open().map(|p| p.plan.clone()))
            .flatten(),
    };
    match request.map_err(str::to_owned).and_then(|r| Dialog::open(r, frozen)) {
        Ok(dialog) => state.overlay = Some(Overlay::Plan(Box::new(dialog))),
        Err(why) => state.say(why, true),
    }
}

/// A key while a dialog is open.
pub(super) fn in_dialog(state: &mut State, key: Key) -> Vec<Effect> {
    let Some(Overlay::Plan(dialog)) = &mut state.overlay else { return Vec::new() };
    match dialog.key(key, state.burst) {
        Answer::Open => Vec::new(),
        Answer::Close => {
            state.overlay = None;
            Vec::new()
        }
        Answer::Refused(why) => {
            state.say(why, true);
            Vec::new()
        }
        Answer::Confirmed => {
            let (plan, typed) = (dialog.plan.clone(), dialog.typed.value().to_owned());
            state.overlay = None;
            vec![Effect::Start(Box::new(plan), typed)]
        }
    }
}

/// Stops the running operation at its next safe point.
pub(super) fn stop(state: &mut State) -> Vec<Effect> {
    let Some(operation) = state.changes.operation.as_mut().filter(|o| o.runs()) else { return Vec::new() };
    operation.stopping = true;
    let text = format!("stops {}", operation.safe_point());
    state.say(text, false);
    vec![Effect::StopOperation]
}

/// Leaving: at once, or, while an operation runs, not before somebody said what becomes of it.
pub(super) fn quit(state: &mut State) -> Vec<Effect> {
    if state.changes.running().is_none() {
        return vec![Effect::Quit];
    }
    state.overlay = Some(Overlay::Leave);
    Vec::new()
}

/// A key while it is asked whether to leave.
pub(super) fn in_leave(state: &mut State, key: Key) -> Vec<Effect> {
    use super::key::KeyCode;
    state.overlay = None;
    if state.changes.running().is_none() {
        return Vec::new();
    }
    match key.code {
        // The one who asked may still be leaning on q: another key means it.
        KeyCode::Char('x') => {
            state.changes.leaving = true;
            stop(state)
        }
        KeyCode::Char('w') => {
            state.changes.leaving = true;
            state.say("leaves when the operation has ended", false);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

/// News of the operation.
pub(super) fn on_event(state: &mut State, event: OpEvent) -> Vec<Effect> {
    let at = state.clock;
    let ended = matches!(event, OpEvent::Ended(_));
    let Some(operation) = &mut state.changes.operation else { return Vec::new() };
    operation.take(event, at);
    if !ended {
        return Vec::new();
    }
    let title = operation.plan.title.clone();
    let Some((end, _)) = &operation.end else { return Vec::new() };
    if matches!(state.overlay, Some(Overlay::Leave)) {
        state.overlay = None;
    }
    let (line, bad) = (format!("{title}: {end}"), *end != End::Done);
    let severity = if bad { Severity::Warning } else { Severity::Note };
    let kind = crate::model::event::EventKind::Operation;
    state.timeline.push_back(crate::model::Event { at, severity, kind, member: None, line: line.clone() });
    state.say(line, bad);
    if state.changes.leaving {
        vec![Effect::Quit]
    } else {
        vec![Effect::ReadJournal, Effect::Shelf(super::shelf::Work::List)]
    }
}
