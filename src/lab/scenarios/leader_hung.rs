//! The leader's process hangs: it accepts connections and answers nothing.

use std::time::Duration;

use super::STEADY;
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Offer, Scenario, Step, Wrong, never_lost};
use crate::lab::seen::Seen;
use crate::model::MemberState;

fn hung(seen: &Seen<'_>) -> Goal {
    if seen.now.leader.is_none() || seen.leads(Who::A) {
        return Err("nobody else leads yet".into());
    }
    match seen.state(Who::A) {
        Some(MemberState::Hung) => Ok(()),
        _ => Err("{A} does not hang yet".into()),
    }
}

fn back(seen: &Seen<'_>) -> Goal {
    seen.whole_for(STEADY)
}

fn mistakes(seen: &Seen<'_>) -> Vec<String> {
    let other = seen.did(|act| matches!(act, Act::Restart(who) | Act::End(who) if *who != Who::A));
    other.then(|| "a member that served was ended while another hung".to_owned()).into_iter().collect()
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "leader-hung",
    title: "A member that accepts and does not answer",
    teaches: "to tell hung from refused, and why health checks that connect only are no checks",
    symptom: "The load balancer says that all three members are up: it connects. A third of the requests time out.",
    incident: true,
    setting: COMMON,
    causes: &[Cause::Lead(Who::A), Cause::Freeze(Who::A)],
    shows: hung,
    steps: &[Step {
        task: "Find the member that does not answer, and bring it back. The others must go on serving.",
        look: "1 Overview: the state of each member, and its reason",
        hints: &[
            "Somebody accepts TCP and answers nothing: the kernel accepts for a process that stands still.",
            "An orderly end is not heard by a process that is stopped. A restart by force is.",
            "A: restart {A}.",
        ],
        goal: back,
    }],
    offers: &[Offer::Each(Act::Restart), Offer::Each(Act::End), Offer::Each(Act::Start)],
    mistakes,
    lost: never_lost,
    debrief: &[
        "The kernel completes TCP handshakes on behalf of a process that listens, whether that runs or not. So a check that only connects is green; a Status or a linearizable read tells the truth.",
        "To its peers a hung leader is as good as dead: no heartbeat for an election timeout, and they elect another. When it wakes up it still thinks that it leads, until the first message with a higher term; without a quorum's acknowledgement it commits nothing in between, so nothing is lost.",
        "What hangs a process for real: a disk that does not answer an fsync, a host that swaps, a machine that is being moved. Restart it only when you know that it is not the disk: then it will hang again.",
    ],
    par: Duration::from_secs(30),
    right: &[Move::Act(Act::Restart(Who::A))],
    wrong: Wrong { moves: &[Move::Act(Act::End(Who::B))], refused: false, told: "the quorum was lost" },
};
