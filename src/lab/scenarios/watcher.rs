//! A compaction against a watcher that sleeps.

use std::time::Duration;

use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Offer, Scenario, Setting, Step, Wrong, no_mistakes};
use crate::lab::seen::Seen;

/// So many revisions may be left above the floor.
const FEW: i64 = 150;

fn asleep(seen: &Seen<'_>) -> Goal {
    super::well(seen)?;
    let (Some(consumer), Some(head)) = (seen.consumer, seen.now.revision) else {
        return Err("nobody watches".into());
    };
    if consumer.paused && head.0 - consumer.next_revision > 200 {
        Ok(())
    } else {
        Err("the consumer is not behind yet".into())
    }
}

fn compacted(seen: &Seen<'_>) -> Goal {
    let (Some(consumer), Some(head)) = (seen.consumer, seen.now.revision) else {
        return Err("nobody watches".into());
    };
    let floor = seen.now.compact_revision.map_or(0, |r| r.0);
    if head.0 - floor > FEW {
        return Err(format!("{} revisions are kept, {FEW} are wanted", head.0 - floor));
    }
    if consumer.paused {
        return Err("the consumer still sleeps: whether it survives shows when it wakes".into());
    }
    if consumer.next_revision <= floor {
        return Err("the consumer has not read on yet".into());
    }
    Ok(())
}

fn cancelled(seen: &Seen<'_>) -> Option<String> {
    let at = seen.consumer?.cancelled_at?;
    Some(format!(
        "the consumer was cancelled: it asked for revisions below {at}, which are compacted. What happened in between it never learns"
    ))
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "watcher",
    title: "A compaction and a watcher",
    teaches: "what a compaction does to somebody who watches from an old revision",
    symptom: "\"Compact, we keep far too much history!\" But the consumer of the orders is down for maintenance, and will go on from where it was.",
    incident: false,
    setting: Setting { pulse: false, consumer: true, ..COMMON },
    causes: &[Cause::Lead(Who::A), Cause::ConsumerSleeps],
    shows: asleep,
    steps: &[Step {
        task: "Keep no more than 150 revisions, and let the consumer miss nothing.",
        look: "9 Internals: the floor, the head, and where the consumer stands on the revision line",
        hints: &[
            "A watch from below the floor is cancelled. Where does the consumer stand?",
            "First it has to read on, then the floor may pass the place where it was.",
            "A: let the consumer go on; then c, keep 100.",
        ],
        goal: compacted,
    }],
    offers: &[Offer::One(Act::WakeConsumer), Offer::One(Act::Put)],
    mistakes: no_mistakes,
    lost: cancelled,
    debrief: &[
        "A watch can start at any revision from the floor on: etcd reads the changes since then from its database, then goes on live. Below the floor superseded revisions are gone, so that it could not tell everything; it cancels the watch, with the compact revision in its answer.",
        "The client has to read everything anew, and what happened in between it never learns: a key that was put and deleted meanwhile left no trace. That is what `required revision has been compacted` in a log of a Kubernetes component means; its reflectors list anew and go on.",
        "A watcher that is connected and keeps up is not affected by any compaction, and one that is slow, but connected, neither, as long as etcd has its events in memory.",
    ],
    par: Duration::from_secs(45),
    right: &[Move::Act(Act::WakeConsumer), Move::Compact(100)],
    wrong: Wrong {
        moves: &[Move::Compact(100), Move::Act(Act::WakeConsumer)],
        refused: false,
        told: "the consumer was cancelled",
    },
};
