//! The pages of each member's file against the quota, and what happened to them last.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::layout::Rect;

use super::{lead, member, old};
use crate::app::State;
use crate::model::{Bytes, MemberStatus, MemberView};
use crate::poll::pages::{self, PageChange, PageEvent};
use crate::ui::canvas::{Canvas, row, width};
use crate::ui::widgets::bar::{self, Parts};

/// Rows below a bar at most.
const MOST_EVENTS: usize = 3;
/// A bar of less says nothing.
const LEAST_BAR: u16 = 12;

/// Rows below a bar that these members have something to say in.
pub(super) fn most_lines(state: &State, part: &[usize]) -> u16 {
    let lines = |i: &usize| {
        let m = &state.view.members[*i];
        told(state, m, &events(state, m)).len()
    };
    u16::try_from(part.iter().map(lines).max().unwrap_or(0).min(MOST_EVENTS)).unwrap_or(0)
}

/// Each member takes a row, and `each` more for what happened; without those the last of it stands in its row.
pub(super) fn draw(
    state: &State,
    canvas: &mut Canvas<'_>,
    area: Rect,
    part: &[usize],
    each: u16,
    share: &str,
) {
    let g = canvas.glyphs;
    let (whole, up_to) = scale(&state.view.members);
    let legend =
        format!("Pages: in use {} free in the file {} {up_to} {}{share}", g.in_use, g.reclaimable, g.free);
    let inner = canvas.section(area, &legend);
    let lead = lead(state);
    let room = inner.width.saturating_sub(lead + 1);
    let figures_width = part.iter().map(|i| width(&figures(&state.view.members[*i]))).max().unwrap_or(0);
    // With the last event in the same row the bar gets what is left.
    let bar_width = if each > 0 {
        room.saturating_sub(figures_width + 2)
    } else {
        (room / 4).max(LEAST_BAR).min(room.saturating_sub(figures_width + 2))
    };
    for (y, index) in (0_u16..).step_by(usize::from(1 + each)).zip(part) {
        let m = &state.view.members[*index];
        let line = row(inner, y);
        member(state, canvas, line, *index);
        // Without what is in use nobody knows what is free.
        if let Some(parts) = Parts::of(m, whole).filter(|p| p.in_use.is_some()) {
            bar::draw(canvas, Rect { x: line.x + lead, width: bar_width, ..line }, parts);
        }
        let style = if m.state.answers() { canvas.theme.text } else { canvas.theme.dim };
        canvas.text(line, lead + bar_width + 2, &figures(m), style);
        let events = events(state, m);
        if each == 0 {
            let x = lead + bar_width + figures_width + 4;
            let room = line.width.saturating_sub(x + 1);
            if let Some((texts, style)) = most_telling(state, m, &events) {
                // The longest that fits.
                let text = texts.iter().find(|t| width(t) <= room).or(texts.last());
                canvas.text(line, x, text.map_or("", String::as_str), style.of(canvas));
            }
            continue;
        }
        for (below, (texts, style)) in (y + 1..=y + each).zip(&told(state, m, &events)) {
            canvas.text(row(inner, below), lead, texts.first().map_or("", String::as_str), style.of(canvas));
        }
    }
}

/// What became of a member's pages, as its history tells it.
fn events(state: &State, m: &MemberView) -> Vec<PageEvent> {
    m.id.map(|id| pages::of_member(&state.history, id)).unwrap_or_default()
}

/// `4.8 of 12 MiB` would be shorter, and wrong as soon as the units differ.
fn figures(m: &MemberView) -> String {
    let status = m.status.as_ref();
    match status.and_then(|s| Some((s, s.db_size?))) {
        None => "size not known".into(),
        Some((MemberStatus { db_size_in_use: None, .. }, size)) => format!("{size}, in use not known"),
        Some((MemberStatus { db_size_in_use: Some(in_use), .. }, size)) => format!("{in_use} of {size}"),
    }
}

/// How a line is meant.
#[derive(Clone, Copy)]
enum Tone {
    Plain,
    Good,
    Warning,
}

impl Tone {
    const fn of(self, canvas: &Canvas<'_>) -> ratatui::style::Style {
        match self {
            Self::Plain => canvas.theme.dim,
            Self::Good => canvas.theme.good,
            Self::Warning => canvas.theme.warning,
        }
    }
}

/// What all bars are drawn against, and in words: the quota, or a part of it where the files are so small that nothing
/// would be seen to move.
fn scale(members: &[MemberView]) -> (Bytes, String) {
    let largest = members.iter().filter_map(|m| m.status.as_ref()?.db_size).max().unwrap_or_default();
    let quota = members.iter().filter_map(|m| Some(m.quota()?.0)).max();
    // In powers of two it changes seldom.
    let part = Bytes(
        (largest.0.max(1 << 19).saturating_add(largest.0 / 8))
            .checked_next_power_of_two()
            .unwrap_or(u64::MAX),
    );
    match quota {
        None if largest.0 == 0 => (part, "not used".into()),
        None => (part, format!("up to {part} (quota not known: no /metrics)")),
        Some(quota) if part.0 > quota.0 / 2 => (quota, format!("up to the quota, {quota}")),
        Some(quota) => (part, format!("up to {part} (quota {quota})")),
    }
}

/// In a single row what a compaction or a defragmentation did keeps its place for so long, though puts go on.
const STAYS: Duration = Duration::from_secs(30);

/// The one thing to tell of a member in a single row.
fn most_telling(state: &State, m: &MemberView, events: &[PageEvent]) -> Option<(Vec<String>, Tone)> {
    let fresh = |e: &PageEvent| state.now.duration_since(e.to).unsigned_abs() < STAYS;
    let notable = |e: &&PageEvent| matches!(e.change, PageChange::Freed | PageChange::Rewritten) && fresh(e);
    match events.iter().rev().find(notable).filter(|_| m.state.answers()) {
        Some(event) => Some(line(state, event)),
        None => told(state, m, events).into_iter().next(),
    }
}

/// An event in words that become shorter.
fn line(state: &State, event: &PageEvent) -> (Vec<String>, Tone) {
    let tone = match event.change {
        PageChange::Filled | PageChange::Grew => Tone::Plain,
        PageChange::Freed | PageChange::Rewritten => Tone::Good,
    };
    let words = event.words();
    (vec![format!("{} {words}", clock(state, event.to)), words, event.short_words()], tone)
}

/// What happened, the newest first, each in words that become shorter; of a silent member first that it is.
fn told(state: &State, m: &MemberView, events: &[PageEvent]) -> Vec<(Vec<String>, Tone)> {
    let mut told = Vec::new();
    if let Some(old) = old(state, m) {
        told.push((vec![old, m.state.shown().to_owned()], Tone::Warning));
    }
    told.extend(events.iter().rev().map(|event| line(state, event)));
    if told.is_empty() {
        let least = m.status.as_ref().and_then(|s| s.db_size).map(pages::least);
        let above = least.map_or_else(String::new, |least| format!(" above {least}"));
        told.push((vec![format!("no change{above} seen yet"), format!("nothing{above} yet")], Tone::Plain));
    }
    told
}

/// The time of day stands still, other than an age.
fn clock(state: &State, at: Timestamp) -> String {
    at.to_zoned(state.zone.clone()).strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::healthy;

    #[test]
    fn small_files_are_seen_to_move_and_large_ones_stand_against_the_quota() {
        let mut view = healthy(3);
        let mut set = |size: u64, quota: Option<u64>| {
            for m in &mut view.members {
                let status = m.status.as_mut().unwrap();
                (status.db_size, status.db_quota) = (Some(Bytes(size)), quota.map(Bytes));
            }
            scale(&view.members)
        };
        let words = |(_, words): (Bytes, String)| words;
        assert_eq!(words(set(20 << 20, Some(2 << 30))), "up to 32 MiB (quota 2.00 GiB)");
        assert_eq!(words(set(1 << 30, Some(2 << 30))), "up to the quota, 2.00 GiB");
        assert_eq!(
            set(3 << 30, Some(2 << 30)).0,
            Bytes(2 << 30),
            "a file above its quota: the bars are full at the quota"
        );
        assert_eq!(words(set(20 << 20, None)), "up to 32 MiB (quota not known: no /metrics)");
        assert_eq!(set(u64::MAX, None).0, Bytes(u64::MAX));
    }
}
