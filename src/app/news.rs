//! A new view: figures, findings, verdict, and what the timeline has to tell.

use std::sync::Arc;
use std::time::Duration;

use super::state::State;
use crate::diagnose::{self, Case, Settles};
use crate::model::event::{EventKind, between};
use crate::model::hashes::{Agreement, Comparison};
use crate::model::verdict::judge;
use crate::model::{ClusterView, Event, Finding, MemberState, Severity};
use crate::ops::plan::Action;

/// Entries kept in the timeline.
const TIMELINE: usize = 1_000;

pub(super) fn on_view(state: &mut State, view: Arc<ClusterView>) {
    state.clock = view.at;
    if state.replay.is_none() {
        state.at_wall(view.at);
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

/// A member that we rewrite answers nothing, and is neither hung nor slow: we did that.
fn with_our_rewrite(state: &State, view: Arc<ClusterView>) -> Arc<ClusterView> {
    let rewritten =
        state.changes.running().and_then(|o| o.current()).and_then(|(_, step, since)| match step.action {
            Action::Defragment { member } => Some((member, since)),
            _ => None,
        });
    let Some((member, since)) = rewritten else { return view };
    let silent = |m: &crate::model::MemberView| {
        m.id == Some(member) && matches!(m.state, MemberState::Hung | MemberState::Slow)
    };
    if !view.members.iter().any(silent) {
        return view;
    }
    let mut view = ClusterView::clone(&view);
    for m in view.members.iter_mut().filter(|m| silent(m)) {
        m.state = MemberState::Defragmenting;
        m.since = since;
        m.detail = Some("its file is rewritten; it answers again when that ends".into());
    }
    Arc::new(view)
}

fn take_view(state: &mut State, view: Arc<ClusterView>) {
    let view = with_our_rewrite(state, view);
    state.now = view.at;
    state.history.push(&view);
    let case = Case {
        view: &view,
        history: &state.history,
        backup: state.shelf.backup(view.cluster_id, view.at),
        hashes: state.hashes.as_ref(),
    };
    let findings = state.damper.settle(diagnose::findings(&case), &view);
    let verdict = judge(&view, &findings);
    state.full_in = diagnose::forecast::full_in(&view, &state.history);
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
    super::interrupted::tell(state);
    state.verdict = verdict;
}

/// How long a finding must be away before it is over: figures at a threshold come and go.
const AWAY: Duration = Duration::from_secs(60);
/// Rules whose findings are in the timeline already, as changes of members, verdict and alarms.
const TOLD_ELSEWHERE: [&str; 6] =
    ["member_not_serving", "unreachable", "quorum_lost", "no_leader", "alarm_nospace", "alarm_corrupt"];

/// The members' data was compared.
pub(super) fn on_comparison(state: &mut State, outcome: Result<Comparison, String>) {
    state.comparing = false;
    let (severity, line) = match outcome {
        Err(why) => (Severity::Warning, format!("the members' data could not be compared: {why}")),
        Ok(comparison) => {
            let told = (comparison.severity(), comparison.words());
            // What was found is taken back by nothing less than the same data everywhere.
            let differed =
                state.hashes.as_ref().is_some_and(|h| matches!(h.agreement(), Agreement::Differ { .. }));
            let settles = comparison.all_same() || matches!(comparison.agreement(), Agreement::Differ { .. });
            if settles || !differed {
                state.hashes = Some(comparison);
            }
            told
        }
    };
    state.say(line.clone(), severity > Severity::Note);
    let event = Event { at: state.clock, severity, kind: EventKind::Finding, member: None, line };
    state.timeline.push_back(event);
}

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
        // Those that settle slowly were held for as long already.
        let settled = diagnose::rule(key.rule).is_some_and(|r| r.settles == Settles::Slowly);
        let patience = if settled { Duration::ZERO } else { AWAY };
        let away = view.at.duration_since(*seen).unsigned_abs() > patience;
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
