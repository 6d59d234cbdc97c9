//! 1: all members, what is wrong, storage and the latest events.

use ratatui::layout::Rect;

use super::nothing_shown;
use crate::app::state::Screen;
use crate::app::{ActionId, State};
use crate::model::units::latency;
use crate::ui::canvas::{Canvas, below, pad, row};
use crate::ui::screens::timeline;
use crate::ui::widgets::heat::{self, Measure, NOW};
use crate::ui::widgets::{chart, findings, members, operation, rows};

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
        let strip = strip_rows(state);
        let rest = if rest.height >= strip + 1 + LEAST_BESIDE {
            let at = rest.height - strip;
            latencies(state, canvas, below(rest, at));
            Rect { height: at - 1, ..rest }
        } else {
            rest
        };
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

/// Storage and events keep so many rows beside each other before latencies get any.
const LEAST_BESIDE: u16 = 9;

/// A heading, and a row for each member.
fn strip_rows(state: &State) -> u16 {
    u16::try_from(state.rows().len() + 1).unwrap_or(u16::MAX)
}

/// fsync, commit and the slowest peer of every member: the figure of now, and cells over time.
fn latencies(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let key = state.keymap.first(ActionId::Show(Screen::Latency));
    let inner = canvas.section(area, &format!("Latency, p99 every 5 s ({key}: all of it)"));
    let names = rows::names_width(state, 4, 12);
    let block = inner.width.saturating_sub(names + 4) / 3;
    for (y, index) in (0..inner.height).zip(state.rows()) {
        let m = &state.view.members[index];
        let line = row(inner, y);
        let theme = canvas.theme;
        canvas.text(line, 3, &rows::name(state, m, names, canvas.glyphs.ellipsis), theme.strong);
        let peer = heat::slowest_peer(state, m).map(|(to, _)| Measure::RoundTrip(to));
        let measures = [("fsync", Some(Measure::Fsync)), ("commit", Some(Measure::Commit)), ("peers", peer)];
        for (i, (what, measure)) in (0_u16..).zip(measures) {
            let x = names + 4 + i * block;
            canvas.text(line, x, what, theme.dim);
            let Some(measure) = measure else {
                canvas.text(
                    line,
                    x + 7,
                    &pad(canvas.glyphs.dash, 7, true, canvas.glyphs.ellipsis),
                    theme.dim,
                );
                continue;
            };
            let figure = measure.spread(state, m, NOW).map(|s| s.p99);
            let (text, style) = figure.map_or_else(
                || (canvas.glyphs.dash.to_owned(), theme.dim),
                |p99| (latency(p99), measure.style(theme, p99)),
            );
            let style = if m.state.answers() { style } else { theme.dim };
            canvas.text(line, x + 7, &pad(&text, 7, true, canvas.glyphs.ellipsis), style);
            let cells = Rect { x: line.x + x + 15, width: block.saturating_sub(17), ..line };
            heat::draw(state, canvas, cells, m, measure);
        }
    }
}

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
