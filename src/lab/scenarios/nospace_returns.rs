//! NOSPACE that was taken back, and came back.

use std::time::Duration;

use super::{out_of_space, room_again};
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Offer, Scenario, Setting, Step, Wrong, never_lost};
use crate::lab::seen::Seen;
use crate::model::Bytes;

fn stays_away(seen: &Seen<'_>) -> Goal {
    room_again(seen)?;
    seen.quiet_for(Duration::from_secs(6))
}

fn again(seen: &Seen<'_>) -> Vec<String> {
    // It comes back sooner than anybody polls: it seems to have stayed.
    let again = seen.did_before(|act| *act == Act::DisarmByHand) && !seen.now.alarms.is_empty();
    let told = "the alarm was taken back while the files were above the quota: the next put raised it again";
    again.then(|| told.to_owned()).into_iter().collect()
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "nospace-returns",
    title: "NOSPACE that comes back",
    teaches: "why taking the alarm back alone helps for less than a second",
    symptom: "A colleague: \"I ran `etcdctl alarm disarm`, it said OK. A second later it was broken again. I did it five times.\"",
    incident: true,
    setting: Setting { quota: Some(Bytes(16 << 20)), ..COMMON },
    causes: &[Cause::Lead(Who::A), Cause::FillWithHistory, Cause::Disarm],
    shows: out_of_space,
    steps: &[Step {
        task: "Make the alarm stay away while clients go on writing.",
        look: "1 Overview: size against quota; 7 Timeline: how the alarm came back",
        hints: &[
            "Look at the size of the files and at the quota before you take the alarm back.",
            "A disarm changes no byte of a file. What makes the files smaller?",
            "R: compact, defragment every member, then disarm.",
        ],
        goal: stays_away,
    }],
    offers: &[Offer::One(Act::DisarmByHand), Offer::One(Act::RaiseQuota)],
    mistakes: again,
    lost: never_lost,
    debrief: &[
        "The alarm is a flag that all members share; taking it back is an entry of the Raft log and changes no file. The next put asks again whether the file is below the quota, finds that it is not, and proposes the alarm anew. Between the two lie milliseconds.",
        "etcdtop's own disarm (a) refuses while a file is above 90% of its quota, and says what must be done first: `etcdctl alarm disarm` asks nothing.",
        "The order is the lesson: compact (frees pages), defragment every member (gives them back), disarm.",
    ],
    par: Duration::from_secs(60),
    right: &[Move::Recover],
    wrong: Wrong {
        moves: &[Move::Act(Act::DisarmByHand)],
        refused: false,
        told: "the next put raised it again",
    },
};
