//! What the figures of the open view mean, from the glossary.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::app::State;
use crate::app::state::{Overlay, Screen};
use crate::diagnose;
use crate::model::glossary::{Entry, GLOSSARY, Topic};
use crate::ops::plan::Action;
use crate::ui::canvas::{Canvas, row, wrap};
use crate::ui::theme::Theme;
use crate::ui::widgets::findings::next;

const fn topic(screen: Screen) -> Topic {
    match screen {
        Screen::Overview | Screen::Timeline | Screen::Operations => Topic::Cluster,
        Screen::Member => Topic::Member,
        Screen::Storage => Topic::Storage,
        Screen::Snapshots => Topic::Snapshots,
        Screen::Raft => Topic::Raft,
        Screen::Latency => Topic::Latency,
        Screen::Internals => Topic::Internals,
        Screen::Fleet => Topic::Fleet,
    }
}

/// The entry that explains a step.
const fn step(action: &Action) -> &'static str {
    match action {
        Action::Compact { .. } => "step: compact",
        Action::Defragment { .. } => "step: defragment",
        Action::MoveLeader { .. } => "step: move leader",
        Action::Disarm { .. } => "step: disarm",
        Action::Snapshot { .. } => "step: snapshot",
        Action::ProveWrite { .. } => "step: prove a write",
    }
}

type Lines = Vec<(String, Style)>;

fn indented(lines: &mut Lines, text: &str, columns: u16, style: Style) {
    lines.extend(wrap(text, columns.saturating_sub(2)).into_iter().map(|l| (format!("  {l}"), style)));
}

/// What is shown, a line each, wrapped to `columns`.
fn lines(state: &State, theme: &Theme, columns: u16) -> Lines {
    let mut lines = Vec::new();
    // A plan lies under it: its steps are asked about.
    if let Some(Overlay::Explain { under: Some(under), .. }) = &state.overlay
        && let Overlay::Plan(dialog) = under.as_ref()
    {
        let steps: Vec<_> = dialog.plan.steps.iter().map(|s| step(&s.action)).collect();
        for entry in GLOSSARY.iter().filter(|e| steps.contains(&e.term)) {
            explain(&mut lines, entry, theme, columns);
        }
        return lines;
    }
    // The findings first: they are what somebody in an incident asks about.
    for f in &state.findings {
        lines.extend(wrap(&f.line, columns).into_iter().map(|l| (l, theme.severity(f.severity))));
        indented(&mut lines, f.meaning, columns, theme.text);
        for evidence in &f.evidence {
            indented(&mut lines, evidence, columns, theme.dim);
        }
        if let Some(rule) = diagnose::rule(f.key.rule) {
            let source = if rule.source.is_empty() { String::new() } else { format!(" ({})", rule.source) };
            indented(&mut lines, &format!("found when {}{source}", rule.when), columns, theme.dim);
            indented(&mut lines, &format!("from {}", rule.from), columns, theme.dim);
        }
        if !f.next.is_empty() {
            indented(&mut lines, &format!("next: {}", next(state, f)), columns, theme.accent);
        }
        lines.push((String::new(), theme.text));
    }
    for entry in GLOSSARY.iter().filter(|e| e.topics.contains(&topic(state.screen))) {
        explain(&mut lines, entry, theme, columns);
    }
    lines
}

fn explain(lines: &mut Lines, entry: &Entry, theme: &Theme, columns: u16) {
    lines.push((entry.term.to_owned(), theme.accent));
    indented(lines, entry.meaning, columns, theme.text);
    indented(lines, &format!("from {}", entry.source), columns, theme.dim);
    indented(lines, entry.threshold, columns, theme.dim);
    lines.push((format!("  $ {}", entry.etcdctl), theme.key));
    lines.push((String::new(), theme.text));
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
