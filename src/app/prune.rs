//! The dialog that removes old snapshots: what stays and why, what goes, and its confirmation. What it is about is frozen
//! when it opens.

use std::path::PathBuf;

use jiff::Timestamp;
use tui_input::{Input, InputRequest};

use super::key::{Key, KeyCode};
use super::shelf::Work;
use super::state::{Overlay, State};
use super::update::Effect;
use crate::model::Bytes;
use crate::snapshot::{Keep, Listing, Saved, retain};

/// Where the keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// The button that it opens on.
    Cancel,
    /// How many of a kind stay: an index into [`Prune::counts`].
    Count(usize),
    /// The button that removes.
    Run,
}

/// The kinds of which so many stay, in the order of [`Prune::counts`].
pub const KINDS: [&str; 4] = ["last", "hourly", "daily", "weekly"];
/// What is kept unless somebody says otherwise.
const USUAL: [&str; 4] = ["3", "0", "7", "4"];

/// An open dialog.
#[derive(Clone, Debug)]
pub struct Prune {
    listing: Listing,
    /// Why each snapshot stays; none: it goes. Made anew when something was typed, not for each frame.
    fates: Vec<Option<String>>,
    /// When it was opened.
    pub at: Timestamp,
    /// How many of each kind stay.
    pub counts: [Input; 4],
    /// Where the keys go.
    pub focus: Focus,
    /// First row shown.
    pub scroll: u16,
}

impl Prune {
    pub(super) fn of(listing: Listing, at: Timestamp) -> Self {
        let counts = USUAL.map(|n| Input::new(n.to_owned()));
        let mut this = Self { listing, fates: Vec::new(), at, counts, focus: Focus::Cancel, scroll: 0 };
        this.decide();
        this
    }

    /// What is asked to stay; none while something is no number.
    #[must_use]
    pub fn keep(&self) -> Option<Keep> {
        let [last, hourly, daily, weekly] = self.counts.each_ref().map(|c| c.value().parse().ok());
        Some(Keep { last: last?, hourly: hourly?, daily: daily?, weekly: weekly? })
    }

    /// Says of each snapshot whether it goes; while it is not known what is to stay, none does.
    fn decide(&mut self) {
        self.fates = match self.keep().filter(|keep| !keep.is_nothing()) {
            Some(keep) => retain(&self.listing.saved, keep).into_iter().map(|(_, why)| why).collect(),
            None => vec![Some("not said yet".to_owned()); self.listing.saved.len()],
        };
    }

    /// Each snapshot, and why it stays.
    #[must_use]
    pub fn fates(&self) -> impl ExactSizeIterator<Item = (&Saved, Option<&str>)> {
        self.listing.saved.iter().zip(&self.fates).map(|(s, why)| (s, why.as_deref()))
    }

    /// Parts that interrupted snapshots have left.
    #[must_use]
    pub fn parts(&self) -> &[PathBuf] {
        &self.listing.parts
    }

    /// How many go, and their bytes.
    #[must_use]
    pub fn going(&self) -> (usize, Bytes) {
        let going = self.fates().filter(|(_, why)| why.is_none());
        going.fold((0, Bytes(0)), |(n, bytes), (s, _)| (n + 1, Bytes(bytes.0 + s.size.0)))
    }

    /// Why it cannot be run as it stands.
    #[must_use]
    pub fn not_yet(&self) -> Option<&'static str> {
        match self.keep() {
            None => Some("how many are to stay?"),
            Some(keep) if keep.is_nothing() => Some("keep at least one of something"),
            Some(_) if self.going().0 == 0 && self.parts().is_empty() => Some("nothing would go"),
            Some(_) => None,
        }
    }

    fn step(&mut self, by: isize) {
        let fields: Vec<_> =
            [Focus::Cancel].into_iter().chain((0..4).map(Focus::Count)).chain([Focus::Run]).collect();
        let at = fields.iter().position(|f| *f == self.focus).unwrap_or(0);
        let to = (at.cast_signed() + by).rem_euclid(fields.len().cast_signed());
        self.focus = fields[to.unsigned_abs()];
    }

    pub(super) fn insert(&mut self, request: InputRequest) {
        if let (Focus::Count(i), false) =
            (self.focus, matches!(request, InputRequest::InsertChar(c) if !c.is_ascii_digit()))
            && let Some(count) = self.counts.get_mut(i)
        {
            count.handle(request);
            self.decide();
        }
    }
}

/// A key while the dialog is open.
pub(super) fn in_dialog(state: &mut State, key: Key) -> Vec<Effect> {
    let burst = state.burst;
    let Some(Overlay::Prune(prune)) = &mut state.overlay else { return Vec::new() };
    match (key.code, prune.focus) {
        (KeyCode::Esc, _) | (KeyCode::Enter, Focus::Cancel) => state.overlay = None,
        (KeyCode::Tab | KeyCode::Down, _) | (KeyCode::Enter, Focus::Count(_)) => prune.step(1),
        (KeyCode::BackTab | KeyCode::Up, _) => prune.step(-1),
        (KeyCode::PageDown, _) => prune.scroll = prune.scroll.saturating_add(5),
        (KeyCode::PageUp, _) => prune.scroll = prune.scroll.saturating_sub(5),
        (KeyCode::Right, Focus::Cancel) => prune.focus = Focus::Run,
        (KeyCode::Left, Focus::Run) => prune.focus = Focus::Cancel,
        (KeyCode::Enter, Focus::Run) if burst => {
            state.say("that came as fast as a paste: press enter again", true);
        }
        (KeyCode::Enter, Focus::Run) if state.access.read_only.is_some() => {
            state.say("read-only: nothing is removed", true);
        }
        (KeyCode::Enter, Focus::Run) => {
            if let Some(why) = prune.not_yet() {
                state.say(why, true);
                return Vec::new();
            }
            let fates = prune.fates().map(|(s, why)| (s.clone(), why.map(str::to_owned))).collect();
            let parts = prune.parts().to_vec();
            state.overlay = None;
            return vec![Effect::Shelf(Work::Remove { fates, parts })];
        }
        _ => {
            if let Some(request) = super::overlay::edit(key) {
                prune.insert(request);
            }
        }
    }
    Vec::new()
}
