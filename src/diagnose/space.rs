//! Alarms, quota, fragmentation: what the files are and what they may become.

use super::Settles::AtOnce;
use super::forecast::{self, Outlook};
use super::{Case, Found, Rule, others};
use crate::model::units::{age, percent};
use crate::model::{AlarmKind, Bytes, ClusterView, MemberView, Severity};

const MIB: u64 = 1 << 20;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "alarm_corrupt",
        when: "a CORRUPT alarm is raised: critical, at once",
        source: "",
        from: "Status.errors",
        meaning: "Members disagree about data at the same revision. Writes are refused until the alarm is disarmed, which mends nothing: the odd member has to be found (HashKV) and replaced.",
        settles: AtOnce,
        find: corrupt,
    },
    Rule {
        name: "alarm_nospace",
        when: "a NOSPACE alarm is raised: critical, at once",
        source: "",
        from: "Status.errors",
        meaning: "The database outgrew its quota. Every member refuses puts until the alarm is disarmed; disarming above the quota only brings it back.",
        settles: AtOnce,
        find: no_space,
    },
    Rule {
        name: "quota_nearly_full",
        when: "db size above 80% of the quota: warning; above 95%: critical",
        source: "95%: etcdDatabaseQuotaLowSpace of the mixin; 80%: etcd-defrag",
        from: "Status.dbSize; Status.dbSizeQuota (3.6), etcd_server_quota_backend_bytes before",
        meaning: "At the quota etcd raises NOSPACE and refuses puts. Compaction frees pages inside the file, a defragmentation gives them back: both are needed to get further from it.",
        settles: AtOnce,
        find: quota,
    },
    Rule {
        name: "quota_soon",
        when: "at the rate of what is known (10 min to 4 h) db size passes the quota within 4 h: warning",
        source: "etcdExcessiveDatabaseGrowth of the mixin",
        from: "Status.dbSize over time",
        meaning: "A line is laid through the sizes of a minute each. It starts anew after a defragmentation. The confidence says how well they lie on it and how long they are known: growth in bursts, or known for minutes, may end as it came.",
        settles: super::Settles::Slowly,
        find: quota_soon,
    },
    Rule {
        name: "fragmented",
        when: "less than half of the file is in use, and more than 100 MiB are: warning",
        source: "etcdDatabaseHighFragmentationRatio of the mixin (OpenShift: 45% free and 100 MB)",
        from: "Status.dbSizeInUse, Status.dbSize",
        meaning: "Compaction frees pages inside the file; only a defragmentation gives them back. Free pages are used again first, so a file that is half empty does not grow: it costs disk, and the time to copy it.",
        settles: AtOnce,
        find: fragmentation,
    },
    Rule {
        name: "sizes_differ",
        when: "one file is more than twice another and above 100 MiB: note",
        source: "runbooks",
        from: "Status.dbSize",
        meaning: "Members hold the same data; a file twice as large was left out of a defragmentation.",
        settles: AtOnce,
        find: sizes_differ,
    },
    Rule {
        name: "sizes_contradict",
        when: "more is in use than allocated: warning",
        source: "",
        from: "Status.dbSizeInUse, Status.dbSize",
        meaning: "dbSizeInUse is the file's size less its free pages, so it cannot be larger than dbSize.",
        settles: AtOnce,
        find: contradiction,
    },
];

fn sizes(view: &ClusterView) -> impl Iterator<Item = (&MemberView, Bytes)> {
    view.members.iter().filter(|m| m.state.answers()).filter_map(|m| Some((m, m.status.as_ref()?.db_size?)))
}

fn corrupt(case: &Case<'_>, found: &mut Found<'_>) {
    let raisers = case.view.raisers(AlarmKind::Corrupt);
    if !raisers.is_empty() {
        let line = format!("{} raised by {raisers}: writes fail", AlarmKind::Corrupt);
        let f = found.add(Severity::Critical, None, line, "find the odd member, replace it");
        f.action = Some("compare_data");
    }
}

fn no_space(case: &Case<'_>, found: &mut Found<'_>) {
    let raisers = case.view.raisers(AlarmKind::NoSpace);
    if raisers.is_empty() {
        return;
    }
    // Below the quota again only the alarm is left; otherwise the whole way out. The threshold leaves room for what is
    // written until somebody looks again.
    let below = case.view.fullest().is_some_and(|(size, quota)| size.share_of(quota) < 0.9);
    let (next, action) = if below {
        ("the files are below the quota again: take the alarm back", "alarms")
    } else {
        ("compact, defrag each member, then take the alarm back", "recover")
    };
    let line = format!("{} raised by {raisers}: puts fail on every member", AlarmKind::NoSpace);
    let f = found.add(Severity::Critical, None, line, next);
    f.action = Some(action);
    for (m, size) in sizes(case.view) {
        f.evidence.extend(m.quota().map(|(quota, _)| format!("{}: db {size} / quota {quota}", m.label())));
    }
}

/// One finding for all members: they hold the same data and fill up together.
fn quota(case: &Case<'_>, found: &mut Found<'_>) {
    let mut over: Vec<(f64, &MemberView, Bytes, Bytes)> = sizes(case.view)
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
    let severity = if *worst > 0.95 { Severity::Critical } else { Severity::Warning };
    let f = found.add(severity, None, line, "compact, then defrag");
    f.action = Some("compact");
    for (share, m, size, quota) in &over {
        f.evidence.push(format!("{}: db {size} / quota {quota} = {share:.3}", m.label()));
    }
    f.evidence.push("warning above 0.80, critical above 0.95".into());
}

fn quota_soon(case: &Case<'_>, found: &mut Found<'_>) {
    let mut soon: Vec<_> = case
        .view
        .members
        .iter()
        .filter(|m| m.state.answers())
        .filter_map(|m| match forecast::of_member(m, case.history.ring(m.id?)?).db_size {
            Outlook::Grows(f) if f.in_four_hours > f.quota => Some((m, f)),
            _ => None,
        })
        .collect();
    soon.sort_by_key(|(_, f)| f.full_in);
    let Some((m, f)) = soon.first() else { return };
    let others = others(&soon, |(m, _)| m.label());
    let line = format!(
        "{}: db reaches its quota in about {} at {} ({} confidence){others}",
        m.label(),
        age(f.full_in),
        f.pace(),
        f.confidence.word()
    );
    let finding = found.add(Severity::Warning, None, line, "find who writes; compact, then defrag");
    finding.action = Some("compact");
    for (m, f) in &soon {
        finding.evidence.push(format!("{}: {}", m.label(), f.words()));
    }
    finding.evidence.push("warning when the line passes the quota within 4 h".into());
}

/// One finding: one rolling defrag mends it.
fn fragmentation(case: &Case<'_>, found: &mut Found<'_>) {
    let view = case.view;
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
    let all_serve = view.healthy_voters() == view.voters();
    let next = match over.len() {
        _ if !all_serve => "defrag when every member serves again",
        1 => "defrag it",
        _ => "defrag one after the other",
    };
    let f = found.add(Severity::Warning, None, line, next);
    f.action = all_serve.then_some("rolling_defrag");
    for (share, m, free) in &over {
        f.evidence.push(format!("{}: in_use / db_size = {share:.3}, {free} free", m.label()));
    }
    f.evidence.push("warning below 0.5 with more than 100 MiB in use".into());
}

fn sizes_differ(case: &Case<'_>, found: &mut Found<'_>) {
    let smallest = sizes(case.view).min_by_key(|(_, size)| *size);
    let largest = sizes(case.view).max_by_key(|(_, size)| *size);
    if let (Some((small, a)), Some((large, b))) = (smallest, largest)
        && b.0 > 100 * MIB
        && b.0 / 2 > a.0
    {
        let line = format!("{} has {b} allocated, {} only {a}", large.label(), small.label());
        found.add(Severity::Note, large.id, line, "defrag the larger ones").action = Some("rolling_defrag");
    }
}

/// No etcd has that, so neither figure can be relied on.
fn contradiction(case: &Case<'_>, found: &mut Found<'_>) {
    for (m, size) in sizes(case.view) {
        if let Some(in_use) = m.status.as_ref().and_then(|s| s.db_size_in_use).filter(|b| *b > size) {
            let line = format!("{} says {in_use} of its file of {size} are in use", m.label());
            let next = "do not rely on its sizes; compare with the file on its disk";
            found.add(Severity::Warning, m.id, line, next);
        }
    }
}
