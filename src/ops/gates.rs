//! What must hold right before a step and right after it. Pure: a view in, a gate out. Used by the preflight, by the
//! engine before each step, and by the property test.

use crate::model::units::percent;
use crate::model::{AlarmKind, ClusterId, ClusterView, Conflict, MemberId, MemberState, MemberView};

use super::plan::{Action, Permille};

/// Entries that a member may be behind: etcd itself calls an apply gap of 5,000 slow; a healthy follower under load is
/// a few hundred behind at the moment of a look.
pub const LAG_BOUND: u64 = 1_000;

/// Whether to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Yes.
    Go,
    /// Not yet: this may pass by itself.
    Wait(String),
    /// No, and waiting will not help.
    Stop(String),
}

use Gate::{Go, Stop, Wait};

/// The first that does not say go.
fn all(gates: impl IntoIterator<Item = Gate>) -> Gate {
    gates.into_iter().find(|g| *g != Go).unwrap_or(Go)
}

/// The right cluster, a leader, and no two of them.
fn one_cluster(view: &ClusterView, cluster: ClusterId) -> Gate {
    match view.cluster_id {
        Some(id) if id != cluster => {
            return Stop(format!("cluster {id} answers now, the plan is for {cluster}"));
        }
        None => return Wait("nobody answers".into()),
        Some(_) => {}
    }
    if view.conflicts.iter().any(|c| matches!(c, Conflict::LeadersDiffer { .. })) {
        return Wait("members name different leaders".into());
    }
    if view.leader.is_none() { Wait("nobody leads".into()) } else { Go }
}

fn no_corrupt(view: &ClusterView) -> Gate {
    let raisers = view.raisers(AlarmKind::Corrupt);
    if raisers.is_empty() {
        Go
    } else {
        Stop(format!("CORRUPT raised by {raisers}: find the odd member first"))
    }
}

/// Every voter but `spare` answers, follows a leader and has caught up.
fn voters_whole(view: &ClusterView, spare: Option<MemberId>) -> Gate {
    for m in view.members.iter().filter(|m| m.is_voter() && (spare.is_none() || m.id != spare)) {
        if let gate @ (Wait(_) | Stop(_)) = whole(m) {
            return gate;
        }
    }
    Go
}

fn whole(m: &MemberView) -> Gate {
    let why = || m.detail.as_ref().map_or_else(String::new, |d| format!(": {d}"));
    match m.state {
        MemberState::Ok | MemberState::Slow => {}
        MemberState::Unstarted => return Stop(format!("{} was never started", m.label())),
        _ => return Wait(format!("{} is {}{}", m.label(), m.state.shown(), why())),
    }
    match m.lag {
        Some(lag) if lag > LAG_BOUND => Wait(format!("{} is {lag} entries behind", m.label())),
        Some(_) => Go,
        None => Wait(format!("the lag of {} is not known yet", m.label())),
    }
}

/// The member as it is now, which must be a voter of the list.
fn voter(view: &ClusterView, id: MemberId) -> Result<&MemberView, Gate> {
    match view.member(id) {
        Some(m) if m.is_voter() => Ok(m),
        Some(m) if m.learner => Err(Stop(format!("{} is a learner: it takes no such call", m.label()))),
        _ => Err(Stop(format!("{id} is no member any more"))),
    }
}

/// What must hold right before a step.
#[must_use]
pub fn before(cluster: ClusterId, action: &Action, view: &ClusterView) -> Gate {
    // A snapshot needs neither leader nor quorum: it is what one takes while they are gone.
    if let Action::Snapshot { member, .. } = action {
        return match view.member(*member) {
            Some(m) if m.state.answers() => Go,
            Some(m) => Wait(format!("{} is {}", m.label(), m.state.shown())),
            None => Stop(format!("{member} is no member any more")),
        };
    }
    let here = one_cluster(view, cluster);
    match action {
        Action::Defragment { member } => match voter(view, *member) {
            Ok(_) => all([here, no_corrupt(view), voters_whole(view, None)]),
            Err(gate) => gate,
        },
        Action::MoveLeader { to, .. } => match voter(view, *to) {
            Ok(m) => all([here, whole(m)]),
            Err(gate) => gate,
        },
        Action::Disarm { member, alarm, below } => all([here, disarm(view, *member, *alarm, *below)]),
        Action::Compact { revision } => match view.revision {
            Some(head) if *revision > head => {
                Stop(format!("revision {} is in the future: the newest is {}", revision.0, head.0))
            }
            _ => here,
        },
        Action::ProveWrite { .. } | Action::Snapshot { .. } => here,
    }
}

/// Whether this member, or without one any, raises the alarm.
fn raised(view: &ClusterView, member: Option<MemberId>, alarm: AlarmKind) -> bool {
    view.alarms.iter().any(|a| member.is_none_or(|m| a.member == m) && a.kind == alarm)
}

/// NOSPACE is taken back only when every file is below the quota; otherwise it says what must come first.
fn disarm(view: &ClusterView, member: Option<MemberId>, alarm: AlarmKind, below: Permille) -> Gate {
    let below = below.share();
    if !raised(view, member, alarm) {
        // Somebody else took it back: what was wanted is so.
        return Go;
    }
    if alarm == AlarmKind::Corrupt {
        return Go;
    }
    for m in view.members.iter().filter(|m| m.listed && m.state != MemberState::Unstarted) {
        if !m.state.answers() {
            return Wait(format!(
                "{} is {}: how large its file is now is not known",
                m.label(),
                m.state.shown()
            ));
        }
        let known = m.status.as_ref().and_then(|s| Some((s, s.db_size?, m.quota()?.0)));
        let Some((status, size, quota)) = known else {
            return Wait(format!(
                "the quota of {} is not known: its /metrics tell it (--metrics-url)",
                m.label()
            ));
        };
        if size.share_of(quota) >= below {
            let in_use = status.db_size_in_use.unwrap_or(size);
            let first = if in_use.share_of(quota) >= below {
                "all of it is in use: compact first, then defragment; where there is no history to drop, delete keys or raise --quota-backend-bytes"
            } else {
                "compact and defragment first"
            };
            let (share, below) = (percent(size.share_of(quota)), percent(below));
            let label = m.label();
            return Stop(format!(
                "db {size} of {label} is {share} of its quota {quota}, and the alarm is taken back below {below}: {first}"
            ));
        }
    }
    Go
}

/// Whether the physical work of a compaction has ended on every voter: `physical` makes the call wait for the member that
/// answers it alone, and a defragmentation that begins before the work ends gives back less. Told by the count of
/// `etcd_debugging_mvcc_db_compaction_total_duration_milliseconds`; where there are no `/metrics` nothing can be waited for.
#[must_use]
pub fn compacted(before: &ClusterView, now: &ClusterView) -> Gate {
    for m in now.members.iter().filter(|m| m.is_voter() && m.state != MemberState::Unstarted) {
        let answered = m.id.and_then(|id| before.member(id)).is_some_and(|m| m.state.answers());
        if !m.state.answers() {
            if !answered {
                // It was gone before: the preflight said so.
                continue;
            }
            return Wait(format!(
                "{} is {}: whether it has dropped what was compacted is not known",
                m.label(),
                m.state.shown()
            ));
        }
        let Some(then) = m.id.and_then(|id| before.member(id)).filter(|m| m.metrics_asked.is_some()) else {
            continue;
        };
        let Some((then, is)) = then.metrics.as_ref().zip(m.metrics.as_ref()) else { continue };
        // A member that was restarted counts anew, and takes up what it had not finished when it starts.
        if then.same_process(is)
            && then.compactions.is_some()
            && (m.metrics_asked.is_none() || then.compactions == is.compactions)
        {
            return Wait(format!("{} still drops what was compacted", m.label()));
        }
    }
    Go
}

/// Commits after the end of a compaction until a member's in use no longer counts what that freed, at most. bbolt keeps pages
/// pending while a reader of an older transaction is left; etcd lets go of its own while it commits, and takes the figure from
/// the statistics of that transaction (`batchTxBuffered.unsafeCommit`, `backend.begin`): so it is in the next commit, or in the
/// one after it. Before 3.6 the first may be that of the deletions themselves. It commits ten times a second while something
/// is written, and else never.
const COMMITS_TO_TELL: u64 = 3;

/// Whether a member's in use is of after the compaction that had ended by `then`. Where no `/metrics` count commits it is
/// taken for that.
#[must_use]
pub fn tells_in_use(then: &MemberView, now: &MemberView) -> bool {
    let Some((then, now)) = then.metrics.as_ref().zip(now.metrics.as_ref()) else { return true };
    let commits = then.backend_commit.as_ref().zip(now.backend_commit.as_ref());
    // A process that is new has read its free pages from the file.
    !then.same_process(now)
        || commits.is_none_or(|(then, now)| now.count().saturating_sub(then.count()) >= COMMITS_TO_TELL)
}

/// Whether in use is of after the compaction that had ended by `then` on each voter where something `hinges` on it: see
/// [`tells_in_use`].
#[must_use]
pub fn in_use_told(then: &ClusterView, now: &ClusterView, hinges: impl Fn(&MemberView) -> bool) -> Gate {
    let mut voters = now.members.iter().filter(|m| m.is_voter() && m.state.answers());
    let old = |m: &MemberView| m.id.and_then(|id| then.member(id)).is_some_and(|then| !tells_in_use(then, m));
    voters
        .find(|m| old(m) && hinges(m))
        .map_or(Go, |m| Wait(format!("what was compacted still counts as in use on {}", m.label())))
}

/// What must hold after a step before the next one may begin.
#[must_use]
pub fn after(cluster: ClusterId, action: &Action, view: &ClusterView) -> Gate {
    let here = one_cluster(view, cluster);
    match action {
        Action::Defragment { .. } => all([here, voters_whole(view, None)]),
        Action::MoveLeader { to, .. } => {
            let names = |m: &&MemberView| m.status.as_ref().is_some_and(|s| s.leader == Some(*to));
            let voters = || view.members.iter().filter(|m| m.is_voter() && m.state.answers());
            let quorum = view.quorum().unwrap_or(1);
            let agree = voters().all(|m| names(&m)) && voters().count() >= quorum;
            all([here, if agree { Go } else { Wait("not every member names the new leader yet".into()) }])
        }
        Action::Disarm { member, alarm, .. } => {
            if raised(view, *member, *alarm) {
                Wait(format!("{alarm} is still raised"))
            } else {
                Go
            }
        }
        Action::Compact { .. } | Action::ProveWrite { .. } | Action::Snapshot { .. } => Go,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metrics::Histogram;
    use crate::model::{Alarm, Bytes, Revision};
    use crate::ops::plan::Verify;
    use crate::testing::{healthy, with_state};

    fn cluster() -> ClusterId {
        healthy(1).cluster_id.unwrap()
    }

    fn id(view: &ClusterView, i: usize) -> MemberId {
        view.members[i].id.unwrap()
    }

    #[test]
    fn a_defragmentation_wants_every_voter_whole() {
        let view = healthy(3);
        let action = Action::Defragment { member: id(&view, 1) };
        assert_eq!(before(cluster(), &action, &view), Go);
        let hung = with_state(healthy(3), 2, MemberState::Hung, "accepts TCP");
        assert_eq!(before(cluster(), &action, &hung), Wait("m3 is hung: accepts TCP".into()));
        let mut behind = healthy(3);
        behind.members[0].lag = Some(LAG_BOUND + 1);
        assert!(matches!(before(cluster(), &action, &behind), Wait(_)));
        let mut corrupt = healthy(3);
        corrupt.alarms = vec![Alarm { member: id(&view, 0), kind: AlarmKind::Corrupt }];
        assert!(matches!(before(cluster(), &action, &corrupt), Stop(_)));
        let mut full = healthy(3);
        full.alarms = vec![Alarm { member: id(&view, 0), kind: AlarmKind::NoSpace }];
        assert_eq!(before(cluster(), &action, &full), Go, "NOSPACE is what it helps against");
        let mut gone = healthy(3);
        gone.members.remove(1);
        assert!(matches!(before(cluster(), &action, &gone), Stop(_)));
        assert!(matches!(before(ClusterId(1), &action, &view), Stop(_)), "another cluster");
    }

    #[test]
    fn nospace_is_taken_back_below_the_quota_alone_and_says_what_comes_first() {
        let sized = |size: u64, in_use: u64| {
            let mut view = healthy(3);
            for m in &mut view.members {
                if let Some(s) = &mut m.status {
                    (s.db_quota, s.db_size, s.db_size_in_use) =
                        (Some(Bytes(1_000)), Some(Bytes(size)), Some(Bytes(in_use)));
                }
            }
            view.alarms = vec![Alarm { member: id(&view, 0), kind: AlarmKind::NoSpace }];
            view
        };
        let gate = |view: &ClusterView| {
            let below = Permille::default();
            before(cluster(), &Action::Disarm { member: None, alarm: AlarmKind::NoSpace, below }, view)
        };
        assert_eq!(gate(&sized(899, 100)), Go);
        assert!(matches!(gate(&sized(900, 100)), Stop(s) if s.contains("compact and defragment first")));
        assert!(matches!(gate(&sized(990, 950)), Stop(s) if s.contains("raise --quota-backend-bytes")));
    }

    #[test]
    fn a_compaction_goes_neither_forward_nor_back() {
        let view = healthy(3);
        let gate = |r: i64| before(cluster(), &Action::Compact { revision: Revision(r) }, &view);
        assert_eq!(gate(1_284_000), Go);
        assert!(matches!(gate(1_285_024), Stop(s) if s.contains("future")));
        assert_eq!(gate(1_280_000), Go, "somebody else was faster: there is nothing left to do");
    }

    #[test]
    fn in_use_is_told_three_commits_after_a_compaction() {
        let with = |commits: [u64; 3]| {
            let mut view = healthy(3);
            for (m, n) in view.members.iter_mut().zip(commits) {
                let counted = Histogram { buckets: vec![(0.1, n), (f64::INFINITY, n)], sum: 1.0 };
                m.metrics_mut().backend_commit = Some(counted);
                m.metrics_mut().started_at = Some(crate::testing::noon());
            }
            view
        };
        let then = with([10, 20, 30]);
        let told = |now: &ClusterView| in_use_told(&then, now, |_| true);
        assert_eq!(told(&with([13, 23, 33])), Go);
        let mut now = with([13, 22, 33]);
        assert!(matches!(told(&now), Wait(why) if why.ends_with("in use on m2")));
        assert_eq!(in_use_told(&then, &now, |m| m.label() != "m2"), Go, "nobody asks for it there");
        // It was started anew.
        now.members[1].metrics_mut().started_at = Some(jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(told(&now), Go);
        let mut silent = with([13, 22, 33]);
        silent.members[1].metrics = None;
        assert_eq!(told(&silent), Go, "nothing can be waited for");
        let hung = with_state(with([13, 22, 33]), 1, MemberState::Hung, "accepts TCP");
        assert_eq!(told(&hung), Go, "that is another gate's matter");
    }

    #[test]
    fn a_snapshot_needs_no_quorum() {
        let mut view = healthy(3);
        view.leader = None;
        view.members[0].state = MemberState::NoLeader;
        let action = Action::Snapshot {
            member: id(&view, 0),
            file: "/x".into(),
            numbered: false,
            verify: Verify::Full,
        };
        assert_eq!(before(cluster(), &action, &view), Go);
    }
}
