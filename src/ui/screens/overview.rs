//! 1: all members, what is wrong, storage and the latest events.

use ratatui::layout::Rect;

use super::nothing_shown;
use crate::app::State;
use crate::ui::canvas::{Canvas, below, row};
use crate::ui::screens::timeline;
use crate::ui::widgets::{chart, findings, members, operation};

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    if state.rows().is_empty() && !state.view.members.is_empty() {
        canvas.text(area, 1, nothing_shown(state, ""), canvas.theme.dim);
        return;
    }
    // What runs keeps its place at the bottom: on a small terminal the step and its state.
    let wanted = operation::rows_wanted(state, area.width);
    let pane = if area.height >= 30 { wanted.min(area.height / 3) } else { wanted.min(4) };
    let at = area.height.saturating_sub(pane);
    operation::draw(state, canvas, below(area, at));
    let area = Rect { height: at.saturating_sub(u16::from(pane > 0 && area.height >= 30)), ..area };
    // Findings keep up to four rows; the table scrolls if it must.
    let found = findings::rows_wanted(state, area.width);
    let wanted = members::rows_wanted(state);
    let table = wanted.min(area.height.saturating_sub(found.min(4)).max(3));
    members::draw(state, canvas, Rect { height: table, ..area });
    // A blank row between, where there is room for it.
    let gap = u16::from(area.height > table + 6);
    let rest = below(area, table + gap);
    // Storage and events give way to findings, but for a heading and three events where there is room at all.
    let most = if rest.height > 12 { rest.height - 5 } else { rest.height };
    let found = found.min(most);
    findings::draw(state, canvas, Rect { height: found, ..rest });
    let rest = below(rest, found + gap);
    if rest.height < 4 {
        return;
    }
    // Side by side where it is wide, one above the other where there is room for both.
    if rest.width >= 100 {
        let left = Rect { width: rest.width / 2, ..rest };
        let right = Rect { x: rest.x + left.width + 2, width: rest.width - left.width - 2, ..rest };
        storage(state, canvas, left);
        timeline::latest(state, canvas, right);
        return;
    }
    let events = u16::try_from(state.timeline.len()).unwrap_or(u16::MAX).clamp(1, rest.height / 2) + 1;
    let chart = rest.height.saturating_sub(events + gap);
    if chart >= LEAST_CHART {
        storage(state, canvas, Rect { height: chart, ..rest });
        timeline::latest(state, canvas, below(rest, chart + gap));
    } else {
        timeline::latest(state, canvas, rest);
    }
}

/// A heading, two rows of columns and the axis of time.
const LEAST_CHART: u16 = 4;

/// The file of the selected member over the last quarter of an hour.
fn storage(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let member = state.selected_row().and_then(|i| state.view.members.get(i));
    let label = member.map(crate::model::MemberView::label).unwrap_or_default();
    let area = Rect { height: area.height.min(20), ..area };
    let inner = canvas.section(area, &format!("Storage of {label}"));
    match member.and_then(|m| state.history.ring(m.id?)) {
        Some(ring) => {
            chart::draw(canvas, inner, ring.fine(), state.now, chart::window(ring.fine(), state.now));
        }
        None => {
            canvas.text(row(inner, 0), 1, "no figures yet", canvas.theme.dim);
        }
    }
}
