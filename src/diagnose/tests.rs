//! Each rule on data that it must find, and all of them on a cluster without anything to find.

use super::{Case, findings};
use crate::model::member::{ClockOffset, PeerCertificate};
use crate::model::{
    Alarm, AlarmKind, Bytes, ClusterId, ClusterView, Conflict, Endpoint, MemberState, MemberView, RaftIndex,
    Revision, Role, Severity, Term,
};
use crate::poll::history::History;
use crate::testing::{healthy, noon, with_state};

/// What is found in a view that nothing came before.
fn diagnosed(view: &ClusterView) -> Vec<crate::model::Finding> {
    findings(&Case::new(view, &History::default()))
}

/// Three members with nothing to find: the test view's first member is fragmented on purpose.
fn clean() -> ClusterView {
    let mut view = healthy(3);
    for m in &mut view.members {
        if let Some(s) = &mut m.status {
            s.db_size = Some(Bytes(300 << 20));
        }
    }
    view
}

fn changed(change: impl FnOnce(&mut ClusterView)) -> ClusterView {
    let mut view = clean();
    change(&mut view);
    // What they tell in /metrics they told just now.
    view.members.iter_mut().for_each(|m| m.metrics_at = Some(noon()));
    view
}

fn size(view: &mut ClusterView, index: usize, size: u64, in_use: u64) {
    if let Some(s) = &mut view.members[index].status {
        (s.db_size, s.db_size_in_use) = (Some(Bytes(size)), Some(Bytes(in_use)));
    }
}

fn version(view: &mut ClusterView, index: usize, version: &str) {
    if let Some(s) = &mut view.members[index].status {
        s.version = version.into();
    }
}

fn all_versions(text: &str) -> ClusterView {
    changed(|v| (0..3).for_each(|i| version(v, i, text)))
}

fn expires_in(days: i64) -> ClusterView {
    changed(|v| {
        let not_after = noon().checked_add(jiff::SignedDuration::from_hours(24 * days)).unwrap();
        v.members[0].certificate = Some(PeerCertificate { subject: "CN=m1".into(), not_after });
    })
}

/// Three members of which the first `answering` answer, without a leader.
fn leaderless(answering: usize) -> ClusterView {
    let state = |i| if i < answering { MemberState::NoLeader } else { MemberState::Refused };
    (0..3).fold(clean(), |view, i| with_state(view, i, state(i), "why"))
}

#[test]
fn a_lost_quorum_comes_first_and_does_not_blame_the_member_that_answers() {
    let found = diagnosed(&leaderless(1));
    let lines: Vec<_> = found.iter().map(|f| f.line.as_str()).collect();
    assert_eq!(
        lines,
        ["quorum lost: 1 of 3 voters answers, 2 are needed", "m2 refused: why", "m3 refused: why"]
    );
}

#[test]
fn members_that_fill_up_together_are_one_finding() {
    const MIB: u64 = 1 << 20;
    let view = changed(|v| (0..3).for_each(|i| size(v, i, (1_700 + 100 * i as u64) * MIB, 1_600 * MIB)));
    let found = diagnosed(&view);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].line, "m3: db 1.86 GiB is 93% of its quota 2.00 GiB; m2, m1 too");
    assert_eq!(found[0].evidence.len(), 4, "{found:#?}");
}

#[test]
fn a_clean_cluster_has_no_finding() {
    assert_eq!(diagnosed(&clean()), []);
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn each_rule_finds_what_it_is_for() {
    const MIB: u64 = 1 << 20;
    let cases = [
        ("member_not_serving", Severity::Critical, with_state(clean(), 1, MemberState::Hung, "accepts TCP")),
        ("quorum_lost", Severity::Critical, leaderless(1)),
        ("no_leader", Severity::Critical, leaderless(2)),
        ("unreachable", Severity::Critical, leaderless(0)),
        ("sizes_contradict", Severity::Warning, changed(|v| size(v, 2, 200 * MIB, 250 * MIB))),
        ("even_voters", Severity::Note, changed(|v| v.members.truncate(2))),
        ("single_voter", Severity::Note, changed(|v| v.members.truncate(1))),
        (
            "learner",
            Severity::Note,
            changed(|v| (v.members[2].learner, v.members[2].role) = (true, Role::Learner)),
        ),
        ("versions_differ", Severity::Warning, changed(|v| version(v, 1, "3.5.20"))),
        ("version_known_bad", Severity::Warning, all_versions("3.5.4")),
        ("version_unsupported", Severity::Note, all_versions("3.4.23")),
        (
            "leaders_differ",
            Severity::Warning,
            changed(|v| v.conflicts.push(Conflict::LeadersDiffer { term: Term(7) })),
        ),
        ("certificate_expires", Severity::Warning, expires_in(20)),
        ("certificate_expires", Severity::Critical, expires_in(3)),
        (
            "alarm_corrupt",
            Severity::Critical,
            changed(|v| v.alarms.push(Alarm { member: v.members[0].id.unwrap(), kind: AlarmKind::Corrupt })),
        ),
        ("quota_nearly_full", Severity::Warning, changed(|v| size(v, 0, 1_750 * MIB, 1_700 * MIB))),
        ("quota_nearly_full", Severity::Critical, changed(|v| size(v, 0, 2_000 * MIB, 1_900 * MIB))),
        ("fragmented", Severity::Warning, changed(|v| size(v, 0, 500 * MIB, 200 * MIB))),
        ("sizes_differ", Severity::Note, changed(|v| size(v, 0, 900 * MIB, 600 * MIB))),
        ("lag", Severity::Warning, changed(|v| v.members[1].lag = Some(1_001))),
        ("lag", Severity::Critical, changed(|v| v.members[1].lag = Some(10_001))),
        // No leader answers, but its own queue tells.
        (
            "lag",
            Severity::Warning,
            changed(|v| {
                v.members[1].lag = None;
                if let Some(s) = &mut v.members[1].status {
                    s.raft_index = RaftIndex(s.raft_applied_index.0 + 1_500);
                }
            }),
        ),
        (
            "alarm_nospace",
            Severity::Critical,
            changed(|v| {
                v.alarms.push(Alarm { member: v.members[0].id.unwrap(), kind: AlarmKind::NoSpace });
            }),
        ),
        (
            "other_cluster",
            Severity::Critical,
            changed(|v| {
                v.conflicts.push(Conflict::OtherCluster {
                    endpoint: Endpoint::parse("10.9.9.9:2379").unwrap(),
                    cluster_id: ClusterId(7),
                });
            }),
        ),
        (
            "member_lists_differ",
            Severity::Critical,
            changed(|v| {
                v.conflicts.push(Conflict::MemberListsDiffer { member: v.members[1].id.unwrap() });
            }),
        ),
        (
            "stray_endpoint",
            Severity::Warning,
            changed(|v| {
                let mut stray = MemberView::unknown(noon());
                (stray.state, stray.endpoint) = (MemberState::Refused, Endpoint::parse("10.9.9.9:2379").ok());
                v.members.push(stray);
            }),
        ),
        (
            "downgrade",
            Severity::Warning,
            changed(|v| {
                v.members[0].status.as_mut().unwrap().downgrade_target = Some("3.5.0".into());
            }),
        ),
        (
            "open_files",
            Severity::Warning,
            changed(|v| {
                let metrics = v.members[0].metrics_mut();
                (metrics.open_fds, metrics.max_fds) = (Some(840), Some(1_024));
            }),
        ),
        (
            "memory",
            Severity::Warning,
            changed(|v| {
                v.members[0].metrics_mut().resident_memory = Some(Bytes(3 << 30));
            }),
        ),
        (
            "proposals_pending",
            Severity::Note,
            changed(|v| {
                v.members[0].metrics_mut().proposals_pending = Some(101);
            }),
        ),
        (
            "clocks_differ",
            Severity::Warning,
            changed(|v| {
                v.members[0].clock = Some(ClockOffset { low: -0.2, high: 0.3 });
                v.members[1].clock = Some(ClockOffset { low: 1.5, high: 1.7 });
            }),
        ),
        (
            "metrics_missing",
            Severity::Note,
            changed(|v| {
                v.members[0].metrics_error = Some("/metrics answers with status 404".into());
            }),
        ),
        (
            "revisions_pile_up",
            Severity::Note,
            changed(|v| {
                v.members[0].metrics_mut().compact_revision = Some(Revision(1_185_022));
            }),
        ),
        (
            "revisions_pile_up",
            Severity::Warning,
            changed(|v| {
                let metrics = v.members[0].metrics_mut();
                metrics.compact_revision = Some(Revision(0));
                metrics.compactions = Some(0);
                metrics.started_at = noon().checked_sub(jiff::SignedDuration::from_mins(11)).ok();
            }),
        ),
    ];
    for (rule, severity, view) in cases {
        let found = diagnosed(&view);
        let hit = found.iter().find(|f| f.key.rule == rule);
        assert!(super::rule(rule).is_some(), "{rule} is in no table");
        assert_eq!(hit.map(|f| f.severity), Some(severity), "{rule}: {found:#?}");
        assert!(found.is_sorted_by_key(|f| std::cmp::Reverse(f.severity)), "worst first: {found:#?}");
    }
}

#[test]
fn thresholds_are_not_crossed_early() {
    const MIB: u64 = 1 << 20;
    for view in [
        expires_in(31),
        // Half free, but little in use: not worth a defragmentation (mixin).
        changed(|v| (0..3).for_each(|i| size(v, i, 190 * MIB, 90 * MIB))),
        changed(|v| size(v, 0, 600 * MIB, 310 * MIB)),
        changed(|v| v.members[1].lag = Some(1_000)),
        changed(|v| {
            let metrics = v.members[0].metrics_mut();
            (metrics.open_fds, metrics.max_fds) = (Some(800), Some(1_000));
            metrics.proposals_pending = Some(100);
            // Much more than is in use, but no memory that anybody misses.
            metrics.resident_memory = Some(Bytes(1 << 30));
            metrics.compact_revision = Some(Revision(1_185_023));
        }),
        // The clocks may be the same, as far as is known.
        changed(|v| {
            v.members[0].clock = Some(ClockOffset { low: -0.2, high: 0.9 });
            v.members[1].clock = Some(ClockOffset { low: 1.8, high: 2.9 });
        }),
    ] {
        assert_eq!(diagnosed(&view), []);
    }
}

/// A finding may only name what the dashboard has a key for.
#[test]
fn what_a_finding_offers_is_an_action_with_a_key() {
    let views = [
        leaderless(1),
        changed(|v| (0..3).for_each(|i| size(v, i, 1_990 << 20, 300 << 20))),
        changed(|v| v.alarms.push(Alarm { member: v.members[0].id.unwrap(), kind: AlarmKind::NoSpace })),
        changed(|v| size(v, 0, 900 << 20, 600 << 20)),
    ];
    let found: Vec<_> = views.iter().flat_map(diagnosed).collect();
    let offered: Vec<_> = found.iter().filter_map(|f| f.action).collect();
    for action in ["snapshot", "compact", "rolling_defrag", "alarms"] {
        assert!(offered.contains(&action), "{action}: {offered:?}");
    }
}
