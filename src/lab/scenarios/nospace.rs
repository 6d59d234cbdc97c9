//! NOSPACE, and the whole way out of it.

use std::time::Duration;

use super::{out_of_space, room_again};
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Move, Offer, Scenario, Setting, Step, Wrong, never_lost, no_mistakes};
use crate::model::Bytes;

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "nospace",
    title: "NOSPACE: no more writes",
    teaches: "the way out of NOSPACE: compact, defragment every member, disarm",
    symptom: "Deployments fail: `etcdserver: mvcc: database space exceeded`. Reads work.",
    incident: true,
    setting: Setting { quota: Some(Bytes(16 << 20)), ..COMMON },
    causes: &[Cause::Lead(Who::A), Cause::FillWithHistory],
    shows: out_of_space,
    steps: &[Step {
        task: "Make the cluster take writes again, for good: no alarm, and no file above 80% of its quota.",
        look: "3 Storage: size, in use, quota; 9 Internals: pages",
        hints: &[
            "What fills the files: keys, or their history? Compare what is in use with what a compaction would leave.",
            "Three things in this order: compact, defragment every member, take the alarm back.",
            "R does all of it as one plan, a snapshot first.",
        ],
        goal: room_again,
    }],
    offers: &[Offer::One(Act::DisarmByHand), Offer::One(Act::RaiseQuota)],
    mistakes: no_mistakes,
    lost: never_lost,
    debrief: &[
        "A member compares the size of its file, not what is in use of it, with the quota at every put. The first that finds no room proposes the alarm NOSPACE through Raft: from then on every member refuses puts, also those with room, until somebody takes the alarm back. Deletes, compactions, defragmentations and reads go on.",
        "A compaction alone frees pages inside the files (in use falls) and gives nothing back: the files stay as large, and above the quota. Only a defragmentation makes them smaller. A larger quota makes room without either, for a while. Only then does it make sense to take the alarm back.",
        "So that it does not come back: whoever writes must compact now and then (the Kubernetes API server does, every five minutes), or the members do it themselves (--auto-compaction-retention). And somebody must be told before it is full: quota used above 80%.",
    ],
    par: Duration::from_secs(60),
    right: &[Move::Recover],
    wrong: Wrong { moves: &[Move::Compact(10)], refused: false, told: "NOSPACE is raised" },
};
