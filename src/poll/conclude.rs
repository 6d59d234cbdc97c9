//! What only all members together tell: leader, term, lag, alarms, contradictions. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::status::Alarm;
use crate::model::{
    ClusterId, ClusterView, Conflict, MemberId, MemberState, MemberStatus, MemberView, Role, Term,
};

/// Two members were read at the same moment if that lies so close together, by half the way of each: only then is the
/// difference of their indices a lag. Under 10,000 writes a second that still allows for 2,500 entries, which is why the
/// thresholds of lag are not finer.
const SAME_MOMENT: Duration = Duration::from_millis(250);

/// The view that the rows add up to. `conflicts` are those that were found between endpoints.
pub(super) fn conclude(
    mut members: Vec<MemberView>,
    cluster_id: Option<ClusterId>,
    mut conflicts: Vec<Conflict>,
    now: Timestamp,
) -> ClusterView {
    let answering = || members.iter().filter(|m| m.state.answers()).filter_map(|m| m.status.as_ref());
    let known = || members.iter().filter_map(|m| m.status.as_ref());
    // A member that was stopped and wakes up still names the leader of its last moment, who knows better.
    let deposed = |id: MemberId| answering().any(|s| s.member_id == id && s.leader != Some(id));
    let believers = || answering().filter(|s| !s.is_learner && s.leader.is_some_and(|id| !deposed(id)));
    // Status tells the term of the last entry that the member applied (seen on 3.4: a candidate at term 11 told 2), and
    // the leader of now: who has a leader is the better witness.
    let led = believers().map(|s| s.raft_term).max();
    let term = led.or_else(|| answering().map(|s| s.raft_term).max());
    let (leader, split) =
        leader_of(believers().filter(|s| Some(s.raft_term) == term).filter_map(|s| s.leader), term);
    // For as long as an election takes two members may name two leaders with one applied term; the merger waits for it to last.
    conflicts.extend(split.map(|term| Conflict::LeadersDiffer { term }));
    let revision = answering().map(|s| s.revision).max().or_else(|| known().map(|s| s.revision).max());
    let compact_revision =
        members.iter().filter_map(|m| m.metrics.as_ref()?.compact_revision).filter(|r| r.0 > 0).max();
    // What a silent member said last counts only while nobody who answers says otherwise.
    let mut alarms: Vec<Alarm> = if answering().next().is_some() {
        answering().flat_map(MemberStatus::alarms).collect()
    } else {
        known().flat_map(MemberStatus::alarms).collect()
    };
    alarms.sort_unstable();
    alarms.dedup();

    let leader_read = members
        .iter()
        .find(|m| m.id.is_some() && m.id == leader && m.state.answers())
        .and_then(|m| Some((m.status.as_ref()?.raft_index, m.read_at()?)));
    for m in &mut members {
        m.role = role(m, leader);
        m.alarms = alarms.iter().filter(|a| Some(a.member) == m.id).map(|a| a.kind).collect();
        m.lag = leader_read.and_then(|(index, at)| {
            let status = m.status.as_ref().filter(|_| m.state.answers())?;
            let apart = m.read_at()?.duration_since(at).unsigned_abs();
            (apart <= SAME_MOMENT).then(|| status.raft_applied_index.behind(index))
        });
    }
    ClusterView {
        at: now,
        cluster_id,
        members,
        leader,
        term,
        revision,
        compact_revision,
        alarms,
        conflicts,
        list_refused: None,
    }
}

/// The leader that most name, and the term if they name several.
fn leader_of(named: impl Iterator<Item = MemberId>, term: Option<Term>) -> (Option<MemberId>, Option<Term>) {
    let mut votes: BTreeMap<MemberId, usize> = BTreeMap::new();
    for leader in named {
        *votes.entry(leader).or_default() += 1;
    }
    let winner = votes.iter().max_by_key(|(_, count)| **count).map(|(id, _)| *id);
    (winner, term.filter(|_| votes.len() > 1))
}

/// A silent member may be anything by now; that it follows is only said while somebody else is known to lead.
fn role(m: &MemberView, leader: Option<MemberId>) -> Role {
    if m.state == MemberState::Unstarted {
        Role::Unstarted
    } else if m.id.is_some() && m.id == leader {
        Role::Leader
    } else if m.learner {
        Role::Learner
    } else if m.status.is_some() && (m.state.answers() || leader.is_some()) {
        Role::Follower
    } else {
        Role::Unknown
    }
}
