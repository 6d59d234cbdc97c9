//! What happened to the pages of a member's file, concluded from its figures over time: in use grows with puts and falls
//! when a compaction frees pages; only a rewrite makes the file smaller.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use super::history::{History, Sample};
use crate::model::units::{age, bytes};
use crate::model::{Bytes, MemberId};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageChange {
    /// In use grew; the file had pages for it.
    Filled,
    /// In use grew, and the file with it.
    Grew,
    /// In use fell: pages became free inside the file.
    Freed,
    /// The file became smaller: another one took its place.
    Rewritten,
}

/// One thing that happened to the pages, from a sample to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageEvent {
    /// What.
    pub change: PageChange,
    /// The last sample before it.
    pub from: Timestamp,
    /// The first sample after it.
    pub to: Timestamp,
    /// By how much in use changed; bytes.
    pub in_use: i128,
    /// By how much the file changed; bytes.
    pub size: i128,
    /// A counter of `/metrics` says that a compaction (of pages that became free) or a defragmentation (of a rewrite)
    /// ended then. Without it only the figures are known.
    pub told: bool,
}

/// Pages come and go with every commit: what is less than this says nothing of a file of this size.
#[must_use]
pub fn least(size: Bytes) -> Bytes {
    Bytes((size.0 / 200).max(128 << 10))
}

fn noise(size: Bytes) -> i128 {
    i128::from(least(size).0)
}

/// The lowest or highest that was in use since the last turn.
#[derive(Clone, Copy)]
struct Extreme {
    in_use: i128,
    size: i128,
    first: Timestamp,
    last: Timestamp,
}

/// Follows figures from turn to turn.
struct Turns {
    /// Where the move that goes on began.
    start: Extreme,
    /// How far it came.
    reached: Extreme,
    /// It goes up; none: no move was seen yet, and `start` and `reached` are the lowest and the highest.
    up: Option<bool>,
}

impl Turns {
    const fn new(at: Extreme) -> Self {
        Self { start: at, reached: at, up: None }
    }

    fn ended(&self) -> Option<PageEvent> {
        let up = self.up?;
        let (in_use, size) = (self.reached.in_use - self.start.in_use, self.reached.size - self.start.size);
        let change = match (up, size > 0) {
            (true, true) => PageChange::Grew,
            (true, false) => PageChange::Filled,
            (false, _) => PageChange::Freed,
        };
        // The plateau before belongs to nobody: a move begins where its start was seen last.
        Some(PageEvent { change, from: self.start.last, to: self.reached.first, in_use, size, told: false })
    }

    fn push(&mut self, now: Extreme, noise: i128) -> Option<PageEvent> {
        let Some(up) = self.up else {
            let (low, high) = (&mut self.start, &mut self.reached);
            further(low, now, false);
            further(high, now, true);
            if now.in_use - low.in_use >= noise {
                (self.reached, self.up) = (now, Some(true));
            } else if high.in_use - now.in_use >= noise {
                (self.start, self.reached, self.up) = (*high, now, Some(false));
            }
            return None;
        };
        further(&mut self.reached, now, up);
        if (self.reached.in_use - now.in_use).abs() < noise {
            return None;
        }
        let event = self.ended();
        *self = Self { start: self.reached, reached: now, up: Some(!up) };
        event
    }
}

fn further(extreme: &mut Extreme, now: Extreme, up: bool) {
    if now.in_use == extreme.in_use {
        (extreme.last, extreme.size) = (now.last, now.size);
    } else if (now.in_use > extreme.in_use) == up {
        *extreme = now;
    }
}

/// What happened to the pages as far as these samples reach back, oldest first. The last may go on.
#[must_use]
pub fn events(samples: &VecDeque<Sample>) -> Vec<PageEvent> {
    let mut events = Vec::new();
    let mut turns: Option<Turns> = None;
    let mut before: Option<Extreme> = None;
    for sample in samples {
        let (Some(size), Some(in_use)) = (sample.db_size, sample.in_use) else { continue };
        // More in use than there is: absurd.
        let now = Extreme {
            in_use: i128::from(in_use.min(size).0),
            size: i128::from(size.0),
            first: sample.at,
            last: sample.at,
        };
        if let Some(before) = before.filter(|b| b.size > now.size) {
            events.extend(turns.take().and_then(|t| t.ended()));
            events.push(PageEvent {
                change: PageChange::Rewritten,
                from: before.last,
                to: now.first,
                in_use: now.in_use - before.in_use,
                size: now.size - before.size,
                told: false,
            });
        }
        match &mut turns {
            None => turns = Some(Turns::new(now)),
            Some(turns) => events.extend(turns.push(now, noise(size))),
        }
        before = Some(now);
    }
    events.extend(turns.and_then(|t| t.ended()));
    events
}

/// `/metrics` come between the polls of Status, and freed pages count as in use until later writes commit.
const METRICS_LATE: Duration = Duration::from_secs(20);

/// What happened to the pages of a member within the last quarter of an hour, oldest first, with what its `/metrics` say.
#[must_use]
pub fn of_member(history: &History, id: MemberId) -> Vec<PageEvent> {
    let Some(ring) = history.ring(id) else { return Vec::new() };
    let mut events = events(ring.fine());
    let Some(newest) = ring.fine().back().map(|s| s.at) else { return events };
    let mut of_kind = [0_u64; 2];
    for event in events.iter_mut().rev() {
        let back = Duration::try_from(newest.duration_since(event.from)).unwrap_or_default() + METRICS_LATE;
        let Some(window) = history.window(id, back) else { continue };
        // As many ended since as were seen since: this one among them.
        event.told = match event.change {
            PageChange::Rewritten => {
                of_kind[0] += 1;
                window.increase(|s| s.defragmentations) >= Some(of_kind[0])
            }
            PageChange::Freed => {
                of_kind[1] += 1;
                window.increase(|s| s.compactions) >= Some(of_kind[1])
            }
            PageChange::Filled | PageChange::Grew => false,
        };
    }
    events
}

impl PageEvent {
    /// `in use -12 MiB in 3 s: compacted, pages became free`.
    #[must_use]
    pub fn words(&self) -> String {
        let took = Duration::try_from(self.to.duration_since(self.from)).unwrap_or_default();
        let took = age(took.max(Duration::from_secs(1)));
        let (in_use, size) = (signed(self.in_use), signed(self.size));
        match (self.change, self.told) {
            (PageChange::Filled, _) => format!("in use {in_use} in {took}: puts take free pages"),
            (PageChange::Grew, _) => format!("in use {in_use}, file {size} in {took}: puts"),
            (PageChange::Freed, true) => format!("in use {in_use} in {took}: compacted, pages free"),
            (PageChange::Freed, false) => format!("in use {in_use} in {took}: pages freed"),
            (PageChange::Rewritten, true) => format!("file {size} in {took}: defragmented"),
            (PageChange::Rewritten, false) => format!("file {size} in {took}: rewritten"),
        }
    }
}

impl PageEvent {
    /// The same where there is little room: `in use -12 MiB: compacted`.
    #[must_use]
    pub fn short_words(&self) -> String {
        let (in_use, size) = (signed(self.in_use), signed(self.size));
        match (self.change, self.told) {
            (PageChange::Filled, _) => format!("in use {in_use}"),
            (PageChange::Grew, _) => format!("in use {in_use}, file {size}"),
            (PageChange::Freed, true) => format!("in use {in_use}: compacted"),
            (PageChange::Freed, false) => format!("in use {in_use}: freed"),
            (PageChange::Rewritten, true) => format!("file {size}: defragged"),
            (PageChange::Rewritten, false) => format!("file {size}: rewritten"),
        }
    }
}

fn signed(n: i128) -> String {
    let sign = if n < 0 { "-" } else { "+" };
    format!("{sign}{}", bytes(u64::try_from(n.unsigned_abs()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
