//! The leader rewritten under load, against moving it first: both done, both measured.

use std::time::Duration;

use super::well;
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Offer, Scenario, Step, Wrong, no_mistakes};
use crate::lab::seen::{Rewrite, Seen};
use crate::model::Bytes;

fn of<'a>(seen: &Seen<'a>, who: Who, all: &'a [Rewrite]) -> Option<&'a Rewrite> {
    let id = seen.cast.id(who, seen.now)?;
    all.iter().find(|r| r.member == id)
}

fn rewritten_leading(seen: &Seen<'_>) -> Goal {
    match of(seen, Who::A, seen.rewrites()) {
        Some(_) => Ok(()),
        None => Err("{A} is not rewritten yet".into()),
    }
}

fn leads(seen: &Seen<'_>) -> Goal {
    if seen.leads(Who::B) { Ok(()) } else { Err("{B} does not lead yet".into()) }
}

fn rewritten_following(seen: &Seen<'_>) -> Goal {
    match of(seen, Who::B, seen.rewrites()) {
        Some(_) => seen.whole_for(Duration::from_secs(1)),
        None if seen.leads(Who::B) => {
            Err("{B} still leads: let another member lead before it is rewritten".into())
        }
        None => Err("{B} is not rewritten yet".into()),
    }
}

fn lost(seen: &Seen<'_>) -> Option<String> {
    let all = &seen.ledger.rewrites;
    if of(seen, Who::A, all).is_some_and(|r| !r.led) {
        return Some("{A} was rewritten after it had led: the first figure is missing".into());
    }
    let b = of(seen, Who::B, all)?;
    if b.led {
        return Some("{B} was rewritten while it led: there is nothing to compare".into());
    }
    (seen.step_number < 3)
        .then(|| "{B} was rewritten before it had led: there is nothing left to compare".into())
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "defrag-leader",
    title: "Rewrite the leader, or move it first?",
    teaches: "the price of both ways, measured: what clients of a leader that is rewritten wait for",
    symptom: "\"Never defragment the leader\", says one. \"An election is worse\", says another. Measure it.",
    incident: false,
    setting: COMMON,
    causes: &[
        Cause::Fragment { live: Bytes(24 << 20), free: Bytes(24 << 20) },
        Cause::Write { size: Bytes(1 << 10), per_second: 30 },
        Cause::Lead(Who::A),
    ],
    shows: well,
    steps: &[
        Step {
            task: "Rewrite {A} while it leads and clients write, and see how long a put through it took.",
            look: "the coach says what clients waited for; 1 Overview: the bar of {A}",
            hints: &["Select {A}.", "d on {A}, and type its name: the plan says that it leads."],
            goal: rewritten_leading,
        },
        Step {
            task: "{B} is as fragmented. Let it lead.",
            look: "4 Raft",
            hints: &["L moves leadership to the selected member.", "Select {B}, L, confirm."],
            goal: leads,
        },
        Step {
            task: "Rewrite {B}, too, but let another member lead first. Compare the two figures.",
            look: "the coach says what clients waited for",
            hints: &[
                "Who depends on a member that follows? Its own clients.",
                "Select {A} or {C}, L, confirm; then select {B}, d, confirm.",
            ],
            goal: rewritten_following,
        },
    ],
    offers: &[Offer::One(Act::Put)],
    mistakes: no_mistakes,
    lost,
    debrief: &[
        "A put through any member is forwarded to the leader, replicated, and answered by the member that was asked, once that has applied it. A member that is rewritten applies nothing meanwhile: its own clients wait, whether it leads or not.",
        "A leader that is rewritten goes on replicating: Raft does not need the database's locks. So clients of the other members hardly notice. What a move of the leader costs is an election that everybody waits for, some milliseconds to some tenths of a second.",
        "So moving the leader first is no law. What it buys: if the rewrite takes long (large files, slow disks), or the member dies of it, nothing depends on that member. What always matters: who is connected to it, how long it is gone, and that it is the only one.",
    ],
    par: Duration::from_secs(120),
    right: &[
        Move::Defragment(Who::A),
        Move::Reach,
        Move::MoveLeader(Who::B),
        Move::Reach,
        Move::MoveLeader(Who::C),
        Move::Defragment(Who::B),
    ],
    wrong: Wrong {
        moves: &[
            Move::Defragment(Who::A),
            Move::Reach,
            Move::MoveLeader(Who::B),
            Move::Reach,
            Move::Defragment(Who::B),
        ],
        refused: false,
        told: "rewritten while it led",
    },
};
