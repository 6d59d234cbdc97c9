//! What was seen, apart from what somebody who looks at it did: screen, selection, filter and size stay while a replay goes
//! to another moment.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::operation::Operation;
use super::shelf::Look;
use super::state::State;
use crate::diagnose::Damper;
use crate::model::coach::CoachView;
use crate::model::finding::FindingKey;
use crate::model::hashes::Comparison;
use crate::model::{ClusterView, Event, Finding, MemberId, Verdict};
use crate::ops::past::History as Past;
use crate::poll::history::History;
use crate::snapshot::{Listing, Place};

/// Everything that came from outside and from time going by. A field of the state that polls, events or the clock change
/// has its place here, too.
#[derive(Clone, Debug)]
pub struct Seen {
    view: Arc<ClusterView>,
    findings: Vec<Finding>,
    verdict: Verdict,
    damper: Damper,
    full_in: Option<Duration>,
    hashes: Option<Comparison>,
    comparing: bool,
    recent: BTreeMap<FindingKey, (Timestamp, Finding)>,
    history: History,
    timeline: VecDeque<Event>,
    pings: BTreeMap<MemberId, Duration>,
    interval: Duration,
    operation: Option<Operation>,
    past: Past,
    listing: Option<Result<Listing, String>>,
    place: Option<Result<Place, String>>,
    verifying: Option<(PathBuf, Timestamp)>,
    looks: BTreeMap<PathBuf, Look>,
    coach: Option<Box<CoachView>>,
    now: Timestamp,
    clock: Timestamp,
}

impl Seen {
    /// What was seen so far.
    #[must_use]
    pub fn of(state: &State) -> Self {
        Self {
            view: Arc::clone(&state.view),
            findings: state.findings.clone(),
            verdict: state.verdict.clone(),
            damper: state.damper.clone(),
            full_in: state.full_in,
            hashes: state.hashes.clone(),
            comparing: state.comparing,
            recent: state.recent.clone(),
            history: state.history.clone(),
            timeline: state.timeline.clone(),
            pings: state.pings.clone(),
            interval: state.interval,
            operation: state.changes.operation.clone(),
            past: state.changes.past.clone(),
            listing: state.shelf.listing.clone(),
            place: state.shelf.place.clone(),
            verifying: state.shelf.verifying.clone(),
            looks: state.shelf.looks.clone(),
            coach: state.coach.clone(),
            now: state.now,
            clock: state.clock,
        }
    }

    /// Puts it in the place of what was seen.
    pub fn put(self, state: &mut State) {
        state.view = self.view;
        state.findings = self.findings;
        state.verdict = self.verdict;
        state.damper = self.damper;
        state.full_in = self.full_in;
        state.hashes = self.hashes;
        state.comparing = self.comparing;
        state.recent = self.recent;
        state.history = self.history;
        state.timeline = self.timeline;
        state.pings = self.pings;
        state.interval = self.interval;
        state.changes.operation = self.operation;
        state.changes.past = self.past;
        state.shelf.listing = self.listing;
        state.shelf.place = self.place;
        state.shelf.verifying = self.verifying;
        state.shelf.looks = self.looks;
        state.coach = self.coach;
        state.now = self.now;
        state.clock = self.clock;
        state.live = None;
    }
}
