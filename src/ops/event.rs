//! What the engine tells while it runs, and what it is told: events, progress, limits, the wish to stop.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::journal::{End, Figures, StepEnd};
use super::plan::Step;
use crate::model::Bytes;
use crate::model::units::{age, percent};

/// How far a step is, where that can be told truly; never a guess.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Nothing is known but the time.
    #[default]
    Unknown,
    /// So many bytes of a snapshot are in the file.
    Bytes {
        /// So many.
        done: Bytes,
        /// Of so many, about: the member goes on writing.
        of: Option<Bytes>,
        /// So many a second, of late.
        per_second: Option<Bytes>,
    },
    /// A snapshot is there, and is looked at before it gets its name.
    Verifies,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => Ok(()),
            Self::Bytes { done, of, per_second } => {
                write!(f, "{done}")?;
                let of = of.filter(|of| of.0 > 0);
                if let Some(of) = of {
                    write!(f, " of {of} ({})", percent(done.share_of(of)))?;
                }
                let Some(rate) = per_second.filter(|rate| rate.0 > 0) else { return Ok(()) };
                write!(f, ", {rate}/s")?;
                let Some(left) = of.map(|of| of.minus(*done).0 / rate.0) else { return Ok(()) };
                match left {
                    0 => Ok(()),
                    left => write!(f, ", ~{} left", age(Duration::from_secs(left))),
                }
            }
            Self::Verifies => f.write_str("all there, being verified"),
        }
    }
}

/// What the engine tells while it runs. A transition is never lost; how far a step is comes by [`Progress`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpEvent {
    /// It waits before or after a step, and why.
    Waiting {
        /// From 0.
        step: usize,
        /// For what.
        why: String,
    },
    /// A step began.
    Began {
        /// From 0.
        step: usize,
        /// When.
        at: Timestamp,
    },
    /// The remaining steps go in another order: the leader has changed.
    Reordered(Vec<Step>),
    /// The call of a step is over; what must hold after it is still waited for.
    Answered {
        /// From 0.
        step: usize,
        /// How.
        end: StepEnd,
        /// How long it took, milliseconds; none when its answer was lost.
        took_ms: Option<u64>,
    },
    /// A step ended.
    StepEnded {
        /// From 0.
        step: usize,
        /// How.
        end: StepEnd,
        /// Its figures.
        figures: Figures,
    },
    /// The operation ended.
    Ended(End),
}

/// Time limits of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long what a step needs may take to come about.
    pub settle: Duration,
    /// One call of a step; a defragmentation or compaction goes on behind it.
    pub call: Duration,
    /// How long a member whose outcome is unknown is watched.
    pub watch: Duration,
    /// Between two looks.
    pub pause: Duration,
    /// Looks in a row that must be good after a step.
    pub good_looks: u32,
    /// How long all of it may take; a step that is known to take longer than what is left is not begun.
    pub all: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // OpenShift's operator gives a member 60 s to come back.
            settle: Duration::from_secs(60),
            call: Duration::from_secs(600),
            watch: Duration::from_secs(1_800),
            pause: Duration::from_millis(200),
            good_looks: 2,
            all: None,
        }
    }
}

/// How soon an operation shall stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Haste {
    /// When the running step has come to its end.
    SafePoint,
    /// The same; but what changes nothing, a snapshot, is left in the middle, and its part removed.
    AtOnce,
    /// Now: what was sent may go on, and nobody waits to see what becomes of it.
    Abandon,
}

/// That an operation shall stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Who or what wants it.
    pub why: String,
    /// How soon.
    pub haste: Haste,
}
