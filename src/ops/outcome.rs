//! What became of a call that was not answered. Pure: the views before and after, and how long the member that it was
//! sent to has been answering again.
//!
//! A call that left may have been carried out, may still run, or may even begin later: a stopped process reads it from its
//! socket when it wakes up, and TCP sends it once more after a partition. So that something happened is told at once;
//! that it did not, only when it cannot happen any more.

use std::time::Duration;

use super::journal::StepEnd;
use super::plan::Action;
use crate::etcd::Fault;
use crate::model::{ClusterView, MemberId, MemberView, MetricsSample};

/// A transfer of leadership is given up after an election timeout, a proposal after seven seconds (with etcd's default
/// `--election-timeout`): what has not happened so long after everybody concerned answers again does not happen any more.
const GRACE: Duration = Duration::from_secs(10);
/// The longest pause that Linux makes between two attempts to send the same bytes (`TCP_RTO_MAX`).
const LAST_RETRY: Duration = Duration::from_secs(125);

/// A call without an answer, and what was seen since.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    /// The member that it was sent to; none when that is not known.
    pub(super) via: Option<MemberId>,
    /// How it was lost.
    pub(super) fault: Fault,
    /// When it was sent, on the engine's clock.
    since: Duration,
    /// Those who may still carry it out: whom it was sent to, and who is to lead: the order to stand for election may lie
    /// in that one's socket.
    concerned: Vec<MemberId>,
    /// Whether it goes through Raft: what was proposed may be committed as long as nobody leads.
    through_raft: bool,
    /// Since when all of them answer, and who has led since.
    whole_since: Option<(Duration, Option<MemberId>)>,
}

impl Lost {
    pub(super) fn new(action: &Action, via: Option<MemberId>, fault: Fault, since: Duration) -> Self {
        let mut concerned: Vec<_> = via.into_iter().collect();
        if let Action::MoveLeader { to, .. } = action {
            concerned.push(*to);
        }
        let through_raft = action.takes_any_voter();
        Self { via, fault, since, concerned, through_raft, whole_since: None }
    }

    /// Takes a look at `at`.
    pub(super) fn look(&mut self, view: &ClusterView, at: Duration) {
        // A member that was removed carries nothing out any more.
        let back = |id: &MemberId| view.member(*id).is_none_or(|m| m.state.answers());
        let whole = self.concerned.iter().all(back) && (!self.through_raft || view.leader.is_some());
        let same = self.whole_since.filter(|(_, leader)| !self.through_raft || *leader == view.leader);
        self.whole_since = whole.then(|| same.unwrap_or((at, view.leader)));
    }

    /// Whether what has not happened by now does not happen any more. The pauses between TCP's attempts grow with the time
    /// that it tries: the next one comes within about as long as somebody was away.
    pub(super) fn is_over(&self, at: Duration) -> bool {
        self.whole_since.is_some_and(|(back, _)| {
            let away = back.saturating_sub(self.since);
            at.saturating_sub(back) >= away.clamp(GRACE, LAST_RETRY)
        })
    }

    /// Whether somebody who does not want to wait has given it a fair chance.
    pub(super) fn had_its_chance(&self, at: Duration) -> bool {
        at.saturating_sub(self.since) >= GRACE
    }

    /// What the look tells of the action; none: nothing yet. The view must be of a close look: of members that did not tell
    /// their `/metrics` anew, nothing is told by those.
    pub(super) fn tells(
        &self,
        action: &Action,
        before: &ClusterView,
        now: &ClusterView,
        at: Duration,
    ) -> Option<StepEnd> {
        let over = self.is_over(at);
        let fault = &self.fault;
        let failed = |why: String| Some(StepEnd::Failed(format!("{fault}; {why}")));
        match action {
            Action::Defragment { member } => {
                let Some(is) = now.member(*member) else { return failed("it is no member any more".into()) };
                self.defragmented(before.member(*member)?, is, over)
            }
            Action::MoveLeader { to, .. } => match now.leader {
                Some(leader) if leader == *to => Some(StepEnd::Done),
                Some(leader) if over => failed(format!("{} leads", now.name_of(leader))),
                _ => None,
            },
            Action::Disarm { member, alarm, .. } => {
                let raised =
                    now.alarms.iter().any(|a| member.is_none_or(|m| a.member == m) && a.kind == *alarm);
                match (raised, now.leader.is_some()) {
                    (false, true) => Some(StepEnd::Done),
                    (true, true) if over => failed("it is still raised".into()),
                    _ => None,
                }
            }
            // The compact revision moves before the physical work: it tells that the history is gone, and the gate after
            // the step waits for the work itself.
            Action::Compact { revision } => {
                let anew = now.members.iter().filter_map(fresh).filter_map(|m| m.compact_revision).max()?;
                match anew {
                    compacted if compacted >= *revision => Some(StepEnd::Done),
                    compacted if over => failed(format!("the history still begins at {}", compacted.0)),
                    _ => None,
                }
            }
            Action::Snapshot { .. } => Some(StepEnd::Failed(fault.to_string())),
            // The engine tries it again: it can be done twice.
            Action::ProveWrite { .. } => None,
        }
    }

    fn defragmented(&self, was: &MemberView, is: &MemberView, over: bool) -> Option<StepEnd> {
        if !is.state.answers() {
            // Whether it is gone or only the way to it: it is watched until it answers again.
            return None;
        }
        let fault = &self.fault;
        let label = is.label();
        let size = |m: &MemberView| m.status.as_ref().and_then(|s| s.db_size);
        let shrunk = size(was).zip(size(is)).is_some_and(|(a, b)| b < a);
        let Some((then, now)) = fresh(was).zip(fresh(is)) else {
            // Without counters only the file is left to tell. A snapshot that the leader sends makes it smaller, too, but
            // to a member that had caught up it sends none.
            return shrunk.then_some(StepEnd::Done);
        };
        let fewer = then.defragmentations.zip(now.defragmentations).is_some_and(|(a, b)| b < a);
        let restarted = fewer || !then.same_process(now);
        if restarted {
            // Counters begin anew with the process, and a rewrite that it was in the middle of is gone with it.
            let lost =
                || StepEnd::Failed(format!("{fault}; {label} was restarted, its file is as large as before"));
            return if shrunk { Some(StepEnd::Done) } else { over.then(lost) };
        }
        match then.defragmentations.zip(now.defragmentations) {
            Some((a, b)) if b > a => Some(StepEnd::Done),
            Some(_) if over && now.defrag_inflight != Some(true) => {
                Some(StepEnd::Failed(format!("{fault}; {label} did not defragment")))
            }
            Some(_) => None,
            None => shrunk.then_some(StepEnd::Done),
        }
    }
}

/// What a member said of itself in `/metrics` when it was asked in this look.
fn fresh(m: &MemberView) -> Option<&MetricsSample> {
    m.metrics.as_deref().filter(|_| m.metrics_asked.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, MemberState};
    use crate::testing::{healthy, noon};

    const DEADLINE: Fault = Fault::Deadline { after: Duration::from_secs(600) };
    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn measured(inflight: bool, ended: u64) -> ClusterView {
        let mut view = healthy(3);
        for m in &mut view.members {
            let sample = m.metrics_mut();
            sample.defragmentations = Some(ended);
            sample.defrag_inflight = Some(inflight);
            m.metrics_asked = Some(noon());
        }
        view
    }

    #[test]
    fn a_call_that_is_read_late_is_waited_for() {
        let before = measured(false, 0);
        let member = before.members[1].id.unwrap();
        let action = Action::Defragment { member };
        let mut lost = Lost::new(&action, Some(member), DEADLINE, s(0));
        // Stopped for 40 s, then it answers: what lies in its socket may begin any moment.
        let mut stopped = measured(false, 0);
        stopped.members[1].state = MemberState::Hung;
        lost.look(&stopped, s(5));
        assert_eq!(lost.tells(&action, &before, &stopped, s(5)), None);
        let back = measured(false, 0);
        lost.look(&back, s(40));
        assert_eq!(lost.tells(&action, &before, &back, s(40)), None);
        assert_eq!(lost.tells(&action, &before, &back, s(79)), None, "TCP may send it until now");
        let runs = measured(true, 0);
        assert_eq!(lost.tells(&action, &before, &runs, s(90)), None, "it runs");
        assert!(
            matches!(lost.tells(&action, &before, &back, s(81)), Some(StepEnd::Failed(why)) if why.contains("did not"))
        );
        assert_eq!(lost.tells(&action, &before, &measured(false, 1), s(41)), Some(StepEnd::Done));
    }

    #[test]
    fn a_restart_is_told_from_a_file_that_shrank() {
        let mut before = measured(false, 3);
        before.members[1].metrics_mut().started_at = Some(noon());
        let member = before.members[1].id.unwrap();
        let action = Action::Defragment { member };
        let mut lost = Lost::new(&action, Some(member), DEADLINE, s(0));
        let mut after = measured(false, 0);
        after.members[1].metrics_mut().started_at = noon().checked_add(s(9)).ok();
        lost.look(&after, s(1));
        assert_eq!(lost.tells(&action, &before, &after, s(2)), None, "the new process may read it yet");
        assert!(
            matches!(lost.tells(&action, &before, &after, s(11)), Some(StepEnd::Failed(why)) if why.contains("restarted"))
        );
        let status = after.members[1].status.as_mut().unwrap();
        status.db_size = Some(Bytes(1));
        assert_eq!(lost.tells(&action, &before, &after, s(2)), Some(StepEnd::Done));
    }

    #[test]
    fn yesterdays_counters_tell_nothing() {
        let before = measured(false, 0);
        let member = before.members[1].id.unwrap();
        let action = Action::Defragment { member };
        let mut lost = Lost::new(&action, Some(member), DEADLINE, s(0));
        let mut after = measured(false, 0);
        after.members[1].metrics_asked = None;
        lost.look(&after, s(0));
        assert_eq!(lost.tells(&action, &before, &after, s(900)), None);
        let compact = Action::Compact { revision: crate::model::Revision(9) };
        for m in &mut after.members {
            m.metrics_asked = None;
            m.metrics_mut().compact_revision = Some(crate::model::Revision(5));
        }
        assert_eq!(lost.tells(&compact, &before, &after, s(900)), None);
    }

    #[test]
    fn a_leader_that_is_gone_may_still_wake_up_and_do_it() {
        let before = healthy(3);
        let (old, to) = (before.members[0].id.unwrap(), before.members[1].id.unwrap());
        let action = Action::MoveLeader { from: old, to };
        let mut lost = Lost::new(&action, Some(old), DEADLINE, s(0));
        let mut now = healthy(3);
        now.members[0].state = MemberState::Hung;
        now.leader = now.members[2].id;
        lost.look(&now, s(60));
        assert_eq!(lost.tells(&action, &before, &now, s(60)), None);
        now.members[0].state = MemberState::Ok;
        // Who is to lead was stopped: the order to stand for election lies in its socket.
        now.members[1].state = MemberState::Hung;
        lost.look(&now, s(61));
        assert_eq!(lost.tells(&action, &before, &now, s(300)), None);
        now.members[1].state = MemberState::Ok;
        lost.look(&now, s(100));
        assert_eq!(lost.tells(&action, &before, &now, s(199)), None);
        assert!(matches!(lost.tells(&action, &before, &now, s(226)), Some(StepEnd::Failed(_))));
        now.leader = Some(to);
        assert_eq!(lost.tells(&action, &before, &now, s(61)), Some(StepEnd::Done));
    }
}
