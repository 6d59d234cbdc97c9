//! Two of three members are gone: what still works, and the way back.

use std::time::Duration;

use super::STEADY;
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Offer, Scenario, Step, Wrong, never_lost};
use crate::lab::seen::Seen;
use crate::model::Outage;

fn lost_quorum(seen: &Seen<'_>) -> Goal {
    match seen.now.outage() {
        Some(Outage::QuorumLost { .. }) => Ok(()),
        _ => Err("the quorum is not lost yet".into()),
    }
}

fn kept(seen: &Seen<'_>) -> Goal {
    match seen.kept.first() {
        Some(kept) if kept.verified => Ok(()),
        Some(_) => Err("the snapshot was not verified".into()),
        None => Err("there is no snapshot of what is left".into()),
    }
}

fn whole(seen: &Seen<'_>) -> Goal {
    seen.whole_for(STEADY)?;
    seen.writes_for(STEADY)
}

fn late(seen: &Seen<'_>) -> Vec<String> {
    let unsaved = seen.now.outage().is_none() && seen.kept.is_empty();
    let told = "nothing was saved while a single disk held all that was left";
    unsaved.then(|| told.to_owned()).into_iter().collect()
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "quorum-lost",
    title: "The quorum is lost",
    teaches: "what still works without a quorum, and that members that come back bring it back",
    symptom: "Nothing works any more. Two of the three hosts do not answer.",
    // In a mystery nobody would be told to save a snapshot first.
    incident: false,
    setting: COMMON,
    causes: &[Cause::Lead(Who::A), Cause::Crash(Who::A), Cause::Crash(Who::B)],
    shows: lost_quorum,
    steps: &[
        Step {
            task: "Before anything else: keep what is left. Save a snapshot from the member that answers.",
            look: "1 Overview: who answers; 6 Snapshots",
            hints: &["A snapshot is read from one member's file and asks no quorum.", "s, and confirm."],
            goal: kept,
        },
        Step {
            task: "Bring the quorum back, and then the third member.",
            look: "1 Overview: how many voters answer, and how many are needed",
            hints: &[
                "Nothing can be changed in the member list now: that would have to be committed.",
                "The two processes crashed; their disks are whole.",
                "A: start {A}, and start {B}.",
            ],
            goal: whole,
        },
    ],
    offers: &[Offer::Each(Act::Start), Offer::Each(Act::Remove), Offer::One(Act::DisarmByHand)],
    mistakes: late,
    lost: never_lost,
    debrief: &[
        "Everything that goes through Raft needs a quorum, two of three: puts, deletes, linearizable reads, leases, alarms, changes of the member list. What one member can answer alone still works: Status, serializable reads, snapshots, defragmentations.",
        "So a member cannot be removed to make the quorum smaller: removing needs the quorum that is missing. The way back is the members themselves; one is enough to commit again.",
        "If none of them ever comes back: a restore from a snapshot makes a new cluster (scenario `restore`), or --force-new-cluster makes one of the member that is left, with what that had committed. Both lose what only the others had.",
    ],
    par: Duration::from_secs(60),
    right: &[Move::Snapshot, Move::Reach, Move::Act(Act::Start(Who::A)), Move::Act(Act::Start(Who::B))],
    wrong: Wrong {
        moves: &[Move::Snapshot, Move::Reach, Move::Act(Act::Remove(Who::A))],
        refused: true,
        told: "voters answer",
    },
};
