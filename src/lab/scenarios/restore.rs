//! Everything is lost but a snapshot.

use std::time::Duration;

use super::{STEADY, well};
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Offer, Scenario, Setting, Step, Wrong, no_mistakes};
use crate::lab::seen::Seen;

fn kept(seen: &Seen<'_>) -> Goal {
    match seen.kept.first() {
        Some(kept) if kept.verified => Ok(()),
        Some(_) => Err("the snapshot was not verified".into()),
        None => Err("there is no snapshot".into()),
    }
}

fn lost_everything(seen: &Seen<'_>) -> Goal {
    if seen.ledger.lost_at.is_some() { Ok(()) } else { Err("the disaster has not struck yet".into()) }
}

fn restored(seen: &Seen<'_>) -> Goal {
    seen.whole_for(STEADY)?;
    let wanted = seen.ledger.kept_then.map(|kept| kept.revision);
    match (seen.now.revision, wanted) {
        (Some(now), Some(wanted)) if now >= wanted => Ok(()),
        (Some(now), Some(wanted)) => {
            Err(format!("the cluster is at revision {}, the snapshot at {}", now.0, wanted.0))
        }
        _ => Err("the revision is not known".into()),
    }
}

fn gone(seen: &Seen<'_>) -> Option<String> {
    seen.ledger.lost_at?;
    if seen.ledger.kept_then.is_none() {
        return Some("every disk is lost, and there was no snapshot".into());
    }
    let empty = seen.did(|act| *act == Act::StartEmpty);
    empty.then(|| {
        "the members were started with empty disks: a cluster without a key, and clients that believe it"
            .into()
    })
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "restore",
    title: "Everything is lost but a snapshot",
    teaches: "a restore from end to end, and what it cannot bring back",
    symptom: "This afternoon every disk of this cluster will be lost. You know it, for once.",
    incident: false,
    setting: Setting { pulse: false, ..COMMON },
    causes: &[Cause::Seed, Cause::Lead(Who::A)],
    shows: well,
    steps: &[
        Step {
            task: "Save a snapshot that can be trusted.",
            look: "6 Snapshots: verified or not, and what it holds",
            hints: &[
                "s opens the plan of a snapshot.",
                "s, and confirm. It is verified before it gets its name.",
            ],
            goal: kept,
        },
        Step {
            task: "Let the disaster strike.",
            look: "1 Overview: UNREACHABLE",
            hints: &["It is among what can be done besides the dashboard's keys.", "A: the disaster."],
            goal: lost_everything,
        },
        Step {
            task: "Bring the cluster back with every key that the snapshot holds.",
            look: "1 Overview: the revision",
            hints: &[
                "Every member is restored from the same file, each with its own name and urls, before any of them is started.",
                "A: restore every member from the newest snapshot, and start it.",
            ],
            goal: restored,
        },
    ],
    offers: &[
        Offer::One(Act::LoseEverything),
        Offer::One(Act::Restore),
        Offer::One(Act::StartEmpty),
        Offer::One(Act::Put),
    ],
    mistakes: no_mistakes,
    lost: gone,
    debrief: &[
        "A snapshot is the database of one member. A restore writes it into an empty data folder together with a new log and a new member list: a new cluster that begins with the old keys. Every member must be restored from the same file, with the same --initial-cluster.",
        "What was written after the snapshot is gone, and the revision is that of the snapshot: clients that watched have seen a future that never was. That is why a restored Kubernetes cluster needs --bump-revision and --mark-compacted (etcdutl 3.6, late 3.5): their watches are cancelled then, and they list anew.",
        "Members that are started with empty disks form a cluster as well, at once and without a complaint: an empty one. Whoever keeps reconciling against it deletes what it does not find. `etcdtop snapshot restore-plan` prints every line of a restore, in order.",
    ],
    par: Duration::from_secs(90),
    right: &[
        Move::Snapshot,
        Move::Reach,
        Move::Act(Act::LoseEverything),
        Move::Reach,
        Move::Act(Act::Restore),
    ],
    wrong: Wrong {
        moves: &[
            Move::Snapshot,
            Move::Reach,
            Move::Act(Act::LoseEverything),
            Move::Reach,
            Move::Act(Act::StartEmpty),
        ],
        refused: false,
        told: "a cluster without a key",
    },
};
