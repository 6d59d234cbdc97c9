//! The engine on simulated clusters: any size, any failure at any moment.

use proptest::prelude::*;

use super::*;
use crate::model::metrics::Histogram;
use crate::model::{Alarm, AlarmKind};
use crate::ops::plan::{Request, Roll};
use crate::ops::rule::Rule;
use crate::ops::terms::{Terms, Window};
use crate::testing::healthy;
use sim::{Mishap, Truth, carry_out, carry_out_under, roll};

#[path = "engine_sim.rs"]
mod sim;

fn mishap() -> impl Strategy<Value = Mishap> {
    let i = 0_usize..9;
    prop_oneof![
        i.clone().prop_map(Mishap::Dies),
        i.clone().prop_map(Mishap::Stops),
        i.clone().prop_map(Mishap::Returns),
        i.clone().prop_map(Mishap::FallsBehind),
        i.clone().prop_map(Mishap::CatchesUp),
        i.prop_map(Mishap::Leads),
        Just(Mishap::Corrupt),
        Just(Mishap::AnswerLost),
        (1_u64..2_000).prop_map(Mishap::GoesOnBehind),
        (1_u64..400, 0_u64..125).prop_map(|(away, later)| Mishap::ReadsLate(away, later)),
        Just(Mishap::DiesInCall),
        Just(Mishap::Refused),
        Just(Mishap::JournalFull),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    /// Any cluster of one to nine members, any failures at any moment: never two at once, never while another voter is
    /// gone, the leader last, it always ends, and the journal tells the truth.
    #[test]
    fn no_failure_leads_into_sin(
        members in 1_usize..10,
        move_leader: bool,
        mishaps in prop::collection::vec((1_u32..60, mishap()), 0..6),
    ) {
        let (end, truth, events) = roll(members, move_leader, mishaps);
        prop_assert!(truth.sins.is_empty(), "{:?}\n{:?}", truth.sins, truth.journal);
        prop_assert_eq!(events.last(), Some(&OpEvent::Ended(end.clone())));
        // What is said to be done is done, and what is said to be not done is not.
        for line in truth.journal.iter().filter(|l| l.contains("Defragment")) {
            let step = |i: &usize| line.contains(&format!("{:x}", 0x8e9e_05c5_2164_694c_u64 + 1 + *i as u64));
            let really = truth.defragmented.iter().any(step);
            prop_assert!(!line.ends_with(" Done") || really, "{}", line);
            prop_assert!(!line.contains(" Failed(") || !really, "{}", line);
        }
        if end == End::Done {
            prop_assert_eq!(truth.defragmented.len(), members);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// The same for a recovery, which goes on after a member could not be defragmented: a wrong "failed" would make it two at
    /// once.
    #[test]
    fn no_failure_leads_a_recovery_into_sin(
        mishaps in prop::collection::vec((1_u32..60, mishap()), 0..6),
    ) {
        let request = Request::RecoverNoSpace { folder: None, keep: 1_000 };
        let (end, truth, events) = carry_out(&request, full(), mishaps);
        prop_assert!(truth.sins.is_empty(), "{:?}\n{:?}", truth.sins, truth.journal);
        prop_assert_eq!(events.last(), Some(&OpEvent::Ended(end)));
        for line in truth.journal.iter().filter(|l| l.contains("Defragment")) {
            let step = |i: &usize| line.contains(&format!("{:x}", 0x8e9e_05c5_2164_694c_u64 + 1 + *i as u64));
            let really = truth.defragmented.iter().any(step);
            prop_assert!(!line.ends_with(" Done") || really, "{}", line);
            prop_assert!(!line.contains(" Failed(") || !really, "{}", line);
        }
    }
}

#[test]
fn a_healthy_cluster_is_rolled_followers_first() {
    for move_leader in [false, true] {
        let (end, truth, events) = roll(3, move_leader, Vec::new());
        assert_eq!(end, End::Done);
        // m3 is the smallest, m1 leads.
        assert_eq!(truth.defragmented, [2, 1, 0]);
        let began = events.iter().filter(|e| matches!(e, OpEvent::Began { .. })).count();
        assert_eq!(began, if move_leader { 4 } else { 3 });
    }
}

#[test]
fn an_answer_that_was_lost_is_found_out() {
    let (end, truth, _) = roll(3, false, vec![(4, Mishap::AnswerLost)]);
    assert_eq!(end, End::Done, "{:?}", truth.journal);
    let (end, truth, _) = roll(3, false, vec![(2, Mishap::DiesInCall)]);
    // Whether the member is gone or only the way to it: nobody can tell from here.
    assert!(matches!(&end, End::Unknown(why) if why.contains("watched for")), "{end:?} {:?}", truth.journal);
    assert_eq!(truth.calls.len(), 1, "the others are left alone");
}

/// The call is given up, the rewrite goes on for a quarter of an hour: nobody else is touched before it has ended.
#[test]
fn what_goes_on_behind_a_lost_call_is_waited_for() {
    let (end, truth, events) = roll(3, false, vec![(2, Mishap::GoesOnBehind(900))]);
    assert_eq!(end, End::Done, "{:?}", truth.journal);
    assert!(truth.sins.is_empty(), "{:?}", truth.sins);
    assert_eq!(truth.defragmented.len(), 3);
    let watched = |e: &OpEvent| matches!(e, OpEvent::Waiting { why, .. } if why.contains("is watched"));
    assert!(events.iter().any(watched), "{events:?}");
}

#[test]
fn a_new_leader_goes_to_the_end() {
    // m2 leads from the first look on: it was second, and goes behind m1.
    let (end, truth, events) = roll(3, false, vec![(1, Mishap::Leads(1))]);
    assert_eq!((end, truth.defragmented), (End::Done, vec![2, 0, 1]));
    assert!(events.iter().any(|e| matches!(e, OpEvent::Reordered(_))), "{events:?}");
}

#[test]
fn another_member_that_is_gone_stops_the_roll() {
    let (end, truth, events) = roll(3, false, vec![(5, Mishap::Stops(0))]);
    assert!(matches!(&end, End::Stopped(why) if why.contains("m1 is hung")), "{end:?}");
    assert_eq!(truth.calls.len(), 1, "{:?}", truth.journal);
    assert!(events.iter().any(|e| matches!(e, OpEvent::Waiting { .. })), "it waited first");
}

#[test]
fn nothing_is_done_that_the_journal_cannot_announce() {
    let (end, truth, _) = roll(3, false, vec![(1, Mishap::JournalFull)]);
    assert!(matches!(&end, End::Stopped(why) if why.contains("journal")), "{end:?}");
    assert!(truth.calls.is_empty());
}

fn under(terms: &Terms, request: Roll, mishaps: Vec<(u32, Mishap)>) -> (End, Truth, Vec<OpEvent>) {
    carry_out_under(terms, None, &Request::Defragment(request), healthy(3), mishaps)
}

/// Without having been told to go on, the first member that fails is the last that is touched.
#[test]
fn a_roll_goes_on_after_a_failure_only_when_that_was_asked_for() {
    let fails = || vec![(2, Mishap::Refused)];
    let (end, truth, _) = under(&Terms::default(), Roll::default(), fails());
    assert!(matches!(&end, End::Failed(why) if why.starts_with("defragment m3")), "{end:?}");
    assert_eq!(truth.calls, [2]);
    let terms = Terms { continue_on_error: true, ..Terms::default() };
    let (end, truth, _) = under(&terms, Roll::default(), fails());
    assert!(matches!(&end, End::Failed(why) if why.starts_with("defragment m3")), "{end:?}");
    assert_eq!((truth.calls, truth.defragmented), (vec![2, 1, 0], vec![1, 0]));
}

/// An alarm is taken back also after a sweep that was not whole, where every file is below the quota.
#[test]
fn one_missed_member_does_not_keep_the_alarm_up() {
    let roll = Roll { disarm: true, ..Roll::default() };
    let request = Request::Defragment(roll);
    let (end, truth, events) =
        carry_out_under(&Terms::default(), None, &request, full(), vec![(2, Mishap::Refused)]);
    assert!(matches!(&end, End::Failed(why) if why.starts_with("defragment m3")), "{end:?}");
    assert_eq!(truth.calls, [2], "the others are left alone");
    let ended = |e: &OpEvent| match e {
        OpEvent::StepEnded { step, end, .. } => Some((*step, end.clone())),
        _ => None,
    };
    let ends: Vec<_> = events.iter().filter_map(ended).collect();
    assert!(
        matches!(ends[1], (1, StepEnd::Skipped(_))) && matches!(ends[2], (2, StepEnd::Skipped(_))),
        "{ends:?}"
    );
    assert_eq!(ends[3], (3, StepEnd::Done), "the alarm");
}

#[test]
fn a_member_that_was_gone_for_too_long_is_the_last() {
    let terms = |seconds| Terms { max_stall: Some(Duration::from_secs(seconds)), ..Terms::default() };
    // A call takes two seconds here.
    assert_eq!(under(&terms(2), Roll::default(), Vec::new()).0, End::Done);
    let (end, truth, _) = under(&terms(1), Roll::default(), Vec::new());
    assert!(matches!(&end, End::Stopped(why) if why.contains("gone for 2 s, longer than 1 s")), "{end:?}");
    assert_eq!(truth.calls, [2]);
    // The last one was done: there is nobody left whom that would spare.
    let view = healthy(3);
    let one = Roll { members: vec![view.members[1].id.unwrap()], ..Roll::default() };
    assert_eq!(under(&terms(1), one, Vec::new()).0, End::Done);
}

#[test]
fn between_two_members_it_waits_and_can_be_stopped_meanwhile() {
    let terms = Terms { wait: Some(Duration::from_secs(30)), ..Terms::default() };
    let (end, truth, events) = under(&terms, Roll::default(), Vec::new());
    assert_eq!((end, truth.calls.len()), (End::Done, 3));
    let waits = |e: &&OpEvent| matches!(e, OpEvent::Waiting { why, .. } if why.contains("30 s of pause"));
    assert_eq!(events.iter().filter(waits).count(), 2);
    // Look, way, look, call; two looks after it.
    let (end, truth, _) = under(&terms, Roll::default(), vec![(6, Mishap::Asked(Haste::SafePoint))]);
    assert!(matches!(&end, End::Cancelled(why) if why.contains("before defragment m2")), "{end:?}");
    assert_eq!(truth.calls, [2]);
}

#[test]
fn what_stalls_members_is_not_begun_outside_its_window() {
    // It begins at eight, and takes minutes.
    let window = Window::parse("07:59-08:01Z").unwrap();
    let terms =
        |wait| Terms { window: Some(window), wait: Some(Duration::from_secs(wait)), ..Terms::default() };
    let (end, truth, _) = under(&terms(70), Roll::default(), Vec::new());
    assert!(
        matches!(&end, End::Stopped(why) if why.contains("07:59-08:01Z, is over, before defragment m2")),
        "{end:?}"
    );
    assert_eq!(truth.calls, [2]);
}

#[test]
fn what_takes_longer_than_what_is_left_is_not_begun() {
    let request = Request::Defragment(Roll::default());
    let seconds = |s| Some(Duration::from_secs(s));
    let run = |all| carry_out_under(&Terms::default(), all, &request, healthy(3), Vec::new());
    assert_eq!(run(seconds(60)).0, End::Done);
    let (end, truth, _) = run(seconds(2));
    assert!(matches!(&end, End::Stopped(why) if why.contains("are left, before defragment m2")), "{end:?}");
    assert_eq!(truth.calls, [2]);
}

/// A rule is asked when a member's turn comes, not when the plan was made.
#[test]
fn a_rule_is_asked_at_each_turn() {
    let rule = Rule::parse("dbSizeFree > 0").unwrap();
    let request = Roll { rule: Some(rule), compact: Some(10), ..Roll::default() };
    let mut view = healthy(3);
    // It has nothing free, and is in the plan all the same: the compaction may free something.
    let status = view.members[1].status.as_mut().unwrap();
    status.db_size = status.db_size_in_use;
    let (end, truth, events) =
        carry_out_under(&Terms::default(), None, &Request::Defragment(request), view, Vec::new());
    assert_eq!((end, truth.calls), (End::Done, vec![2, 0]));
    let needless = |e: &&OpEvent| matches!(e, OpEvent::StepEnded { end: StepEnd::Needless(why), .. } if why.contains("is false"));
    assert_eq!(events.iter().filter(needless).count(), 1, "{events:?}");
}

/// In use is an old figure until something is written after a compaction: it is waited for where the rule hinges on it.
#[test]
fn a_rule_waits_for_what_is_in_use_after_a_compaction() {
    let run = |rule: &str| {
        let rule = Some(Rule::parse(rule).unwrap());
        let request = Request::Defragment(Roll { rule, compact: Some(10), ..Roll::default() });
        let mut view = healthy(3);
        for m in &mut view.members {
            m.metrics_mut().backend_commit = Some(Histogram { buckets: vec![(f64::INFINITY, 7)], sum: 1.0 });
        }
        carry_out_under(&Terms::default(), None, &request, view, Vec::new())
    };
    let waited = |events: &[OpEvent]| {
        events
            .iter()
            .any(|e| matches!(e, OpEvent::Waiting { why, .. } if why.contains("still counts as in use")))
    };
    let said = |events: &[OpEvent]| {
        let needless = events.iter().filter_map(|e| match e {
            OpEvent::StepEnded { end: StepEnd::Needless(why), .. } => {
                Some(why.contains("too little was written since"))
            }
            _ => None,
        });
        needless.collect::<Vec<_>>()
    };
    // Nothing is written in this simulation: the figure stays old, and that is said.
    let (end, truth, events) = run("dbSizeFree > 400*1024*1024");
    assert_eq!((end, truth.calls.len(), waited(&events)), (End::Done, 1, true), "{events:?}");
    assert_eq!(said(&events), [true; 2]);
    // Whatever is in use, it is false, or true.
    let (end, truth, events) = run("dbSize > 900*1024*1024*1024");
    assert_eq!((end, truth.calls.len(), waited(&events)), (End::Done, 0, false), "{events:?}");
    assert_eq!(said(&events), [false; 3]);
    let (end, truth, events) =
        run("dbSize > 0 && dbSizeInUse > 900*1024*1024*1024 && dbSizeInUse < 901*1024*1024*1024");
    assert_eq!((end, truth.calls.len(), waited(&events)), (End::Done, 0, false), "{events:?}");
    // True in between.
    let between = "dbSizeInUse > 100*1024*1024 && dbSizeInUse < 200*1024*1024";
    let (end, truth, events) = run(between);
    assert_eq!((end, truth.calls.len(), waited(&events)), (End::Done, 0, true), "{events:?}");
    let (end, truth, events) = run("dbSizeFree > 0");
    assert_eq!((end, truth.calls.len(), waited(&events)), (End::Done, 3, false), "{events:?}");
}

/// What must not be waited for any more ends as unknown, and the journal says so.
#[test]
fn what_is_abandoned_is_unknown() {
    for mishap in [Mishap::NeverEnds, Mishap::GoesOnBehind(900)] {
        let asked = (9, Mishap::Asked(Haste::Abandon));
        let (end, truth, _) = roll(3, false, vec![(2, mishap), asked]);
        assert!(
            matches!(&end, End::Unknown(why) if why.contains("may still be going on")),
            "{end:?} {:?}",
            truth.journal
        );
        assert_eq!(truth.calls, [2]);
        assert!(
            truth.journal.iter().any(|l| l.starts_with("answered") && l.contains("Unknown")),
            "{:?}",
            truth.journal
        );
        assert!(truth.journal.last().is_some_and(|l| l.starts_with("over Unknown")), "{:?}", truth.journal);
    }
}

/// Out of space, with history to drop.
fn full() -> ClusterView {
    let mut view = healthy(3);
    view.alarms = vec![Alarm { member: view.members[0].id.unwrap(), kind: AlarmKind::NoSpace }];
    view
}

/// What was confirmed had a snapshot first: without it nothing of the rest is that plan any more.
#[test]
fn a_recovery_without_its_snapshot_drops_nothing() {
    let request = Request::RecoverNoSpace { folder: Some("/nowhere".into()), keep: 1_000 };
    let (end, truth, _) = carry_out(&request, full(), vec![(2, Mishap::Refused)]);
    assert!(matches!(&end, End::Failed(why) if why.starts_with("save a snapshot")), "{end:?}");
    assert!(truth.calls.is_empty(), "{:?}", truth.journal);
    assert_eq!(truth.journal.iter().filter(|l| l.starts_with("begins")).count(), 1, "{:?}", truth.journal);
}

/// One member that could not be defragmented does not keep the others from it: the cluster cannot write.
#[test]
fn a_recovery_goes_on_after_one_member_failed() {
    let request = Request::RecoverNoSpace { folder: None, keep: 1_000 };
    // Look, compact, looks; then the first member's call.
    let (end, truth, _) = carry_out(&request, full(), vec![(6, Mishap::Refused)]);
    assert!(matches!(&end, End::Failed(why) if why.starts_with("defragment")), "{end:?} {:?}", truth.journal);
    assert_eq!(truth.calls.len(), 3, "all three were tried: {:?}", truth.journal);
}

#[test]
fn who_leads_by_then_is_not_rewritten_where_it_is_unless_that_was_confirmed() {
    // One follower alone was asked for, and leads before its turn.
    let view = healthy(3);
    let member = view.members[1].id.unwrap();
    let request = Request::Defragment(Roll { members: vec![member], ..Roll::default() });
    let (end, truth, _) = carry_out(&request, view, vec![(1, Mishap::Leads(1))]);
    assert!(matches!(&end, End::Stopped(why) if why.contains("leads by now")), "{end:?}");
    assert!(truth.calls.is_empty());
}
