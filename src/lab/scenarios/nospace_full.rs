//! NOSPACE where nothing can be reclaimed: the keys themselves fill the quota.

use std::time::Duration;

use super::{out_of_space, room_again};
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Move, Offer, Scenario, Setting, Step, Wrong, never_lost, no_mistakes};
use crate::model::Bytes;

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "nospace-full",
    title: "NOSPACE with nothing to reclaim",
    teaches: "that no compaction helps where the keys themselves fill the quota",
    symptom: "NOSPACE. \"We compacted and defragmented every member, twice. Not one MiB came back.\"",
    incident: true,
    setting: Setting { quota: Some(Bytes(16 << 20)), ..COMMON },
    causes: &[Cause::Lead(Who::A), Cause::FillWithKeys],
    shows: out_of_space,
    steps: &[Step {
        task: "Make the cluster take writes again, for good: no alarm, and no file above 80% of its quota.",
        look: "3 Storage: in use is as large as the file; 6 Snapshots: what fills it, by prefix",
        hints: &[
            "In use is nearly the whole file: history is not what fills it. Take a snapshot (s) and open it in view 6.",
            "Two ways: delete what nobody needs, or raise the quota. Deletes are allowed under NOSPACE.",
            "A: delete the old reports; then c, keep 0 (the deleted values are history now); then D; then a.",
        ],
        goal: room_again,
    }],
    offers: &[Offer::One(Act::DeleteJunk), Offer::One(Act::RaiseQuota), Offer::One(Act::DisarmByHand)],
    mistakes: no_mistakes,
    lost: never_lost,
    debrief: &[
        "A compaction drops superseded revisions only: of each key the newest stays. Where every key was written once there is nothing to drop, and a defragmentation copies everything.",
        "Deletes work under NOSPACE, because they are the way out. But a delete is a revision, too: the deleted value stays until it is compacted, and its pages in the file until that is defragmented. So: delete, compact, defragment, disarm, in this order.",
        "Or raise the quota: --quota-backend-bytes on every member, one restart after the other, then disarm. The documented practical limit is 8 GiB: every member maps the file and keeps an index of all keys in memory, and a new member has to get all of it.",
    ],
    par: Duration::from_secs(90),
    right: &[Move::Act(Act::DeleteJunk), Move::Compact(0), Move::Roll { move_leader: false }, Move::Disarm],
    wrong: Wrong {
        moves: &[Move::Compact(0), Move::Roll { move_leader: false }],
        refused: false,
        told: "NOSPACE is raised",
    },
};
