//! The tour: what the four numbers of every etcd mean, by moving each of them.

use std::time::Duration;

use super::well;
use crate::lab::act::{Act, Who};
use crate::lab::scenario::{
    COMMON, Goal, Move, Offer, Scenario, Setting, Step, Wrong, never_lost, no_mistakes,
};
use crate::lab::seen::Seen;

fn written(seen: &Seen<'_>) -> Goal {
    match (seen.step.revision, seen.now.revision) {
        (Some(before), Some(now)) if now > before => Ok(()),
        (Some(before), _) => Err(format!("the revision is {}, as when this step began", before.0)),
        _ => Err("the revision is not known".into()),
    }
}

fn elected(seen: &Seen<'_>) -> Goal {
    if seen.now.leader.is_none() || seen.now.leader == seen.step.leader {
        return Err("{A} leads, as when this step began".into());
    }
    if seen.now.term <= seen.step.term {
        return Err("the term is the same".into());
    }
    seen.whole_for(Duration::from_secs(1))
}

fn caught_up(seen: &Seen<'_>) -> Goal {
    let Some(absence) = seen.came_back().last() else {
        return Err("no follower was away and came back yet".into());
    };
    if absence.revision >= seen.now.revision {
        return Err("nothing was written meanwhile: end it once more, and write before you start it".into());
    }
    seen.whole_for(Duration::from_secs(1))?;
    match seen.now.members.iter().find(|m| m.lag != Some(0)) {
        Some(m) => Err(format!("{} has not applied everything yet", m.label())),
        None => Ok(()),
    }
}

fn compacted(seen: &Seen<'_>) -> Goal {
    match seen.now.compact_revision {
        Some(_) => Ok(()),
        None => Err("nothing was compacted yet (/metrics are read every few seconds)".into()),
    }
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "tour",
    title: "A tour: leader, term, revision, index",
    teaches: "what moves revision, Raft index, term and compact revision, and what does not",
    symptom: "Nothing is wrong. Four numbers say how an etcd is; move each of them and watch the others.",
    incident: false,
    setting: Setting { pulse: false, ..COMMON },
    causes: &[crate::lab::act::Cause::Seed, crate::lab::act::Cause::Lead(Who::A)],
    shows: well,
    steps: &[
        Step {
            task: "Write one key, and see which numbers move: the revision, and the Raft index of every member.",
            look: "9 Internals: the revision line, and the logs racing",
            hints: &[
                "The key A opens what can be done besides the dashboard's own keys.",
                "A, then `put a key`: etcdctl put lab/hello world.",
            ],
            goal: written,
        },
        Step {
            task: "Let another member lead. The term grows; the revision does not: an election changes no key.",
            look: "4 Raft: who leads, and in which term",
            hints: &[
                "L moves leadership to the selected member.",
                "Select a member that follows, press L, and confirm the plan.",
            ],
            goal: elected,
        },
        Step {
            task: "End a follower, write meanwhile, start it again: its applied index stands still, then catches up.",
            look: "9 Internals: one log falls behind; 4 Raft: lag",
            hints: &[
                "Two of three members are a quorum: writes go on without the third.",
                "A: end a member that follows; A: put a key; A: start that member.",
            ],
            goal: caught_up,
        },
        Step {
            task: "Compact: the floor below which nobody can read history rises. No key is lost.",
            look: "9 Internals: the floor on the revision line",
            hints: &[
                "c opens a compaction; it keeps the last 1,000 revisions unless you say otherwise.",
                "c, change what is kept to 10, and confirm by typing the cluster's name.",
            ],
            goal: compacted,
        },
    ],
    offers: &[Offer::One(Act::Put), Offer::Each(Act::End), Offer::Each(Act::Start)],
    mistakes: no_mistakes,
    lost: never_lost,
    debrief: &[
        "The revision counts changes of keys, one for each transaction, in the whole cluster. The Raft index counts entries of the log: every put is one, and so are changes of the member list, of leases and alarms, and the empty entry with which a new leader begins. So the index grows faster than the revision.",
        "The term grows with every election. MoveLeader tells the target to stand at once (MsgTimeoutNow), so that nobody waits for a timeout: the gap is some milliseconds, that after a crash one to two seconds.",
        "A member applies what a quorum has committed. One that was away gets the missing entries from the leader's log, or, when the log was cut meanwhile (it keeps 5,000 entries at least), the leader's whole database.",
        "A compaction drops superseded revisions below its floor, on every member, as an entry of the log. Of each key the newest revision stays; the pages that became free stay in the file until a defragmentation.",
    ],
    par: Duration::from_secs(180),
    right: &[
        Move::Act(Act::Put),
        Move::Reach,
        Move::MoveLeader(Who::B),
        Move::Reach,
        Move::Act(Act::End(Who::C)),
        Move::Act(Act::Put),
        Move::Act(Act::Start(Who::C)),
        Move::Reach,
        Move::Compact(10),
    ],
    wrong: Wrong {
        moves: &[Move::Act(Act::Put), Move::Reach, Move::Compact(10)],
        refused: false,
        told: "leads, as when this step began",
    },
};
