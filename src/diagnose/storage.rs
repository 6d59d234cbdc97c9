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
                // The threshold leaves room for what is written until somebody looks again.
                match view.fullest() {
                    Some((size, quota)) if size.share_of(quota) < 0.9 => {
                        "the files are below the quota again: take the alarm back"
                    }
                    _ => "compact, defrag each member, then take the alarm back",
                },
                "The database outgrew its quota. Every member refuses puts until the alarm is disarmed; disarming above the quota only brings it back.",
            ),
            AlarmKind::Corrupt => (
                "writes fail",
                "find the odd member (hashkv), replace it",
                "Members disagree about data at the same revision. Writes are refused until the alarm is disarmed.",
            ),
        };
        let line = format!("{kind} raised by {raisers}: {what}");
        let f = Finding::new("alarm", None, Severity::Critical, line, next, meaning).about(kind.to_string());
        // Below the quota again only the alarm is left; otherwise the whole way out.
        let below = view.fullest().is_some_and(|(size, quota)| size.share_of(quota) < 0.9);
        found.push(match kind {
            AlarmKind::NoSpace if below => f.done_by("alarms"),
            AlarmKind::NoSpace => f.done_by("recover"),
            AlarmKind::Corrupt => f,
        });
    }
}

/// More in use than allocated: no etcd has that, so neither figure can be relied on.
pub(super) fn contradiction(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    for (m, size) in sizes(view) {
        let Some(in_use) = m.status.as_ref().and_then(|s| s.db_size_in_use).filter(|b| *b > size) else {
            continue;
        };
        found.push(Finding::new(
            "sizes_contradict",
            m.id,
            Severity::Warning,
            format!("{} says {in_use} of its file of {size} are in use", m.label()),
            "do not rely on its sizes; compare with the file on its disk",
            "dbSizeInUse is the file's size less its free pages, so it cannot be larger than dbSize.",
        ));
    }
}

/// db size over quota: above 80% a warning (etcd-defrag), above 95% critical (mixin). One finding for all members: they
/// hold the same data and fill up together.
pub(super) fn quota(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    let mut over: Vec<(f64, &MemberView, Bytes, Bytes)> = sizes(view)
        .filter_map(|(m, size)| {
            let (quota, _) = m.quota()?;
            Some((size.share_of(quota), m, size, quota))
        })
        .filter(|(share, ..)| *share > 0.80)
        .collect();
    over.sort_by(|a, b| b.0.total_cmp(&a.0));
    let Some((worst, m, size, quota)) = over.first() else { return };
    let others = others(&over, |(.., m, _, _)| m.label());
    let line = format!("{}: db {size} is {} of its quota {quota}{others}", m.label(), percent(*worst));
    let mut f = Finding::new(
        "quota_nearly_full",
        None,
        if *worst > 0.95 { Severity::Critical } else { Severity::Warning },
        line,
        "compact, then defrag",
        "At the quota etcd raises NOSPACE and refuses puts. Thresholds: 95% from the etcd mixin, 80% from etcd-defrag.",
    );
    f.action = Some("compact");
    for (share, m, size, quota) in &over {
        f.evidence.push(format!("{}: db {size} / quota {quota} = {share:.3}", m.label()));
    }
    f.evidence.push("warning above 0.80, critical above 0.95".into());
    found.push(f);
}

/// In use below half of the file, with more than 100 MiB in use (mixin). One finding: one rolling defrag mends it.
pub(super) fn fragmentation(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    let mut over: Vec<(f64, &MemberView, Bytes)> = sizes(view)
        .filter_map(|(m, size)| {
            let in_use = m.status.as_ref()?.db_size_in_use?;
            (in_use.0 > 100 * MIB).then(|| (in_use.share_of(size), m, size.minus(in_use)))
        })
        .filter(|(share, ..)| *share < 0.5)
        .collect();
    over.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some((in_use, m, free)) = over.first() else { return };
    let others = others(&over, |(_, m, _)| m.label());
    let line = format!("{}: {} of its file is free space ({free}){others}", m.label(), percent(1.0 - in_use));
    let next = if view.healthy_voters() < view.voters() {
        "defrag when every member serves again"
    } else if over.len() == 1 {
        "defrag it"
    } else {
        "defrag one after the other"
    };
    let mut f = Finding::new(
        "fragmented",
        None,
        Severity::Warning,
        line,
        next,
        "Compaction frees pages inside the file; only a defragmentation gives them back. Threshold from the etcd mixin.",
    );
    if view.healthy_voters() == view.voters() {
        f.action = Some("rolling_defrag");
    }
    for (share, m, free) in &over {
        f.evidence.push(format!("{}: in_use / db_size = {share:.3}, {free} free", m.label()));
    }
    f.evidence.push("warning below 0.5 with more than 100 MiB in use".into());
    found.push(f);
}

/// `; m2, m3 too` after the line about the worst one.
fn others<T>(over: &[T], label: impl Fn(&T) -> String) -> String {
    match over.iter().skip(1).map(label).collect::<Vec<_>>() {
        names if names.is_empty() => String::new(),
        names if names.len() > 3 => format!("; {} members more too", names.len()),
        names => format!("; {} too", names.join(", ")),
    }
}

/// `/metrics` that cannot be had: no fsync, no proposals, before 3.6 no quota.
pub(super) fn metrics(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    let without: Vec<&MemberView> =
        view.members.iter().filter(|m| m.state.answers() && m.metrics_error.is_some()).collect();
    let Some(m) = without.first() else { return };
    let reason = m.metrics_error.as_ref().map(ToString::to_string).unwrap_or_default();
    let quota = if without.iter().any(|m| m.quota().is_none()) { "; its quota is not known" } else { "" };
    let mut f = Finding::new(
        "metrics_missing",
        None,
        Severity::Note,
        format!("{}: no /metrics: {reason}{}{quota}", m.label(), others(&without, |m| m.label())),
        "name them with --metrics-url http://*:2381",
        "fsync, proposals, round trips, the compaction floor, and before 3.6 the quota, come from /metrics alone.",
    );
    for m in &without {
        f.evidence.extend(m.metrics_error.as_ref().map(|e| format!("{}: {e}", m.label())));
    }
    found.push(f);
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
        found.push(
            Finding::new(
                "sizes_differ",
                large.id,
                Severity::Note,
                line,
                "defrag the larger ones",
                "Members hold the same data; a file twice as large was left out of a defragmentation.",
            )
            .done_by("rolling_defrag"),
        );
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
