//! The leader's process dies.

use std::time::Duration;

use super::STEADY;
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Offer, Scenario, Step, Wrong};
use crate::lab::seen::Seen;
use crate::model::MemberState;

fn crashed(seen: &Seen<'_>) -> Goal {
    if seen.now.leader.is_none() || seen.leads(Who::A) {
        return Err("nobody else leads yet".into());
    }
    match seen.state(Who::A) {
        Some(MemberState::Refused) => Ok(()),
        _ => Err("{A} is not gone yet".into()),
    }
}

fn back(seen: &Seen<'_>) -> Goal {
    if seen.gone(Who::A) {
        return Err("{A} is no member any more".into());
    }
    seen.whole_for(STEADY)
}

fn mistakes(seen: &Seen<'_>) -> Vec<String> {
    let restarted = seen.did(|act| matches!(act, Act::Restart(who) | Act::End(who) if *who != Who::A));
    restarted
        .then(|| "a member that served was ended while another was away".to_owned())
        .into_iter()
        .collect()
}

fn lost(seen: &Seen<'_>) -> Option<String> {
    seen.gone(Who::A)
        .then(|| "{A} was removed, although its disk was whole: it only had to be started".into())
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "leader-crash",
    title: "The leader is gone",
    teaches: "what an election takes, and that a crashed member needs to be started, not removed",
    symptom: "For two seconds every write failed. Now all is well again, it seems. The pager still rings.",
    incident: true,
    setting: COMMON,
    causes: &[Cause::Lead(Who::A), Cause::Crash(Who::A)],
    shows: crashed,
    steps: &[Step {
        task: "Bring the cluster back to where it can lose a member again.",
        look: "1 Overview: who serves, how many may still fail; 7 Timeline: the election",
        hints: &[
            "`refused` means: the host is there, and nothing listens. The process is gone.",
            "Its disk is whole: nothing has to be removed or added.",
            "A: start {A}.",
        ],
        goal: back,
    }],
    offers: &[Offer::Each(Act::Start), Offer::Each(Act::Restart), Offer::Each(Act::Remove)],
    mistakes,
    lost,
    debrief: &[
        "Followers hear from the leader every 100 ms (the heartbeat). One that hears nothing for an election timeout, 1 to 2 s by default, asks whether the others would vote for it (pre-vote, the default from 3.5 on), then raises the term and asks for the votes; who gets those of a quorum leads. Writes wait or fail meanwhile: what the old leader had not committed its clients do not know the fate of.",
        "A member that comes back follows the new leader, cuts what only it had in its log, and gets what it missed.",
        "Removing a member that is only down makes the cluster smaller, and its data worthless: it would have to come back as a new one. Remove what will not come back; start what will.",
    ],
    par: Duration::from_secs(30),
    right: &[Move::Act(Act::Start(Who::A))],
    wrong: Wrong {
        moves: &[Move::Act(Act::Remove(Who::A))],
        refused: false,
        told: "was removed, although its disk was whole",
    },
};
