//! What the journal tells at the start: an operation that never ended, and how it goes on.

use super::state::State;
use crate::model::event::EventKind;
use crate::model::{ClusterView, Event, Finding, Severity};
use crate::ops::past::History;
use crate::ops::plan::Request;

const RULE: &str = "interrupted";

/// What is left of the operation that was interrupted, or why nothing is.
pub(super) fn rest(state: &State, view: &ClusterView) -> Option<Result<Request, String>> {
    let past = &state.changes.past;
    past.open().filter(|_| past.running_elsewhere().is_none()).map(|open| past.rest(open, view))
}

/// Takes what the journal tells.
pub(super) fn on_history(state: &mut State, past: History) {
    for part in &past.swept {
        let line = format!("removed {part}, which an interrupted snapshot had left");
        let (severity, kind) = (Severity::Note, EventKind::Operation);
        state.timeline.push_back(Event { at: state.clock, severity, kind, member: None, line: line.clone() });
        state.say(line, false);
    }
    state.changes.past = past;
    tell(state);
}

/// Puts the finding about it in its place among the others, or takes it away.
pub(super) fn tell(state: &mut State) {
    state.findings.retain(|f| f.key.rule != RULE);
    if let Some(told) = finding(state, &state.view) {
        let at = state.findings.partition_point(|f| f.severity >= told.severity);
        state.findings.insert(at, told);
    }
}

/// The finding as the cluster is now; none when there is nothing to tell.
fn finding(state: &State, view: &ClusterView) -> Option<Finding> {
    if state.changes.running().is_some() {
        return None;
    }
    if let Some((last, holder)) = state.changes.past.running_elsewhere() {
        let line = format!("{} runs in another etcdtop ({holder})", last.title);
        let meaning = "One operation at a time changes a cluster; the lock is held by the process that is named. If its terminal was lost, it brings the running step to its end and leaves.";
        let next = "wait for it; r reads the journal again";
        return Some(Finding::new(RULE, None, Severity::Note, line, next, meaning));
    }
    let open = state.changes.past.open()?;
    let key = state.keymap.first(super::ActionId::GoOn);
    let (severity, left, next) = match state.changes.past.rest(open, view) {
        Ok(_) => (Severity::Warning, String::new(), format!("{key}  go on with what is left of it")),
        Err(why) => (Severity::Note, format!("; nothing of it is left to do: {why}"), "nothing".to_owned()),
    };
    let line = format!("{} was interrupted {}{left}", open.title, open.where_it_was());
    let meaning = "The journal announces a step and tells no end of it: its etcdtop was killed, or the host went down. A call that was sent goes on in etcd; what the members say of themselves now is the truth. Nothing goes on by itself: what is left is planned anew from what is there, and confirmed anew.";
    Some(Finding::new(RULE, None, severity, line, &next, meaning).about(open.plan.to_string()))
}
