//! How long the disks take.

use std::time::Duration;

use super::Settles::Slowly;
use super::{Case, Found, Rule, Slow, others};
use crate::model::metrics::{Histogram, MetricsSample, Spread};
use crate::model::units::{age, grouped, latency};
use crate::model::{MemberView, Role, Severity};
use crate::poll::scrapes::MIXIN_WINDOW;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "fsync_slow",
        when: "p99 over 5 min above 10 ms: note; 500 ms: warning; 1 s: critical",
        source: "10 ms: etcd docs; the others: etcdHighFsyncDurations of the mixin",
        from: "etcd_disk_wal_fsync_duration_seconds",
        meaning: "Every write waits until a majority has it in its log on disk. The leader's disk is in the way of all of them; a follower's as soon as the others are no majority without it. Above the election timeout (1 s by default) leaders are lost.",
        settles: Slowly,
        find: fsync,
    },
    Rule {
        name: "commit_slow",
        when: "p99 over 5 min above 25 ms: note; 250 ms: warning",
        source: "25 ms: etcd docs; 250 ms: etcdHighCommitDurations of the mixin",
        from: "etcd_disk_backend_commit_duration_seconds",
        meaning: "Ten times a second (or every 10,000 changes) etcd writes what it applied into its database file. While it does, applying waits.",
        settles: Slowly,
        find: commit,
    },
];

const FSYNC: Slow = Slow {
    note: Duration::from_millis(10),
    warning: Duration::from_millis(500),
    critical: Duration::from_secs(1),
};

const COMMIT: Slow =
    Slow { note: Duration::from_millis(25), warning: Duration::from_millis(250), critical: Duration::MAX };

fn fsync(case: &Case<'_>, found: &mut Found<'_>) {
    disk(case, found, &FSYNC, |s| s.wal_fsync.as_ref(), "fsync of its log");
}

fn commit(case: &Case<'_>, found: &mut Found<'_>) {
    disk(case, found, &COMMIT, |s| s.backend_commit.as_ref(), "commit of its database");
}

fn disk(
    case: &Case<'_>,
    found: &mut Found<'_>,
    slow: &Slow,
    histogram: fn(&MetricsSample) -> Option<&Histogram>,
    what: &str,
) {
    let mut notes: Vec<(&MemberView, Spread)> = Vec::new();
    for m in case.view.members.iter().filter(|m| m.state.answers()) {
        let Some(window) = m.id.and_then(|id| case.history.window(id, MIXIN_WINDOW)) else { continue };
        let Some(spread) = window.spread(histogram) else { continue };
        let Some(severity) = slow.severity(&spread) else { continue };
        if severity == Severity::Note {
            notes.push((m, spread));
            continue;
        }
        let leads = m.role == Role::Leader;
        let line = format!(
            "{}{}: {what} takes {} (p99)",
            m.label(),
            if leads { ", the leader" } else { "" },
            latency(spread.p99)
        );
        let next = if leads {
            "let another lead; look at its disk"
        } else {
            "look at its disk: who else writes there?"
        };
        let f = found.add(severity, m.id, line, next);
        f.action = leads.then_some("move_leader");
        f.evidence.push(told(&spread));
        f.evidence.push(slow.words());
    }
    // Not yet bad: one finding for all members, which mostly stand on disks of one kind.
    notes.sort_by_key(|(_, spread)| std::cmp::Reverse(spread.p99));
    let Some((m, spread)) = notes.first() else { return };
    let others = others(&notes, |(m, _)| m.label());
    let line = format!("{}: {what} takes {} (p99){others}", m.label(), latency(spread.p99));
    let f = found.add(Severity::Note, None, line, "watch it; a faster disk of its own helps");
    f.evidence.extend(notes.iter().map(|(m, spread)| format!("{}: {}", m.label(), told(spread))));
    f.evidence.push(slow.words());
}

/// `p50 1.2 ms, p99 14 ms of 1,204 in 5 min`.
pub(super) fn told(spread: &Spread) -> String {
    format!(
        "p50 {}, p99 {} of {} in {}",
        latency(spread.p50),
        latency(spread.p99),
        grouped(spread.count),
        age(spread.span)
    )
}
