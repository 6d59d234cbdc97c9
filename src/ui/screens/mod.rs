//! The views. A new one is one file and one line in [`TABLE`].

pub(super) mod fleet;
mod internals;
mod latency;
mod member;
mod operations;
mod overview;
mod raft;
mod snapshots;
mod storage;
mod timeline;

use ratatui::layout::Rect;

use super::canvas::Canvas;
use super::theme::{Glyphs, Theme};
use crate::app::State;
use crate::app::state::Screen;

/// How far the open view can be scrolled.
pub(super) fn most_scroll(state: &State, theme: &Theme, glyphs: &Glyphs, area: Rect) -> u16 {
    match state.screen {
        Screen::Member => member::most_scroll(state, theme, glyphs, area),
        // The first line is the selected entry, so every one can come first.
        Screen::Timeline => u16::try_from(state.entries().count().saturating_sub(1)).unwrap_or(u16::MAX),
        Screen::Operations => {
            u16::try_from(state.changes.past.operations.len().saturating_sub(1)).unwrap_or(u16::MAX)
        }
        Screen::Snapshots => snapshots::most_scroll(state, theme, glyphs, area),
        Screen::Latency => latency::most_scroll(state, area),
        Screen::Overview | Screen::Storage | Screen::Raft | Screen::Internals | Screen::Fleet => 0,
    }
}

/// What to say where nothing is shown: that the filter hides it, or else what the view says.
fn nothing_shown<'a>(state: &State, otherwise: &'a str) -> &'a str {
    if state.filter.input.value().is_empty() {
        otherwise
    } else {
        "nothing matches the filter: esc clears it"
    }
}

/// One view.
pub(super) struct View {
    pub(super) id: Screen,
    pub(super) title: &'static str,
    /// The title where not all of them have room.
    pub(super) short: &'static str,
    draw: fn(&State, &mut Canvas<'_>, Rect),
}

/// Every view, in the order of their keys.
pub(super) const TABLE: &[View] = &[
    View { id: Screen::Overview, title: "Overview", short: "Overview", draw: overview::draw },
    View { id: Screen::Member, title: "Member", short: "Member", draw: member::draw },
    View { id: Screen::Storage, title: "Storage", short: "Store", draw: storage::draw },
    View { id: Screen::Raft, title: "Raft", short: "Raft", draw: raft::draw },
    View { id: Screen::Operations, title: "Operations", short: "Ops", draw: operations::draw },
    View { id: Screen::Snapshots, title: "Snapshots", short: "Snaps", draw: snapshots::draw },
    View { id: Screen::Timeline, title: "Timeline", short: "Timeline", draw: timeline::draw },
    View { id: Screen::Latency, title: "Latency", short: "Latency", draw: latency::draw },
    View { id: Screen::Internals, title: "Internals", short: "Inside", draw: internals::draw },
    View { id: Screen::Fleet, title: "Fleet", short: "Fleet", draw: fleet::draw },
];

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    if let Some(view) = TABLE.iter().find(|v| v.id == state.screen) {
        (view.draw)(state, canvas, area);
    }
}
