//! The alarm CORRUPT: look before it is taken back.

use std::time::Duration;

use super::STEADY;
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Offer, Scenario, Step, Wrong, never_lost};
use crate::lab::seen::Seen;
use crate::model::AlarmKind;

fn raised(seen: &Seen<'_>) -> Goal {
    if seen.now.raised(AlarmKind::Corrupt).next().is_none() {
        return Err("the alarm is not raised yet".into());
    }
    if seen.felt.values().any(|through| through.works) {
        return Err("clients still write".into());
    }
    Ok(())
}

fn compared(seen: &Seen<'_>) -> Goal {
    match seen.ledger.compared.last() {
        Some(true) => Ok(()),
        Some(false) => Err("the members hold different data".into()),
        None => Err("nobody has compared the members' data yet".into()),
    }
}

fn disarmed(seen: &Seen<'_>) -> Goal {
    seen.quiet_for(STEADY)?;
    seen.writes_for(STEADY)
}

fn unseen(seen: &Seen<'_>) -> Vec<String> {
    let told = "the alarm was taken back before anybody had compared data here: had it been damage, it would go on spreading";
    seen.ledger.disarmed_unseen.then(|| told.to_owned()).into_iter().collect()
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "corrupt",
    title: "CORRUPT",
    teaches: "what the alarm means, and what has to be known before it is taken back",
    symptom: "`etcdserver: corrupt cluster`. Nobody can write. (A drill: the alarm was raised by hand, the data is whole. You do not know that.)",
    incident: true,
    setting: COMMON,
    causes: &[Cause::Seed, Cause::Lead(Who::A), Cause::RaiseCorrupt(Who::B)],
    shows: raised,
    steps: &[
        Step {
            task: "Find out whether the members hold the same data, before anything else.",
            look: "1 Overview: whose alarm it is; H compares",
            hints: &[
                "etcd can tell a hash of all keys and values at one revision, each member of its own.",
                "H asks every member, one after the other, and names the odd one out.",
            ],
            goal: compared,
        },
        Step {
            task: "They do. Take the alarm back.",
            look: "1 Overview: the verdict",
            hints: &["a opens the alarms.", "a, then type the name that the plan asks for."],
            goal: disarmed,
        },
    ],
    offers: &[Offer::One(Act::DisarmByHand), Offer::Each(Act::Restart)],
    mistakes: unseen,
    lost: never_lost,
    debrief: &[
        "etcd raises CORRUPT when it finds that members' hashes differ at one revision. It looks only where it was told to: every so often (--corrupt-check-time; before 3.6 --experimental-corrupt-check-time), or at compactions (from 3.5.5 on; all of that is off by default). With the initial check a member that differs does not even start. While the alarm is raised no member takes writes; reads go on, also those of the damaged member.",
        "An alarm that is taken back unseen lets damage spread: reads from the odd member go on being wrong, and a backup of it is wrong, too.",
        "Had they differed: the odd one out by majority is removed, its disk kept for whoever wants to know why, and it comes back as a new member that gets the leader's data (scenario `replace`). If the leader is the odd one, move it first.",
    ],
    par: Duration::from_secs(45),
    right: &[Move::CompareData, Move::Reach, Move::Disarm],
    wrong: Wrong { moves: &[Move::Disarm], refused: false, told: "before anybody had compared data" },
};
