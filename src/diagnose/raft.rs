//! Members that fall behind, leaders that are lost, proposals that fail.

use std::time::Duration;

use super::Settles::{AtOnce, Slowly};
use super::{Case, Found, Rule};
use crate::model::units::grouped;
use crate::model::{MemberView, Severity};
use crate::poll::history::LEADERS_SPAN;
use crate::poll::scrapes::{MIXIN_WINDOW, SCRAPES_SPAN};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "lag",
        when: "a member is more than 1,000 entries behind: warning; more than 10,000: critical; more than 100 and ever more for 30 s: warning",
        source: "etcd itself calls an apply gap of 5,000 slow, and then refuses writes",
        from: "Status.raftIndex of the leader, Status.raftAppliedIndex",
        meaning: "The applied index is behind the leader's commit index. Reads through that member are late (serializable) or wait (linearizable), and should it have to lead it has to catch up first. Disk, CPU or the way to the leader are too slow.",
        settles: Slowly,
        find: lag,
    },
    Rule {
        name: "leader_changes",
        when: "another leader four times or more within 15 min: warning",
        source: "etcdHighNumberOfLeaderChanges of the mixin",
        from: "Status.leader; etcd_server_leader_changes_seen_total",
        meaning: "Each election stops writes for about a second. Leaders are lost when heartbeats come too late: slow disks, a bad network, starved processes.",
        settles: AtOnce,
        find: leader_changes,
    },
    Rule {
        name: "proposals_failed",
        when: "more than 5 failed proposals a second over what is known, up to 15 min: warning; known for less than a minute: note",
        source: "etcdHighNumberOfFailedProposals of the mixin",
        from: "etcd_server_proposals_failed_total",
        meaning: "A proposal fails when it is not committed in time: the leader was lost while it was under way, or there is no quorum. Clients got an error for each and cannot know whether it was applied.",
        settles: Slowly,
        find: proposals_failed,
    },
    Rule {
        name: "proposals_pending",
        when: "more than 100 proposals wait for their commit: note",
        source: "etcd docs: a rising number means that the member cannot commit as fast as clients write",
        from: "etcd_server_proposals_pending",
        meaning: "Writes queue up before Raft. Clients feel it as latency before anything fails.",
        settles: Slowly,
        find: proposals_pending,
    },
    Rule {
        name: "slow_applies",
        when: "20 requests or more took longer than 100 ms to apply within 5 min: note",
        source: "etcd's own warning (apply request took too long)",
        from: "etcd_server_slow_apply_total",
        meaning: "Applying is what a member does after the commit: the backend's disk, large ranges in transactions, or a CPU that is not there. etcd logs each with what it was.",
        settles: Slowly,
        find: slow_applies,
    },
];

/// As far as its lag and its own apply queue tell.
fn behind(m: &MemberView) -> Option<u64> {
    let s = m.status.as_ref().filter(|_| m.state.answers())?;
    let own = s.raft_applied_index.behind(s.raft_index);
    Some(m.lag.unwrap_or(0).max(own))
}

fn lag(case: &Case<'_>, found: &mut Found<'_>) {
    for m in &case.view.members {
        let Some(behind) = behind(m) else { continue };
        let grows = grows(case, m, behind);
        let severity = match behind {
            10_001.. => Severity::Critical,
            1_001.. => Severity::Warning,
            101.. if grows.is_some() => Severity::Warning,
            _ => continue,
        };
        let more = grows.as_ref().map_or("", |_| ", and ever more");
        let line = format!("{} is {} entries behind the leader{more}", m.label(), grouped(behind));
        let f = found.add(severity, m.id, line, "look at its disk, CPU and network");
        f.evidence.extend(grows);
        f.evidence.extend(
            m.status
                .as_ref()
                .map(|s| format!("committed {}, applied {}", s.raft_index.0, s.raft_applied_index.0)),
        );
        f.evidence.push("warning above 1,000, critical above 10,000".into());
    }
}

/// Whether the lag grew from each third of the last half minute, or of the last nine polls, to the next.
fn grows(case: &Case<'_>, m: &MemberView, now: u64) -> Option<String> {
    const SPAN: Duration = Duration::from_secs(30);
    let fine = case.history.ring(m.id?)?.fine();
    let newest = fine.back()?.at;
    let ago = |at: jiff::Timestamp| newest.duration_since(at).unsigned_abs();
    let samples: Vec<_> = fine.iter().rev().filter_map(|s| Some((s.at, s.lag?))).collect();
    let recent = samples.iter().take_while(|(at, _)| ago(*at) <= SPAN).count();
    let samples = samples.get(..recent.max(9))?;
    // The newest come first.
    let mut thirds = samples.chunks(samples.len().div_ceil(3)).map(|third| {
        let mut lags: Vec<_> = third.iter().map(|(_, lag)| *lag).collect();
        lags.sort_unstable();
        lags[lags.len() / 2]
    });
    let (c, b, a) = (thirds.next()?, thirds.next()?, thirds.next()?);
    let span = ago(samples.last()?.0).as_secs();
    (a < b && b < c && now >= c / 2).then(|| format!("lag in the last {span} s: {a}, {b}, {c}"))
}

fn leader_changes(case: &Case<'_>, found: &mut Found<'_>) {
    let seen = case.history.leader_changes() as u64;
    // What happened between two looks of ours the members have counted.
    let counted = case
        .view
        .members
        .iter()
        .filter_map(|m| case.history.window(m.id?, SCRAPES_SPAN)?.increase(|s| s.leader_changes))
        .max();
    let changes = seen.max(counted.unwrap_or(0));
    if changes >= 4 {
        let minutes = LEADERS_SPAN.as_secs() / 60;
        let line = format!("another leader {changes} times in the last {minutes} min");
        let f = found.add(Severity::Warning, None, line, "look at round trips, fsync and CPU of the leaders");
        f.evidence.push(format!("{seen} seen from here"));
        f.evidence.extend(counted.map(|n| format!("{n} counted by a member in what is known")));
        f.evidence.push("warning from 4 in 15 min".into());
    }
}

fn proposals_failed(case: &Case<'_>, found: &mut Found<'_>) {
    for m in &case.view.members {
        let window = m.id.and_then(|id| case.history.window(id, SCRAPES_SPAN));
        let Some(rate) = window.and_then(|w| w.rate(|s| s.proposals_failed)) else { continue };
        if rate > 5.0 {
            let line = format!("{}: {rate:.1} proposals fail a second", m.label());
            // Known for a minute at least; the mixin wants fifteen.
            let long = window.is_some_and(|w| w.span() >= Duration::from_secs(60));
            let severity = if long { Severity::Warning } else { Severity::Note };
            let f = found.add(severity, m.id, line, "look for a lost leader or quorum");
            let total = window.and_then(|w| w.increase(|s| s.proposals_failed)).unwrap_or_default();
            let span = window.map(|w| w.span().as_secs()).unwrap_or_default();
            f.evidence.push(format!("{} failed in {span} s; warning above 5 a second", grouped(total)));
        }
    }
}

fn proposals_pending(case: &Case<'_>, found: &mut Found<'_>) {
    for m in &case.view.members {
        let Some(pending) = case.fresh(m).and_then(|x| x.proposals_pending).filter(|n| *n > 100) else {
            continue;
        };
        let line = format!("{}: {} proposals wait for their commit", m.label(), grouped(pending));
        let f = found.add(Severity::Note, m.id, line, "look at fsync and round trips: what is slow?");
        f.evidence.push("note above 100".into());
    }
}

fn slow_applies(case: &Case<'_>, found: &mut Found<'_>) {
    for m in &case.view.members {
        let window = m.id.and_then(|id| case.history.window(id, MIXIN_WINDOW));
        let Some(slow) = window.and_then(|w| w.increase(|s| s.slow_applies)).filter(|n| *n >= 20) else {
            continue;
        };
        let seconds = window.map(|w| w.span().as_secs()).unwrap_or_default();
        let line = format!("{}: {} requests took long to apply in {seconds} s", m.label(), grouped(slow));
        let f = found.add(Severity::Note, m.id, line, "read its log: which requests");
        f.evidence.push("note from 20 in 5 min that took longer than 100 ms".into());
    }
}
