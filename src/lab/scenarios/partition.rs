//! The leader is cut off from the others.

use std::time::Duration;

use super::STEADY;
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Network, Offer, Scenario, Setting, Step, Wrong};
use crate::lab::seen::Seen;
use crate::model::MemberState;

fn cut(seen: &Seen<'_>) -> Goal {
    if seen.now.leader.is_none() || seen.leads(Who::A) {
        return Err("nobody else leads yet".into());
    }
    match seen.state(Who::A) {
        Some(MemberState::NoLeader) => Ok(()),
        state => Err(format!("{{A}} is {}, and has a leader", state.map_or("unknown", MemberState::shown))),
    }
}

fn healed(seen: &Seen<'_>) -> Goal {
    seen.whole_for(STEADY)?;
    if let Some(m) = seen.now.members.iter().find(|m| m.lag.is_none_or(|lag| lag > 20)) {
        return Err(format!("{} has not caught up yet", m.label()));
    }
    seen.writes_for(STEADY)
}

fn hasty(seen: &Seen<'_>) -> Option<String> {
    seen.gone(Who::A).then(|| "{A} was removed, although nothing but a cable was wrong with it".into())
}

fn mistakes(seen: &Seen<'_>) -> Vec<String> {
    let restarted = seen.did(|act| matches!(act, Act::Restart(_)));
    restarted.then(|| "a member was restarted: that mends no network".to_owned()).into_iter().collect()
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "partition",
    title: "A leader without followers",
    teaches: "why a leader in the minority steps down, and how its member catches up",
    symptom: "Clients of one member get `etcdserver: request timed out`; clients of the others notice nothing.",
    incident: true,
    setting: Setting { network: Network::Peers, ..COMMON },
    causes: &[Cause::Lead(Who::A), Cause::Isolate(Who::A)],
    shows: cut,
    steps: &[Step {
        task: "{A} led, and nobody follows it any more. Find out why, mend it, and see it catch up.",
        look: "9 Internals: one log stands still; 4 Raft: two opinions about who leads; 7 Timeline",
        hints: &[
            "It answers you, and has no leader; the others answer, and have one. So it is not you, and not its process.",
            "What lies between {A} and the others?",
            "A: mend the network of {A}.",
        ],
        goal: healed,
    }],
    offers: &[Offer::Each(Act::Mend), Offer::Each(Act::Restart), Offer::Each(Act::Remove)],
    mistakes,
    lost: hasty,
    debrief: &[
        "A leader that hears nothing from a quorum for an election timeout steps down by itself (Raft's CheckQuorum): it could not commit anything any more. Linearizable reads were safe all the time: each asks a quorum first (ReadIndex). Serializable reads it goes on answering, from data that gets older.",
        "The other two elected a leader in a higher term and went on. When the network was whole again the old leader heard of that term, followed, cut what it had not committed from its log, and got what it had missed.",
        "Its clients were the only ones that noticed. A client that knows all three endpoints, and asks another one when an answer does not come, would not even have done that.",
    ],
    par: Duration::from_secs(45),
    right: &[Move::Act(Act::Mend(Who::A))],
    wrong: Wrong { moves: &[Move::Act(Act::Restart(Who::A))], refused: false, told: "that mends no network" },
};
