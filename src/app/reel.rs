//! Goes through a recording beside the one that is shown: what happened in it, and what was seen at any moment of it.

use std::time::Duration;

use super::replay::{Mark, News};
use super::seen::Seen;
use super::state::State;
use super::update::{Msg, update};
use crate::model::{Event, Severity};
use crate::recording::tape::Record;
use crate::recording::{Cursor, Entry, Tape};

/// What was seen at so many moments is kept, evenly spaced: each is some hundred kilobytes, and from the nearest one on the
/// rest is played again.
const KEPT: usize = 64;
/// They are no closer than this: so many entries take a few milliseconds.
const CLOSEST: usize = 32;

/// A place in a recording, and what was seen until there.
#[derive(Debug)]
pub struct Reel {
    cursor: Cursor,
    state: State,
    /// The last event that was told.
    last: Option<Event>,
    kept: Vec<(usize, Seen)>,
    every: usize,
    /// Where it goes back to: a second place, so that the first one goes on from where it was.
    back: Cursor,
    back_state: State,
}

impl Reel {
    /// One at the beginning. `blank` makes a dashboard that has seen nothing but what the recording says of itself.
    #[must_use]
    pub fn new(tape: &Tape, blank: impl Fn() -> State) -> Self {
        Self {
            cursor: Cursor::default(),
            state: blank(),
            last: None,
            kept: Vec::new(),
            every: (tape.records().len() / KEPT).max(CLOSEST),
            back: Cursor::default(),
            back_state: blank(),
        }
    }

    /// The number of the record that comes next.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.cursor.at()
    }

    /// What was seen until here.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Takes the next entry; what happened with it. None at the end of what there is.
    pub fn step(&mut self, tape: &Tape) -> Option<Vec<Mark>> {
        self.step_with(tape, |_, _| ())
    }

    /// The same, and lets somebody look at the entry before it is taken.
    pub fn step_with(&mut self, tape: &Tape, look: impl FnOnce(&Record, &Entry)) -> Option<Vec<Mark>> {
        let (record, entry) = self.cursor.next(tape)?;
        look(&record, &entry);
        let mut marks = Vec::new();
        let mut mark = |severity, line| marks.push(Mark { at: record.from_start, severity, line });
        if let Entry::Started(operation) = &entry {
            mark(Severity::Note, format!("{} begins", operation.plan.title));
        }
        update(&mut self.state, Msg::Replay(News::Entry(record.at, Box::new(entry))));
        let told = |e: &&Event| self.last.as_ref() != Some(*e);
        let fresh: Vec<_> = self.state.timeline.iter().rev().take_while(told).cloned().collect();
        for event in fresh.into_iter().rev() {
            mark(event.severity, event.line);
        }
        self.last = self.state.timeline.back().cloned();
        if self.kept.last().is_none_or(|(at, _)| self.cursor.at() >= at + self.every) {
            self.keep();
        }
        Some(marks)
    }

    fn keep(&mut self) {
        self.kept.push((self.cursor.at(), Seen::of(&self.state)));
        // One that is still being written grows: then every other goes.
        if self.kept.len() > KEPT * 2 {
            let mut odd = false;
            self.kept.retain(|_| {
                odd = !odd;
                odd
            });
            self.every *= 2;
        }
    }

    /// What was seen so far from the beginning, and the number of the record that comes next there. `wanted` is asked now and
    /// then whether it still is. None when it is not, or when that was not read yet.
    pub fn seen(
        &mut self,
        tape: &Tape,
        at: Duration,
        mut wanted: impl FnMut() -> bool,
    ) -> Option<(Seen, usize)> {
        let target = tape.due(at.max(tape.first_view()));
        if target > self.cursor.at() {
            return None;
        }
        if target == self.cursor.at() {
            return Some((Seen::of(&self.state), target));
        }
        let nearest = self.kept.iter().rev().find(|(kept, _)| *kept <= target);
        match nearest {
            Some((kept, seen)) => {
                self.back.seek(tape, *kept);
                seen.clone().put(&mut self.back_state);
            }
            // Before the first one: nothing was seen there but the beginning, which is kept.
            None => return None,
        }
        let mut taken = 0;
        while let Some((record, entry)) = self.back.next_before(tape, target) {
            update(&mut self.back_state, Msg::Replay(News::Entry(record.at, Box::new(entry))));
            taken += 1;
            if taken % 4 == 0 && !wanted() {
                return None;
            }
        }
        Some((Seen::of(&self.back_state), target))
    }
}
