//! The line of revisions: what a compaction took, what can still be read and watched from, and what is not written yet.
//!
//! The edges are those of etcd's `mvcc` package, the same from 3.4 to 3.7: a read is refused and a watcher cancelled
//! *below* the compact revision; at the compact revision itself both still work.

use super::ids::Revision;
use super::units::grouped;

/// The revisions of a cluster at one moment, the first of which is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevisionLine {
    /// The compact revision: 0 where nothing was compacted; none where it is not known.
    pub floor: Option<Revision>,
    /// The current revision.
    pub head: Revision,
}

/// Where a revision lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Below the floor: only each key's newest version is left of it.
    Gone,
    /// From the floor to the head.
    Readable,
    /// Not written yet.
    ToCome,
}

/// The share of the line that is below the floor, where there is anything.
const GONE: f64 = 0.2;
/// Where the head stands: what lies behind is to come.
const HEAD: f64 = 0.9;

impl RevisionLine {
    /// The oldest revision that can be read and watched from, as far as is known.
    #[must_use]
    pub fn oldest(self) -> i64 {
        self.floor.map_or(1, |f| f.0.max(1)).min(self.head.0.max(1))
    }

    /// The last revision on the line: some that are not written yet, on the scale of those that can be read.
    #[must_use]
    pub fn last(self) -> Revision {
        let readable = self.head.0.saturating_sub(self.oldest());
        Revision(self.head.0.max(1).saturating_add((readable / 7).max(10)))
    }

    /// How many revisions below the floor are gone.
    #[must_use]
    pub fn gone(self) -> u64 {
        u64::try_from(self.oldest() - 1).unwrap_or_default()
    }

    /// How many revisions can be read and watched from, the floor among them.
    #[must_use]
    pub fn readable(self) -> u64 {
        count(self.oldest(), self.head.0)
    }

    /// Where a revision lies.
    #[must_use]
    pub fn zone(self, r: Revision) -> Zone {
        if r > self.head {
            Zone::ToCome
        } else if r.0 < self.oldest() {
            Zone::Gone
        } else {
            Zone::Readable
        }
    }

    /// Where the floor stands on the line, from 0 to 1.
    #[must_use]
    pub fn floor_share(self) -> f64 {
        if self.oldest() > 1 { GONE } else { 0.0 }
    }

    /// Where the head stands on the line, from 0 to 1.
    #[must_use]
    pub const fn head_share(self) -> f64 {
        HEAD
    }

    /// Where a revision stands on the line, from 0 to 1. Each zone has a scale of its own: millions may be gone, and a
    /// thousand readable.
    #[must_use]
    pub fn share(self, r: Revision) -> f64 {
        let (oldest, floor) = (self.oldest(), self.floor_share());
        let part = |from: i64, to: i64| part(r.0, from, to).clamp(0.0, 1.0);
        match self.zone(r) {
            Zone::Gone => part(1, oldest) * floor,
            Zone::Readable => floor + part(oldest, self.head.0) * (HEAD - floor),
            Zone::ToCome => HEAD + part(self.head.0, self.last().0) * (1.0 - HEAD),
        }
    }

    /// The revision at a place on the line.
    #[must_use]
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // a place that somebody points at
    fn at(self, share: f64) -> Revision {
        let (oldest, floor) = (self.oldest(), self.floor_share());
        let between = |from: i64, to: i64, part: f64| {
            from.saturating_add((to.saturating_sub(from) as f64 * part).round() as i64)
        };
        let share = share.clamp(0.0, 1.0);
        Revision(if share < floor {
            between(1, oldest, share / floor)
        } else if share <= HEAD {
            between(oldest, self.head.0.max(1), (share - floor) / (HEAD - floor))
        } else {
            between(self.head.0.max(1), self.last().0, (share - HEAD) / (1.0 - HEAD))
        })
    }

    /// So many hundredths of the line further on, at least one revision. It stops at the floor and at the head: these
    /// are the revisions that one wants to try.
    #[must_use]
    pub fn step(self, from: Revision, hundredths: i16) -> Revision {
        let from = Revision(from.0.clamp(1, self.last().0));
        let to = self.at(self.share(from) + f64::from(hundredths) / 100.0);
        let to = match hundredths {
            0 => return from,
            1.. => to.0.max(from.0 + 1),
            _ => to.0.min(from.0 - 1),
        };
        let edges = [self.oldest(), self.head.0];
        let passed = edges.into_iter().filter(|e| (from.0.min(to) + 1..from.0.max(to)).contains(e));
        let to = if hundredths > 0 { passed.min() } else { passed.max() }.unwrap_or(to);
        Revision(to.clamp(1, self.last().0))
    }

    /// What a watcher gets that asks for events from this revision on.
    #[must_use]
    pub fn watcher_gets(self, from: Revision) -> String {
        match self.zone(from) {
            Zone::Gone => format!("is cancelled: compact_revision {}", shown(Revision(self.oldest()))),
            Zone::Readable => {
                // An empty store is at revision 1 already: the first change gets 2.
                match count(from.0.max(2), self.head.0) {
                    0 => "gets live events: nothing was written yet".into(),
                    1 => "gets the events of 1 revision, then live ones".into(),
                    n => format!("gets the events of {} revisions, then live ones", grouped(n)),
                }
            }
            Zone::ToCome => "waits: nothing until that is written, then live ones".into(),
        }
    }

    /// What a read at this revision gets.
    #[must_use]
    pub const fn read_gets(self, at: Zone) -> &'static str {
        match at {
            Zone::Gone => "fails: required revision has been compacted",
            Zone::Readable => "gets the keys as they were then",
            Zone::ToCome => "fails: required revision is a future revision",
        }
    }
}

/// A revision for people.
#[must_use]
pub fn shown(r: Revision) -> String {
    grouped(u64::try_from(r.0).unwrap_or_default())
}

fn count(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from).saturating_add(1)).unwrap_or_default()
}

#[allow(clippy::cast_precision_loss)] // a place on a line of a few hundred cells
fn part(r: i64, from: i64, to: i64) -> f64 {
    let whole = to.saturating_sub(from);
    if whole <= 0 { 1.0 } else { r.saturating_sub(from) as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: RevisionLine = RevisionLine { floor: Some(Revision(6)), head: Revision(10) };

    /// As etcd 3.4 to 3.7 answered (`tests/it/edges.rs` asks them).
    #[test]
    fn the_edges_are_those_of_etcd() {
        let zones: Vec<_> = [5, 6, 10, 11].map(|r| LINE.zone(Revision(r))).to_vec();
        assert_eq!(zones, [Zone::Gone, Zone::Readable, Zone::Readable, Zone::ToCome]);
        assert_eq!(LINE.watcher_gets(Revision(5)), "is cancelled: compact_revision 6");
        assert_eq!(LINE.watcher_gets(Revision(6)), "gets the events of 5 revisions, then live ones");
        assert_eq!(LINE.watcher_gets(Revision(10)), "gets the events of 1 revision, then live ones");
        assert_eq!((LINE.gone(), LINE.readable()), (5, 5));
    }

    #[test]
    fn without_a_compaction_nothing_is_gone() {
        for floor in [None, Some(Revision(0))] {
            let line = RevisionLine { floor, ..LINE };
            assert_eq!((line.gone(), line.readable(), line.floor_share()), (0, 10, 0.0));
            assert_eq!(line.zone(Revision(1)), Zone::Readable);
        }
    }

    #[test]
    fn an_empty_store_has_a_revision_and_no_event() {
        let empty = RevisionLine { floor: Some(Revision(0)), head: Revision(1) };
        assert_eq!(empty.watcher_gets(Revision(1)), "gets live events: nothing was written yet");
        let line = RevisionLine { floor: Some(Revision(0)), ..LINE };
        assert_eq!(line.watcher_gets(Revision(1)), line.watcher_gets(Revision(2)));
    }

    #[test]
    fn steps_stop_at_the_edges_and_go_on() {
        let line = RevisionLine { floor: Some(Revision(1_280_000)), head: Revision(1_285_023) };
        let mut r = line.last();
        let mut seen = vec![r];
        while r > Revision(1) {
            r = line.step(r, -10);
            seen.push(r);
        }
        assert!(seen.contains(&line.head) && seen.contains(&Revision(1_280_000)), "{seen:?}");
        assert!(seen.len() < 16, "{seen:?}");
        assert_eq!(line.step(Revision(1_280_000), -1), Revision(1_216_000), "a hundredth of the line");
        assert_eq!(line.step(line.head, 100), line.last());
    }

    proptest! {
        /// Whatever a cluster says, steps move, stay on the line, and the line stays within its ends.
        #[test]
        fn steps_move_and_stay_on_the_line(floor in proptest::option::of(any::<i64>()), head: i64, from: i64, by in -100_i16..100) {
            let line = RevisionLine { floor: floor.map(Revision), head: Revision(head) };
            let start = Revision(from.clamp(1, line.last().0));
            let to = line.step(Revision(from), by);
            prop_assert!((1..=line.last().0).contains(&to.0));
            prop_assert!((0.0..=1.0).contains(&line.share(to)));
            let ends = to.0 == 1 || to == line.last();
            prop_assert!(by == 0 || ends || (to > start) == (by > 0) && to != start, "{start:?} {to:?}");
        }
    }
}
