//! The engine on simulated clusters: any size, any failure at any moment.

use proptest::prelude::*;

use super::*;
use crate::model::{Alarm, AlarmKind};
use crate::ops::plan::Request;
use crate::testing::healthy;
use sim::{Mishap, carry_out, roll};

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
    let request = Request::Defragment { members: vec![member], move_leader: false, rule: None };
    let (end, truth, _) = carry_out(&request, view, vec![(1, Mishap::Leads(1))]);
    assert!(matches!(&end, End::Stopped(why) if why.contains("leads by now")), "{end:?}");
    assert!(truth.calls.is_empty());
}
