//! 7: what happened since the start.

use ratatui::layout::Rect;

use super::nothing_shown;
use crate::app::State;
use crate::model::Event;
use crate::ui::canvas::{Canvas, below, row, wrap};

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let matching: Vec<_> = state.entries().collect();
    let inner = canvas.section(area, &format!("Timeline, newest first ({})", matching.len()));
    if matching.is_empty() {
        let text = nothing_shown(state, "nothing happened yet, as far as this etcdtop saw");
        canvas.text(inner, 1, text, canvas.theme.dim);
        return;
    }
    let skip = usize::from(state.scroll).min(matching.len() - 1);
    let mut rest = inner;
    for (i, event) in matching.into_iter().skip(skip).enumerate() {
        if rest.height == 0 {
            break;
        }
        // The first is the selected one: shown whole, however long.
        let used = entry(state, canvas, rest, event, "%Y-%m-%d %H:%M:%S", i == 0);
        if i == 0 {
            (0..used).for_each(|y| canvas.shade(row(rest, y), canvas.theme.selected));
        }
        rest = below(rest, used);
    }
}

/// The newest entries, as a part of the overview.
pub(super) fn latest(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let inner = canvas.section(area, "Latest events");
    if state.timeline.is_empty() {
        canvas.text(inner, 1, "nothing happened yet", canvas.theme.dim);
    }
    for (y, event) in (0..inner.height).zip(state.timeline.iter().rev().skip(state.unseen())) {
        entry(state, canvas, row(inner, y), event, "%H:%M:%S", false);
    }
}

/// Draws an entry at the top of `area`, in one row or `whole`; the rows that it took.
fn entry(
    state: &State,
    canvas: &mut Canvas<'_>,
    area: Rect,
    event: &Event,
    format: &str,
    whole: bool,
) -> u16 {
    let (theme, glyphs) = (canvas.theme, canvas.glyphs);
    let time = event.at.to_zoned(state.zone.clone()).strftime(format).to_string();
    let style = theme.severity(event.severity);
    let x = canvas.spans(
        area,
        1,
        &[(&time, theme.dim), (" ", theme.text), (glyphs.severity(event.severity), style), (" ", style)],
    );
    let lines =
        if whole { wrap(&event.line, area.width.saturating_sub(x)) } else { vec![event.line.clone()] };
    let mut used = 0;
    for line in &lines {
        canvas.text(row(area, used), x, line, theme.text);
        used += 1;
    }
    used.max(1)
}
