//! 7: what happened since the start.

use ratatui::layout::Rect;

use super::nothing_shown;
use crate::app::State;
use crate::model::Event;
use crate::ui::canvas::{Canvas, row};

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let matching: Vec<_> = state.entries().collect();
    let inner = canvas.section(area, &format!("Timeline, newest first ({})", matching.len()));
    if matching.is_empty() {
        let text = nothing_shown(state, "nothing happened yet, as far as this etcdtop saw");
        canvas.text(inner, 1, text, canvas.theme.dim);
        return;
    }
    let skip = usize::from(state.scroll).min(matching.len() - 1);
    for (y, event) in (0..inner.height).zip(matching.into_iter().skip(skip)) {
        entry(state, canvas, row(inner, y), event, "%Y-%m-%d %H:%M:%S");
        if y == 0 {
            canvas.shade(row(inner, y), canvas.theme.selected);
        }
    }
}

/// The newest entries, as a part of the overview.
pub(super) fn latest(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let inner = canvas.section(area, "Latest events");
    if state.timeline.is_empty() {
        canvas.text(inner, 1, "nothing happened yet", canvas.theme.dim);
    }
    for (y, event) in (0..inner.height).zip(state.timeline.iter().rev().skip(state.unseen())) {
        entry(state, canvas, row(inner, y), event, "%H:%M:%S");
    }
}

fn entry(state: &State, canvas: &mut Canvas<'_>, area: Rect, event: &Event, format: &str) {
    let (theme, glyphs) = (canvas.theme, canvas.glyphs);
    let time = event.at.to_zoned(state.zone.clone()).strftime(format).to_string();
    let style = theme.severity(event.severity);
    let x = canvas.spans(
        area,
        1,
        &[(&time, theme.dim), (" ", theme.text), (glyphs.severity(event.severity), style), (" ", style)],
    );
    canvas.text(area, x, &event.line, theme.text);
}
