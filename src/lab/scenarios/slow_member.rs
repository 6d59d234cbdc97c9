//! One member behind a slow link.

use std::time::Duration;

use super::STEADY;
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Network, Offer, Scenario, Setting, Step, Wrong, never_lost};
use crate::lab::seen::Seen;
use crate::model::MemberState;

fn slow(seen: &Seen<'_>) -> Goal {
    match seen.state(Who::B) {
        Some(MemberState::Slow) => Ok(()),
        _ => Err("{B} is not slow yet".into()),
    }
}

fn fast(seen: &Seen<'_>) -> Goal {
    let slow: Vec<_> = seen
        .now
        .members
        .iter()
        .filter(|m| m.state != MemberState::Ok)
        .map(|m| format!("{} is {}", m.label(), m.state.shown()))
        .collect();
    if !slow.is_empty() {
        return Err(slow.join(", "));
    }
    seen.whole_for(STEADY)?;
    seen.writes_for(STEADY)
}

fn restarted(seen: &Seen<'_>) -> Vec<String> {
    let restarted = seen.did(|act| matches!(act, Act::Restart(_) | Act::End(_)));
    restarted
        .then(|| "a member was restarted: its process was not what is slow".to_owned())
        .into_iter()
        .collect()
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "slow-member",
    title: "One member is slow",
    teaches: "to tell a slow member, disk or link apart by which figures are high and which are not",
    symptom: "\"Every third request takes more than a second.\"",
    incident: true,
    setting: Setting { network: Network::Everybody, ..COMMON },
    causes: &[Cause::Lead(Who::A), Cause::Slow(Who::B, Duration::from_millis(300))],
    shows: slow,
    steps: &[Step {
        task: "Find out which member is slow and what of it, and mend that; restart nothing.",
        look: "1 Overview: PING; 8 Latency: fsync, commit and round trips of each member; 4 Raft: lag",
        hints: &[
            "Its fsync and commit are as fast as those of the others: it is not its disk.",
            "Whoever talks to it waits, peers and clients alike: it is the way there.",
            "A: mend the network of {B}.",
        ],
        goal: fast,
    }],
    offers: &[Offer::Each(Act::Mend), Offer::Each(Act::Restart)],
    mistakes: restarted,
    lost: never_lost,
    debrief: &[
        "A write needs a quorum: the leader and the faster one of the two followers. So a slow follower slows down nobody but its own clients, whose answers come from it.",
        "A slow leader slows down everybody. There the leader would be moved first (L), and looked after second.",
        "Which figures tell what: fsync p99 is the log's disk, commit p99 the database's disk, the round trip between peers the network; a slow Status with all three low is the way between you and the member, or its CPU.",
    ],
    par: Duration::from_secs(60),
    right: &[Move::Act(Act::Mend(Who::B))],
    wrong: Wrong { moves: &[Move::Act(Act::Mend(Who::C))], refused: false, told: "is slow" },
};
