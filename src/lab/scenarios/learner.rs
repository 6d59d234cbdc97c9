//! From two members to three, by way of a learner.

use std::time::Duration;

use super::STEADY;
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Offer, Scenario, Setting, Step, Wrong};
use crate::lab::seen::Seen;
use crate::model::{MemberState, Role};

/// etcd changes the member list only when all members have been connected for 5 s (`unhealthy cluster` before).
fn settled(seen: &Seen<'_>) -> Goal {
    seen.whole_for(Duration::from_secs(6))
}

pub(super) fn added(seen: &Seen<'_>) -> Goal {
    let learners = || seen.now.members.iter().filter(|m| m.listed && m.learner);
    if learners().count() == 0 {
        return Err("no learner is in the member list".into());
    }
    match learners().find(|m| m.state != MemberState::Ok) {
        Some(_) => Err("the learner was never started".into()),
        None => Ok(()),
    }
}

pub(super) fn promoted(seen: &Seen<'_>) -> Goal {
    if seen.now.voters() < 3 {
        return Err(format!("{} voters: {{New}} has no vote yet", seen.now.voters()));
    }
    if seen.member(Who::New).is_none_or(|m| m.role == Role::Learner) {
        return Err("{New} does not vote".into());
    }
    seen.whole_for(STEADY)
}

fn mistakes(seen: &Seen<'_>) -> Vec<String> {
    let mut all = Vec::new();
    if joined_with_a_vote(seen) {
        all.push(
            "{New} was added as a voter before it ran: from that moment on a failure less could be survived"
                .into(),
        );
    }
    // `etcdserver: can only promote a learner member which is in sync with leader`
    if seen.refused(|act| *act == Act::Promote, "in sync") {
        all.push("the promotion was asked for before the learner had caught up".into());
    }
    all
}

/// In the first step nobody may get a vote: whoever added it.
fn joined_with_a_vote(seen: &Seen<'_>) -> bool {
    seen.step_number == 1 && seen.now.voters() > seen.start.voters()
}

fn lost(seen: &Seen<'_>) -> Option<String> {
    let told = "{New} is a voter already: how a learner joins cannot be seen any more";
    joined_with_a_vote(seen).then(|| told.into())
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "learner",
    title: "A third member, by way of a learner",
    teaches: "why members are added as learners, and promoted when they have caught up",
    symptom: "Two members: neither may fail. You are to add a third one, without ever being worse off than now.",
    incident: false,
    setting: Setting { members: 2, ..COMMON },
    causes: &[Cause::Seed, Cause::Lead(Who::A)],
    shows: settled,
    steps: &[
        Step {
            task: "Add {New} to the cluster so that it gets the log but has no vote, and start it.",
            look: "1 Overview: its row appears, unstarted, then as a learner; 9 Internals: its log races after the others",
            hints: &[
                "Who votes counts for the quorum, whether it runs or not.",
                "A: add {New} as a learner; A: start {New} for the first time.",
            ],
            goal: added,
        },
        Step {
            task: "Make it a voter.",
            look: "1 Overview: can lose 0, then can lose 1",
            hints: &[
                "etcd refuses as long as the learner is too far behind the leader.",
                "Wait until its lag is small (4 Raft), then A: promote {New}.",
            ],
            goal: promoted,
        },
    ],
    offers: &[
        Offer::One(Act::AddVoter),
        Offer::One(Act::AddLearner),
        Offer::One(Act::StartNew),
        Offer::One(Act::Promote),
    ],
    mistakes,
    lost,
    debrief: &[
        "The quorum is counted over all voters of the member list, from the moment in which the change is committed. A voter that does not run yet counts like one that failed: two of two becomes two of three with one missing, and a new member that has to copy gigabytes is missing for long.",
        "A learner gets the log (and first of all the leader's whole database, where the log does not reach back far enough), and counts for nothing. It answers Status, serializable reads and, in newer releases, snapshots; it refuses the rest.",
        "Promotion is a change of the member list, too. etcd refuses it while the learner has less than 90% of the leader's index: it would make the quorum depend on a member that is behind.",
    ],
    par: Duration::from_secs(90),
    right: &[Move::Act(Act::AddLearner), Move::Act(Act::StartNew), Move::Reach, Move::Act(Act::Promote)],
    wrong: Wrong {
        moves: &[Move::Act(Act::AddVoter)],
        refused: false,
        told: "was added as a voter before it ran",
    },
};
