//! What the dashboard knows about changing the cluster; and what to open, start and stop.

use std::path::PathBuf;

use super::dialog::{Answer, Dialog, Frozen};
use super::key::Key;
use super::keymap::ActionId;
use super::state::{Overlay, State};
use super::update::Effect;
use crate::model::{Role, Severity};
use crate::ops::OpEvent;
use crate::ops::journal::End;
use crate::ops::past::History;
use crate::ops::plan::{Keep, Request, Roll, Verify};
pub use crate::ops::standing::{Operation, Standing};

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
            Ok(Request::Defragment(Roll { members: vec![member], ..Roll::default() }))
        }),
        ActionId::Roll => Ok(Request::Defragment(Roll::default())),
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
            .then(|| state.changes.past.open().map(|p| (p.plan.clone(), p.terms.clone())))
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
    // What ran in a recording is over.
    if state.changes.running().is_none() || state.replay.is_some() {
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
