//! The folder of snapshots as the dashboard shows it: what lies there, what one of them holds, what was found wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::prune::Prune;
use super::state::{Overlay, Screen, State};
use super::update::Effect;
use crate::diagnose::Backup;
use crate::model::{Bytes, ClusterId};
use crate::snapshot::{Inspected, Listing, Place, Saved};

/// What is done with files, beside the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// List the folder.
    List,
    /// Read what a snapshot holds.
    Inspect(PathBuf),
    /// Check everything that can be checked.
    Verify(PathBuf),
    /// Remove what may go, and parts that nobody writes.
    Remove {
        /// Each snapshot, and why it stays; none: it goes.
        fates: Vec<(Saved, Option<String>)>,
        /// Parts.
        parts: Vec<PathBuf>,
    },
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum News {
    /// What lies in the folder, and what is free there or why nothing can be saved.
    Listed(Result<Listing, String>, Result<Place, String>),
    /// What a snapshot holds, or why it cannot be told.
    Inspected(PathBuf, Contents),
    /// Everything that is wrong with a snapshot; empty: nothing.
    Verified(PathBuf, Vec<String>),
    /// What was removed, and what could not be: a line each.
    Removed(usize, Vec<String>),
}

/// What a snapshot holds, or why it cannot be told.
pub type Contents = Result<Box<Inspected>, String>;

/// A snapshot that was looked at since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// When.
    pub at: Timestamp,
    /// How large it was.
    pub size: Bytes,
    /// What is wrong with it.
    pub damages: Vec<String>,
}

/// What is known of the folder.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    /// What lies there; none: not read yet.
    pub listing: Option<Result<Listing, String>>,
    /// What is free there, or why nothing can be saved.
    pub place: Option<Result<Place, String>>,
    /// The selected snapshot.
    pub selected: Option<PathBuf>,
    /// The one that is open, and what it holds; none while it is read.
    pub opened: Option<(PathBuf, Option<Contents>)>,
    /// What is being verified, and since when.
    pub verifying: Option<(PathBuf, Timestamp)>,
    /// What was verified since the start.
    pub looks: BTreeMap<PathBuf, Look>,
}

impl Shelf {
    /// The snapshots, the newest first.
    #[must_use]
    pub fn saved(&self) -> &[Saved] {
        match &self.listing {
            Some(Ok(listing)) => &listing.saved,
            _ => &[],
        }
    }

    /// Parts of snapshots that are not whole.
    #[must_use]
    pub fn parts(&self) -> &[PathBuf] {
        match &self.listing {
            Some(Ok(listing)) => &listing.parts,
            _ => &[],
        }
    }

    /// What was found when it was verified here, if it is still as large.
    #[must_use]
    pub fn look(&self, saved: &Saved) -> Option<&Look> {
        self.looks.get(&saved.path).filter(|look| look.size == saved.size)
    }

    /// Whether it can be trusted: verified before it got its name, or since, and nothing was found.
    #[must_use]
    pub fn trusted(&self, saved: &Saved) -> bool {
        self.look(saved).map_or_else(|| saved.is_verified(), |look| look.damages.is_empty())
    }

    /// The newest one of a cluster.
    #[must_use]
    pub fn newest(&self, cluster: ClusterId) -> Option<&Saved> {
        self.saved().iter().find(|s| s.side.as_ref().and_then(|s| s.cluster_id) == Some(cluster))
    }

    /// What is known about snapshots of a cluster at a moment.
    #[must_use]
    pub fn backup(&self, cluster: Option<ClusterId>, now: Timestamp) -> Backup {
        let (Some(cluster), Some(Ok(_))) = (cluster, &self.listing) else { return Backup::Unknown };
        self.newest(cluster).map_or(Backup::None, |newest| Backup::Taken {
            age: Duration::try_from(now.duration_since(newest.taken_at)).unwrap_or_default(),
            verified: self.trusted(newest),
        })
    }

    /// The rows that a filter lets through, as indices into [`Self::saved`].
    #[must_use]
    pub fn rows(&self, needle: &str) -> Vec<usize> {
        if needle.is_empty() {
            return (0..self.saved().len()).collect();
        }
        let needle = needle.to_lowercase();
        let name = |s: &Saved| s.path.to_string_lossy().to_lowercase();
        let saved = self.saved().iter().enumerate();
        saved.filter(|(_, s)| name(s).contains(&needle)).map(|(i, _)| i).collect()
    }
}

impl State {
    /// The selected snapshot: the newest if none is selected or it is gone.
    #[must_use]
    pub fn selected_snapshot(&self) -> Option<usize> {
        let rows = self.shelf.rows(self.filter.input.value());
        let is_selected = |i: &&usize| Some(&self.shelf.saved()[**i].path) == self.shelf.selected.as_ref();
        rows.iter().find(is_selected).or(rows.first()).copied()
    }

    fn selected_file(&self) -> Option<&Saved> {
        self.shelf.saved().get(self.selected_snapshot()?)
    }
}

/// Why the selected snapshot cannot be looked at now.
pub(super) fn unavailable(state: &State) -> Option<&'static str> {
    if state.screen != Screen::Snapshots {
        return Some("select a snapshot in the view of snapshots first");
    }
    state.shelf.saved().is_empty().then_some("there is no snapshot")
}

/// Why nothing can be removed now.
pub(super) fn prune_unavailable(state: &State) -> Option<&'static str> {
    if state.access.read_only.is_some() {
        return Some("read-only: nothing is removed (--read-only=false lifts it)");
    }
    if state.shelf.saved().is_empty() && state.shelf.parts().is_empty() {
        return Some("there is no snapshot to remove");
    }
    None
}

/// Selects the snapshot so many rows further down, or scrolls the one that is open.
pub(super) fn move_by(state: &mut State, by: i16) {
    if state.shelf.opened.is_some() {
        state.scroll = state.scroll.saturating_add_signed(by);
        return;
    }
    let rows = state.shelf.rows(state.filter.input.value());
    let Some(current) = state.selected_snapshot() else { return };
    let at = rows.iter().position(|i| *i == current).unwrap_or_default();
    let to = at.saturating_add_signed(by.into()).min(rows.len().saturating_sub(1));
    state.shelf.selected = Some(state.shelf.saved()[rows[to]].path.clone());
}

/// Opens the selected snapshot.
pub(super) fn open(state: &mut State) -> Vec<Effect> {
    let Some(path) = state.selected_file().map(|s| s.path.clone()) else { return Vec::new() };
    if state.shelf.opened.is_some() {
        return Vec::new();
    }
    state.scroll = 0;
    state.shelf.selected = Some(path.clone());
    state.shelf.opened = Some((path.clone(), None));
    vec![Effect::Shelf(Work::Inspect(path))]
}

/// Closes the one that is open; whether one was.
pub(super) fn close(state: &mut State) -> bool {
    state.screen == Screen::Snapshots && state.shelf.opened.take().is_some()
}

/// Verifies the selected snapshot.
pub(super) fn verify(state: &mut State) -> Vec<Effect> {
    if let Some((path, _)) = &state.shelf.verifying {
        let name = name_of(path);
        state.say(format!("{name} is being verified: one at a time"), true);
        return Vec::new();
    }
    let Some(path) = state.selected_file().map(|s| s.path.clone()) else { return Vec::new() };
    state.shelf.verifying = Some((path.clone(), state.clock));
    state.say(format!("verifies {}: every byte is read", name_of(&path)), false);
    vec![Effect::Shelf(Work::Verify(path))]
}

/// Opens the dialog that says what may go.
pub(super) fn prune(state: &mut State) {
    if let Some(Ok(listing)) = &state.shelf.listing {
        // What was found wrong since outweighs what was found then.
        let mut listing = listing.clone();
        for saved in &mut listing.saved {
            if let Some(damage) = state.shelf.look(saved).and_then(|look| look.damages.first()) {
                saved.problem = Some(format!("damaged: {damage}"));
            }
        }
        let prune = Prune::of(listing, state.clock);
        state.overlay = Some(Overlay::Prune(Box::new(prune)));
    }
}

/// Takes what came of the work.
pub(super) fn on_news(state: &mut State, news: News) -> Vec<Effect> {
    match news {
        News::Listed(listing, place) => {
            state.shelf.listing = Some(listing);
            state.shelf.place = Some(place);
        }
        News::Inspected(path, found) => {
            // Who closed it meanwhile does not want it any more.
            if let Some((opened, slot)) = &mut state.shelf.opened
                && *opened == path
            {
                *slot = Some(found);
            }
        }
        News::Verified(path, damages) => {
            state.shelf.verifying = None;
            let name = name_of(&path);
            match damages.first() {
                None => state.say(format!("{name} is whole: every byte was read and checked"), false),
                Some(first) => state.say(format!("{name} is damaged: {first}"), true),
            }
            if let Some(saved) = state.shelf.saved().iter().find(|s| s.path == path) {
                let look = Look { at: state.clock, size: saved.size, damages };
                state.shelf.looks.insert(path, look);
            }
        }
        News::Removed(count, failed) => {
            let kept = failed.first().map_or_else(String::new, |why| format!("; not {why}"));
            state.say(format!("{count} removed{kept}"), !failed.is_empty());
            return vec![Effect::Shelf(Work::List)];
        }
    }
    Vec::new()
}

/// The last part of a path, for people.
#[must_use]
pub fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    crate::model::text::printable(&name).into_owned()
}

#[cfg(test)]
#[path = "shelf_tests.rs"]
mod tests;
