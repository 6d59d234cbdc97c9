//! Findings about space and about members that fall behind.

use crate::model::units::{grouped, percent};
use crate::model::{AlarmKind, Bytes, ClusterView, Finding, MemberView, Severity};
use crate::poll::history::History;

const MIB: u64 = 1 << 20;

/// Alarms: at once, one finding for each kind.
pub(super) fn alarms(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    for kind in [AlarmKind::Corrupt, AlarmKind::NoSpace] {
        let raisers = view.raisers(kind);
        if raisers.is_empty() {
            continue;
        }
        let (what, next, meaning) = match kind {
            AlarmKind::NoSpace => (
                "puts fail on every member",
                "compact, defrag, then disarm",
                "The database outgrew its quota. Every member refuses puts until the alarm is disarmed; disarming above the quota only brings it back.",
            ),
            AlarmKind::Corrupt => (
                "writes fail",
                "find the odd member (hashkv), replace it",
                "Members disagree about data at the same revision. Writes are refused until the alarm is disarmed.",
            ),
        };
        let line = format!("{kind} raised by {raisers}: {what}");
        found.push(Finding::new("alarm", None, Severity::Critical, line, next, meaning));
    }
}

/// db size over quota: above 80% a warning (etcd-defrag), above 95% critical (mixin).
pub(super) fn quota(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    for (m, size) in sizes(view) {
        let Some((quota, _)) = m.quota() else { continue };
        let share = size.share_of(quota);
        let severity = match share {
            s if s > 0.95 => Severity::Critical,
            s if s > 0.80 => Severity::Warning,
            _ => continue,
        };
        let line = format!("{}: db {size} is {} of its quota {quota}", m.label(), percent(share));
        let mut f = Finding::new(
            "quota_nearly_full",
            m.id,
            severity,
            line,
            "compact and defrag",
            "At the quota etcd raises NOSPACE and refuses puts. Thresholds: 95% from the etcd mixin, 80% from etcd-defrag.",
        );
        f.evidence.push(format!("db_size / quota = {share:.3}; warning above 0.80, critical above 0.95"));
        found.push(f);
    }
}

/// In use below half of the file, with more than 100 MiB in use (mixin).
pub(super) fn fragmentation(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    for (m, size) in sizes(view) {
        let Some(in_use) = m.status.as_ref().and_then(|s| s.db_size_in_use) else { continue };
        if in_use.0 > 100 * MIB && in_use.share_of(size) < 0.5 {
            let free = size.minus(in_use);
            let line =
                format!("{}: {} of its file is free space ({free})", m.label(), percent(free.share_of(size)));
            let mut f = Finding::new(
                "fragmented",
                m.id,
                Severity::Warning,
                line,
                "defrag it",
                "Compaction frees pages inside the file; only a defragmentation gives them back. Threshold from the etcd mixin.",
            );
            f.evidence.push(format!(
                "in_use / db_size = {:.3}; warning below 0.5 with more than 100 MiB in use",
                in_use.share_of(size)
            ));
            found.push(f);
        }
    }
}

/// One file more than twice another: a defrag reached only some members.
pub(super) fn sizes_differ(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    let smallest = sizes(view).min_by_key(|(_, size)| *size);
    let largest = sizes(view).max_by_key(|(_, size)| *size);
    if let (Some((small, a)), Some((large, b))) = (smallest, largest)
        && b.0 > 100 * MIB
        && b.0 / 2 > a.0
    {
        let line = format!("{} has {b} allocated, {} only {a}", large.label(), small.label());
        found.push(Finding::new(
            "sizes_differ",
            large.id,
            Severity::Note,
            line,
            "defrag the larger ones",
            "Members hold the same data; a file twice as large was left out of a defragmentation.",
        ));
    }
}

/// Entries behind the leader: above 1,000 a warning, above 10,000 critical.
pub(super) fn lag(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    for m in &view.members {
        let Some(lag) = m.lag else { continue };
        let severity = match lag {
            10_001.. => Severity::Critical,
            1_001.. => Severity::Warning,
            _ => continue,
        };
        let line = format!("{} is {} entries behind the leader", m.label(), grouped(lag));
        found.push(Finding::new(
            "lag",
            m.id,
            severity,
            line,
            "look at its disk and network",
            "Applied index behind the leader's commit index. etcd itself calls an apply gap of 5,000 slow.",
        ));
    }
}

fn sizes(view: &ClusterView) -> impl Iterator<Item = (&MemberView, Bytes)> {
    view.members.iter().filter(|m| m.state.answers()).filter_map(|m| Some((m, m.status.as_ref()?.db_size?)))
}
