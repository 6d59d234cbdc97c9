//! Rules that look back, on histories made of data.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Backup, Case, FAMILIES, findings};
use crate::model::hashes::{Comparison, HashAnswer};
use crate::model::metrics::{Calls, Histogram, Method};
use crate::model::{Bytes, ClusterView, Finding, MemberState, MetricsSample, RaftIndex, Revision, Severity};
use crate::poll::history::History;
use crate::testing::{healthy, noon, with_state};

fn at(seconds: i64) -> Timestamp {
    noon().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// A clean cluster of three, seen every `step` seconds for so long; `change` says what it is like in each moment.
fn seen(seconds: i64, step: i64, mut change: impl FnMut(i64, &mut ClusterView)) -> (ClusterView, History) {
    let mut history = History::default();
    let mut view = healthy(3);
    for s in (0..=seconds).step_by(usize::try_from(step).unwrap()) {
        view = healthy(3);
        view.at = at(s);
        for m in &mut view.members {
            m.status_at = Some(at(s));
            (m.metrics_at, m.metrics) = (Some(at(s)), None);
            m.metrics_mut().compact_revision = Some(Revision(1_280_000));
            let status = m.status.as_mut().unwrap();
            (status.db_size, status.db_size_in_use) = (Some(Bytes(300 << 20)), Some(Bytes(281 << 20)));
        }
        change(s, &mut view);
        history.push(&view);
    }
    (view, history)
}

fn found((view, history): &(ClusterView, History)) -> Vec<Finding> {
    findings(&Case::new(view, history))
}

/// The severities of what a rule found.
fn severities(found: &[Finding], rule: &str) -> Vec<Severity> {
    found.iter().filter(|f| f.key.rule == rule).map(|f| f.severity).collect()
}

/// A histogram that observed `count` times the same.
fn always(took: Duration, count: u64) -> Histogram {
    let bounds = [0.005, 0.02, 0.1, 0.3, 0.6, 1.2, f64::INFINITY];
    let buckets = bounds.map(|le| (le, if took.as_secs_f64() <= le { count } else { 0 })).to_vec();
    Histogram { buckets, sum: 0.0 }
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// So many of something a second, each taking so long, on the second member.
fn with_latency(
    took: Duration,
    per_second: f64,
    set: impl Fn(&mut MetricsSample, Histogram),
) -> (ClusterView, History) {
    seen(300, 5, |s, view| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let count = (s as f64 * per_second) as u64;
        set(view.members[1].metrics_mut(), always(took, count));
    })
}

#[test]
fn a_calm_history_has_no_finding() {
    let calm = seen(900, 5, |s, view| {
        let first = view.members[0].id.unwrap();
        let m = view.members[1].metrics_mut();
        let count = s.unsigned_abs() * 10;
        m.wal_fsync = Some(always(ms(4), count));
        m.backend_commit = Some(always(ms(15), count));
        m.peer_rtt = vec![(first, always(ms(4), count / 300))];
        m.proposals_failed = Some(3);
        m.send_failures = vec![(first, 90)];
    });
    assert_eq!(found(&calm), []);
}

type Set = fn(&mut MetricsSample, Histogram);

#[test]
fn latencies_are_judged_as_docs_and_mixin_do() {
    let fsync = |s: &mut MetricsSample, h| s.wal_fsync = Some(h);
    let commit = |s: &mut MetricsSample, h| s.backend_commit = Some(h);
    let rtt = |s: &mut MetricsSample, h| s.peer_rtt = vec![(healthy(1).members[0].id.unwrap(), h)];
    for (rule, set, took, expected) in [
        ("fsync_slow", fsync as Set, ms(4), None),
        ("fsync_slow", fsync, ms(18), Some(Severity::Note)),
        ("fsync_slow", fsync, ms(590), Some(Severity::Warning)),
        ("fsync_slow", fsync, ms(1_190), Some(Severity::Critical)),
        ("commit_slow", commit, ms(18), None),
        ("commit_slow", commit, ms(90), Some(Severity::Note)),
        ("commit_slow", commit, ms(290), Some(Severity::Warning)),
        ("rtt_slow", rtt, ms(4), None),
        ("rtt_slow", rtt, ms(18), Some(Severity::Note)),
        ("rtt_slow", rtt, ms(290), Some(Severity::Warning)),
    ] {
        let found = found(&with_latency(took, 10.0, set));
        assert_eq!(severities(&found, rule).first().copied(), expected, "{rule} {took:?}: {found:#?}");
        if let Some(f) = found.first() {
            // A note is one for all members.
            let member = healthy(3).members[1].id.filter(|_| f.severity > Severity::Note);
            assert!(f.key.member == member && f.line.contains("m2"), "{f:?}");
            assert!(f.evidence[0].contains("p99"), "{f:?}");
        }
    }
}

/// A single slow fsync among ten of the first seconds is no trend.
#[test]
fn what_is_known_for_a_moment_is_no_more_than_a_note() {
    let moment = seen(10, 5, |s, view| {
        let slow = if s == 0 { 0 } else { 3 };
        view.members[1].metrics_mut().wal_fsync = Some(always(ms(1_190), slow));
    });
    assert_eq!(severities(&found(&moment), "fsync_slow"), [Severity::Note]);
}

fn calls(handled: u64, failed: u64, handling: Option<Histogram>) -> Vec<(Method, Calls)> {
    vec![(Method("KV/Put".into()), Calls { handled, failed, handling, stream: false })]
}

#[test]
fn failed_requests_are_judged_by_their_share_and_few_are_few() {
    for (failed_of_hundred, total, expected) in [
        (1, 30_000, None),
        (2, 30_000, Some(Severity::Warning)),
        (6, 30_000, Some(Severity::Critical)),
        (6, 100, Some(Severity::Note)),
    ] {
        let history = seen(300, 5, |s, view| {
            let handled = total * s.unsigned_abs() / 300;
            view.members[1].metrics_mut().methods = calls(handled, handled * failed_of_hundred / 100, None);
        });
        let found = found(&history);
        let case = format!("{failed_of_hundred}% of {total}: {found:#?}");
        assert_eq!(severities(&found, "requests_failed").first().copied(), expected, "{case}");
    }
}

#[test]
fn streams_that_end_in_an_error_are_no_requests_that_fail() {
    let history = seen(300, 5, |s, view| {
        let (handled, failed) = (s.unsigned_abs(), s.unsigned_abs());
        let ended = Calls { handled, failed, handling: None, stream: true };
        view.members[1].metrics_mut().methods = vec![(Method("Watch/Watch".into()), ended)];
    });
    assert_eq!(severities(&found(&history), "requests_failed"), [Severity::Note]);
}

#[test]
fn slow_requests_are_critical_but_for_one_that_was_asked_once() {
    for (count, expected) in [(300, vec![Severity::Critical]), (3, vec![])] {
        let history = seen(300, 5, |s, view| {
            let n = count * s.unsigned_abs() / 300;
            view.members[1].metrics_mut().methods = calls(n, 0, Some(always(ms(290), n)));
        });
        assert_eq!(severities(&found(&history), "requests_slow"), expected);
    }
}

#[test]
fn failed_proposals_need_five_a_second() {
    for (rate, expected) in [(5, vec![]), (6, vec![Severity::Warning])] {
        let history = seen(900, 5, |s, view| {
            view.members[0].metrics_mut().proposals_failed = Some(rate * s.unsigned_abs());
        });
        assert_eq!(severities(&found(&history), "proposals_failed"), expected, "{rate}");
    }
}

#[test]
fn four_leaders_in_a_quarter_of_an_hour_are_too_many_seen_or_counted() {
    for (changes, expected) in [(3, vec![]), (4, vec![Severity::Warning])] {
        let counted = seen(600, 5, |s, view| {
            let m = view.members[2].metrics_mut();
            m.leader_changes = Some(7 + u64::try_from(s / 100).unwrap().min(changes));
        });
        assert_eq!(severities(&found(&counted), "leader_changes"), expected, "counted {changes}");
        let seen = seen(600, 5, |s, view| {
            let turn = usize::try_from(u64::try_from(s / 100).unwrap().min(changes)).unwrap();
            view.leader = view.members[turn % 3].id;
        });
        assert_eq!(severities(&found(&seen), "leader_changes"), expected, "seen {changes}");
    }
}

#[test]
fn a_lag_that_grows_is_told_before_it_is_large() {
    for (per_second, expected) in [(0, vec![]), (12, vec![Severity::Warning])] {
        let history = seen(60, 1, |s, view| view.members[1].lag = Some(150 + per_second * s.unsigned_abs()));
        let found = found(&history);
        assert_eq!(severities(&found, "lag"), expected, "{found:#?}");
    }
}

#[test]
fn a_peer_that_cannot_be_reached_though_it_answers_is_cut_off() {
    let failing = |until: i64| {
        seen(300, 5, move |s, view| {
            let (to, failures) = (view.members[1].id.unwrap(), s.min(until).unsigned_abs() / 2);
            view.members[0].metrics_mut().send_failures = vec![(to, failures)];
        })
    };
    let still = found(&failing(300));
    assert_eq!(severities(&still, "peer_cut"), [Severity::Warning], "{still:#?}");
    assert!(still[0].line.contains("m1") && still[0].line.contains("m2"), "{still:#?}");
    // It came back a minute ago: what was counted stays in the window of the mixin, but is over.
    assert_eq!(found(&failing(240)), []);
    // It was restarted half a minute ago: what was sent to it in vain meanwhile is over.
    let (mut view, history) = failing(300);
    view.members[1].since = at(270);
    assert_eq!(severities(&findings(&Case::new(&view, &history)), "peer_cut"), []);
    // A member that is down is told as that.
    let (mut view, history) = failing(300);
    view = with_state(view, 1, MemberState::Refused, "why");
    assert_eq!(severities(&findings(&Case::new(&view, &history)), "peer_cut"), []);
}

#[test]
fn the_quota_is_forecast_from_ten_minutes_on_and_never_from_less() {
    // 2 GiB of quota, 300 MiB used, 10 MiB a minute: full in about three hours.
    let growing = |minutes: i64, per_minute: u64| {
        seen(minutes * 60, 15, move |s, view| {
            for m in &mut view.members {
                let status = m.status.as_mut().unwrap();
                let size = (300 << 20) + per_minute * s.unsigned_abs() / 60;
                (status.db_size, status.db_size_in_use) = (Some(Bytes(size)), Some(Bytes(size - (9 << 20))));
            }
        })
    };
    let rule = "quota_soon";
    assert_eq!(severities(&found(&growing(9, 10 << 20)), rule), []);
    let found_at_20 = found(&growing(20, 10 << 20));
    assert_eq!(severities(&found_at_20, rule), [Severity::Warning], "{found_at_20:#?}");
    let line = &found_at_20.iter().find(|f| f.key.rule == rule).unwrap().line;
    assert!(line.contains("2 h") && line.contains("medium confidence"), "{line}");
    assert_eq!(severities(&found(&growing(20, 1 << 20)), rule), [], "full in a day is not soon");
    assert_eq!(severities(&found(&growing(20, 0)), rule), []);
}

#[test]
fn a_forecast_starts_anew_after_a_defragmentation() {
    let history = seen(40 * 60, 15, |s, view| {
        for m in &mut view.members {
            // 30 MiB a minute for 35 min, then a defragmentation: what was before is void.
            let size = if s < 35 * 60 { (300 << 20) + (s.unsigned_abs() << 19) } else { 200 << 20 };
            m.status.as_mut().unwrap().db_size = Some(Bytes(size));
        }
    });
    assert_eq!(severities(&found(&history), "quota_soon"), []);
}

#[test]
fn revisions_that_pile_up_are_a_warning_when_nothing_was_compacted_for_long() {
    let piling = |minutes: i64| {
        seen(minutes * 60, 15, |s, view| {
            view.revision = Some(Revision(200_000 + s));
            for m in &mut view.members {
                m.status.as_mut().unwrap().revision = Revision(200_000 + s);
                m.metrics_mut().compact_revision = Some(Revision(5_000));
            }
        })
    };
    assert_eq!(severities(&found(&piling(9)), "revisions_pile_up"), [Severity::Note]);
    let long = found(&piling(11));
    assert_eq!(severities(&long, "revisions_pile_up"), [Severity::Warning]);
    assert!(long[0].evidence.iter().any(|e| e.contains("at least 11 min")), "{long:#?}");
    // Kubernetes compacts every 5 min, and much is written: as many are kept, and all is well.
    let compacted = seen(15 * 60, 15, |s, view| {
        let floor = 50_000 * (1 + s / 300);
        view.revision = Some(Revision(floor + 150_000));
        for m in &mut view.members {
            m.metrics_mut().compact_revision = Some(Revision(floor));
        }
    });
    assert_eq!(found(&compacted), []);
    // Cut off from /metrics nothing is known of compactions.
    let (mut view, history) = piling(9);
    view.at = at(3 * 3600);
    assert_eq!(severities(&findings(&Case::new(&view, &history)), "revisions_pile_up"), []);
}

#[test]
fn slow_applies_are_worth_knowing() {
    let history = seen(300, 5, |s, view| {
        view.members[0].metrics_mut().slow_applies = Some(s.unsigned_abs() / 10);
    });
    assert_eq!(severities(&found(&history), "slow_applies"), [Severity::Note]);
}

#[test]
fn a_backup_is_old_unverified_or_not_there() {
    let (view, history) = seen(0, 1, |_, _| {});
    let hours = |n: u64| Duration::from_secs(n * 3_600);
    for (backup, words) in [
        (Backup::Unknown, None),
        (Backup::None, Some("no snapshot")),
        (Backup::Taken { age: hours(23), verified: true }, None),
        (Backup::Taken { age: hours(25), verified: true }, Some("1 d 1 h old")),
        (Backup::Taken { age: hours(1), verified: false }, Some("never verified")),
    ] {
        let found = findings(&Case { backup, ..Case::new(&view, &history) });
        assert_eq!(severities(&found, "no_backup").len(), usize::from(words.is_some()), "{backup:?}");
        if let (Some(words), Some(f)) = (words, found.first()) {
            assert!(f.severity == Severity::Note && f.line.contains(words), "{f:?}");
        }
    }
}

#[test]
fn data_that_differs_is_critical_and_names_the_odd_member() {
    let (view, history) = seen(0, 1, |_, _| {});
    let answer = |i: usize, hash| HashAnswer {
        member: view.members[i].id.unwrap(),
        name: view.members[i].label(),
        hash: Some(hash),
        compact_revision: Some(Revision(3)),
        problem: None,
    };
    let compared = |hashes: [u32; 3]| Comparison {
        revision: Revision(9),
        at: noon(),
        answers: hashes.into_iter().enumerate().map(|(i, hash)| answer(i, hash)).collect(),
    };
    let same = compared([7, 7, 7]);
    assert_eq!(findings(&Case { hashes: Some(&same), ..Case::new(&view, &history) }), []);
    let odd = compared([7, 8, 7]);
    let found = findings(&Case { hashes: Some(&odd), ..Case::new(&view, &history) });
    assert_eq!(severities(&found, "hash_differs"), [Severity::Critical]);
    assert_eq!((found[0].key.member, found[0].evidence.len()), (view.members[1].id, 4), "{found:#?}");
    assert!(found[0].line.starts_with("m2 holds other data"), "{found:#?}");
    let mut replaced = view.clone();
    replaced.members[1].id = Some(crate::model::MemberId(77));
    let found = findings(&Case { hashes: Some(&odd), ..Case::new(&replaced, &history) });
    assert_eq!(severities(&found, "hash_differs"), [], "it was replaced");
    let mut other = view.clone();
    other.members[2].id = Some(crate::model::MemberId(77));
    let found = findings(&Case { hashes: Some(&odd), ..Case::new(&other, &history) });
    assert_eq!(severities(&found, "hash_differs"), [Severity::Critical], "another one was");
}

#[test]
fn an_index_that_stands_still_is_no_lag() {
    let history = seen(60, 1, |_, view| {
        for m in &mut view.members {
            let s = m.status.as_mut().unwrap();
            (s.raft_index, s.raft_applied_index) = (RaftIndex(9), RaftIndex(9));
        }
    });
    assert_eq!(severities(&found(&history), "lag"), []);
}

#[test]
fn a_member_that_is_slow_again_and_again_is_slow_and_one_late_answer_is_none() {
    let late = |every: i64| {
        seen(60, 1, move |s, view| {
            let took = if s > 0 && s % every == 0 { ms(700) } else { ms(2) };
            view.members[0].latency = Some(took);
        })
    };
    let slow = found(&late(6));
    assert_eq!(severities(&slow, "member_slow"), [Severity::Warning], "{slow:#?}");
    assert!(slow[0].line.starts_with("m1, the leader, is slow"), "{slow:#?}");
    assert_eq!(severities(&found(&late(50)), "member_slow"), []);
}

#[test]
fn what_failed_a_minute_ago_is_over() {
    let history = seen(300, 5, |s, view| {
        let failed = s.min(200).unsigned_abs() * 10;
        view.members[1].metrics_mut().methods = calls(s.unsigned_abs() * 10, failed, None);
    });
    let found = found(&history);
    assert_eq!(severities(&found, "requests_failed"), [Severity::Note]);
    assert!(found[0].line.contains("none of late"), "{found:#?}");
}

/// A smoothed figure tells of a stop for minutes.
#[test]
fn round_trips_of_a_member_that_was_away_are_no_more_than_a_note() {
    let (mut view, history) = with_latency(ms(290), 10.0, |s, h| {
        s.peer_rtt = vec![(healthy(1).members[0].id.unwrap(), h)];
    });
    assert_eq!(severities(&findings(&Case::new(&view, &history)), "rtt_slow"), [Severity::Warning]);
    view.members[0].since = at(200);
    assert_eq!(severities(&findings(&Case::new(&view, &history)), "rtt_slow"), [Severity::Note]);
}

#[test]
fn members_that_fail_together_stay_who_they_are() {
    let (view, history) = seen(1, 1, |_, _| {});
    let dead = |count: usize| {
        let refused =
            |view, i| with_state(view, i, MemberState::Refused, &format!("nothing listens on 10.0.0.{i}"));
        let view = (0..count).fold(view.clone(), refused);
        let found = findings(&Case::new(&view, &history));
        let of = found.into_iter().filter(|f| f.key.rule == "member_not_serving");
        of.map(|f| (f.key.member, f.line)).collect::<Vec<_>>()
    };
    let (two, three) = (dead(2), dead(3));
    assert_eq!(two[..], three[..2], "a third one changes nothing of the two");
    assert!(three[2].1.ends_with("10.0.0.2"), "{three:?}");
}

/// Each rule is caused by a test here or in `tests`: a rule that nothing ever found is not known to work.
#[test]
fn every_rule_is_tested() {
    let tests = concat!(include_str!("tests.rs"), include_str!("history_tests.rs"));
    let mut names = BTreeSet::new();
    for rule in FAMILIES.iter().flat_map(|f| f.rules) {
        assert!(names.insert(rule.name), "{} twice", rule.name);
        assert!(tests.contains(&format!("\"{}\"", rule.name)), "{} is tested nowhere", rule.name);
        for (what, text) in [("when", rule.when), ("from", rule.from), ("meaning", rule.meaning)] {
            assert!(!text.is_empty(), "{} says not {what}", rule.name);
        }
    }
}
