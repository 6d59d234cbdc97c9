//! What the figures of the open view mean, from the glossary.

use ratatui::layout::Rect;

use crate::app::State;
use crate::app::state::Screen;
use crate::model::glossary::{GLOSSARY, Topic};
use crate::ui::canvas::{Canvas, row, wrap};

const fn topic(screen: Screen) -> Topic {
    match screen {
        Screen::Overview | Screen::Timeline => Topic::Cluster,
        Screen::Member => Topic::Member,
        Screen::Storage => Topic::Storage,
        Screen::Raft => Topic::Raft,
    }
}

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect, scroll: u16) {
    let theme = canvas.theme;
    let columns = area.width.min(100);
    let text_width = columns.saturating_sub(6);
    let mut lines = Vec::new();
    // The worst finding first: it is what somebody in an incident asks about.
    if let Some(f) = state.findings.first() {
        lines.push((f.line.clone(), theme.severity(f.severity)));
        lines.extend(wrap(f.meaning, text_width).into_iter().map(|l| (format!("  {l}"), theme.text)));
        lines.extend(f.evidence.iter().map(|e| (format!("  {e}"), theme.dim)));
        lines.push((String::new(), theme.text));
    }
    for entry in GLOSSARY.iter().filter(|e| e.topics.contains(&topic(state.screen))) {
        lines.push((entry.term.to_owned(), theme.accent));
        lines.extend(wrap(entry.meaning, text_width).into_iter().map(|l| (format!("  {l}"), theme.text)));
        lines.push((format!("  from {}", entry.source), theme.dim));
        if !entry.threshold.is_empty() {
            lines
                .extend(wrap(entry.threshold, text_width).into_iter().map(|l| (format!("  {l}"), theme.dim)));
        }
        lines.push((format!("  $ {}", entry.etcdctl), theme.key));
        lines.push((String::new(), theme.text));
    }
    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let inner = canvas.popup(area, columns, rows, "What this means (j k scroll, esc closes)");
    let most = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(inner.height);
    for (y, (text, style)) in (0..inner.height).zip(lines.iter().skip(usize::from(scroll.min(most)))) {
        canvas.text(row(inner, y), 0, text, *style);
    }
}
