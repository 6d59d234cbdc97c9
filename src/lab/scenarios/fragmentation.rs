//! Files that are mostly free pages, and a rolling defragmentation.

use std::time::Duration;

use super::STEADY;
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Offer, Scenario, Step, Wrong, never_lost};
use crate::lab::seen::Seen;
use crate::model::Bytes;

/// Free pages that are worth a rewrite here: a half of the file.
const WORTH: f64 = 0.5;

/// Free pages as a share of the file, by member.
fn free(seen: &Seen<'_>) -> Vec<(String, f64)> {
    let share = |m: &crate::model::MemberView| {
        let status = m.status.as_ref()?;
        Some((m.label(), status.reclaimable()?.share_of(status.db_size?)))
    };
    seen.now.members.iter().filter_map(share).collect()
}

fn fragmented(seen: &Seen<'_>) -> Goal {
    super::well(seen)?;
    match free(seen).into_iter().find(|(_, share)| *share < WORTH) {
        Some((name, _)) => Err(format!("{name} has not freed its pages yet")),
        None => Ok(()),
    }
}

fn rolled(seen: &Seen<'_>) -> Goal {
    let left: Vec<_> =
        free(seen).into_iter().filter(|(_, share)| *share >= WORTH).map(|(name, _)| name).collect();
    if !left.is_empty() {
        return Err(format!("more than half of the file is free pages: {}", left.join(", ")));
    }
    seen.whole_for(STEADY)
}

fn together(seen: &Seen<'_>) -> Vec<String> {
    let two = seen.ledger.most_away > 1;
    two.then(|| "two members were away at the same time".to_owned()).into_iter().collect()
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "fragmentation",
    title: "Files full of nothing",
    teaches: "a rolling defragmentation: one member at a time, the leader last",
    symptom: "A cleanup job deleted most keys last night, and the files on the disks are as large as ever.",
    // Nothing fails: nobody would look for it in a mystery.
    incident: false,
    setting: COMMON,
    causes: &[Cause::Lead(Who::A), Cause::Fragment { live: Bytes(4 << 20), free: Bytes(40 << 20) }],
    shows: fragmented,
    steps: &[Step {
        task: "Give the free pages of every member back to the disk; never more than one member away at a time.",
        look: "1 Overview: the bars; 5 Operations while it runs",
        hints: &[
            "A defragmentation is local: what one member gives back the others keep.",
            "D rolls over all members, followers first, the leader last, and waits in between.",
        ],
        goal: rolled,
    }],
    offers: &[Offer::Each(Act::Restart), Offer::Each(Act::End), Offer::Each(Act::Start)],
    mistakes: together,
    lost: never_lost,
    debrief: &[
        "Deletes and compactions free pages inside the file; bbolt uses them again for later writes, and never makes a file smaller. A defragmentation copies what is in use into a new file beside the old one, and renames it.",
        "While it copies, the member holds the locks of its database: it answers no put, no range and no Status, and applies nothing. Its Raft goes on, so that it still counts for the quorum. One at a time all the same: whoever is connected to it stands still, it has to catch up before the next one goes, and one that does not come back, because its disk is full, must be the only one.",
        "It is no part of Raft: nobody else hears of it, and each member needs its own. Files of members may differ in size for good, without meaning anything.",
    ],
    par: Duration::from_secs(60),
    right: &[Move::Roll { move_leader: false }],
    wrong: Wrong {
        moves: &[Move::Defragment(Who::B)],
        refused: false,
        told: "more than half of the file is free pages",
    },
};
