//! A member whose disk is gone is replaced, in the right order.

use std::time::Duration;

use super::STEADY;
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Offer, Scenario, Step, Wrong, never_lost};
use crate::lab::seen::Seen;
use crate::model::{MemberState, MemberView};

fn dead(seen: &Seen<'_>) -> Goal {
    match seen.state(Who::C) {
        Some(MemberState::Refused) if seen.now.leader.is_some() => Ok(()),
        _ => Err("{C} is not gone yet".into()),
    }
}

fn removed(seen: &Seen<'_>) -> Goal {
    if seen.gone(Who::C) {
        Ok(())
    } else {
        Err("{C} is still in the member list, and counts for the quorum".into())
    }
}

/// Started, with a vote or without: both are well now that the dead member is gone.
fn joined(seen: &Seen<'_>) -> Goal {
    let new = |m: &&MemberView| m.listed && m.id.is_some_and(|id| seen.start.member(id).is_none());
    match seen.now.members.iter().find(new) {
        None => Err("{New} is not in the member list".into()),
        Some(m) if m.state != MemberState::Ok => Err("{New} does not serve yet".into()),
        Some(_) => Ok(()),
    }
}

fn replaced(seen: &Seen<'_>) -> Goal {
    let voters = seen.now.voters();
    if voters < 3 {
        return Err(format!("{voters} voters: there were three"));
    }
    seen.whole_for(STEADY)
}

fn mistakes(seen: &Seen<'_>) -> Vec<String> {
    let mut all = Vec::new();
    // `unhealthy cluster`, or `re-configuration failed due to not enough started members`
    if seen.refused(|act| matches!(act, Act::AddVoter | Act::AddLearner), "") && !seen.gone(Who::C) {
        all.push("a member was to be added before the dead one was removed: etcd refused".into());
    }
    if seen.refused(|act| matches!(act, Act::Start(Who::C) | Act::Restart(Who::C)), "ended at once") {
        all.push("{C} was started with an empty disk under its old identity: it does not know what it had promised".into());
    }
    all
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "replace",
    title: "A member that will not come back",
    teaches: "remove first, then add: the order, and what etcd refuses",
    symptom: "The disk of one host is gone for good. A new host, {New}, is ready.",
    incident: true,
    setting: COMMON,
    causes: &[Cause::Seed, Cause::Lead(Who::A), Cause::Crash(Who::C), Cause::Wipe(Who::C)],
    shows: dead,
    steps: &[
        Step {
            task: "Take the member that will not come back out of the list.",
            look: "1 Overview: 2/3 members serve, can lose 0",
            hints: &[
                "A dead member counts for the quorum as long as it is in the list. Adding another one first would need three of four.",
                "A: remove {C} from the cluster.",
            ],
            goal: removed,
        },
        Step {
            task: "Bring {New} in, so that it gets the log.",
            look: "1 Overview: its row, its role, its state",
            hints: &[
                "As in the scenario `learner`: first without a vote.",
                "A: add {New} as a learner; A: start {New} for the first time.",
            ],
            goal: joined,
        },
        Step {
            task: "Three voters again, all serving.",
            look: "1 Overview: can lose 1",
            hints: &["A learner does not vote.", "A: promote {New}."],
            goal: replaced,
        },
    ],
    offers: &[
        Offer::Each(Act::Start),
        Offer::Each(Act::Remove),
        Offer::One(Act::AddVoter),
        Offer::One(Act::AddLearner),
        Offer::One(Act::StartNew),
        Offer::One(Act::Promote),
    ],
    mistakes,
    lost: never_lost,
    debrief: &[
        "With one of three members dead the quorum is two, and two are left. Adding a fourth voter makes the quorum three: with two that run nothing could be committed any more, not even its removal. etcd refuses that (--strict-reconfig-check): `unhealthy cluster`, or `not enough started members`.",
        "Removing first leaves two voters with a quorum of two: as well off as before. Then a learner, that costs nothing; then its promotion.",
        "The dead member must not come back with an empty disk under its old id: Raft relies on a member remembering what it voted for and acknowledged. A member that forgot could vote twice in a term. So it is removed, and comes back as a new one.",
    ],
    par: Duration::from_secs(90),
    right: &[
        Move::Act(Act::Remove(Who::C)),
        Move::Reach,
        Move::Act(Act::AddLearner),
        Move::Act(Act::StartNew),
        Move::Reach,
        Move::Act(Act::Promote),
    ],
    wrong: Wrong {
        moves: &[Move::Act(Act::AddVoter)],
        refused: true,
        told: "before the dead one was removed: etcd refused",
    },
};
