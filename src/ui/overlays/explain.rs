//! What the figures of the open view mean, from the glossary.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::app::State;
use crate::app::state::Screen;
use crate::model::glossary::{GLOSSARY, Topic};
use crate::ui::canvas::{Canvas, row, wrap};
use crate::ui::theme::Theme;

const fn topic(screen: Screen) -> Topic {
    match screen {
        Screen::Overview | Screen::Timeline | Screen::Operations => Topic::Cluster,
        Screen::Member => Topic::Member,
        Screen::Storage => Topic::Storage,
        Screen::Snapshots => Topic::Snapshots,
        Screen::Raft => Topic::Raft,
    }
}

/// What is shown, a line each, wrapped to `columns`.
fn lines(state: &State, theme: &Theme, columns: u16) -> Vec<(String, Style)> {
    let indented = |text: &str, style: Style| {
        wrap(text, columns.saturating_sub(2)).into_iter().map(move |l| (format!("  {l}"), style))
    };
    let mut lines = Vec::new();
    // The findings first: they are what somebody in an incident asks about.
    for f in &state.findings {
        lines.extend(wrap(&f.line, columns).into_iter().map(|l| (l, theme.severity(f.severity))));
        lines.extend(indented(f.meaning, theme.text));
        lines.extend(f.evidence.iter().flat_map(|e| indented(e, theme.dim)));
        lines.extend(indented(&f.next, theme.accent));
        lines.push((String::new(), theme.text));
    }
    for entry in GLOSSARY.iter().filter(|e| e.topics.contains(&topic(state.screen))) {
        lines.push((entry.term.to_owned(), theme.accent));
        lines.extend(indented(entry.meaning, theme.text));
        lines.extend(indented(&format!("from {}", entry.source), theme.dim));
        lines.extend(indented(entry.threshold, theme.dim));
        lines.push((format!("  $ {}", entry.etcdctl), theme.key));
        lines.push((String::new(), theme.text));
    }
    lines
}

/// Columns of text inside the frame.
const fn text_columns(area: Rect) -> u16 {
    let columns = if area.width < 100 { area.width } else { 100 };
    columns.saturating_sub(4)
}

/// How many lines it can be scrolled.
pub(in crate::ui) fn most_scroll(state: &State, theme: &Theme, area: Rect) -> u16 {
    let lines = lines(state, theme, text_columns(area)).len();
    u16::try_from(lines).unwrap_or(u16::MAX).saturating_sub(area.height.saturating_sub(2))
}

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect, scroll: u16) {
    let columns = text_columns(area);
    let lines = lines(state, canvas.theme, columns);
    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let inner = canvas.popup(area, columns + 4, rows, "What this means (j k scroll, esc closes)");
    let first = scroll.min(most_scroll(state, canvas.theme, area));
    for (y, (text, style)) in (0..inner.height).zip(lines.iter().skip(usize::from(first))) {
        canvas.text(row(inner, y), 0, text, *style);
    }
}
